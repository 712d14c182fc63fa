"""The one normal form of a recurrent classifier: plain weights, gates in PyTorch's order i, f, g, o.

Everything else in the engine reads only this. Weights are kept in float64, which holds the exact real
value of every stored float16, bfloat16, float32 and float64 number; the two bias vectors of PyTorch are kept
apart, because their sum would round.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.errors import ModelError


@dataclass(frozen=True)
class LSTMLayer:
    """One LSTM layer. weight_ih (4 hidden, input), weight_hh (4 hidden, hidden), biases (4 hidden,)."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor

    @property
    def input_size(self) -> int:
        return self.weight_ih.shape[1]

    @property
    def hidden_size(self) -> int:
        return self.weight_hh.shape[1]


@dataclass(frozen=True)
class RecurrentClassifier:
    """Stacked LSTM layers and a linear head on the top layer's hidden state after the last frame.

    head_weight (classes, hidden), head_bias (classes,). Start states are zero.
    stored_dtype: what the weights were stored in, for reports; the tensors here are float64.
    """

    layers: tuple[LSTMLayer, ...]
    head_weight: Tensor
    head_bias: Tensor
    stored_dtype: str = "float64"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def input_size(self) -> int:
        return self.layers[0].input_size

    @property
    def classes(self) -> int:
        return self.head_weight.shape[0]

    def named_weights(self) -> dict[str, Tensor]:
        """All weights by a stable name, in a stable order."""
        named: dict[str, Tensor] = {}
        for k, layer in enumerate(self.layers):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                named[f"layers.{k}.{name}"] = getattr(layer, name)
        named["head.weight"] = self.head_weight
        named["head.bias"] = self.head_bias
        return named

    def digest(self) -> str:
        """SHA-256 over names, shapes and the exact float64 values (little-endian) of all weights."""
        hasher = hashlib.sha256()
        for name, value in self.named_weights().items():
            hasher.update(f"{name}:{tuple(value.shape)}\n".encode())
            array = value.detach().cpu().contiguous().numpy().astype("<f8", copy=False)
            hasher.update(array.tobytes())
        return hasher.hexdigest()

    def logits(self, x: Tensor) -> Tensor:
        """Plain float64 forward pass. x (batch, time, input) -> (batch, classes)."""
        sequence = x.to(torch.float64)
        hidden = sequence
        for layer in self.layers:
            weight_ih, weight_hh = layer.weight_ih.to(x.device), layer.weight_hh.to(x.device)
            bias = (layer.bias_ih + layer.bias_hh).to(x.device)
            h = sequence.new_zeros(x.shape[0], layer.hidden_size)
            c = torch.zeros_like(h)
            outputs = []
            for t in range(x.shape[1]):
                gates = hidden[:, t] @ weight_ih.T + h @ weight_hh.T + bias
                i, f, g, o = gates.chunk(4, dim=1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                outputs.append(h)
            hidden = torch.stack(outputs, dim=1)
        return hidden[:, -1] @ self.head_weight.to(x.device).T + self.head_bias.to(x.device)

    def describe(self) -> str:
        """One line for people."""
        hidden = ", ".join(str(layer.hidden_size) for layer in self.layers)
        word = "layer" if len(self.layers) == 1 else "layers"
        return (
            f"LSTM, {len(self.layers)} {word} of {hidden} units, {self.input_size} inputs per frame, "
            f"{self.classes} classes"
        )


def _check(model: RecurrentClassifier) -> None:
    if not model.layers:
        raise ModelError("the model has no recurrent layer; give at least one LSTM layer")
    expected_input = model.layers[0].weight_ih.shape[-1] if model.layers[0].weight_ih.ndim else 0
    for k, layer in enumerate(model.layers):
        if layer.weight_hh.ndim != 2 or layer.weight_ih.ndim != 2:
            raise ModelError(
                f"layer {k}: weight_ih and weight_hh have shapes {tuple(layer.weight_ih.shape)} and "
                f"{tuple(layer.weight_hh.shape)}; both need two dimensions"
            )
        rows, hidden = layer.weight_hh.shape
        shapes = {
            "weight_ih": (tuple(layer.weight_ih.shape), (4 * hidden, expected_input)),
            "weight_hh": ((rows, hidden), (4 * hidden, hidden)),
            "bias_ih": (tuple(layer.bias_ih.shape), (4 * hidden,)),
            "bias_hh": (tuple(layer.bias_hh.shape), (4 * hidden,)),
        }
        for name, (found, expected) in shapes.items():
            if found != expected:
                raise ModelError(f"layer {k}: {name} has shape {found}, an LSTM needs {expected}")
        expected_input = hidden
    if model.head_weight.ndim != 2 or model.head_weight.shape[1] != expected_input:
        raise ModelError(
            f"the head's weight has shape {tuple(model.head_weight.shape)}, "
            f"it needs (classes, {expected_input}) to follow the top layer"
        )
    if tuple(model.head_bias.shape) != (model.classes,):
        raise ModelError(f"the head's bias has shape {tuple(model.head_bias.shape)}, it needs ({model.classes},)")
    for name, value in model.named_weights().items():
        if value.dtype != torch.float64:
            raise ModelError(f"{name} is {value.dtype}; the normal form holds float64 values")
        bad = ~torch.isfinite(value)
        if bool(bad.any()):
            index = tuple(int(i) for i in bad.nonzero()[0])
            raise ModelError(
                f"{name}{list(index)} is {value[index].item()}; a network with NaN or infinite weights "
                "has no bounds. Repair or retrain the model"
            )

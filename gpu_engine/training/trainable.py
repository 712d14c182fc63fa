"""A recurrent classifier whose weights train.

`Trainable` holds the weights of a normal form, or stands for a user's own module, whose parameters it trains in place.
Either way `classifier()` is the normal form with gradients to the parameters, and `frozen()` the one without.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from gpu_engine import forward
from gpu_engine.errors import ModelError
from gpu_engine.loading import from_state_dict
from gpu_engine.model import Dense, RecurrentClassifier
from gpu_engine.module_loading import from_module
from gpu_engine.training.tapes import answers, tape_of

# Weights numbered up to here are distinct in float64.
_MOST: Final = 2**53


class Trainable(nn.Module):
    """The weights of a classifier as parameters, in PyTorch's meaning; an embedding stays as it is.

    dtype: of the parameters, float32 or float64. `forward` is the plain forward pass in that dtype.
    """

    def __init__(self, model: RecurrentClassifier, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.dtype, self._model = dtype, model
        self._names = [name for name in model.named_weights() if name != "embedding"]
        weights = model.named_weights()
        self.weights = nn.ParameterList([weights[name].detach().to(dtype, copy=True) for name in self._names])

    def forward(self, x: Tensor) -> Tensor:
        """Logits as `RecurrentClassifier.logits` has them; differentiable in x and in the weights."""
        return _forward(self.classifier(), x, self.dtype)

    def classifier(self) -> RecurrentClassifier:
        """The normal form with gradients to the parameters. Raises ModelError where a weight is not finite."""
        return with_weights(self._model, dict(zip(self._names, self.weights, strict=True)))

    def frozen(self) -> RecurrentClassifier:
        """The normal form as it now is; training on does not change it."""
        weights = {name: value.detach().clone() for name, value in zip(self._names, self.weights, strict=True)}
        dtype = str(self.dtype).removeprefix("torch.")
        return replace(with_weights(self._model, weights), stored_dtype=dtype)


class TrainableModule(nn.Module):
    """A user's own module, trained in place: its parameters seen through the normal form that it computes.

    The module is read once by `from_module`, which also compares outputs; then its entries are numbered, and the same
    reading of the numbers says which entry is which weight. Dropout of the module does not act.
    Raises ModelError as `from_module` does.
    """

    def __init__(self, module: nn.Module, structure: str | None = None, readout: str | None = None) -> None:
        super().__init__()
        self._model = from_module(module, structure=structure, readout=readout)
        self.module = module
        entries = dict(module.named_parameters()) | dict(module.named_buffers())
        self.dtype = next(iter(entries.values())).dtype
        numbered, first = {}, 1  # 0: a bias that is absent, hence zero
        for name, value in entries.items():
            numbered[name] = torch.arange(first, first + value.numel(), dtype=torch.float64).view(value.shape)
            first += value.numel()
        if first > _MOST:
            raise ModelError(f"the module has {first} weights; at most {_MOST} can be told apart")
        places = from_state_dict(
            numbered, type(module).__name__, structure=self._model.reading, readout=self._model.readout
        )
        self._places = {name: value.long() for name, value in places.named_weights().items() if name != "embedding"}

    def forward(self, x: Tensor) -> Tensor:
        """As `Trainable.forward`."""
        return _forward(self.classifier(), x, self.dtype)

    def classifier(self) -> RecurrentClassifier:
        """As `Trainable.classifier`."""
        values = [*self.module.parameters(), *self.module.buffers()]
        flat = torch.cat([values[0].new_zeros(1), *(value.reshape(-1) for value in values)])
        return with_weights(self._model, {name: flat[place] for name, place in self._places.items()})

    def frozen(self) -> RecurrentClassifier:
        """As `Trainable.frozen`."""
        with torch.no_grad():
            return self.classifier()


def with_weights(model: RecurrentClassifier, weights: dict[str, Tensor]) -> RecurrentClassifier:
    """The model with other weights, widened to float64, under the names of `named_weights`; the rest is kept."""
    wide = {name: value.to(torch.float64) for name, value in weights.items()}

    def blocks(where: str) -> tuple:  # type: ignore[type-arg]
        stack = model.before if where == "before" else model.after
        return tuple(
            Dense(wide[f"{where}.{k}.weight"], wide[f"{where}.{k}.bias"]) if isinstance(block, Dense) else block
            for k, block in enumerate(stack)
        )

    layers = tuple(
        tuple(
            replace(direction, **{name: wide[f"layers.{k}.{j}.{name}"] for name, _ in direction.named_weights()})  # type: ignore[arg-type]
            for j, direction in enumerate(layer)
        )
        for k, layer in enumerate(model.layers)
    )
    return replace(model, layers=layers, before=blocks("before"), after=blocks("after"))


def _forward(model: RecurrentClassifier, x: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.float64:
        return forward.logits(model, x)
    found = answers(tape_of(model, x.shape[1], dtype), x.to(dtype))
    return found if model.readout == "every" else found[:, 0]

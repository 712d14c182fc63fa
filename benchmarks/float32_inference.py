"""What VALID does not claim: how far float32 inference is from the exact network.

    python -m benchmarks.float32_inference [--models a:0.02,b:0.01] [--count 100] [--seed 0] [--device cpu]

The exact network is evaluated in ball arithmetic at inputs that float32 holds exactly: the test samples, and a random
corner of each one's ball, rounded to float32. Held against it is what torch computes of the same inputs in float32. A
margin is the label's logit less another class's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context

import torch
from flint import arb
from torch import nn

from benchmarks.common import P1_MODELS, header, samples, shared_model, table
from benchmarks.exact_network import BITS, Rows, exact_logits
from gpu_engine.model import Direction, RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, untargeted
from refcert.kernel.ball import ZERO, exact, float_above, larger, precision, surely_positive

MODELS = (
    *("digits_lstm:0.02", "digits_gru:0.02", "digits_rnn:0.05"),
    *(f"{name}:0.01" for name in P1_MODELS),
    "mnist_14f_032h_1l:0.003",
)
CLIP = (0.0, 1.0)

Forward = Callable[[torch.Tensor], torch.Tensor]
"""Inputs (inputs, time, input) to logits (inputs, classes)."""

LAYERS: Mapping[str, Callable[..., nn.Module]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}
CELLS: Mapping[str, Callable[..., nn.Module]] = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn_tanh": nn.RNNCell}
WEIGHTS = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}


class ByLayers(nn.Module):
    """The recurrent layers as one module of torch, the last frame's output, and a linear head."""

    def __init__(self, model: RecurrentClassifier) -> None:
        super().__init__()
        first = plain(model)
        self.layers = LAYERS[first.cell](first.input_size, first.hidden_size, len(model.layers), batch_first=True)
        weights = [d.named_weights() for (d,) in model.layers]
        self.layers.load_state_dict({f"{name}_l{k}": value for k, some in enumerate(weights) for name, value in some})
        self.head = head(model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.layers(x)
        logits: torch.Tensor = self.head(outputs[:, -1])
        return logits


class ByCells(nn.Module):
    """The same, frame by frame, with torch's cells."""

    def __init__(self, model: RecurrentClassifier) -> None:
        super().__init__()
        plain(model)
        self.cells = nn.ModuleList()
        for (direction,) in model.layers:
            cell = CELLS[direction.cell](direction.input_size, direction.hidden_size)
            cell.load_state_dict(dict(direction.named_weights()))
            self.cells.append(cell)
        self.head = head(model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = list(x.unbind(1))
        for cell in self.cells:
            state = None  # torch's cells start at zero then; an LSTM's holds its output and its cell state
            for t, frame in enumerate(frames):
                state = cell(frame, state)
                frames[t] = state[0] if isinstance(state, tuple) else state
        logits: torch.Tensor = self.head(frames[-1])
        return logits


def plain(model: RecurrentClassifier) -> Direction:
    """The first layer. Ends the program unless the model is a stack of forward layers of one kind and a linear head."""
    first = model.layers[0][0]
    stack = ";".join([f"{first.cell}>"] * len(model.layers))
    bare = not any(set(dict(d.named_weights())) - WEIGHTS for layer in model.layers for d in layer)
    read = {f"|{stack}|{readout}|dense" for readout in ("final", "last_frame")}
    if first.cell not in LAYERS or model.structure() not in read or not bare:
        sys.exit(f"{model.describe()}: not a plain stack of forward layers and a linear head; give another model")
    return first


def head(model: RecurrentClassifier) -> nn.Linear:
    classes, size = model.head.weight.shape
    linear = nn.Linear(size, classes)
    linear.load_state_dict({"weight": model.head.weight, "bias": model.head.bias})
    return linear


def one_by_one(forward: Forward) -> Forward:
    """The same inference on batches of one."""
    return lambda x: torch.cat([forward(x[k : k + 1]) for k in range(len(x))])


def inferences(model: RecurrentClassifier, device: str) -> dict[str, Forward]:
    """The ways in which the network is run in float32, for inputs in float32."""
    layers, cells = ByLayers(model).eval().to(device), ByCells(model).eval().to(device)
    return {"layers, all at once": layers, "layers, one by one": one_by_one(layers), "cells, all at once": cells}


def corners(x: torch.Tensor, radius: float, seed: int) -> torch.Tensor:
    """Each input moved to a random corner of its ball, cut to the range."""
    signs = torch.randint(0, 2, x.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return (x + radius * signs).clamp(*CLIP)


@dataclass(frozen=True)
class Errors:
    """Upper ends over all inputs: of a logit's error, of a margin's. differing: inputs that get another class."""

    logit: float
    margin: float
    differing: int


def errors(found: torch.Tensor, true: Rows, labels: torch.Tensor) -> Errors:
    """found (inputs, classes): floats, taken as exact; true: the exact logits; labels (inputs,): of the margins."""
    logit, margin, differing = ZERO, ZERO, 0
    with precision(BITS):
        for k, label in enumerate(labels.tolist()):
            floats = [exact(value) for value in found[k].tolist()]
            real = [row[k] for row in true]
            for a, b in zip(floats, real, strict=True):
                logit = larger(logit, abs(a - b))
            for j in range(len(real)):
                if j != label:
                    margin = larger(margin, abs((floats[label] - floats[j]) - (real[label] - real[j])))
            differing += decided(real) != int(found[k].argmax())
    return Errors(float_above(logit), float_above(margin), differing)


def upward(end: float) -> str:
    """An upper end in three digits, not below it."""
    return f"{Context(prec=3, rounding=ROUND_CEILING).create_decimal_from_float(end):.2e}"


def decided(logits: list[arb]) -> int | None:
    """The class whose logit is certainly the largest, if there is one."""
    for k, one in enumerate(logits):
        if all(surely_positive(one - other) for j, other in enumerate(logits) if j != k):
            return k
    return None


def certified_margins(name: str, x: torch.Tensor, labels: torch.Tensor, radius: float) -> torch.Tensor:
    """The margins that certificates of these samples claim, in float64."""
    model = shared_model(name)
    balls = FrameBalls(x, torch.full(x.shape[:2], radius, dtype=torch.float64), clip=CLIP)
    margin = certify(model, balls, untargeted(labels, model.classes), Options()).margin
    return margin[margin > 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="model:radius, by commas")
    parser.add_argument("--count", type=int, default=100, help="MNIST samples; of digits the whole test part is taken")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    rows, against = [], []
    for entry in arguments.models.split(","):
        name, radius = entry.split(":")
        model = shared_model(name)
        x, labels = samples(name, model, None if name.startswith("digits") else arguments.count)
        inputs = torch.cat((x, corners(x, float(radius), arguments.seed))).float()
        true, both = exact_logits(model, inputs), labels.repeat(2)
        largest = max(float_above(abs(value)) for row in true for value in row)
        with torch.inference_mode():
            ways = inferences(model, arguments.device).items()
            found = {way: errors(forward(inputs.to(arguments.device)).cpu(), true, both) for way, forward in ways}
        worst = max(error.margin for error in found.values())
        found["the engine's, float64"] = errors(model.logits(inputs.double()), true, both)
        for way, error in found.items():
            numbers = (f"{largest:.1f}", upward(error.logit), upward(error.margin), str(error.differing))
            rows.append([name, str(len(inputs)), way, *numbers])
        margins = certified_margins(name, x, labels, float(radius))
        small = int((margins <= worst).sum())
        against.append([name, radius, str(len(margins)), f"{float(margins.min()):.2e}", upward(worst), str(small)])
    print(header("Float32 inference against the exact network", f"Seed {arguments.seed}."))
    print(
        f"Exact: ball arithmetic, {BITS} bits, weights and inputs taken as the exact numbers that they are. Inputs:\n"
        f"the digits' whole test part and the first {arguments.count} MNIST test images, and a random corner of the\n"
        f"l_inf ball around each, rounded to float32. Inference: torch on {arguments.device}, in float32; and the\n"
        "engine's own forward pass in float64, which names the class of a sample. Errors are rigorous upper ends over\n"
        "all these inputs and all classes; other decisions: inputs for which the inference names another class.\n"
    )
    columns = ["model", "inputs", "inference", "largest logit", "error of a logit", "error of a margin"]
    print(table([*columns, "other decisions"], rows))
    print(
        "Margins that are certified of the samples (l_inf, clip [0, 1], untargeted, `parallel`, float64), against the\n"
        "largest error of a margin by any of the ways in float32:\n"
    )
    print(table(["model", "radius", "certified", "least margin", "largest error", "margins not above it"], against))


if __name__ == "__main__":
    main()

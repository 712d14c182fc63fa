"""auto_LiRPA's operators under refcert: their planes on single boxes, and CROWN's and IBP's bounds of an LSTM.

    refcert audit auto_lirpa_operators:planes --count 20          in this folder: the planes of single operators
    python auto_lirpa_operators.py                                bounds of a small LSTM built from the operators

auto_LiRPA is not part of refcert and never a dependency of it. Its version on PyPI, 0.3, does not import beside numpy
2; that of its repository, 0.7.1, asks for torch < 2.9 but works with later ones on what is used here:

    pip install --no-deps "auto_LiRPA @ git+https://github.com/Verified-Intelligence/auto_LiRPA@a050a3d61f4c"
    pip install appdirs graphviz ninja tqdm

Without it the script says so and ends with exit code 0. What was found: docs/third_party.md.

Method card
    Claim      nothing is asserted of auto_LiRPA here: refcert judges what it returns.
    Idea       a graph of one product is asked for its linear bounds, which are a lower and an upper plane; an LSTM is
               written out frame by frame with linear, sigmoid, tanh, product and sum operators, all in float64.
    Tolerance  auto_LiRPA rounds to nearest and claims no more. Faults of rounding are told apart from others by
               `tolerance`, not hidden: the script runs once with 0 and once with 1e-9.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Plane = tuple[np.ndarray, np.ndarray, np.ndarray]
METHODS = ("IBP", "CROWN")
HOW_TO_INSTALL = (
    "skipped: auto_LiRPA is not installed. In an environment of its own with refcert:\n"
    '  pip install --no-deps "auto_LiRPA @ git+https://github.com/Verified-Intelligence/auto_LiRPA@a050a3d61f4c"\n'
    "  pip install appdirs graphviz ninja tqdm"
)


def auto_lirpa() -> Any:
    """The package. Raises ImportError where it is not installed or does not import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses torch.jit.script, which is deprecated
        import auto_LiRPA
    return auto_LiRPA


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0]).double()
    layer.load_state_dict({"weight": weight.detach().double(), "bias": bias.detach().double()})
    return layer


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """auto_LiRPA makes its tables and matrices in torch's default type, whatever its inputs have."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(before)


class Product(nn.Module):
    """The surface of one kind at inputs (batch, 2), v and z: (batch, 1)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, _, self.second = kind.partition("_times_")
        self.v = _linear(torch.tensor([[1.0, 0.0]]), torch.zeros(1))
        self.z = _linear(torch.tensor([[0.0, 1.0]]), torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 2) -> (batch, 1)."""
        value: Tensor = getattr(torch, self.first)(self.v(x))
        if not self.second:
            return value
        return value * (torch.tanh(self.z(x)) if self.second == "tanh" else self.z(x))


@lru_cache(maxsize=64)
def _bounded(kind: str, count: int) -> Any:
    return auto_lirpa().BoundedModule(Product(kind), torch.zeros(count, 2, dtype=torch.float64))


@in_float64()
def planes(kind: str, *box: np.ndarray) -> tuple[Plane, Plane]:
    """CROWN's linear lower and upper bound of one operator, or of one product, in float64; see docs/audit.md."""
    low_v, high_v, low_z, high_z = (torch.from_numpy(np.asarray(side, dtype=np.float64).copy()) for side in box)
    low, high = torch.stack([low_v, low_z], 1), torch.stack([high_v, high_z], 1)
    network = _bounded(kind, len(low))
    start, end = network.input_name[0], network.output_name[0]
    needed = defaultdict(set)
    needed[end].add(start)
    norm = auto_lirpa().PerturbationLpNorm(norm=np.inf, x_L=low, x_U=high)
    x = auto_lirpa().BoundedTensor((low + high) / 2, norm)
    _, _, found = network.compute_bounds(x=(x,), method="CROWN", return_A=True, needed_A_dict=needed)
    planes = found[end][start]
    sides = []
    for slopes, offset in ((planes["lA"], planes["lbias"]), (planes["uA"], planes["ubias"])):
        slope_v, slope_z = slopes.detach().reshape(len(low), 2).T.numpy()
        sides.append((slope_v, slope_z, offset.detach().reshape(len(low)).numpy()))
    return sides[0], sides[1]


class Classifier(nn.Module):
    """An LSTM and a linear head that reads its last state, as PyTorch has them."""

    def __init__(self, inputs: int = 3, hidden: int = 4, classes: int = 3) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, inputs) -> (batch, classes)."""
        outputs: Tensor = self.head(self.lstm(x)[0][:, -1])
        return outputs


class WrittenOut(nn.Module):
    """The same network frame by frame, of operators that auto_LiRPA bounds; inputs (batch, time * inputs).

    A frame is read by a matrix that is zero elsewhere, so that no slices are needed.
    """

    def __init__(self, model: Classifier, frames: int) -> None:
        super().__init__()
        self.frames, size = frames, model.lstm.input_size
        of_input, of_state = nn.ModuleList(), nn.ModuleList()
        weight, bias = model.lstm.weight_ih_l0.detach(), model.lstm.bias_ih_l0.detach()
        for t in range(frames):
            for gate, offset in zip(weight.chunk(4), bias.chunk(4), strict=True):
                wide = torch.zeros(len(gate), frames * size)
                wide[:, t * size : (t + 1) * size] = gate
                of_input.append(_linear(wide, offset))
        weight, bias = model.lstm.weight_hh_l0.detach(), model.lstm.bias_hh_l0.detach()
        for gate, offset in zip(weight.chunk(4), bias.chunk(4), strict=True):
            of_state.append(_linear(gate, offset))
        self.of_input, self.of_state = of_input, of_state
        self.head = _linear(model.head.weight, model.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time * inputs) -> (batch, classes)."""
        hidden = cell = None
        for t in range(self.frames):
            i, f, g, o = (
                read(x) + (carried.bias if hidden is None else carried(hidden))
                for read, carried in zip(self.of_input[4 * t : 4 * t + 4], self.of_state, strict=True)
            )
            kept = torch.sigmoid(i) * torch.tanh(g)
            cell = kept if cell is None else torch.sigmoid(f) * cell + kept
            hidden = torch.sigmoid(o) * torch.tanh(cell)
        outputs: Tensor = self.head(hidden)
        return outputs


class Bounds:
    """A bounds function for `assert_bounds_sound`, by one method of auto_LiRPA."""

    def __init__(self, method: str) -> None:
        self.method, self.__qualname__ = method, f"auto_LiRPA's {method}"
        self._networks: dict[tuple[int, int], Any] = {}

    @in_float64()
    def __call__(self, model: Classifier, inputs: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of rows (batch, spec, outputs) over `Boxes`."""
        batch, time, size = inputs.lower.shape
        low, high = inputs.lower.reshape(batch, time * size), inputs.upper.reshape(batch, time * size)
        if (batch, time) not in self._networks:
            self._networks[batch, time] = auto_lirpa().BoundedModule(WrittenOut(model, time), torch.zeros_like(low))
        norm = auto_lirpa().PerturbationLpNorm(norm=np.inf, x_L=low, x_U=high)
        x = auto_lirpa().BoundedTensor((low + high) / 2, norm)
        lower, upper = self._networks[batch, time].compute_bounds(x=(x,), C=rows, method=self.method)
        return lower.detach(), upper.detach()


def main() -> int:
    """Bounds of the LSTM by each method, with no tolerance and with one far above rounding; prints what was found."""
    try:
        auto_lirpa()
    except ImportError as error:
        print(HOW_TO_INSTALL if error.name in ("auto_LiRPA", None) else f"skipped: auto_LiRPA does not import: {error}")
        return 0
    from refcert.testing import RefcertAssertionError, assert_bounds_sound

    torch.manual_seed(0)
    model = Classifier()
    for method in METHODS:
        for tolerance in (0.0, 1e-9):
            print(f"\n{method}, tolerance {tolerance:g}")
            try:
                report = assert_bounds_sound(Bounds(method), model, budget="200 examples", tolerance=tolerance)
                print(report.text())
            except RefcertAssertionError as error:
                print(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())

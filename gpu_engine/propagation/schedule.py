"""The order of work: boxes and planes frame by frame and layer by layer, then the specification rows.

Method card
    Claim      `bound(...)`.lower <= C F(x) + d on the whole input set; every box contains its variable.
    Source     POPQORN (Ko et al. 2019), algorithm of section 3.4; boxes intersected with interval arithmetic.
    Order      for t, for layer: pre-activations (back-substitution), planes of the input and forget
               products, cell state (back-substitution), planes of the output product.
    Shapes     batch first everywhere; lower (batch, spec).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gpu_engine.bounds import BoundedProduct, Box
from gpu_engine.cells.lstm import Charge, F, G, I, LayerWeights, O, relax
from gpu_engine.errors import NumericalError, SoundnessFault, SpecificationError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.propagation import interval
from gpu_engine.propagation.backward import Forms, Unrolled
from gpu_engine.propagation.concretize import PreparedInput, prepare
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.rules import SlopeRule
from gpu_engine.rounding import gamma, tiny
from gpu_engine.spec import FrameBalls, Specification


@dataclass(frozen=True)
class Bounds:
    """Lower bounds of the specification rows (batch, spec) and every relaxed product behind them."""

    lower: Tensor
    products: tuple[BoundedProduct, ...]


def bound(
    model: RecurrentClassifier,
    inputs: FrameBalls,
    specification: Specification,
    rule: SlopeRule,
    *,
    dtype: torch.dtype,
) -> Bounds:
    """Lower bounds of C F(x) + d over the input set, on the device of `inputs.center`."""
    if inputs.center.shape[2] != model.input_size:
        raise SpecificationError(
            f"frames have {inputs.center.shape[2]} values, the model reads {model.input_size} per frame"
        )
    if specification.C.shape[2] != model.classes or len(inputs) != specification.C.shape[0]:
        raise SpecificationError(
            f"specification rows have shape {tuple(specification.C.shape)}, "
            f"they need ({len(inputs)}, spec, {model.classes})"
        )
    with torch.no_grad(), full_precision_products():
        return _Run(model, prepare(inputs, dtype), rule, dtype).run(specification)


@contextlib.contextmanager
def full_precision_products() -> Iterator[None]:
    """Keep float32 matrix products in float32: TensorFloat-32 and bfloat16 would break the rounding bounds."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass
class _Run:
    model: RecurrentClassifier
    inputs: PreparedInput
    rule: SlopeRule
    dtype: torch.dtype
    hidden: dict[tuple[int, int], Box] = field(default_factory=dict)
    cell: dict[tuple[int, int], Box] = field(default_factory=dict)
    products: list[BoundedProduct] = field(default_factory=list)

    def __post_init__(self) -> None:
        device = self.inputs.center.device
        self.weights = [LayerWeights.of(layer, self.dtype, device) for layer in self.model.layers]
        self.net = Unrolled(self.weights, self.inputs)
        self.batch, self.time = self.inputs.center.shape[:2]
        widest = max(w.hidden for w in self.weights)
        # Roundings in the longest sum that any constant or coefficient takes part in: a matrix product over the
        # gates, a concretization over the inputs, the dot products of one step, and one addition per
        # step; 64 for the elementwise rest, casts of the weights included.
        terms = 8 * widest + 4 * self.model.input_size + 8 * self.time * len(self.weights) + 64
        self.gamma = gamma(terms, self.dtype)
        self.lost = terms * tiny(self.dtype)
        self.net.magnitude = max(1.0, float((self.inputs.center.abs() + self.inputs.magnitude()).max()))

    def run(self, specification: Specification) -> Bounds:
        for t in range(self.time):
            for layer in range(len(self.weights)):
                self._frame(layer, t)
        lower = self._specification(specification)
        _require_finite("the bound of the specification", lower)
        return Bounds(lower, tuple(self.products))

    # one frame of one layer

    def _frame(self, layer: int, t: int) -> None:
        constant, size = self._gate_constants(layer, t)
        self.net.magnitude = max(self.net.magnitude, float(size.max()))
        gates = self._gate_boxes(layer, t, constant, size)
        hidden = self.weights[layer].hidden
        part = [slice(k * hidden, (k + 1) * hidden) for k in range(4)]
        box = [Box(gates.lower[:, p], gates.upper[:, p]) for p in part]
        node = (layer, t)

        cell = interval.multiply(interval.sigmoid(box[I]), interval.tanh(box[G]))
        previous = self.cell.get((layer, t - 1))
        if previous is not None:
            cell = interval.add(cell, interval.multiply(interval.sigmoid(box[F]), previous))
        in_pair = self._planes("sigmoid_times_tanh", "input", node, box[I], box[G])
        charge = Charge(size[:, part[I]], size[:, part[G]], cell.magnitude(), self.gamma, self.lost)
        self.net.input[node] = relax(in_pair, constant[:, part[I]], constant[:, part[G]], charge)
        if previous is not None:
            pair = self._planes("sigmoid_times_identity", "forget", node, box[F], previous)
            charge = Charge(size[:, part[F]], previous.magnitude(), cell.magnitude(), self.gamma, self.lost)
            self.net.forget[node] = relax(pair, constant[:, part[F]], None, charge)
        self.net.magnitude = max(self.net.magnitude, float(cell.magnitude().max()))

        cell = self._tighten(f"cell state of layer {layer}, frame {t}", cell, self._cell_bounds(node))
        self.cell[node] = cell
        self.hidden[node] = interval.multiply(interval.sigmoid(box[O]), interval.tanh(cell))
        pair = self._planes("sigmoid_times_tanh", "output", node, box[O], cell)
        charge = Charge(size[:, part[O]], cell.magnitude(), self.hidden[node].magnitude(), self.gamma, self.lost)
        self.net.output[node] = relax(pair, constant[:, part[O]], None, charge)

    def _planes(self, kind: str, name: str, node: tuple[int, int], v: Box, z: Box):  # type: ignore[no-untyped-def]
        pair = self.rule(PRODUCTS[kind], v, z)
        for plane in (pair.lower, pair.upper):
            for part in (plane.slope_v, plane.slope_z, plane.offset):
                _require_finite(f"a plane of the {name} product of layer {node[0]}, frame {node[1]}", part)
        self.products.append(BoundedProduct(kind, name, node[0], node[1], v, z, pair))
        return pair

    # boxes of the gates

    def _gate_constants(self, layer: int, t: int) -> tuple[Tensor, Tensor]:
        """The part of the gates that is no variable, and the sum of all their absolute terms; (batch, 4 hidden)."""
        w = self.weights[layer]
        size = w.abs_bias.expand(self.batch, -1)
        if t > 0:
            size = size + self.hidden[layer, t - 1].magnitude() @ w.abs_hh.T
        if layer > 0:
            size = size + self.hidden[layer - 1, t].magnitude() @ w.abs_ih.T
            return w.bias.expand(self.batch, -1), size
        center = self.inputs.center[:, t]
        size = size + (center.abs() + self.inputs.magnitude()[:, t]) @ w.abs_ih.T
        return center @ w.weight_ih.T + w.bias, size

    def _gate_boxes(self, layer: int, t: int, constant: Tensor, size: Tensor) -> Box:
        w = self.weights[layer]
        slack = self.gamma * size + self.net.underflow(t)
        # What both procedures share: the input of the first layer enters exactly.
        low = high = constant
        if layer == 0:
            low = low + self.inputs.concretize(w.weight_ih[None], t)
            high = high - self.inputs.concretize(-w.weight_ih[None], t)
        if t == 0 and layer == 0:
            return self._checked(f"gates of layer {layer}, frame {t}", Box(low - slack, high + slack))

        interval_low, interval_high = low, high
        forms = Forms(torch.zeros_like(constant[:, :1]))
        for weight, below in ((w.weight_hh, (layer, t - 1)), (w.weight_ih, (layer - 1, t))):
            if min(below) < 0:
                continue
            image = interval.linear(weight, self.hidden[below])
            interval_low, interval_high = interval_low + image.lower, interval_high + image.upper
            forms.add_hidden(below, torch.cat((weight, -weight))[None])
        both = self.net.lower_bounds(forms, t)
        count = constant.shape[1]
        back = Box(low + both[:, :count] - slack, high - both[:, count:] + slack)
        return self._tighten(
            f"gates of layer {layer}, frame {t}",
            Box(interval_low - slack, interval_high + slack),
            back,
        )

    def _cell_bounds(self, node: tuple[int, int]) -> Box:
        hidden = self.weights[node[0]].hidden
        eye = torch.eye(hidden, dtype=self.dtype, device=self.inputs.center.device)
        forms = Forms(torch.zeros(self.batch, 1, dtype=self.dtype, device=eye.device))
        forms.cell[node] = torch.cat((eye, -eye))[None]
        both = self.net.lower_bounds(forms, node[1])
        return Box(both[:, :hidden], -both[:, hidden:])

    def _tighten(self, name: str, plain: Box, back: Box) -> Box:
        return self._checked(name, plain.intersect(back))

    def _checked(self, name: str, box: Box) -> Box:
        _require_finite(f"the box of the {name}", box.lower)
        _require_finite(f"the box of the {name}", box.upper)
        if bool((box.lower > box.upper).any()):
            index = [int(i) for i in (box.lower > box.upper).nonzero()[0]]
            raise SoundnessFault(
                f"two bounds of the {name} contradict each other at {index}: "
                f"[{box.lower[tuple(index)].item()}, {box.upper[tuple(index)].item()}]. "
                "This is a fault of the engine, please report it"
            )
        return box

    # the specification

    def _specification(self, specification: Specification) -> Tensor:
        device = self.inputs.center.device
        rows64 = specification.C.to(device) @ self.model.head_weight.to(device)
        constant64 = specification.C.to(device) @ self.model.head_bias.to(device) + specification.d.to(device)
        top = (len(self.weights) - 1, self.time - 1)
        rows, constant = rows64.to(self.dtype), constant64.to(self.dtype)
        magnitude = self.hidden[top].magnitude()
        # The products C W and C b are rounded too: charge them like every other coefficient.
        abs_c = specification.C.abs().to(device=device, dtype=self.dtype)
        abs_w = self.model.head_weight.abs().to(device=device, dtype=self.dtype)
        abs_b = self.model.head_bias.abs().to(device=device, dtype=self.dtype)
        terms = (abs_c @ (magnitude @ abs_w.T)[..., None])[..., 0] + abs_c @ abs_b
        terms = terms + specification.d.abs().to(device=device, dtype=self.dtype)
        spec_gamma = gamma(self.model.classes + 64, self.dtype) + self.gamma
        forms = Forms(constant - spec_gamma * terms)
        forms.add_hidden(top, rows)
        return self.net.lower_bounds(forms, self.time - 1)


def _require_finite(what: str, value: Tensor) -> None:
    bad = ~torch.isfinite(value)
    if bool(bad.any()):
        index = [int(i) for i in bad.nonzero()[0]]
        raise NumericalError(
            f"{what} at {index} is {value[tuple(index)].item()}: the numbers overflow this dtype. "
            "Use float64, a smaller radius, or scale the weights"
        )

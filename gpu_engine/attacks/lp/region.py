"""The linear region of a point: where every ReLU keeps its side, and the network as an affine function there.

Method card
    Claim      for every x in the region, that is where the sign constraints hold, the network's outputs are exactly
               `output_value + output_slope @ delta`, delta = x - center in the coordinates that may move; up to the
               float64 rounding with which slopes and values are computed here.
    Source     Bastani et al. (2016), "Measuring Neural Net Robustness with Constraints", section 4 (convex
               restriction).
    Ties       a unit whose pre-activation is exactly 0 at the point has both neighbours in its closure; it is taken as
               off, and named in `ties`, so that a walk can take the other side. A unit that no moving coordinate
               reaches keeps its value, and its constraint is dropped.
    Refuses    every nonlinearity but the ReLU, by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gpu_engine.errors import ModelError
from gpu_engine.steps import Affine, Input, Nonlinear, Nonlinearity, Tape, View

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Region:
    """One region, as affine functions of delta (moving coordinates, frame after frame).

    active (units,): the side of each ReLU, in the order of the tape; ties (units,): zero at the point. slope (units,
    moving) and value (units,): the pre-activations; output_slope (outputs, moving), output_value (outputs,): all
    outputs, answer after answer. Values are those of the region's affine functions at the center (delta = 0), which
    need not lie in the region.
    """

    active: Flags
    ties: Flags
    slope: Array
    value: Array
    output_slope: Array
    output_value: Array

    @property
    def constrained(self) -> Flags:
        """The units whose constraint depends on delta, (units,)."""
        found: Flags = (self.slope != 0).any(1)
        return found

    def signed(self, delta: Array) -> Array:
        """Pre-activations, turned so that the region is where all are >= 0; delta (moving,) -> (units,)."""
        with np.errstate(over="ignore", invalid="ignore"):  # so far away the forward pass decides nothing either
            values: Array = np.where(self.active, 1.0, -1.0) * (self.value + self.slope @ delta)
        return values


def require_piecewise_linear(tape: Tape) -> None:
    """Raise ModelError with the name of the first step that is neither affine nor a ReLU."""
    for step in tape.steps:
        if not isinstance(step, Nonlinear):
            continue
        for part in step.parts:
            if part.kind != "relu":
                raise ModelError(
                    f"LP search is for piecewise-linear networks (ReLU); {step.name} of layer {step.place.layer} has a "
                    f"{part.kind} ({part.name}). Use another attack, or a network with ReLU"
                )


def region_of(tape: Tape, center: Array, moves: Flags, point: Array | None, active: Flags | None = None) -> Region:
    """The region of `point`, or the one with the given sides.

    center, point (time, input); moves (time, input): coordinates that may move; the point may differ from the center
    in others too, only its sides are used. active (units,): sides instead of a point's. Raises ModelError.
    """
    return _Walk(tape, center, moves, point, active).region()


class _Walk:
    """Carries slope and value of every step, and its value at the point, through the tape."""

    def __init__(self, tape: Tape, center: Array, moves: Flags, point: Array | None, active: Flags | None) -> None:
        require_piecewise_linear(tape)
        if (point is None) == (active is None):
            raise ValueError("a region is that of a point or of given sides; give exactly one")
        self.tape, self.center, self.moves, self.point, self.given = tape, center, moves, point, active
        ends = np.concatenate([[0], moves.sum(1).cumsum()])
        self.columns = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        self.count = int(ends[-1])
        self.maps: list[tuple[Array | None, Array, Array]] = []
        self.slopes: list[Array] = []
        self.values: list[Array] = []
        self.sides: list[Flags] = []
        self.zeros: list[Flags] = []
        self.units = 0

    def region(self) -> Region:
        for step in self.tape.steps:
            if isinstance(step, Input):
                # The slope of an input is a unit matrix; it is never written out.
                at = self.center[step.t] if self.point is None else self.point[step.t]
                self.maps.append((None, self.center[step.t], at))
            elif isinstance(step, Affine):
                self.maps.append(self.affine(step))
            else:
                self.maps.append(self.nonlinear(step))
        outputs = [self.read(view) for view in self.tape.outputs]
        return Region(
            np.concatenate(self.sides) if self.sides else np.zeros(0, dtype=bool),
            np.concatenate(self.zeros) if self.zeros else np.zeros(0, dtype=bool),
            np.concatenate(self.slopes) if self.slopes else np.zeros((0, self.count)),
            np.concatenate(self.values) if self.values else np.zeros(0),
            np.concatenate([slope for slope, _, _ in outputs]),
            np.concatenate([value for _, value, _ in outputs]),
        )

    def read(self, view: View) -> tuple[Array, Array, Array]:
        """Slope, value and value at the point of a view."""
        slope, value, at = self.maps[view.step]
        part = slice(view.start, view.stop)
        if slope is None:
            slope = np.zeros((view.size, self.count))
            self.add_input(slope, view, None)
            return slope, value[part], at[part]
        return slope[part], value[part], at[part]

    def add_input(self, slope: Array, view: View, weight: Array | None) -> None:
        """Add the slope of weight @ (a view of an input), for None the view itself."""
        step = self.tape.steps[view.step]
        assert isinstance(step, Input)
        moving = np.flatnonzero(self.moves[step.t])
        first = self.columns[step.t].start
        inside = (moving >= view.start) & (moving < view.stop)
        columns, coordinates = first + np.flatnonzero(inside), moving[inside] - view.start
        if weight is None:
            slope[coordinates, columns] += 1.0
        else:
            slope[:, columns] += weight[:, coordinates]

    def affine(self, step: Affine) -> tuple[Array, Array, Array]:
        slope, value, at = np.zeros((step.size, self.count)), np.zeros(step.size), np.zeros(step.size)
        for term in step.terms:
            rows = slice(term.row, term.row + term.rows)
            part = slice(term.source.start, term.source.stop)
            source_slope, source_value, source_at = self.maps[term.source.step]
            if term.weight is None:
                read = self.read(term.source)
                for total, one in zip((slope, value, at), read, strict=True):
                    total[rows] += one / term.divisor
                continue
            weight = term.weight.detach().numpy()
            if source_slope is None:
                self.add_input(slope[rows], term.source, weight)
            else:
                slope[rows] += weight @ source_slope[part]
            value[rows] += weight @ source_value[part]
            at[rows] += weight @ source_at[part]
        for bias in step.biases:
            rows = slice(bias.row, bias.row + len(bias.value))
            value[rows] += bias.value.detach().numpy()
            at[rows] += bias.value.detach().numpy()
        return slope, value, at

    def nonlinear(self, step: Nonlinear) -> tuple[Array, Array, Array]:
        parts = [self.relu(part) for part in step.parts]
        slope, value, at = parts[0]
        for other_slope, other_value, other_at in parts[1:]:
            slope, value, at = slope + other_slope, value + other_value, at + other_at
        return slope, value, at

    def relu(self, part: Nonlinearity) -> tuple[Array, Array, Array]:
        slope, value, at = self.read(part.v)
        if part.negate:
            slope, value, at = -slope, -value, -at
        side = at > 0 if self.given is None else self.given[self.units : self.units + len(at)]
        self.units += len(at)
        self.slopes.append(slope)
        self.values.append(value)
        self.sides.append(side)
        self.zeros.append((at == 0) & (self.point is not None))
        return np.where(side[:, None], slope, 0.0), np.where(side, value, 0.0), np.where(side, at, 0.0)

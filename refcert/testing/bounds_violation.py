"""A wrong bound, made simpler and told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Context
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import Specification
from refcert.testing.budget import Clock
from refcert.testing.drawn_sets import Example, scaled
from refcert.testing.network_code import exact_source, network_source
from refcert.testing.report import Violation

SHARE: Final = 0.1
"""A simpler set may give up this much of the violation, so that a large fault is not shown as one of rounding."""
ATTEMPTS: Final = 80
"""Calls of the function while a violation is made simpler."""
# Relative to the values: larger violations are seen in float64 by whoever evaluates the network.
_RESOLVED: Final = 1e-10


@dataclass(frozen=True)
class Found:
    """A bound of row (sample, row) and a point x (time, input) of the sample's set beyond it, by `amount` at least.

    value: of the row at x in float64. opposite: refcert's own bound of the other side, if it was asked.
    """

    inputs: InputSet
    rows: Tensor
    sample: int
    row: int
    side: str
    bound: float
    x: Tensor
    value: float
    amount: float
    opposite: float | None

    def with_amount(self, amount: float, opposite: float | None = None) -> Found:
        return replace(self, amount=amount, opposite=opposite)

    @property
    def question(self) -> Specification:
        """The row alone."""
        row = self.rows[self.sample, self.row][None, None]
        return Specification(row, torch.zeros(1, 1, dtype=torch.float64))

    @property
    def alone(self) -> tuple[InputSet, Tensor]:
        """The set of the one sample, and the one row, (1, 1, outputs)."""
        at = slice(self.sample, self.sample + 1)
        return self.inputs.select(at), self.rows[at, self.row : self.row + 1]


def simplified(found: Found, again: Callable[[InputSet, Tensor], Found | None], clock: Clock) -> Found:
    """The same fault on one sample, one row, fewer frames, a smaller set, rounder numbers, where the bound still fails.

    again: the worst violation of the function on a set and rows. Unchanged where the function does not fail for the
    sample alone.
    """
    attempts = ATTEMPTS
    least = SHARE * found.amount if math.isfinite(found.amount) else 0.0

    def fails(inputs: InputSet, rows: Tensor) -> Found | None:
        nonlocal attempts
        attempts -= 1
        known = again(inputs, rows)
        same = known is not None and math.isnan(known.bound) == math.isnan(found.bound)
        return known if known is not None and same and known.amount >= least else None

    best = fails(*found.alone)
    if best is None:
        return found
    better = True
    while better and attempts > 0 and not clock.over:
        better = False
        for inputs, rows in _simpler(best):
            if attempts <= 0 or clock.over:
                break
            known = fails(inputs, rows)
            if known is not None:
                best, better = known, True
                break
    return replace(best, opposite=found.opposite if best.bound == found.bound else None)


def _simpler(found: Found) -> Iterator[tuple[InputSet, Tensor]]:
    inputs, rows = found.inputs, found.rows
    per_frame = rows.shape[2] // inputs.time if rows.shape[2] % inputs.time == 0 else 0
    if inputs.time > 1:
        for time in {1, inputs.time // 2, inputs.time - 1}:
            behind = rows[..., per_frame * time :] if per_frame else rows[..., :0]
            yield inputs.first_frames(time), rows  # refused where the network answers every frame
            if per_frame and not bool((behind != 0).any()):
                yield inputs.first_frames(time), rows[..., : per_frame * time]
    if not is_point(inputs):
        for scale in (0.0, 1e-3, 0.1, 0.5):
            if scale == 0.0 or not isinstance(inputs, Substitutions):
                yield scaled(inputs, scale), rows
    for digits in (0, 1, 2, 3):
        rounder = _rounded(inputs, digits, None)
        if rounder is not None:
            yield rounder, rows
    count = inputs.center.shape[2]
    if inputs.time * count <= 12:
        for digits in (0, 1):
            for place in range(inputs.time * count):
                rounder = _rounded(inputs, digits, divmod(place, count))
                if rounder is not None:
                    yield rounder, rows


def is_point(inputs: InputSet) -> bool:
    """Whether nothing can move."""
    if isinstance(inputs, Boxes):
        return bool((inputs.lower == inputs.upper).all())
    if isinstance(inputs, Substitutions):
        return not bool(inputs.allowed.any())
    return not bool((inputs.radius > 0).any())


def _rounded(inputs: InputSet, digits: int, place: tuple[int, int] | None) -> InputSet | None:
    """Numbers (of one coordinate) with so many decimal digits, 0 for zeros; None where nothing changes."""

    def rounder(value: Tensor) -> Tensor:
        flat = [_to_digits(number, digits) for number in value.flatten().tolist()]
        short = torch.tensor(flat, dtype=torch.float64).reshape(value.shape)
        if place is None:
            return short
        kept = value.clone()
        kept[(0, *place)] = short[(0, *place)]
        return kept

    if isinstance(inputs, Boxes):
        box = Boxes(rounder(inputs.lower), rounder(inputs.upper))
        return None if torch.equal(box.lower, inputs.lower) and torch.equal(box.upper, inputs.upper) else box
    center = rounder(inputs.center)
    if isinstance(inputs, (FrameBalls, SequenceBall)):
        center = center if inputs.clip is None else center.clamp(*inputs.clip)
        radius = inputs.radius
        if place is None and digits:
            values = [_to_digits(number, digits) for number in radius.flatten().tolist()]
            radius = torch.tensor(values, dtype=torch.float64).reshape(radius.shape)
        same = torch.equal(center, inputs.center) and torch.equal(radius, inputs.radius)
        return None if same else replace(inputs, center=center, radius=radius)
    return None if torch.equal(center, inputs.center) else replace(inputs, center=center)


def _to_digits(value: float, digits: int) -> float:
    if digits == 0:
        return 0.0
    return float(Context(prec=digits).create_decimal_from_float(value)) + 0.0


def violation_of(
    drawn: Found, found: Found, name: str, network: RecurrentClassifier, evidence: Path | None, example: Example
) -> Violation:
    """What the message says, with a snippet. drawn: the violation of the example; found: made simpler."""
    where: dict[str, object] = {
        "example": f"{example.number} ({example.family})",
        "sample": drawn.sample,
        "side": found.side,
        "row": "[" + ", ".join(f"{value:g}" for value in found.rows[found.sample, found.row].tolist()) + "]",
        "set": said_set(found.inputs, found.sample),
    }
    if math.isnan(found.bound):
        what = f"{name} returned NaN as {found.side} bound, which bounds nothing"
        return Violation(what, where, data={"found": found, "drawn": drawn})
    relation = "above" if found.side == "lower" else "below"
    details = [f"bound {found.bound!r}, value {found.value!r} (in float64) at x = {_short(found.x)}"]
    if found.inputs is not example.inputs:
        details.append(
            f"made simpler from {said_set(drawn.inputs, drawn.sample)}, where it is wrong by {drawn.amount!r}"
        )
    if found.opposite is not None and (found.bound > found.opposite) == (found.side == "lower"):
        other = "at most" if found.side == "lower" else "at least"
        details.append(f"refcert proves that the row is {other} {found.opposite!r} on the whole set")
    return Violation(
        f"the {found.side} bound of {name} is {relation} the network's value",
        where,
        found.amount,
        "at least, in exact arithmetic",
        tuple(details),
        _snippet(found, name, network, evidence),
        {"found": found, "drawn": drawn},
    )


def said_set(inputs: InputSet, sample: int) -> str:
    """The set in one line, as far as numbers are few."""
    if is_point(inputs.select(slice(sample, sample + 1))):
        return f"the point {_short(inputs.center[sample])}"
    if isinstance(inputs, Boxes):
        return f"box {_short(inputs.lower[sample])} to {_short(inputs.upper[sample])}"
    if isinstance(inputs, Substitutions):
        return f"substitutions around {_short(inputs.center[sample])}"
    kind = "frame balls" if isinstance(inputs, FrameBalls) else "one ball"
    clip = "" if inputs.clip is None else f", clip {list(inputs.clip)}"
    return (
        f"{kind}, p = {inputs.p}, radius {inputs.radius[sample].tolist()}{clip}, around {_short(inputs.center[sample])}"
    )


def _short(value: Tensor) -> str:
    if value.numel() <= 12:
        return repr(value.tolist())
    return f"{value.numel()} numbers of shape {tuple(value.shape)} (in .violations[0].data)"


def _snippet(found: Found, name: str, network: RecurrentClassifier, evidence: Path | None) -> str:
    sign = "<" if found.side == "lower" else ">"
    data = {"x": found.x, "row": found.rows[found.sample, found.row]}
    if isinstance(found.inputs, Boxes):
        data |= {"lower": found.inputs.lower[found.sample], "upper": found.inputs.upper[found.sample]}
    head = [f"# {name} said: this row is {'>=' if sign == '<' else '<='} {found.bound!r} on a set that holds x."]
    size, shown = 1.0 + abs(found.value) + abs(found.bound), "value"
    if found.amount > _RESOLVED * size:
        lines = [*head, *network_source(network, evidence, data)]
        lines += ['value = float(W["row"] @ network(W["x"][None]).flatten())']
    else:
        shown = "value.str(40, radius=False)"  # not the hundreds of digits that it has
        lines = [*head, *exact_source(network, evidence, data)]
        lines += [
            'value = sum((exact(a) * b for a, b in zip(W["row"].tolist(), network(W["x"].tolist()))), exact(0.0))'
        ]
    if "lower" in data:
        lines.append('assert bool((W["lower"] <= W["x"]).all() and (W["x"] <= W["upper"]).all())  # x is in the box')
    bound = f'float("{found.bound!r}")' if math.isinf(found.bound) else repr(found.bound)
    return "\n".join(
        [
            *lines,
            f"bound = {bound}",
            f'print("value", {shown}, "bound", bound, "beyond by", float(abs(value - bound)))',
            f"assert value {sign} bound",
            "",
        ]
    )

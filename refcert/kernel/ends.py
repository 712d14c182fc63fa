"""Claimed ends of boxes and diagonals: each is proved in one of the ways that its rule allows, or fails in all.

Certificate_v1.md, section 7: the box rules and `diagonals`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from flint import arb

from refcert.kernel.ball import exact, float_above, larger, precision, surely_less, surely_not_negative
from refcert.kernel.errors import FailedStepError, UndecidedStepError
from refcert.kernel.interval import interval, sharp_sources
from refcert.kernel.program import Part
from refcert.kernel.state import State
from refcert.kernel.substitution import Row, bounds

# Bits of boxes, diagonals and margins; more of them where the comparison is not decided.
PRECISIONS: Final = (128, 256, 1024)


class End(NamedTuple):
    """One end of a claimed interval as the lower bound `claimed` of `sign` times a form of one unit.

    group: what the interval is of, 'box', 'v + z' or 'v - z'. form: of sign 1; the same for both ends.
    """

    unit: int
    sign: int
    claimed: float
    group: str
    form: Row

    @property
    def name(self) -> str:
        """As people call it."""
        word = "lower end" if self.sign > 0 else "upper end"
        return word if self.group == "box" else f"{word} of {self.group}"


class Direct(Protocol):
    """A way to derive ends without planes. sharp: whether what it derives them from is what the text means."""

    sharp: bool

    def lower(self, ends: Sequence[End]) -> list[arb]:
        """Lower bounds of sign * form."""
        ...


class IntervalArithmetic:
    """The ends of a variable's units."""

    def __init__(self, state: State, number: int) -> None:
        self.state, self.number, self.sharp = state, number, sharp_sources(state, number)

    def lower(self, ends: Sequence[End]) -> list[arb]:
        """The unit's lower end, or minus its upper end."""
        lower, upper = interval(self.state, self.number)
        return [lower[end.unit] if end.sign > 0 else -upper[end.unit] for end in ends]


class SumsOfEnds:
    """v + z and v - z of a part from the boxes of v and z."""

    def __init__(self, state: State, part: Part) -> None:
        assert part.z is not None
        self.box_v, self.box_z = state.box(part.v, negate=part.negate), state.box(part.z)
        self.sharp = state.sharp(part.v) and state.sharp(part.z)

    def lower(self, ends: Sequence[End]) -> list[arb]:
        """The least sum of sign * v and sign * z (sign * -z for v - z)."""
        found = []
        for end in ends:
            way = end.sign if end.group == "v + z" else -end.sign
            v = _least(self.box_v[0][end.unit], self.box_v[1][end.unit], end.sign)
            found.append(v + _least(self.box_z[0][end.unit], self.box_z[1][end.unit], way))
        return found


def _least(low: float, high: float, sign: int) -> arb:
    """The least value of sign * x for low <= x <= high."""
    return exact(low) if sign > 0 else -exact(high)


def ends_of(forms: Sequence[Row], lower: Sequence[float], upper: Sequence[float], group: str) -> list[End]:
    """The ends of one interval for each form. Raises FailedStepError where one is empty."""
    ends = []
    for unit, (form, low, high) in enumerate(zip(forms, lower, upper, strict=True)):
        if low > high:
            what = "the box" if group == "box" else f"the interval of {group}"
            raise FailedStepError(f"{what} of unit {unit} is empty", {"unit": unit, "lower": low, "upper": high})
        ends += [End(unit, 1, low, group, form), End(unit, -1, -high, group, form)]
    return ends


def prove_ends(state: State, ends: list[End], direct: Direct | None, sets: Sequence[int]) -> None:
    """Every end by `direct`, if that is allowed, or by back-substitution with one of the sets.

    Raises FailedStepError for one that certainly follows in no way, UndecidedStepError where no precision tells.
    """
    for bits in PRECISIONS:
        with precision(bits):
            ends = _open_ends(state, ends, direct, sets)
        if not ends:
            return
    first = ends[0]
    raise UndecidedStepError(f"the {first.name} of unit {first.unit} is undecided", {"unit": first.unit})


def _open_ends(state: State, ends: Sequence[End], direct: Direct | None, sets: Sequence[int]) -> list[End]:
    """The ends that no way decides. Raises FailedStepError for one that certainly follows in none."""
    failed = [0] * len(ends)
    best: list[arb | None] = [None] * len(ends)
    left = list(range(len(ends)))
    ways: list[int | None] = [*([] if direct is None else [None]), *sets]
    for which in ways:
        still = []
        for k, value in zip(left, _derived(state, [ends[k] for k in left], direct, which), strict=True):
            claimed, known = exact(ends[k].claimed), best[k]
            if surely_not_negative(value - claimed):
                continue
            still.append(k)
            best[k] = value if known is None else larger(known, value)
            certain = state.inputs.exact if which is not None else direct is not None and direct.sharp
            failed[k] += certain and (which is not None or value.is_finite()) and surely_less(value, claimed)
        left = still
        if not left:
            return []
    for k in left:
        if failed[k] == len(ways):
            end, found = ends[k], best[k]
            assert found is not None  # one way at least was tried
            raise FailedStepError(
                f"the {end.name} of unit {end.unit} does not follow",
                {
                    "unit": end.unit,
                    "claimed": end.sign * end.claimed,
                    "derived": finite(end.sign * float_above(found)),
                },
            )
    return [ends[k] for k in left]


def _derived(state: State, ends: Sequence[End], direct: Direct | None, which: int | None) -> list[arb]:
    """What one way gives for these ends; None: the direct one."""
    if which is None:
        assert direct is not None
        return direct.lower(ends)
    rows = [{unit: end.sign * x for unit, x in end.form.items()} for end in ends]
    return bounds(state, rows, [0.0] * len(ends), which)


def finite(x: float) -> float | None:
    """None for a bound that is none, as where planes are missing."""
    return x if math.isfinite(x) else None

"""Claimed ends of boxes and diagonals: each is proved in one of the ways that its rule allows, or fails in all.

Certificate_v1.md, section 7: the box rules, `diagonals`, and the same under suppositions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from flint import arb

from refcert.kernel.ball import exact, float_above, larger, precision, surely_less, surely_not_negative
from refcert.kernel.errors import FailedStepError, UndecidedStepError
from refcert.kernel.interval import interval, sharp_sources
from refcert.kernel.program import Form, Part
from refcert.kernel.state import Diagonals, Ends, State
from refcert.kernel.supposed_bounds import Multipliers, supposed_bounds

# Bits of boxes, diagonals and margins; more of them where the comparison is not decided.
PRECISIONS: Final = (128, 256, 1024)

BOX, PLUS, MINUS = "box", "v + z", "v - z"


class End(NamedTuple):
    """One end of a claimed interval as the lower bound `claimed` of `sign` times a form of one unit.

    group: what the interval is of, 'box', 'v + z' or 'v - z'. form: of sign 1; the same for both ends. multipliers: of
    the suppositions, where the rule takes any.
    """

    unit: int
    sign: int
    claimed: float
    group: str
    form: Form
    multipliers: Multipliers = ()

    @property
    def name(self) -> str:
        """As people call it."""
        word = "lower end" if self.sign > 0 else "upper end"
        return word if self.group == BOX else f"{word} of {self.group}"


class Direct(Protocol):
    """A way to derive ends without planes. sharp: whether what it derives them from is what the text means."""

    sharp: bool

    def lower(self, ends: Sequence[End]) -> list[arb]:
        """Lower bounds of sign * form."""
        ...


class KnownBox:
    """The ends that the variable's units have already; `sharp` where they are the text's."""

    def __init__(self, state: State, number: int) -> None:
        self.box: Ends = state.boxes[number]
        self.sharp = number not in state.wider

    def lower(self, ends: Sequence[End]) -> list[arb]:
        """The unit's lower end, or minus its upper end."""
        return [_least(self.box[0][end.unit], self.box[1][end.unit], end.sign) for end in ends]


class KnownDiagonals:
    """The ends that a part's diagonals have already."""

    sharp = True

    def __init__(self, known: Diagonals) -> None:
        self.known = known

    def lower(self, ends: Sequence[End]) -> list[arb]:
        """The lower end of the unit's sum or difference, or minus its upper end."""
        found = []
        for end in ends:
            low, high = self.known[end.unit][:2] if end.group == PLUS else self.known[end.unit][2:]
            found.append(_least(low, high, end.sign))
        return found


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
            way = end.sign if end.group == PLUS else -end.sign
            v = _least(self.box_v[0][end.unit], self.box_v[1][end.unit], end.sign)
            found.append(v + _least(self.box_z[0][end.unit], self.box_z[1][end.unit], way))
        return found


def _least(low: float, high: float, sign: int) -> arb:
    """The least value of sign * x for low <= x <= high."""
    return exact(low) if sign > 0 else -exact(high)


def unit_forms(number: int, units: int) -> list[Form]:
    """Each unit of a variable."""
    return [{(number, unit): 1.0} for unit in range(units)]


def diagonal_forms(part: Part, group: str) -> list[Form]:
    """v + z or v - z for each unit of a part of two arguments, over the variables that they are."""
    assert part.z is not None
    v, z = part.v, part.z
    turn, way = -1.0 if part.negate else 1.0, 1.0 if group == PLUS else -1.0
    return [{(v.variable, v.first + k): turn, (z.variable, z.first + k): way} for k in range(v.size)]


def ends_of(
    forms: Sequence[Form],
    group: str,
    ends: Sequence[Sequence[float]],
    multipliers: Sequence[Sequence[Multipliers]] | None = None,
) -> list[End]:
    """The ends of one interval for each form. Raises FailedStepError where one is empty.

    ends: lower and upper ones. multipliers: for all forms those of the lower, and those of the upper ends.
    """
    found = []
    for unit, (form, low, high) in enumerate(zip(forms, *ends, strict=True)):
        if low > high:
            what = "the box" if group == BOX else f"the interval of {group}"
            raise FailedStepError(f"{what} of unit {unit} is empty", {"unit": unit, "lower": low, "upper": high})
        of_lower, of_upper = ((), ()) if multipliers is None else (side[unit] for side in multipliers)
        found += [End(unit, 1, low, group, form, of_lower), End(unit, -1, -high, group, form, of_upper)]
    return found


def prove_ends(state: State, ends: list[End], direct: Sequence[Direct], sets: Sequence[int]) -> None:
    """Every end by one of `direct` or by back-substitution with one of the sets.

    Raises FailedStepError for one that certainly follows in no way, UndecidedStepError where no precision tells.
    """
    for bits in PRECISIONS:
        with precision(bits):
            ends = _open_ends(state, ends, direct, sets)
        if not ends:
            return
    first = ends[0]
    raise UndecidedStepError(f"the {first.name} of unit {first.unit} is undecided", {"unit": first.unit})


def _open_ends(state: State, ends: Sequence[End], direct: Sequence[Direct], sets: Sequence[int]) -> list[End]:
    """The ends that no way decides. Raises FailedStepError for one that certainly follows in none."""
    failed = [0] * len(ends)
    best: list[arb | None] = [None] * len(ends)
    left = list(range(len(ends)))
    ways: list[Direct | int] = [*direct, *sets]
    for way in ways:
        still = []
        for k, value in zip(left, _derived(state, [ends[k] for k in left], way), strict=True):
            claimed, known = exact(ends[k].claimed), best[k]
            if surely_not_negative(value - claimed):
                continue
            still.append(k)
            best[k] = value if known is None else larger(known, value)
            certain = state.inputs.exact if isinstance(way, int) else way.sharp and value.is_finite()
            failed[k] += certain and surely_less(value, claimed)
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


def _derived(state: State, ends: Sequence[End], way: Direct | int) -> list[arb]:
    """What one way gives for these ends: a direct one, or the planes of a set."""
    if not isinstance(way, int):
        return way.lower(ends)
    forms = [{unit: end.sign * x for unit, x in end.form.items()} for end in ends]
    return supposed_bounds(state, forms, [end.multipliers for end in ends], way)


def finite(x: float) -> float | None:
    """None for a bound that is none, as where planes are missing."""
    return x if math.isfinite(x) else None

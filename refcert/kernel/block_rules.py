"""The rules that hold inside blocks alone: ends under suppositions, and what closes a block.

Certificate_v1.md, section 7, "Blocks". Which block is open, and what closing it means, is the business of `blocks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from flint import arb

from refcert.kernel.ball import exact, float_above, larger, precision, smaller, surely_less, surely_not_negative
from refcert.kernel.ends import (
    BOX,
    MINUS,
    PLUS,
    PRECISIONS,
    Direct,
    IntervalArithmetic,
    KnownBox,
    KnownDiagonals,
    SumsOfEnds,
    diagonal_forms,
    ends_of,
    finite,
    prove_ends,
    unit_forms,
)
from refcert.kernel.errors import FailedStepError, UndecidedStepError
from refcert.kernel.program import Form
from refcert.kernel.specification import Claimed, over_answers
from refcert.kernel.state import State
from refcert.kernel.steps import Step
from refcert.kernel.substitution import best_bounds
from refcert.kernel.supposed_bounds import Multipliers, supposed_bounds


def box_supposed(step: Step, state: State, claimed: Claimed) -> None:
    """A box each of whose ends was known, or follows by interval arithmetic or by substitution with its multipliers."""
    lower, upper = step.rows[:2]
    forms = unit_forms(step.of, len(lower))
    ends = ends_of(forms, BOX, (lower, upper), _multipliers(step.rows[2:], 2, state))
    prove_ends(state, ends, [KnownBox(state, step.of), IntervalArithmetic(state, step.of)], step.sets)
    state.give_box(step.of, (lower, upper))


def diagonals_supposed(step: Step, state: State, claimed: Claimed) -> None:
    """Ends of v + z and v - z, likewise; by addition of ends in the place of interval arithmetic."""
    part = state.program.variables[step.of].parts[step.part]
    multipliers = _multipliers(step.rows[4:], 4, state)
    ends = ends_of(diagonal_forms(part, PLUS), PLUS, step.rows[:2], multipliers[:2])
    ends += ends_of(diagonal_forms(part, MINUS), MINUS, step.rows[2:4], multipliers[2:])
    known = state.diagonals.get((step.of, step.part))
    direct: list[Direct] = [] if known is None else [KnownDiagonals(known)]
    prove_ends(state, ends, [*direct, SumsOfEnds(state, part)], step.sets)
    state.diagonals[step.of, step.part] = list(zip(*step.rows[:4], strict=True))


def _multipliers(rows: Sequence[Sequence[float]], ends: int, state: State) -> list[list[Multipliers]]:
    """By end and unit, the multipliers of all suppositions. Raises FailedStepError for a negative one."""
    _require_not_negative(rows)
    count = len(state.suppositions)
    return [list(zip(*rows[k * count : (k + 1) * count], strict=True)) for k in range(ends)]


def _require_not_negative(rows: Sequence[Sequence[float]]) -> None:
    for factor in chain.from_iterable(rows):
        if factor < 0:
            raise FailedStepError(f"a multiplier is negative: {factor!r}", {"multiplier": factor})


def closed_row(step: Step, state: State, claimed: Claimed) -> None:
    """The row of the outermost supposition reaches the margin on the block's inputs."""
    number, specification = state.suppositions[0].row, claimed.specification
    assert number is not None  # the outermost block is about a row
    form, constant = over_answers(state.program, specification.rows[number]), specification.constants[number]
    wanted = exact(claimed.margin)
    for bits in PRECISIONS:
        with precision(bits):
            (best,) = best_bounds(state, [form], [constant], step.sets)
            if surely_not_negative(best - wanted):
                return
            if state.inputs.exact and surely_less(best, wanted):
                found = {"row": number, "claimed": claimed.margin, "derived": finite(float_above(best))}
                raise FailedStepError(f"row {number} does not reach the margin under the suppositions", found)
    raise UndecidedStepError(f"row {number} is undecided", {"row": number})


def closed_empty(step: Step, state: State, claimed: Claimed) -> None:
    """A lower end of one unit above an upper end of it: no input is left in the block."""
    _require_not_negative(step.rows)
    unit, box = step.unit, KnownBox(state, step.of)
    forms: list[Form] = [{(step.of, unit): 1.0}, {(step.of, unit): -1.0}]
    for bits in PRECISIONS:
        with precision(bits):
            low, high = exact(box.box[0][unit]), exact(box.box[1][unit])
            for which in step.sets if not surely_less(high, low) else ():
                lower, minus_upper = supposed_bounds(state, forms, step.rows, which)
                low, high = larger(low, lower), smaller(high, -minus_upper)
            if surely_less(high, low):
                return
            if state.inputs.exact and box.sharp and _finite(low, high) and surely_not_negative(high - low):
                raise FailedStepError(
                    f"unit {unit} may lie between both ends",
                    {"unit": unit, "lower": finite(float_above(low)), "upper": finite(float_above(high))},
                )
    raise UndecidedStepError(f"whether unit {unit} lies anywhere is undecided", {"unit": unit})


def _finite(*ends: arb) -> bool:
    return all(end.is_finite() for end in ends)

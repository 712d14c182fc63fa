"""The rules: one function each, found by its name in one table (certificate_v1.md, section 7).

Every function proves its step or raises: FailedStepError where the step certainly does not follow, UndecidedStepError
where no precision decides it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from refcert.kernel.ball import exact, float_above, precision, surely_less, surely_not_negative
from refcert.kernel.block_rules import box_supposed, closed_empty, closed_row, diagonals_supposed
from refcert.kernel.claims import SIDES, PlaneClaim, Status
from refcert.kernel.ends import (
    BOX,
    MINUS,
    PLUS,
    PRECISIONS,
    IntervalArithmetic,
    SumsOfEnds,
    diagonal_forms,
    ends_of,
    finite,
    prove_ends,
    unit_forms,
)
from refcert.kernel.errors import FailedStepError, UndecidedStepError
from refcert.kernel.plane_proof import check_plane
from refcert.kernel.specification import Claimed, over_answers
from refcert.kernel.state import Planes, State
from refcert.kernel.steps import Step
from refcert.kernel.substitution import best_bounds

# Rows of a tensor of planes over two arguments that share their slopes in z.
SHARED_Z: Final = 5


# planes


def planes(step: Step, state: State, claimed: Claimed) -> None:
    """Lower and upper planes of one part, proved unit by unit on its domain: box and diagonals of its arguments."""
    part = state.program.variables[step.of].parts[step.part]
    zeros, shared = [0.0] * part.v.size, len(step.rows) == SHARED_Z
    lower: Sequence[list[float]]
    upper: Sequence[list[float]]
    if part.z is None:
        lower, upper = (step.rows[0], zeros, step.rows[1]), (step.rows[2], zeros, step.rows[3])
    elif shared:
        lower, upper = step.rows[:3], (step.rows[3], step.rows[1], step.rows[4])
    else:
        lower, upper = step.rows[:3], step.rows[3:]
    box_v = state.box(part.v, negate=part.negate)
    box_z = (zeros, zeros) if part.z is None else state.box(part.z)
    cut = state.diagonals.get((step.of, step.part))
    undecided: str | None = None
    for side, plane in zip(SIDES, (lower, upper), strict=True):
        for unit, values in enumerate(zip(*box_v, *box_z, *plane, strict=True)):
            state.budget.check()
            if not all(map(math.isfinite, values)):
                raise UndecidedStepError(f"the box of unit {unit} is not bounded", {"unit": unit})
            claim = PlaneClaim(part.kind, side, *values)
            verdict = check_plane(claim if cut is None else replace(claim, diagonals=cut[unit]))
            if verdict.status is Status.REFUTED:
                if not state.sharp(part.v) or (part.z is not None and not state.sharp(part.z)):
                    raise UndecidedStepError(
                        f"unit {unit}: the box that its arguments imply is not known to the last place"
                    )
                assert verdict.point is not None and verdict.violation is not None
                raise FailedStepError(
                    f"the {side} plane of unit {unit} is violated",
                    {"unit": unit, "side": side, "point": verdict.point, "violation": verdict.violation},
                )
            if verdict.status is not Status.PROVED and undecided is None:
                undecided = f"the {side} plane of unit {unit} is undecided: {verdict.reason}"
    if undecided is not None:
        raise UndecidedStepError(undecided)
    turn = -1 if part.negate else 1
    low, high = [[exact(x) for x in row] for row in lower], [[exact(x) for x in row] for row in upper]
    state.planes[step.which, step.of, step.part] = Planes(
        lower_v=[turn * x for x in low[0]],
        upper_v=[turn * x for x in high[0]],
        lower_z=None if part.z is None else low[1],
        upper_z=None if part.z is None else low[1] if shared else high[1],
        lower_offset=low[2],
        upper_offset=high[2],
    )


# boxes and diagonals


def box_interval(step: Step, state: State, claimed: Claimed) -> None:
    """A box by interval arithmetic."""
    _prove_box(step, state, by_interval=True, sets=())


def box_substitution(step: Step, state: State, claimed: Claimed) -> None:
    """A box by back-substitution with any of the sets."""
    _prove_box(step, state, by_interval=False, sets=step.sets)


def box_intersection(step: Step, state: State, claimed: Claimed) -> None:
    """A box each of whose ends follows in one of both ways."""
    _prove_box(step, state, by_interval=True, sets=step.sets)


def _prove_box(step: Step, state: State, *, by_interval: bool, sets: Sequence[int]) -> None:
    lower, upper = step.rows
    ends = ends_of(unit_forms(step.of, len(lower)), BOX, (lower, upper))
    prove_ends(state, ends, [IntervalArithmetic(state, step.of)] if by_interval else [], sets)
    state.give_box(step.of, (lower, upper))


def diagonals(step: Step, state: State, claimed: Claimed) -> None:
    """Ends of v + z and v - z of one part, each by adding ends of its box or by back-substitution with any set."""
    part = state.program.variables[step.of].parts[step.part]
    ends = ends_of(diagonal_forms(part, PLUS), PLUS, step.rows[:2])
    ends += ends_of(diagonal_forms(part, MINUS), MINUS, step.rows[2:])
    prove_ends(state, ends, [SumsOfEnds(state, part)], step.sets)
    state.diagonals[step.of, step.part] = list(zip(*step.rows, strict=True))


# margins


def margin(step: Step, state: State, claimed: Claimed) -> None:
    """The claim from bounds of the specification's rows, those excepted that blocks have proved."""
    specification, wanted = claimed.specification, exact(claimed.margin)
    left = [k for k in range(len(specification.rows)) if k not in state.proved]
    rows = [over_answers(state.program, specification.rows[k]) for k in left]
    constants = [specification.constants[k] for k in left]
    if len(left) <= specification.spare:
        return
    for bits in PRECISIONS:
        with precision(bits):
            best = dict(zip(left, best_bounds(state, rows, constants, step.sets), strict=True))
            missing = [k for k, value in best.items() if not surely_not_negative(value - wanted)]
            if len(missing) <= specification.spare:
                return
            below = [k for k in missing if state.inputs.exact and surely_less(best[k], wanted)]
            if len(below) > specification.spare:
                found = {"row": below[0], "claimed": claimed.margin, "derived": finite(float_above(best[below[0]]))}
                raise FailedStepError(f"row {below[0]} does not reach the margin", found)
    raise UndecidedStepError(f"row {missing[0]} is undecided", {"row": missing[0]})


def margin_per_class(step: Step, state: State, claimed: Claimed) -> None:
    """The claim from a bound of the label's output and of each other output by itself."""
    specification, wanted = claimed.specification, exact(claimed.margin)
    if specification.label is None:
        raise FailedStepError("margin.per_class is for a claim about one label against others")
    outputs = [{specification.label: 1.0}, *({j: -1.0} for j in specification.others)]
    rows = [over_answers(state.program, row) for row in outputs]
    for bits in PRECISIONS:
        with precision(bits):
            label, *others = best_bounds(state, rows, [0.0] * len(rows), step.sets)
            margins = [label + other for other in others]
            missing = [k for k, value in enumerate(margins) if not surely_not_negative(value - wanted)]
            if not missing:
                return
            below = [k for k in missing if state.inputs.exact and surely_less(margins[k], wanted)]
            if below:
                worst, derived = specification.others[below[0]], finite(float_above(margins[below[0]]))
                raise FailedStepError(
                    f"class {worst} does not stay below by the margin",
                    {"class": worst, "claimed": claimed.margin, "derived": derived},
                )
    raise UndecidedStepError(f"class {specification.others[missing[0]]} is undecided")


RULES: Final[dict[str, Callable[[Step, State, Claimed], None]]] = {
    "diagonals": diagonals,
    "planes": planes,
    "box.interval": box_interval,
    "box.substitution": box_substitution,
    "box.intersection": box_intersection,
    "diagonals.supposed": diagonals_supposed,
    "box.supposed": box_supposed,
    "closed.row": closed_row,
    "closed.empty": closed_empty,
    "margin": margin,
    "margin.per_class": margin_per_class,
}

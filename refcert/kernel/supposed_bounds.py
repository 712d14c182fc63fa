"""Bounds of forms under suppositions (certificate_v1.md, section 7, "Blocks"; lemma `supposed_bounds`).

Where h_k <= 0 and m_k >= 0, a form is at least its sum with all m_k h_k, and so is the substitution of that sum.
Source: Kotha et al. 2023, "Provably bounding neural network preimages"; Wang et al. 2021, "Beta-CROWN".

A row is a form over the outputs, far behind most variables. What becomes of m_k h_k on the way down to the variable in
question is m_k times what becomes of h_k, since a positive factor changes no sign: it is computed once for all units.
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import arb

from refcert.kernel.ball import ZERO, exact, sum_of
from refcert.kernel.program import Form
from refcert.kernel.state import State
from refcert.kernel.substitution import Tail, bounds, reduced

Multipliers = Sequence[float]
"""Of one form, by supposition, none negative; empty for a form to which nothing is added."""


def supposed_bounds(state: State, forms: Sequence[Form], multipliers: Sequence[Multipliers], which: int) -> list[arb]:
    """The substitution with set `which` of every form with its multiples of the suppositions added."""
    groups: dict[tuple[int, int | None], list[int]] = {}
    for k, (form, factors) in enumerate(zip(forms, multipliers, strict=True)):
        groups.setdefault(_group(state, form, factors), []).append(k)
    found = [ZERO] * len(forms)
    for (last, shared), members in groups.items():
        sums = [_sum(state, forms[k], multipliers[k], shared) for k in members]
        tail = None
        if shared is not None:
            one = state.suppositions[shared]
            constant = sum_of(exact(x) for x in one.constants)
            shared_form = reduced(state, one.form, constant, which, last)
            tail = Tail(shared_form, [exact(multipliers[k][shared]) for k in members])
        rows, constants = [row for row, _ in sums], [constant for _, constant in sums]
        for k, value in zip(members, bounds(state, rows, constants, which, tail), strict=True):
            found[k] = value
    return found


def _group(state: State, form: Form, factors: Multipliers) -> tuple[int, int | None]:
    """Forms that are substituted together: where they begin, and the supposition that is reduced down to there.

    That is one alone: of two that lie higher, the sum has signs of its own.
    """
    last = max((variable for variable, _ in form), default=-1)
    used = [k for k, factor in enumerate(factors) if factor]
    higher = [k for k in used if state.suppositions[k].last > last]
    if len(higher) == 1:
        return last, higher[0]
    return max([last, *(state.suppositions[k].last for k in used)]), None


def _sum(state: State, form: Form, factors: Multipliers, shared: int | None) -> tuple[dict[tuple[int, int], arb], arb]:
    """The form with its multiples of the suppositions but the shared one: coefficients and constant."""
    row, constant = {unit: exact(x) for unit, x in form.items()}, ZERO
    for k, factor in enumerate(factors):
        if not factor or k == shared:
            continue
        one, times = state.suppositions[k], exact(factor)
        for unit, x in one.form.items():
            row[unit] = row.get(unit, ZERO) + times * exact(x)
        constant = constant + times * sum_of(exact(x) for x in one.constants)
    return row, constant

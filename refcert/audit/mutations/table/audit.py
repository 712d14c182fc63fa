"""Faults in the audit itself: the second method, the judge, tables, order, optima, the relaxation of the network."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_AUDIT: Final = "refcert.audit"
_BRANCHING: Final = f"{_AUDIT}.branching"
_TIGHTNESS: Final = f"{_AUDIT}.tightness"
_NETWORK: Final = f"{_AUDIT}.network_lp"

_TABLES: Final = (
    Mutation(
        "audit-reversed-boxes-accepted",
        "audit",
        "a planes file with an empty box, on which everything holds",
        f"{_AUDIT}.plane_table",
        (("relevant & np.greater(low, high)", "relevant & np.greater(low, high) & False"),),
    ),
    Mutation(
        "audit-nan-accepted",
        "audit",
        "a planes file with NaN",
        f"{_AUDIT}.plane_table",
        (("relevant & ~np.isfinite(", "relevant & np.isinf("),),
    ),
    Mutation(
        "audit-answers-in-order-of-arrival",
        "audit",
        "batch mix-up: a block's verdicts are written one row late",
        f"{_AUDIT}.plane_audit",
        (
            (
                "self.answers[row : row + len(answers)] = answers",
                "self.answers[row : row + len(answers)] = answers[1:] + answers[:1]",
            ),
        ),
    ),
    Mutation(
        "audit-undecided-counts-as-proved",
        "audit",
        "failing open: the summary adds undecided planes to the proved ones",
        f"{_AUDIT}.plane_audit",
        (
            (
                "counts[verdict.status.lower()] += 1",
                'counts["refuted" if verdict.status is Status.REFUTED else "proved"] += 1',
            ),
        ),
    ),
    Mutation(
        "audit-contradiction-swallowed",
        "audit",
        "a check that cannot fail: two methods that contradict each other",
        f"{_AUDIT}.judge",
        (("    if {first.status, second.status} == {Status.PROVED, Status.REFUTED}:\n", "    if False:\n"),),
    ),
    Mutation(
        "audit-cross-check-forgotten",
        "audit",
        "a check that is never made: the second method is not asked",
        f"{_AUDIT}.judge",
        (
            (
                "if first.status is not Status.UNDECIDED and not cross_check:",
                "if first.status is not Status.UNDECIDED or cross_check:",
            ),
        ),
    ),
)

_SECOND_METHOD: Final = (
    Mutation(
        "branching-box-not-mirrored",
        "audit",
        "lower for upper: a lower plane is judged on the box of the upper one",
        f"{_BRANCHING}.excess",
        (("if sign > 0 else (-claim.upper_z, -claim.lower_z)", "if sign > 0 else (claim.lower_z, claim.upper_z)"),),
    ),
    Mutation(
        "branching-concave-at-one-corner",
        "audit",
        "the curvature is tested where it is largest",
        f"{_BRANCHING}.rectangle",
        (("if surely_not_negative(curvature(v0, y0)):", "if surely_not_negative(curvature(v1, y1)):"),),
    ),
    Mutation(
        "branching-monotone-at-one-corner",
        "audit",
        "lower for upper in the test of monotony",
        f"{_BRANCHING}.rectangle",
        (("surely_not_positive(v0.slope * y1.value - a)", "surely_not_positive(v1.slope * y0.value - a)"),),
    ),
    Mutation(
        "branching-second-part-dropped",
        "audit",
        "a missed candidate: one half of a cut box is not looked at",
        f"{_BRANCHING}.rectangle",
        (("return (v0, v, y0, y1), (v, v1, y0, y1)", "return ((v0, v, y0, y1),)"),),
    ),
    Mutation(
        "branching-taylor-without-the-mixed-term",
        "audit",
        "a remainder that is left out",
        f"{_BRANCHING}.rectangle",
        (("    bound += v0.slope * y0.slope * upper_of_two(right * up, left * down)\n", ""),),
    ),
    Mutation(
        "branching-spent-budget-proves",
        "audit",
        "failing open: no sub-box is left, so nothing was found",
        f"{_BRANCHING}.search",
        (
            (
                '                reason = f"node budget of {nodes:,} sub-boxes spent"\n',
                "                return Judgement(Status.PROVED, '', bits, method=Method.BRANCHING)\n",
            ),
        ),
    ),
)

_OPTIMA: Final = (
    Mutation(
        "optimum-weights-need-not-sum-to-one",
        "audit",
        "a condition of the certificate is not checked",
        f"{_TIGHTNESS}.certificate",
        (("    if sum(weights, _ZERO) != _ONE:\n", "    if False:\n"),),
    ),
    Mutation(
        "optimum-points-may-lie-outside",
        "audit",
        "a condition of the certificate with the whole width for the half",
        f"{_TIGHTNESS}.certificate",
        (("if any(abs(point[axis] - centre) > half for", "if any(abs(point[axis] - centre) > 2 * half for"),),
    ),
    Mutation(
        "optimum-plane-not-proved",
        "audit",
        "a plane is handed out whatever its verdict",
        f"{_TIGHTNESS}.heights",
        (("        if verdict.status is Status.PROVED:\n", "        if verdict.status is not None:\n"),),
    ),
    Mutation(
        "optimum-mean-of-relu",
        "audit",
        "a closed form that is off by a factor",
        f"{_TIGHTNESS}.means",
        (("(last + first) / (2 * (high - low))", "(last + first) / (3 * (high - low))"),),
    ),
    Mutation(
        "network-negative-multipliers-accepted",
        "audit",
        "a condition of weak duality is not checked",
        f"{_NETWORK}.duality",
        (("    if (m < 0).any():\n", "    if False:\n"),),
    ),
    Mutation(
        "network-residual-not-charged",
        "audit",
        "a solver's residual is taken for zero",
        f"{_NETWORK}.duality",
        (("np.abs(r[inputs:, k]) + error[inputs:, k]", "error[inputs:, k]"),),
    ),
    Mutation(
        "network-constants-sign",
        "audit",
        "wrong sign of the equations' constants in the dual bound",
        f"{_NETWORK}.duality",
        (("-m[:, k] * h, -pi[:, k] * e)", "-m[:, k] * h, pi[:, k] * e)"),),
    ),
)

FAULTS: Final[tuple[Mutation, ...]] = (*_TABLES, *_SECOND_METHOD, *_OPTIMA)

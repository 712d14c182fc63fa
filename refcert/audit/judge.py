"""One plane, judged: the kernel first, the second rigorous method where the kernel is undecided.

The two methods share ball arithmetic and the claim, and no step of their proofs: that they never contradict each other
is tested, and can be asked for on every plane.
"""

from __future__ import annotations

from refcert.audit.branching.search import check_plane_by_branching
from refcert.audit.verdicts import Judgement, from_kernel
from refcert.kernel.claims import PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane


class JudgesDisagreeError(RuntimeError):
    """One method proved what the other refuted: a fault of this program, not of the plane."""


def judge(claim: PlaneClaim, cross_check: bool = False) -> Judgement:
    """The verdict on one plane: the kernel's, or that of the second method where the kernel is undecided.

    cross_check: ask both methods in any case. Raises KernelInputError where the values make no claim, and
    JudgesDisagreeError where the methods contradict each other.
    """
    first = from_kernel(check_plane(claim))
    if first.status is not Status.UNDECIDED and not cross_check:
        return first
    second = check_plane_by_branching(claim)
    return reconcile(claim, first, second)


def reconcile(claim: PlaneClaim, first: Judgement, second: Judgement) -> Judgement:
    """One verdict out of two on the same claim, the first's where it is decided.

    Raises JudgesDisagreeError where one is PROVED and the other REFUTED.
    """
    if {first.status, second.status} == {Status.PROVED, Status.REFUTED}:
        raise JudgesDisagreeError(
            f"an internal fault, please report it with this claim: {claim!r}; {_told(first)}, but {_told(second)}"
        )
    if first.status is not Status.UNDECIDED:
        return first
    if second.status is not Status.UNDECIDED:
        return second
    return first._replace(reason=f"{_told(first)}; {_told(second)}", precision=max(first.precision, second.precision))


def _told(verdict: Judgement) -> str:
    said = f"method {verdict.method!s} says {verdict.status!s} ({verdict.precision} bits)"
    if verdict.point is not None:
        said += f" at point {verdict.point!r} + {verdict.rest!r}, violation {verdict.violation!r}"
    return f"{said}: {verdict.reason}" if verdict.reason else said

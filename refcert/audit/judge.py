"""One plane, judged: the kernel first, the second rigorous method where the kernel is undecided."""

from __future__ import annotations

from refcert.audit.verdicts import Judgement, from_kernel
from refcert.kernel.claims import PlaneClaim
from refcert.kernel.plane_proof import check_plane


def judge(claim: PlaneClaim) -> Judgement:
    """The verdict on one plane. Raises KernelInputError where the values make no claim."""
    return from_kernel(check_plane(claim))

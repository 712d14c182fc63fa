"""What the audit says of one plane: the kernel's verdict, or that of the second method, with the method's name."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from refcert.kernel.claims import Status, Verdict


class Method(StrEnum):
    """Who decided. CANDIDATES: the kernel, by critical points; BRANCHING: interval branch and bound, second order;
    HUNT: a search found a point that ball arithmetic confirms, where both were undecided.
    """

    CANDIDATES = "candidates"
    BRANCHING = "branching"
    HUNT = "hunt"


class Judgement(NamedTuple):
    """A verdict on one plane and the method that reached it.

    point (v, z) and violation (a lower bound of the true one) only if REFUTED. rest: what is to be added to the point,
    per axis, where no pair of floats lies in the violated part of the box; the exact point is point + sum of rest.
    """

    status: Status
    reason: str
    precision: int
    point: tuple[float, float] | None = None
    violation: float | None = None
    method: Method = Method.CANDIDATES
    rest: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())


def from_kernel(verdict: Verdict) -> Judgement:
    """The kernel's verdict as the audit's."""
    return Judgement(*verdict, method=Method.CANDIDATES)

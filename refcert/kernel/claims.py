"""A bounding plane as a claim, and the exact mirror that turns every claim into one about an upper plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from refcert.kernel.errors import KernelInputError

KINDS: Final = ("sigmoid_times_tanh", "sigmoid_times_identity", "sigmoid", "tanh", "relu")
SIDES: Final = ("lower", "upper")


class Status(StrEnum):
    """PROVED holds for all reals of the box; REFUTED comes with a point; UNDECIDED claims nothing."""

    PROVED = "PROVED"
    REFUTED = "REFUTED"
    UNDECIDED = "UNDECIDED"


class Verdict(NamedTuple):
    """What was found. point = (v, z) and violation (a lower bound of the true one) only if REFUTED."""

    status: Status
    reason: str
    precision: int
    point: tuple[float, float] | None = None
    violation: float | None = None


@dataclass(frozen=True, slots=True)
class PlaneClaim:
    """side of `kind` on the box: f <= (upper) or >= (lower) slope_v v + slope_z z + offset.

    For the one-dimensional kinds z is ignored. `shift`, `negated` and the mirrors are set by `as_upper` alone.
    diagonals: lower and upper end of v + z, lower and upper end of v - z; the claim is then about the points of the
    box between them, the octagon, which may be empty. Only for products.
    """

    kind: str
    side: str
    lower_v: float
    upper_v: float
    lower_z: float
    upper_z: float
    slope_v: float
    slope_z: float
    offset: float
    shift: int = 0
    negated: bool = False
    diagonals: tuple[float, float, float, float] | None = None

    def original_point(self, v: float, z: float) -> tuple[float, float]:
        """The point of this claim's own box behind a point of its mirrored box."""
        if self.side == "upper" or self.kind == "relu":
            return v, z
        return (v, -z) if _is_product(self.kind) else (-v, z)


def as_upper(claim: PlaneClaim) -> PlaneClaim:
    """The equivalent claim about an upper plane; exact, lemma `mirror_symmetry`.

    f(v, -z) = -f(v, z) for products (v + z and v - z change places), tanh(-v) = -tanh(v),
    sigmoid(-v) = 1 - sigmoid(v); a lower plane of relu is an upper plane of -relu on the same box.
    Raises KernelInputError where the values make no claim.
    """
    _validate(claim)
    kind, low_v, high_v, low_z, high_z = (
        claim.kind,
        claim.lower_v,
        claim.upper_v,
        claim.lower_z,
        claim.upper_z,
    )
    slope_v, slope_z, offset = claim.slope_v, claim.slope_z, claim.offset
    if not _is_product(kind):
        low_z = high_z = slope_z = 0.0
    cut = claim.diagonals
    if claim.side == "upper":
        return PlaneClaim(kind, "upper", low_v, high_v, low_z, high_z, slope_v, slope_z, offset, diagonals=cut)
    if _is_product(kind):
        mirrored = None if cut is None else (*cut[2:], *cut[:2])
        box = (low_v, high_v, -high_z, -low_z)
        return PlaneClaim(kind, "upper", *box, -slope_v, slope_z, -offset, diagonals=mirrored)
    if kind == "relu":
        return PlaneClaim(kind, "upper", low_v, high_v, 0.0, 0.0, -slope_v, 0.0, -offset, negated=True)
    shift = 1 if kind == "sigmoid" else 0
    return PlaneClaim(kind, "upper", -high_v, -low_v, 0.0, 0.0, slope_v, 0.0, -offset, shift=shift)


def _is_product(kind: str) -> bool:
    return kind.startswith("sigmoid_times_")


def _validate(claim: PlaneClaim) -> None:
    if claim.kind not in KINDS:
        raise KernelInputError(f"kind is {claim.kind!r}; known kinds: {', '.join(KINDS)}")
    if claim.side not in SIDES:
        raise KernelInputError(f"side is {claim.side!r}; it must be 'lower' or 'upper'")
    axes = ("v", "z") if _is_product(claim.kind) else ("v",)
    for name in [*(f"{part}_{axis}" for axis in axes for part in ("lower", "upper", "slope")), "offset"]:
        value = getattr(claim, name)
        if type(value) is not float:
            raise KernelInputError(f"{name} is {value!r} of type {type(value).__name__}; give a Python float")
        if not math.isfinite(value):
            raise KernelInputError(f"{name} is {value}; every number of a plane must be finite")
    for axis in axes:
        low, high = getattr(claim, f"lower_{axis}"), getattr(claim, f"upper_{axis}")
        if low > high:
            raise KernelInputError(f"the box is reversed: lower_{axis} = {low!r} is above upper_{axis} = {high!r}")
    if claim.diagonals is not None:
        _validate_diagonals(claim.kind, claim.diagonals)


def _validate_diagonals(kind: str, diagonals: object) -> None:
    if not _is_product(kind):
        raise KernelInputError(f"diagonals are {diagonals!r}, but {kind} has one argument; leave them out")
    if type(diagonals) is not tuple or len(diagonals) != 4:
        raise KernelInputError(f"diagonals are {diagonals!r}; give a tuple of four floats, or None")
    for name, end in zip(("lower_plus", "upper_plus", "lower_minus", "upper_minus"), diagonals, strict=True):
        if type(end) is not float:
            raise KernelInputError(f"{name} is {end!r} of type {type(end).__name__}; give a Python float")
        if not math.isfinite(end):
            raise KernelInputError(f"{name} is {end}; every end of a diagonal must be finite")
    for name, first, last in (("plus", *diagonals[:2]), ("minus", *diagonals[2:])):
        if first > last:
            raise KernelInputError(f"a diagonal is reversed: lower_{name} = {first!r} is above upper_{name} = {last!r}")

"""Boxes, planes and points of claims in words."""

from __future__ import annotations

from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim


def is_product(claim: PlaneClaim) -> bool:
    """Whether the surface is one over v and z."""
    return claim.kind.startswith("sigmoid_times_")


def said_box(claim: PlaneClaim) -> str:
    """The box or octagon of a claim."""
    v = f"v in [{claim.lower_v!r}, {claim.upper_v!r}]"
    both = f"{v}, z in [{claim.lower_z!r}, {claim.upper_z!r}]" if is_product(claim) else v
    if claim.diagonals is None:
        return both
    low_plus, high_plus, low_minus, high_minus = claim.diagonals
    return f"{both}, v + z in [{low_plus!r}, {high_plus!r}], v - z in [{low_minus!r}, {high_minus!r}]"


def said_point(claim: PlaneClaim, judgement: Judgement) -> str:
    """The point of a REFUTED judgement."""
    assert judgement.point is not None
    v, z = judgement.point
    return f"v = {v!r}, z = {z!r}" if is_product(claim) else f"v = {v!r}"


def said_plane(claim: PlaneClaim) -> str:
    """The plane as a sum."""
    z = f" + {claim.slope_z!r} z" if is_product(claim) else ""
    return f"{claim.slope_v!r} v{z} + {claim.offset!r}"


def said_call(name: str, claim: PlaneClaim) -> str:
    """The call that asks a function for the plane."""
    ends = (claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z, *(claim.diagonals or ()))
    return f"{name}({claim.kind!r}, {', '.join(f'[{end!r}]' for end in ends)})"

"""The points that a claim speaks of, decided exactly: its box, or the octagon that its diagonals cut out of it.

Sums of floats are compared as fractions, so that no point outside is ever taken for a counter-example. The kernel
decides the same in ball arithmetic (`kernel.octagon`); nothing is shared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from refcert.kernel.claims import PlaneClaim

Ends = tuple[Fraction, Fraction]


def in_domain(claim: PlaneClaim, v: Sequence[float], z: Sequence[float]) -> bool:
    """Is the point (sum of v, sum of z) one of the claim's domain? z is not read for kinds of one argument.

    False for points that are not finite.
    """
    try:
        at_v, at_z = (sum(map(Fraction, parts), Fraction(0)) for parts in (v, z))
    except (ValueError, OverflowError):  # NaN and infinity
        return False
    if not Fraction(claim.lower_v) <= at_v <= Fraction(claim.upper_v):
        return False
    if not claim.kind.startswith("sigmoid_times_"):
        return True
    return Fraction(claim.lower_z) <= at_z <= Fraction(claim.upper_z) and on_diagonals(claim.diagonals, at_v, at_z)


def on_diagonals(diagonals: tuple[float, float, float, float] | None, v: Fraction, z: Fraction) -> bool:
    """Are v + z and v - z within these ends? True without ends."""
    if diagonals is None:
        return True
    low_plus, high_plus, low_minus, high_minus = map(Fraction, diagonals)
    return low_plus <= v + z <= high_plus and low_minus <= v - z <= high_minus


def hull(claim: PlaneClaim) -> tuple[Ends, Ends]:
    """The exact least box around the domain; reversed, on one axis or both, only where the domain is empty.

    (0, 0) for a z that does not matter.
    """
    v = Fraction(claim.lower_v), Fraction(claim.upper_v)
    if not claim.kind.startswith("sigmoid_times_"):
        return v, (Fraction(0), Fraction(0))
    z = Fraction(claim.lower_z), Fraction(claim.upper_z)
    return hull_of(v, z, claim.diagonals)


def hull_of(v: Ends, z: Ends, diagonals: tuple[float, float, float, float] | None) -> tuple[Ends, Ends]:
    """The exact least box around what these diagonals leave of a box."""
    if diagonals is None:
        return v, z
    (v0, v1), (z0, z1) = v, z
    p0, p1, m0, m1 = map(Fraction, diagonals)
    return (
        (max(v0, p0 - z1, m0 + z0, (p0 + m0) / 2), min(v1, p1 - z0, m1 + z1, (p1 + m1) / 2)),
        (max(z0, p0 - v1, v0 - m1, (p0 - m1) / 2), min(z1, p1 - v0, v1 - m0, (p1 - m0) / 2)),
    )


def z_ends(z: Ends, diagonals: tuple[float, float, float, float] | None, v: Fraction) -> Ends:
    """The ends of z for this v; reversed where there is none."""
    if diagonals is None:
        return z
    p0, p1, m0, m1 = map(Fraction, diagonals)
    return max(z[0], p0 - v, v - m1), min(z[1], p1 - v, v - m0)


def vertices(claim: PlaneClaim) -> list[tuple[Fraction, Fraction]]:
    """The corners (v, z) of the domain in order around it, its lower side from left to right first."""
    (v0, v1), z = hull(claim)
    if v0 > v1 or z[0] > z[1]:
        return []
    at = {v0, v1}
    if claim.diagonals is not None:
        p0, p1, m0, m1 = map(Fraction, claim.diagonals)
        met = [p - y for p in (p0, p1) for y in z] + [m + y for m in (m0, m1) for y in z]
        met += [(p + m) / 2 for p in (p0, p1) for m in (m0, m1)]
        at |= {x for x in met if v0 < x < v1}
    lines = [[(x, z_ends(z, claim.diagonals, x)[side]) for x in sorted(at)] for side in (0, 1)]
    around = [*_without_straight(lines[0]), *reversed(_without_straight(lines[1]))]
    return list(dict.fromkeys(around))


def _without_straight(line: list[tuple[Fraction, Fraction]]) -> list[tuple[Fraction, Fraction]]:
    """A line without the inner points at which it does not bend."""
    kept = line[:1]
    for k in range(1, len(line) - 1):
        (a, b), (c, d), (e, f) = kept[-1], line[k], line[k + 1]
        if (d - b) * (e - c) != (f - d) * (c - a):
            kept.append(line[k])
    return kept + line[1:][-1:]


def cut(claim: PlaneClaim) -> bool:
    """Do the diagonals take anything from the box?"""
    if claim.diagonals is None:
        return False
    corners = [(v, z) for v in (claim.lower_v, claim.upper_v) for z in (claim.lower_z, claim.upper_z)]
    return not all(on_diagonals(claim.diagonals, Fraction(v), Fraction(z)) for v, z in corners)

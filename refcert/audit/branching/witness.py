"""From an exact point where F is positive to floats: one pair of them, or sums of floats where no pair violates."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

from flint import arb, fmpq

from refcert.audit.branching.excess import Excess
from refcert.audit.domain import on_diagonals
from refcert.kernel.ball import precision, surely_less, surely_positive

# Floats that may be added up: each has the next 53 bits.
TERMS: Final = 160
# Every finite float is a whole multiple of 2^-1074 below 2^1024: sums of floats are exact at this precision.
EXACT_BITS: Final = 4096


class Witness(NamedTuple):
    """The float point (v, z) of the claim's box, what is to be added per axis, and F there, certainly positive."""

    point: tuple[float, float]
    rest: tuple[tuple[float, ...], tuple[float, ...]]
    excess: arb


def find_witness(form: Excess, v: arb, y: arb) -> Witness | None:
    """The worse of the point found, as the fewest floats per axis whose sum still violates, and the box's corners.

    Corners count where they are in the domain.
    None where no sum of floats violates at this precision.
    """
    corners = [(terms_v, terms_y) for terms_v in _ends(form.box_v) for terms_y in _ends(form.box_y)]
    tried = [corner for corner in corners if _inside(form, *corner)]
    found = _near(form, _terms(_fraction(v)), _terms(_fraction(y)))
    worst: Witness | None = None
    for terms_v, terms_y in [*([found] if found else []), *tried]:
        excess = form.value(form.place_v(_sum(terms_v)), form.place_y(_sum(terms_y)))
        if surely_positive(excess) and (worst is None or surely_less(worst.excess, excess)):
            worst = _witness(form, terms_v, terms_y, excess)
    return worst


def _ends(box: tuple[float, float]) -> list[list[float]]:
    low, high = box
    return [[low]] if low == high else [[low], [high]]


def _near(form: Excess, terms_v: list[float], terms_y: list[float]) -> tuple[list[float], list[float]] | None:
    for count in range(1, max(len(terms_v), len(terms_y)) + 1):
        some_v, some_y = terms_v[:count], terms_y[:count]
        if _inside(form, some_v, some_y):
            excess = form.value(form.place_v(_sum(some_v)), form.place_y(_sum(some_y)))
            if surely_positive(excess):
                return some_v, some_y
    return None


def _witness(form: Excess, v: list[float], y: list[float], excess: arb) -> Witness:
    z = [form.sign * x + 0.0 for x in y]  # no negative zeros
    first, second = (z, [0.0]) if form.kind == "tanh" else (v, z)
    return Witness((first[0], second[0]), (tuple(first[1:]), tuple(second[1:])), excess)


def _terms(x: Fraction) -> list[float]:
    """Floats whose sum comes ever closer to x, the nearest first."""
    terms = [float(x)]
    rest = x - Fraction(terms[0])
    while rest != 0 and len(terms) < TERMS:
        terms.append(float(rest))
        if terms[-1] == 0:
            return terms[:-1]
        rest -= Fraction(terms[-1])
    return terms


def _inside(form: Excess, terms_v: list[float], terms_y: list[float]) -> bool:
    v, y = (sum(map(Fraction, terms), Fraction(0)) for terms in (terms_v, terms_y))
    in_box = all(Fraction(low) <= x <= Fraction(high) for x, (low, high) in ((v, form.box_v), (y, form.box_y)))
    return in_box and on_diagonals(form.diagonals, v, y)


def _sum(terms: list[float]) -> arb:
    with precision(EXACT_BITS):
        return sum((arb(x) for x in terms), arb(0))


def _fraction(x: arb) -> Fraction:
    """An exact point as a fraction."""
    value: fmpq = x.fmpq()
    return Fraction(int(value.p), int(value.q))

"""How choices between numbers are traced: where, maximum and minimum. Importing this makes them known to `Traced`."""

from __future__ import annotations

import sympy as sp

from proofs.lemma import LemmaError
from proofs.roundings import OPERATIONS, UNKNOWN, Condition, Expr, Traced, lift, point


def _either(a: Expr, b: Expr) -> Expr:
    """A polynomial whose coefficients are the larger ones of two."""
    parts = [{m: c for c, m in (term.as_coeff_Mul() for term in sp.Add.make_args(sp.expand(x)))} for x in (a, b)]
    return sum(
        (m * max(part.get(m, sp.Integer(0)) for part in parts) for m in parts[0] | parts[1]), start=sp.Integer(0)
    )


def join(a: Traced, b: Traced) -> Traced:
    """Either of two bounds; where both are candidates or products of one slope, the larger is taken."""
    if not (a.known and b.known):
        return UNKNOWN
    terms = dict(a.terms)
    for m, (c, k) in b.terms.items():
        before, most = terms.get(m, (sp.Integer(0), 0))
        terms[m] = (sp.Max(before, c), max(most, k))
    underflow = _either(a.underflow, b.underflow)
    return Traced(terms, underflow, loose=a.loose | b.loose, interval=a.interval if a.interval == b.interval else None)


def _where(condition: Condition, a: object, b: object) -> Traced:
    """A plain number stands where a lane is discarded or nothing is added; then the other branch counts."""
    if not isinstance(a, Traced) or not isinstance(b, Traced):
        return lift(a if isinstance(a, Traced) else b)
    if condition.greater is a and condition.smaller is b:
        return _maximum(a, b)
    return join(a, b)


def _clip(a: Traced, b: Traced, side: int) -> Traced:
    """side 1: maximum, which inherits every looseness above and only a common looseness below; -1: minimum."""
    interval = a.interval or b.interval
    if interval is None:
        return join(a, b)
    if None not in (a.interval, b.interval) and a.interval != b.interval:
        raise LemmaError("a minimum or maximum of points of two intervals")
    loose_a, loose_b = (x.loose if x.interval is not None else frozenset((1, -1)) for x in (a, b))
    loose = frozenset(way for way in (1, -1) if (way in loose_a | loose_b if way == side else way in loose_a & loose_b))
    return point(interval, a.dtype, loose)


def _maximum(a: Traced, b: Traced) -> Traced:
    return _clip(a, b, 1)


def _minimum(a: Traced, b: Traced) -> Traced:
    return _clip(a, b, -1)


OPERATIONS.update({"where": _where, "maximum": _maximum, "minimum": _minimum})

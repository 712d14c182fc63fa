"""Proof or refutation of one bounding plane by interval branch and bound with second-order forms.

Method card
    Claim      F = f - plane <= 0 (upper) or >= 0 (lower) for all reals of the box, the floats given taken exactly.
    Source     lemmas `branching_values` (values and normal form), `second_order_forms` (rules); interval branch and
               bound with second-order tests: R. B. Kearfott, Rigorous Global Search: Continuous Problems, 1996, ch. 5;
               E. Hansen, G. W. Walster, Global Optimization Using Interval Analysis, 2004.
    Idea       Enclose value, gradient and Hessian of F on sub-boxes by their values at the ends, between which they
               are monotone. A sub-box is settled where F is monotone along an axis (its largest value is on a face),
               convex along an axis (on two faces), nowhere negative definite (on its sides), concave (below its
               tangent plane at a point near the maximum) or below its Taylor form; else it is cut.
    Octagons   a claim with diagonals is decided by `octagon`, edge by edge and then inside.
    Departs    signs of the Hessian come from the signs of its factors, which is sharper than interval products.
    Unlike     the kernel's method it needs no list of candidates that is complete; it knows only signs of derivatives.
               Where F may be flat is asked of floats, for a good point to take a tangent at.
    Sound      yes: `places` encloses, the rules are those of `segment` and `rectangle`; hints are never trusted.
    Verdicts   PROVED; REFUTED with a point and a lower bound of the violation; UNDECIDED: node budget, or precision.
    Test       against the kernel on drawn planes of every family, enclosures against sampled values.
"""

from __future__ import annotations

from typing import Final

from flint import arb

from refcert.audit.branching.excess import PRODUCT_LINE, PRODUCT_TANH, Excess
from refcert.audit.branching.lines import AlongV, AlongY, SigmoidAlone
from refcert.audit.branching.octagon import check_octagon
from refcert.audit.branching.outcomes import MoreBitsError, OutOfNodesError, ViolatedError
from refcert.audit.branching.rectangle import Budget, check_rectangle
from refcert.audit.branching.segment import check_point, check_segment
from refcert.audit.branching.witness import find_witness
from refcert.audit.verdicts import Judgement, Method
from refcert.kernel.ball import ZERO, float_below, precision
from refcert.kernel.claims import PlaneClaim, Status, as_upper

# Doubled until the plane is decided.
PRECISIONS: Final = (128, 256, 512, 1024, 2048, 4096, 8192)
# Sub-boxes per plane, over all precisions: a few are the rule, folds take some hundred.
NODES: Final = 20_000


def check_plane_by_branching(
    claim: PlaneClaim, precisions: tuple[int, ...] = PRECISIONS, nodes: int = NODES
) -> Judgement:
    """Prove or refute the claim. nodes: sub-boxes that may be looked at, over all precisions.

    Raises KernelInputError where the values make no claim.
    """
    as_upper(claim)  # refuses what makes no claim; its mirror is not used
    budget = Budget(nodes)
    reason, bits = "no precision was allowed", 0
    for bits in precisions:
        with precision(bits):
            form = Excess(claim)
            try:
                _check(form, budget)
            except ViolatedError as found:
                judgement = _refuted(form, found.v, found.y, bits)
                if judgement is not None:
                    return judgement
                reason = "precision exhausted: the violation seen is at no sum of floats"
            except MoreBitsError:
                reason = "precision exhausted"
            except OutOfNodesError:
                reason = f"node budget of {nodes:,} sub-boxes spent"
                break
            else:
                return Judgement(Status.PROVED, "", bits, method=Method.BRANCHING)
    return Judgement(Status.UNDECIDED, reason, bits, method=Method.BRANCHING)


def _refuted(form: Excess, v: arb, y: arb, bits: int) -> Judgement | None:
    witness = find_witness(form, v, y)
    if witness is None:
        return None
    violation = max(0.0, float_below(witness.excess))  # it is positive, but may underflow
    reason = "a point lies beyond the plane"
    return Judgement(Status.REFUTED, reason, bits, witness.point, violation, Method.BRANCHING, witness.rest)


def _check(form: Excess, budget: Budget) -> None:
    """F <= 0 on the domain, or raise how it ended."""
    if form.diagonals is not None:
        check_octagon(form, budget)
        return
    low_v, high_v = form.box_v
    low_y, high_y = form.box_y
    v0, y0 = form.point_v(low_v), form.point_y(low_y)
    v1 = v0 if low_v == high_v else form.point_v(high_v)
    y1 = y0 if low_y == high_y else form.point_y(high_y)
    if form.kind == PRODUCT_TANH:
        if v0 is v1:
            check_segment(AlongY(form, v0), y0, y1)
        elif y0 is y1:
            check_segment(AlongV(form, y0), v0, v1)
        else:
            check_rectangle(form, (v0, v1, y0, y1), budget)
    elif form.kind == PRODUCT_LINE:
        # linear along y: largest at its ends
        check_segment(AlongV(form, y0), v0, v1)
        if y1 is not y0:
            check_segment(AlongV(form, y1), v0, v1)
    elif form.kind == "tanh":
        check_segment(AlongY(form, v0), y0, y1)
    elif form.kind == "sigmoid":
        check_segment(SigmoidAlone(form, y0), v0, v1)
    else:
        # relu: linear between its ends and its kink
        line = AlongV(form, y0)
        for v in (v0, v1, *((form.place_v(ZERO),) if low_v < 0 < high_v else ())):
            check_point(line, v)

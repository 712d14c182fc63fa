"""The second rigorous method: right on every family, where the kernel is undecided too, and never without end."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from refcert.audit.branching.search import check_plane_by_branching
from refcert.audit.families.planes import PLANE_FAMILIES, draw_planes
from refcert.audit.verdicts import Method
from refcert.kernel.claims import KINDS, PlaneClaim, Status
from refcert.kernel.errors import KernelInputError
from refcert.kernel.plane_proof import check_plane
from tests.audit.drawn_claims import drawn_claims, exact_point, excess_at


def check_refutation(claim: PlaneClaim) -> None:
    """The claim is refuted, at a point of the box, by at least what is said."""
    verdict = check_plane_by_branching(claim)
    assert verdict.status is Status.REFUTED, (claim, verdict)
    assert verdict.method is Method.BRANCHING
    sums = [
        Fraction(x) + sum(map(Fraction, more), Fraction(0)) for x, more in zip(verdict.point, verdict.rest, strict=True)
    ]
    assert Fraction(claim.lower_v) <= sums[0] <= Fraction(claim.upper_v)
    if claim.kind.startswith("sigmoid_times"):
        assert Fraction(claim.lower_z) <= sums[1] <= Fraction(claim.upper_z)
    else:
        assert sums[1] == 0
    digits = 1500  # 1 - tanh(1000) is 1e-869
    excess = excess_at(claim, *exact_point(verdict.point, verdict.rest, digits), digits=digits)
    assert excess > 0
    assert 0 <= verdict.violation <= excess


@pytest.mark.parametrize("family", PLANE_FAMILIES)
def test_agrees_with_the_kernel_and_with_the_known_truth(family):
    statuses = set()
    for claim, truth in drawn_claims(250, 3, (family,)):
        first, second = check_plane(claim), check_plane_by_branching(claim)
        assert second.status is not Status.UNDECIDED, claim
        assert first.status in (second.status, Status.UNDECIDED), (claim, first, second)
        assert truth in ("", second.status), (claim, second)
        statuses.add(second.status)
    assert statuses == {Status.PROVED, Status.REFUTED}


def test_planes_off_by_1e_12_of_their_scale_are_told_apart_by_both_methods():
    drawn = draw_planes(2500, np.random.default_rng(9))
    seen = Counter()
    for claim, move, truth in zip(drawn.table.claims(), drawn.move, drawn.truth, strict=True):
        if move in ("1e-12 in", "1e-12 out") and truth:
            seen[truth] += 1
            assert truth == ("REFUTED" if move.endswith("in") else "PROVED")
            assert check_plane_by_branching(claim).status == truth, claim
            assert check_plane(claim).status in (truth, Status.UNDECIDED), claim
    assert min(seen["PROVED"], seen["REFUTED"]) > 150


@pytest.mark.parametrize("kind", KINDS)
def test_refutations_come_with_points_that_violate_in_many_digits(kind):
    refuted = [
        claim
        for claim, _ in drawn_claims(1500, 5)
        if claim.kind == kind and check_plane_by_branching(claim).status is Status.REFUTED
    ]
    assert len(refuted) > 20
    for claim in refuted[:40]:
        check_refutation(claim)


# Found by drawing: the kernel's tangent planes do not decide where interior maximum and saddle almost merge.
FOLD = PlaneClaim(
    "sigmoid_times_tanh",
    "upper",
    *(0.0, 2.6276352249615185, 0.01629781957739357, 0.6171481483185521),
    *(0.06031912633684998, 0.5830115955959505, 0.0033174791984813172),
)


def _moved(claim: PlaneClaim, offset: float) -> PlaneClaim:
    values = (claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z, claim.slope_v, claim.slope_z)
    return PlaneClaim(claim.kind, claim.side, *values, offset)


def _mirrored(claim: PlaneClaim) -> PlaneClaim:
    box = (claim.lower_v, claim.upper_v, -claim.upper_z, -claim.lower_z)
    return PlaneClaim(claim.kind, "lower", *box, -claim.slope_v, claim.slope_z, -claim.offset)


@pytest.mark.parametrize("turn", [lambda claim: claim, _mirrored])
def test_a_fold_that_the_kernel_leaves_open(turn):
    undecided = [_moved(FOLD, FOLD.offset - n * math.ulp(FOLD.offset)) for n in range(4)]
    assert any(check_plane(claim).status is Status.UNDECIDED for claim in undecided)
    for claim in undecided:
        assert check_plane_by_branching(turn(claim)).status in (Status.PROVED, Status.REFUTED)
    assert check_plane_by_branching(turn(_moved(FOLD, FOLD.offset + 1e-12))).status is Status.PROVED
    check_refutation(turn(_moved(FOLD, FOLD.offset - 1e-12)))


@pytest.mark.parametrize("reach", [1e3, 3e3, 1e5])
@pytest.mark.parametrize(
    ("kind", "side", "limit"),
    [
        ("tanh", "upper", 1.0),
        ("tanh", "lower", -1.0),
        ("sigmoid", "upper", 1.0),
        ("sigmoid", "lower", 0.0),
        ("sigmoid_times_tanh", "upper", 1.0),
        ("sigmoid_times_tanh", "lower", -1.0),
    ],
)
def test_limits_are_proved_at_few_bits_and_the_next_float_is_refuted(kind, side, limit, reach):
    box = (-reach, reach, -reach, reach)
    verdict = check_plane_by_branching(PlaneClaim(kind, side, *box, 0.0, 0.0, limit))
    assert (verdict.status, verdict.precision) == (Status.PROVED, 128)
    inward = math.nextafter(limit, -math.inf if side == "upper" else math.inf)
    verdict = check_plane_by_branching(PlaneClaim(kind, side, *box, 0.0, 0.0, inward))
    # exp(-1e5) lies below the least float, so sigmoid at -1e5 is below it as well
    assert (verdict.status, verdict.precision) == (Status.REFUTED, 128)


def test_sigmoid_times_z_stays_below_z():
    holds = PlaneClaim("sigmoid_times_identity", "upper", -3e3, 3e3, 0.0, 3e3, 0.0, 1.0, 0.0)
    verdict = check_plane_by_branching(holds)
    assert (verdict.status, verdict.precision) == (Status.PROVED, 128)
    check_refutation(PlaneClaim("sigmoid_times_identity", "upper", -3.0, 3.0, -1e-300, 3e3, 0.0, 1.0, 0.0))


@pytest.mark.parametrize(
    "claim",
    [
        # at a corner, with slope zero there; along a whole side; at the inflection with the steepest slope
        PlaneClaim("sigmoid_times_tanh", "upper", 0.0, 3.0, 0.0, 2.0, 0.25, 0.5, 0.0),
        PlaneClaim("sigmoid_times_identity", "upper", 0.0, 0.0, -1e3, 1e3, 7.0, 0.5, 0.0),
        PlaneClaim("sigmoid_times_tanh", "lower", -2.0, 2.0, 0.0, 5.0, 0.0, 0.0, 0.0),
        PlaneClaim("sigmoid", "upper", 0.0, 5.0, 0.0, 0.0, 0.25, 0.0, 0.5),
        PlaneClaim("sigmoid", "lower", -5.0, 0.0, 0.0, 0.0, 0.25, 0.0, 0.5),
        PlaneClaim("tanh", "upper", 0.0, 5.0, 0.0, 0.0, 1.0, 0.0, 0.0),
        PlaneClaim("sigmoid_times_identity", "upper", 0.0, 3.0, 2.0, 2.0, 0.5, 0.0, 1.0),
        PlaneClaim("relu", "upper", -1.0, 1.0, 0.0, 0.0, 0.5, 0.0, 0.5),
        PlaneClaim("relu", "lower", -1.0, 1.0, 0.0, 0.0, 0.5, 0.0, 0.0),
        # a point
        PlaneClaim("sigmoid_times_tanh", "upper", 0.0, 0.0, 0.0, 0.0, 3.0, -2.0, 0.0),
    ],
)
def test_exact_contact_is_proved_and_less_is_refuted(claim):
    assert check_plane_by_branching(claim).status is Status.PROVED
    inward = -math.inf if claim.side == "upper" else math.inf
    check_refutation(_moved(claim, math.nextafter(claim.offset, inward)))


def _bump_between_floats(v: float) -> PlaneClaim:
    """On two neighbouring floats the plane holds; the surface -sigmoid(v), concave for v < 0, passes it in between."""
    upper = math.nextafter(v, math.inf)
    with mpmath.workdps(150):
        low, high = mpmath.mpf(v), mpmath.mpf(upper)
        at = [-1 / (1 + mpmath.exp(-x)) for x in (low, high)]
        slope = float((at[1] - at[0]) / (high - low))
        level = max(y - slope * x for y, x in zip(at, (low, high), strict=True))
        # at z = -1 the plane's level is offset - slope_z: two floats, 106 bits
        slope_z = -float(level)
        offset = float(level + slope_z)
        if offset < level + slope_z:
            offset = math.nextafter(offset, math.inf)
    return PlaneClaim("sigmoid_times_identity", "upper", v, upper, -1.0, -1.0, slope, slope_z, offset)


@pytest.mark.parametrize("v", [-100.0, -99.63, -90.5])
def test_a_violation_between_floats_is_a_sum_of_floats(v):
    claim = _bump_between_floats(v)
    for end in (claim.lower_v, claim.upper_v):
        assert excess_at(claim, mpmath.mpf(end), mpmath.mpf(-1)) <= 0
    check_refutation(claim)
    verdict = check_plane_by_branching(claim)
    assert any(verdict.rest[0])
    assert not any(verdict.rest[1])
    assert verdict.violation < 1e-60


def test_budgets_are_kept_and_named():
    assert check_plane_by_branching(FOLD).status is Status.PROVED
    without_nodes = check_plane_by_branching(FOLD, nodes=3)
    assert without_nodes.status is Status.UNDECIDED
    assert without_nodes.reason == "node budget of 3 sub-boxes spent"
    without_bits = check_plane_by_branching(_moved(FOLD, math.nextafter(0.0033174791984813172, 0)), precisions=(24,))
    assert without_bits.status is Status.UNDECIDED
    assert "precision" in without_bits.reason
    assert check_plane_by_branching(FOLD, precisions=()).reason == "no precision was allowed"


def test_numbers_of_any_size_end_in_a_verdict():
    huge, tiny = 1.7e308, 5e-324
    for kind in KINDS:
        for side in ("lower", "upper"):
            for box in ((-huge, huge, -huge, huge), (-tiny, tiny, -tiny, tiny), (tiny, huge, -huge, -tiny)):
                for slopes in ((0.0, 0.0, 0.0), (huge, -huge, tiny), (tiny, tiny, -huge)):
                    claim = PlaneClaim(kind, side, *box, *slopes)
                    first, second = check_plane(claim).status, check_plane_by_branching(claim).status
                    assert {first, second} != {Status.PROVED, Status.REFUTED}, claim


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"lower_v": 2.0}, "reversed"),
        ({"offset": math.nan}, "offset is nan"),
        ({"kind": "relu6"}, "kind is 'relu6'"),
        ({"slope_z": 1}, "give a Python float"),
    ],
)
def test_what_makes_no_claim_is_refused(change, shown):
    good = {name: getattr(FOLD, name) for name in PlaneClaim.__slots__} | {"upper_v": 1.0}
    with pytest.raises(KernelInputError, match=shown):
        check_plane_by_branching(PlaneClaim(**(good | change)))


@pytest.mark.long
def test_long_campaign_over_all_families():
    for seed in range(20):
        for claim, truth in drawn_claims.__wrapped__(5000, 1000 + seed):
            first, second = check_plane(claim).status, check_plane_by_branching(claim).status
            assert second is not Status.UNDECIDED, claim
            assert first in (second, Status.UNDECIDED), claim
            assert truth in ("", second), claim

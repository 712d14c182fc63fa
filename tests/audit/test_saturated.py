"""Violations where sigmoid or tanh is so close to its limit that f - plane cancels: confirmed, and shown by source."""

import re
from decimal import Decimal

import mpmath
import pytest
from flint import arb

from refcert.audit.counterexample import minimise, snippet
from refcert.audit.hunting.excess import ball_excess, confirm, confirmed_violation, surely_not_beyond
from refcert.audit.hunting.saturated import saturated_excess
from refcert.audit.judge import judge
from refcert.audit.snippet_limits import LIMITS, limit_of
from refcert.audit.verdicts import Judgement
from refcert.kernel.ball import float_above, float_below, precision
from refcert.kernel.claims import KINDS, PlaneClaim, Status
from tests.audit.drawn_claims import drawn_claims

FAR = (5000.0, 1e4, 1e20, 1.7e308)
# (kind, side, sign of v, box of z or None for that of v, slope_z, offset): the plane is at the surface's limit.
AT_LIMITS = {
    "tanh below 1": ("tanh", "lower", 1, (0.0, 0.0), 0.0, 1.0),
    "tanh above -1": ("tanh", "upper", -1, (0.0, 0.0), 0.0, -1.0),
    "sigmoid below 1": ("sigmoid", "lower", 1, (0.0, 0.0), 0.0, 1.0),
    "sigmoid above 0": ("sigmoid", "upper", -1, (0.0, 0.0), 0.0, 0.0),
    "both below 1": ("sigmoid_times_tanh", "lower", 1, None, 0.0, 1.0),
    "both above -1": ("sigmoid_times_tanh", "upper", 1, "negative", 0.0, -1.0),
    "tanh times nearly 0, above": ("sigmoid_times_tanh", "upper", -1, (1e-3, 1.0), 0.0, 0.0),
    "tanh times nearly 0, below": ("sigmoid_times_tanh", "lower", -1, (-1.0, -1e-3), 0.0, 0.0),
    "tiny tanh times nearly 0": ("sigmoid_times_tanh", "upper", -1, (1e-300, 1e-300), 0.0, 0.0),
    "z times nearly 1, above": ("sigmoid_times_identity", "upper", 1, (-1.0, 3.5), 1.0, 0.0),
    "z times nearly 1, below": ("sigmoid_times_identity", "lower", 1, (-1.0, 3.5), 1.0, 0.0),
    "z times nearly 0, above": ("sigmoid_times_identity", "upper", -1, (-1.0, 3.5), 0.0, 0.0),
    "z times nearly 0, below": ("sigmoid_times_identity", "lower", -1, (-1.0, 3.5), 0.0, 0.0),
}


def at_limit(name, x):
    """A claim on boxes from x (or -x) on whose violation is what is left to the limit."""
    kind, side, sign, box_z, slope_z, offset = AT_LIMITS[name]
    box_v = (x, x) if sign > 0 else (-x, -x)
    box_z = {None: box_v, "negative": (-x, -x)}.get(box_z, box_z)
    return PlaneClaim(kind, side, *box_v, *box_z, 0.0, slope_z, offset)


def decimal_of(x):
    return Decimal(mpmath.nstr(x, 30))


def true_excess(claim, v, z):
    """The distance from the limit, in mpmath's numbers of any exponent, written without cancellation."""
    with mpmath.workdps(400):
        v, z = mpmath.mpf(v), mpmath.mpf(z)
        near_one = mpmath.exp(-abs(v)) / (1 + mpmath.exp(-abs(v)))
        tanh_near_one = 2 * mpmath.exp(-2 * abs(z)) / (1 + mpmath.exp(-2 * abs(z)))
        return {
            "tanh": lambda: 2 * mpmath.exp(-2 * abs(v)) / (1 + mpmath.exp(-2 * abs(v))),
            "sigmoid": lambda: near_one,
            "sigmoid_times_identity": lambda: abs(z) * near_one,
            "sigmoid_times_tanh": lambda: (
                near_one + tanh_near_one - near_one * tanh_near_one if v > 0 else near_one * abs(mpmath.tanh(z))
            ),
        }[claim.kind]()


@pytest.mark.parametrize("x", FAR)
@pytest.mark.parametrize("name", AT_LIMITS)
def test_a_violation_next_to_a_limit_is_confirmed_and_shown(name, x):
    claim = at_limit(name, x)
    judgement = judge(claim)
    assert judgement.status is Status.REFUTED
    assert confirm(claim, *judgement.point) is not None
    simple = minimise(claim, judgement)
    assert (simple.status, simple.violation) == (Status.REFUTED, 0.0)
    for shown in (judgement, simple):
        true = true_excess(claim, *shown.point)
        assert true > 0
        source, names = snippet(claim, shown), {}
        exec(compile(source, "snippet", "exec"), names)
        assert "refcert" not in source
        assert names["v"] == Decimal(shown.point[0])
        if x < 1e17:
            assert names["excess"] > 0
            assert abs(names["excess"] / decimal_of(true) - 1) < Decimal("1e-25")
            assert re.search(r"^assert excess > 0$", source, re.MULTILINE)
        else:
            assert "No decimal is as small as this distance" in source
            assert names["plane"] == names["limit"]
            assert re.search(r"^assert .* >= 0  # and the surface does not reach its limit$", source, re.MULTILINE)


@pytest.mark.parametrize("name", AT_LIMITS)
def test_a_snippet_fails_where_the_plane_is_moved_off_the_limit(name):
    """In the direction in which it holds."""
    for x in (1e4, 1e20):
        claim = at_limit(name, x)
        source = snippet(claim, judge(claim))
        moved = claim.offset + (1.0 if claim.side == "upper" else -1.0)
        mended = source.replace(f" + Decimal({claim.offset!r})\n", f" + Decimal({moved!r})\n")
        assert mended != source
        with pytest.raises(AssertionError):
            exec(compile(mended, "snippet", "exec"), {})


@pytest.mark.parametrize("x", FAR)
def test_relu_is_shown_far_out(x):
    claim = PlaneClaim("relu", "upper", -x, x, 0.0, 0.0, 0.0, 0.0, 0.0)
    simple = minimise(claim, judge(claim))
    names = {}
    exec(snippet(claim, simple), names)
    assert names["excess"] > 0


@pytest.mark.parametrize("x", FAR)
def test_what_touches_a_limit_from_outside_is_not_confirmed(x):
    for name in AT_LIMITS:
        claim = at_limit(name, x)
        other = PlaneClaim(claim.kind, "upper" if claim.side == "lower" else "lower", *_numbers(claim))
        z = max(claim.lower_z, claim.upper_z, key=abs) if claim.kind != "sigmoid_times_identity" else None
        if z is None:
            continue  # sign of z decides on which side the surface is
        assert confirmed_violation(other, (claim.lower_v,), (z,)) is None
        assert surely_not_beyond(other, (claim.lower_v,), (z,))
        wrong = Judgement(Status.REFUTED, "", 128, (claim.lower_v, z), 0.0)
        for function in (minimise, snippet):
            with pytest.raises(ValueError, match="is not beyond the plane"):
                function(other, wrong)


def _numbers(claim):
    box = (claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z)
    return (*box, claim.slope_v, claim.slope_z, claim.offset)


def test_a_point_that_nothing_can_confirm_costs_no_result(monkeypatch):
    """A ball that stays wide at every precision: the judgement stays as it is, the source says that it cannot run."""
    claim = at_limit("tanh below 1", 5000.0)
    judgement = judge(claim)
    for place in ("refcert.audit.snippet", "refcert.audit.hunting.excess"):
        for name in ("ball_excess", "saturated_excess"):
            monkeypatch.setattr(f"{place}.{name}", lambda *_: arb(0, 1))
    assert minimise(claim, judgement) == judgement
    source = snippet(claim, judgement)
    assert "There is nothing to run" in source
    assert all(line.startswith("#") for line in source.splitlines())


def test_both_ways_to_the_excess_agree_where_nothing_cancels():
    refuted = 0
    for claim, _ in drawn_claims(120, 47):
        judgement = judge(claim)
        if judgement.point is None:
            continue
        refuted += 1
        v, z = (judgement.point[0], *judgement.rest[0]), (judgement.point[1], *judgement.rest[1])
        with precision(2048):
            one, other = ball_excess(claim, v, z), saturated_excess(claim, v, z)
        assert float_below(one) <= float_above(other)
        assert float_below(other) <= float_above(one)
        assert float_above(other) - float_below(other) <= 1e-12 * abs(float_above(other)) + 1e-300
    assert refuted > 30


def test_every_curved_kind_has_its_limits_on_both_sides():
    assert set(LIMITS) == {(kind, side) for kind in KINDS if kind != "relu" for side in ("lower", "upper")}


def test_a_plane_short_of_every_limit_has_none():
    assert limit_of(PlaneClaim("tanh", "lower", 0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.5), (9.0,), (0.0,)) is None
    at_zero = PlaneClaim("sigmoid_times_identity", "upper", 0.0, 9.0, -1.0, 1.0, 0.0, 0.0, 0.0)
    assert limit_of(at_zero, (9.0,), (0.0,)) is None
    assert limit_of(at_zero, (9.0,), (1.0,)).text == "0"

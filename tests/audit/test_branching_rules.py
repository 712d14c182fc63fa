"""The second method's own enclosures and rules against sampled values in many digits, and faults planted in them."""

from __future__ import annotations

import random
from functools import cache

import mpmath
import pytest
from flint import arb

from refcert.audit.branching import excess, hints, lines, places, rectangle, search, segment, witness
from refcert.audit.branching.excess import Excess
from refcert.audit.branching.lines import AlongV, AlongY
from refcert.audit.branching.places import Place, line_place, sigmoid_place, tanh_place
from refcert.audit.branching.search import check_plane_by_branching
from refcert.kernel.ball import precision, surely_not_negative, surely_not_positive
from refcert.kernel.claims import KINDS, PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane
from tests.audit.drawn_claims import drawn_claims, excess_at

DIGITS = 1400
POINTS = (0.0, 5e-324, 1e-200, -1e-30, 1e-9, -0.3, 0.5, -0.9999, 1.0, -1.0, 1.0001, 4.2, -7.7, 40.0, -40.0, 1e3, -1e3)


def ends(ball: arb) -> list[mpmath.mpf]:
    """The ends of a ball, exactly."""
    return [mpmath.ldexp(*map(int, end.man_exp())) for end in (ball.lower(), ball.upper())]


def holds(ball: arb, value: mpmath.mpf) -> bool:
    """Is the many-digit value in the ball, up to its own rounding?"""
    low, high = ends(ball)
    slack = abs(value) * mpmath.mpf(10) ** (10 - DIGITS)
    return bool(low - slack <= value <= high + slack)


def sharp(ball: arb, value: mpmath.mpf) -> bool:
    """Is the ball good to some hundred bits of the value?"""
    low, high = ends(ball)
    return bool(high - low <= mpmath.mpf(2) ** -100 * abs(value))


@pytest.mark.parametrize("x", POINTS)
def test_values_at_a_place_are_sharp_enclosures(x):
    with mpmath.workdps(DIGITS), precision(128):
        exact = mpmath.mpf(x)
        s, rest = 1 / (1 + mpmath.exp(-exact)), 1 / (1 + mpmath.exp(exact))
        t = mpmath.tanh(exact)
        e = mpmath.exp(-2 * exact)
        up, down = 2 * e / (1 + e), 2 / (1 + e)
        at_s, at_t = sigmoid_place(arb(x)), tanh_place(arb(x))
        for ball, value in [
            *((at_s.value, s), (at_s.up, rest), (at_s.down, s), (at_s.slope, s * rest)),
            *((at_t.value, t), (at_t.up, up), (at_t.down, down), (at_t.slope, up * down)),
        ]:
            assert holds(ball, value), (x, ball)
            assert sharp(ball, value), (x, ball)
        sign = (x > 0) - (x < 0)
        assert at_s.sign == at_t.sign == line_place(arb(x)).sign == sign


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_the_excess_enclose_the_true_ones(kind):
    """Every way to write the value, near the limits above and below and in between."""
    rng = random.Random(kind)
    claims = [claim for claim, _ in drawn_claims(1500, 5) if claim.kind == kind]
    with mpmath.workdps(DIGITS), precision(128):
        for claim in claims[:120]:
            form = Excess(claim)
            v, y = rng.choice(form.box_v), rng.choice(form.box_y)
            point = (form.sign * y, 0.0) if kind == "tanh" else (v, form.sign * y)
            ball = form.value(form.point_v(v), form.point_y(y))
            true = excess_at(claim, *map(mpmath.mpf, point), digits=DIGITS)
            assert holds(ball, true), claim


def _quadrant_node(rng: random.Random) -> tuple[Excess, tuple[Place, Place, Place, Place]]:
    v = sorted(rng.choice((0.0, rng.uniform(0, 6))) for _ in range(2))
    y = sorted(rng.choice((0.0, rng.uniform(0, 3))) for _ in range(2))
    v[1], y[1] = v[1] + rng.uniform(1e-3, 1), y[1] + rng.uniform(1e-3, 1)
    slopes = (rng.uniform(0, 0.25), rng.uniform(0, 1), rng.uniform(-1, 1))
    form = Excess(PlaneClaim("sigmoid_times_tanh", "upper", v[0], v[1], y[0], y[1], *slopes))
    return form, (*map(form.point_v, v), *map(form.point_y, y))


def _samples(rng: random.Random, node: tuple[Place, ...], count: int = 12) -> list[tuple[mpmath.mpf, mpmath.mpf]]:
    (v0, v1, y0, y1) = (mpmath.mpf(p.near) for p in node)
    drawn = [(v0 + (v1 - v0) * rng.random(), y0 + (y1 - y0) * rng.random()) for _ in range(count)]
    return [*drawn, (v0, y0), (v0, y1), (v1, y0), (v1, y1)]


def _hessian(v: mpmath.mpf, y: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf]:
    s, t = 1 / (1 + mpmath.exp(-v)), mpmath.tanh(y)
    q, w = 1 - s, 1 - t * t
    return s * q * (q - s) * t, s * q * w, -2 * s * t * w


def test_signs_of_the_hessian_are_what_the_rules_say():
    rng = random.Random("hessian")
    seen = set()
    with mpmath.workdps(60), precision(128):
        for _ in range(150):
            _, node = _quadrant_node(rng)
            v0, v1, y0, y1 = node
            concave = surely_not_negative(rectangle.curvature(v0, y0))
            saddle = surely_not_positive(rectangle.curvature(v1, y1))
            seen.add((concave, saddle))
            for v, y in _samples(rng, node):
                f_vv, f_vy, f_yy = _hessian(v, y)
                assert f_vv <= 0
                assert f_yy <= 0
                assert 0 <= f_vy <= mpmath.mpf(float(v0.slope * y0.slope)) * (1 + mpmath.mpf(2) ** -50)
                if concave:
                    assert f_vv * f_yy - f_vy * f_vy >= 0
                if saddle:
                    assert f_vv * f_yy - f_vy * f_vy <= 0
    assert seen == {(True, False), (False, True), (False, False)}


def test_what_the_bounds_of_a_sub_box_call_proved_is_nowhere_positive():
    """Tangent planes and Taylor forms: their yes is checked by samples, with levels at which yes and no both happen."""
    rng = random.Random("bounds")
    answers = {"plane": set(), "taylor": set()}
    with mpmath.workdps(60), precision(128):
        for _ in range(300):
            form, node = _quadrant_node(rng)
            highest = max(
                excess_at(PlaneClaim("sigmoid_times_tanh", "upper", 0.0, 0.0, 0.0, 0.0, *_slopes(form), 0.0), v, y, 60)
                for v, y in _samples(rng, node)
            )
            form.c = arb(float(highest)) + arb(rng.choice((1e-3, 1e-2, 0.1, 0.5)))
            ways = [("taylor", lambda f=form, n=node: rectangle.below_taylor(f, n, rectangle.centre_of(f, n)))]
            if surely_not_negative(rectangle.curvature(node[0], node[2])):
                ways.append(("plane", lambda f=form, n=node: rectangle.below_tangent_plane(f, n)))
            for name, way in ways:
                try:
                    proved = way()
                except rectangle.ViolatedError:
                    proved = False
                answers[name].add(proved)
                if proved:
                    for v, y in _samples(rng, node):
                        at = form.value(sigmoid_place(arb(float(v))), tanh_place(arb(float(y))))
                        assert surely_not_positive(at)
    assert answers == {"plane": {True, False}, "taylor": {True, False}}


def _slopes(form: Excess) -> tuple[float, float]:
    return float(form.a), float(form.b)


def test_the_taylor_form_needs_its_cross_term():
    """Near zero the surface bends along the diagonal alone: level at the centre, it rises to the corners."""
    with precision(128):
        at_v, at_y = sigmoid_place(arb(0.125)), tanh_place(arb(0.125))
        slopes = float(at_v.slope * at_y.value), float(at_v.value * at_y.slope)
        flat = Excess(PlaneClaim("sigmoid_times_tanh", "upper", 0.0, 0.25, 0.0, 0.25, *slopes, 0.0))
        node = (flat.point_v(0.0), flat.point_v(0.25), flat.point_y(0.0), flat.point_y(0.25))
        centre, corner = flat.value(at_v, at_y), flat.value(node[1], node[3])
        flat.c = (centre + corner) / 2  # between: the plane holds at the centre and fails at the corner
        assert flat.value(at_v, at_y) < 0 < flat.value(node[1], node[3])
        assert not rectangle.below_taylor(flat, node, (at_v, at_y))
        flat.c += centre - 2 * flat.c + corner + arb(1e-2)
        assert rectangle.below_taylor(flat, node, (at_v, at_y))


CLAIMS = 1500


@cache
def _known() -> tuple[Status, ...]:
    return tuple(Status(truth) if truth else check_plane(claim).status for claim, truth in drawn_claims(CLAIMS, 11))


def _wrong(statuses: list[Status]) -> int:
    """How many verdicts contradict the known truth, or the kernel's."""
    pairs = zip(_known(), statuses, strict=True)
    return sum({known, status} == {Status.PROVED, Status.REFUTED} for known, status in pairs)


def _statuses() -> list[Status]:
    return [check_plane_by_branching(claim, (128, 256), nodes=300).status for claim, _ in drawn_claims(CLAIMS, 11)]


def _patch_place(attribute, change):
    """A place with one wrong value."""

    def plant(patch, name):
        original = getattr(places, name)

        def wrong(x):
            at = original(x)
            setattr(at, attribute, change(at))
            return at

        patch.setattr(excess, name, wrong)

    return plant


def _form(change):
    def plant(patch):
        original = Excess.__init__

        def wrong(self, claim):
            original(self, claim)
            change(self)

        patch.setattr(Excess, "__init__", wrong)

    return plant


def _set(module, name, value):
    return lambda patch: patch.setattr(module, name, value)


def _flat(patch):
    for name in ("slope_along_v", "slope_along_y"):
        patch.setattr(Excess, name, lambda self, v, y: arb(0))


def _segments_by_ends(line, low, high):
    segment.check_point(line, low)
    segment.check_point(line, high)


def _without_outer_end(line, low, high):
    if low.sign < 0 < high.sign:
        low, high = (line.place(arb(0)), high) if line.sign > 0 else (low, line.place(arb(0)))
    if line.sign != 0:
        segment._check_concave(line, low, high)


class _AlwaysConvex(AlongV):
    __slots__ = ()

    def __init__(self, form, y):
        super().__init__(form, y)
        self.sign = 0


class _TurnedSign(AlongV):
    __slots__ = ()

    def __init__(self, form, y):
        super().__init__(form, y)
        self.sign = -self.sign


FAULTS = {
    "1 - sigmoid without its exponential": lambda p: _patch_place("up", lambda at: at.value)(p, "sigmoid_place"),
    "slope of sigmoid halved": lambda p: _patch_place("slope", lambda at: at.slope / 2)(p, "sigmoid_place"),
    "slope of tanh doubled": lambda p: _patch_place("slope", lambda at: 2 * at.slope)(p, "tanh_place"),
    "1 - tanh and 1 + tanh swapped": lambda p: _patch_place("up", lambda at: at.down)(p, "tanh_place"),
    "tanh off by 1e-12": lambda p: _patch_place("value", lambda at: at.value * (1 + arb(1e-12)))(p, "tanh_place"),
    "sign of a point forgotten": lambda p: _patch_place("sign", lambda at: abs(at.sign))(p, "sigmoid_place"),
    "offset not mirrored": _form(lambda form: setattr(form, "c", form.sign * form.c)),
    "slope_z mirrored": _form(lambda form: setattr(form, "b", form.sign * form.b)),
    "box of z not mirrored": _form(lambda form: setattr(form, "box_y", tuple(form.sign * y for y in form.box_y))),
    "slopes along the axes taken for zero": _flat,
    "every sub-box is concave": _set(rectangle, "curvature", lambda v, y: arb(1)),
    "every sub-box is a saddle": _set(rectangle, "curvature", lambda v, y: arb(-1)),
    "curvature of the other corner": _set(
        rectangle, "curvature", lambda v, y: 2 * y.value * y.value * (v.value - v.up) + v.up * y.slope
    ),
    "Taylor form always below": _set(rectangle, "below_taylor", lambda form, node, centre: True),
    "points never checked": _set(segment, "check_point", lambda line, at: None),
    "segments decided by their ends": _set(rectangle, "check_segment", _segments_by_ends),
    "the convex half's end forgotten": _set(search, "check_segment", _without_outer_end),
    "segments along v taken for straight": _set(rectangle, "AlongV", _AlwaysConvex),
    "convex and concave swapped": _set(rectangle, "AlongV", _TurnedSign),
    "the first half of every cut forgotten": lambda p: _forget(p, 0),
    "the second half of every cut forgotten": lambda p: _forget(p, 1),
}


def _forget(patch, which):
    original = rectangle.cut
    patch.setattr(rectangle, "cut", lambda node, centre: (original(node, centre)[1 - which],))


def test_without_a_fault_nothing_is_wrong():
    assert _wrong(_statuses()) == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_show(fault, monkeypatch):
    FAULTS[fault](monkeypatch)
    assert _wrong(_statuses()) > 0


@pytest.mark.parametrize("value", [0.0, 0.7, 1e9, float("nan")])
def test_hints_are_never_trusted(value, monkeypatch):
    monkeypatch.setattr(rectangle, "hill_top", lambda a, b, v_ends, y_ends: (hints.clamp(value, *v_ends),) * 2)
    monkeypatch.setattr(lines, "flat_sigmoid", lambda ratio: value)
    monkeypatch.setattr(lines, "flat_tanh", lambda ratio: value)
    assert _wrong(_statuses()) == 0


def test_a_point_outside_the_box_is_no_witness():
    claim = PlaneClaim("tanh", "upper", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.9)
    with precision(128):
        form = Excess(claim)
        assert witness.find_witness(form, arb(0), arb(2)) is None
        assert AlongY(form, form.point_v(0.0)).sign == 1

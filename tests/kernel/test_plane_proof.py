"""Laws of the plane proof. Runs on the standard library, python-flint and pytest alone (tox -e kernel)."""

import math
import random

import pytest

from refcert.kernel.claims import KINDS, SIDES, PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane

SCALES = (1e-12, 1e-6, 1e-2, 1.0, 8.0, 100.0, 1000.0)


def _surface(kind, v, z):
    """The nonlinearity by the standard library alone."""
    s = 1 / (1 + math.exp(-v)) if v > -700 else 0.0
    return {
        "sigmoid_times_tanh": s * math.tanh(z),
        "sigmoid_times_identity": s * z,
        "sigmoid": s,
        "tanh": math.tanh(v),
        "relu": max(v, 0.0),
    }[kind]


def _axis(rng):
    width = rng.choice((0.0, *SCALES)) * rng.random()
    centre = rng.choice((0.0, 1.0, 3.0, 20.0, 900.0)) * rng.uniform(-1, 1)
    if rng.random() < 0.1:
        return sorted((0.0, centre))
    low = centre - width / 2
    return low, max(low, low + width)


def _random_claim(rng, kind, side):
    low_v, high_v = _axis(rng)
    low_z, high_z = _axis(rng)
    if rng.random() < 0.7:
        # slopes near a tangent of the surface, where contact points lie inside
        v, z = rng.uniform(low_v, high_v), rng.uniform(low_z, high_z)
        s, t = _surface("sigmoid", v, 0), math.tanh(z)
        g, dg = (t, 1 - t * t) if kind.endswith("tanh") else (z, 1.0)
        slope = {"sigmoid": s * (1 - s), "tanh": 1 - math.tanh(v) ** 2, "relu": float(v > 0)}
        slope_v, slope_z = slope.get(kind, s * (1 - s) * g), s * dg
    else:
        slope_v, slope_z = rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 1.0)
    return PlaneClaim(kind, side, low_v, high_v, low_z, high_z, slope_v, slope_z, 0.0)


def _with_offset(claim, offset):
    return PlaneClaim(
        claim.kind,
        claim.side,
        claim.lower_v,
        claim.upper_v,
        claim.lower_z,
        claim.upper_z,
        claim.slope_v,
        claim.slope_z,
        offset,
    )


def _sharp_offset(claim):
    """Adjacent floats around the exact offset: the inner one REFUTED, the outer one PROVED."""
    outward = 1.0 if claim.side == "upper" else -1.0
    reach = 10 + abs(claim.lower_z) + abs(claim.upper_z)
    reach += (1 + abs(claim.slope_v)) * (abs(claim.lower_v) + abs(claim.upper_v))
    reach += abs(claim.slope_z) * (abs(claim.lower_z) + abs(claim.upper_z))
    inner, outer = -outward * reach, outward * reach
    assert check_plane(_with_offset(claim, inner)).status is Status.REFUTED
    assert check_plane(_with_offset(claim, outer)).status is Status.PROVED
    while True:
        middle = inner / 2 + outer / 2
        if middle in (inner, outer) or abs(outer - inner) < 1e-300:
            return inner, outer
        status = check_plane(_with_offset(claim, middle)).status
        assert status is not Status.UNDECIDED, _with_offset(claim, middle)
        if status is Status.PROVED:
            outer = middle
        else:
            inner = middle


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_verdict_changes_once_between_adjacent_floats_and_is_always_decided(kind, side):
    rng = random.Random(f"{kind}{side}")
    for _ in range(25):
        claim = _random_claim(rng, kind, side)
        inner, outer = _sharp_offset(claim)
        sign = 1.0 if side == "upper" else -1.0
        # The proved plane is above (below) the surface on a dense grid, up to the grid's own rounding.
        worst = -math.inf
        for i in range(25):
            v = min(claim.upper_v, claim.lower_v + (claim.upper_v - claim.lower_v) * i / 24)
            for j in range(25):
                z = min(claim.upper_z, claim.lower_z + (claim.upper_z - claim.lower_z) * j / 24)
                z = 0.0 if kind not in ("sigmoid_times_tanh", "sigmoid_times_identity") else z
                slope_z = 0.0 if z == 0.0 else claim.slope_z
                terms = (_surface(kind, v, z), claim.slope_v * v, slope_z * z, outer)
                excess = sign * (terms[0] - terms[1] - terms[2] - terms[3])
                worst = max(worst, excess / (1e-250 + sum(map(abs, terms))))
        assert worst <= 1e-14, claim
        # and it is tight: the next offset inward is refuted with a point where a person can see it
        verdict = check_plane(_with_offset(claim, inner))
        assert verdict.status is Status.REFUTED
        assert verdict.violation >= 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_refutation_points_are_in_the_box_and_violate_by_hand(kind, side):
    rng = random.Random(f"point{kind}{side}")
    sign = 1.0 if side == "upper" else -1.0
    for _ in range(60):
        claim = _random_claim(rng, kind, side)
        _, outer = _sharp_offset(claim)
        scale = max(1e-3, abs(outer), abs(claim.slope_v * claim.lower_v), abs(claim.slope_z * claim.lower_z))
        wrong = _with_offset(claim, outer - sign * 1e-6 * scale)
        verdict = check_plane(wrong)
        assert verdict.status is Status.REFUTED
        v, z = verdict.point
        assert claim.lower_v <= v <= claim.upper_v
        if kind.startswith("sigmoid_times"):
            assert claim.lower_z <= z <= claim.upper_z
        else:
            assert z == 0.0
        slope_z = claim.slope_z if kind.startswith("sigmoid_times") else 0.0
        by_hand = sign * (_surface(kind, v, z) - claim.slope_v * v - slope_z * z - wrong.offset)
        assert by_hand == pytest.approx(verdict.violation, rel=1e-5, abs=1e-13 * scale)
        assert verdict.violation == pytest.approx(1e-6 * scale, rel=1e-3, abs=1e-13 * scale)


def test_the_double_root_at_zero_is_decided():
    # slope z / 4 is the steepest tangent: both roots of the side fall together at v = 0
    claim = PlaneClaim("sigmoid_times_identity", "upper", 0.0, 3.0, 2.0, 2.0, 0.5, 0.0, 1.0)
    assert check_plane(claim).status is Status.PROVED
    below = _with_offset(claim, math.nextafter(1.0, 0.0))
    verdict = check_plane(below)
    assert verdict.status is Status.REFUTED
    assert verdict.point == (0.0, 2.0)


def test_exact_contact_is_proved():
    # sigmoid(0) z = z / 2 exactly: the plane touches along the whole side
    claim = PlaneClaim("sigmoid_times_identity", "upper", 0.0, 0.0, -1e3, 1e3, 7.0, 0.5, 0.0)
    assert check_plane(claim).status is Status.PROVED
    lower = PlaneClaim("sigmoid_times_identity", "lower", 0.0, 0.0, -1e3, 1e3, 7.0, 0.5, 0.0)
    assert check_plane(lower).status is Status.PROVED


def test_known_false_planes_of_earlier_tools_are_refuted():
    # a zero-width interval handled as bound = l instead of f(l): tanh at 2 is .964, not 2
    assert check_plane(PlaneClaim("tanh", "lower", 2.0, 2.0, 0, 0, 0.0, 0, 2.0)).status is Status.REFUTED
    # a vanishing slope: upper bound .5 for tanh near 1
    assert check_plane(PlaneClaim("tanh", "upper", 8.0, 9.0, 0, 0, 1e-7, 0, 0.5)).status is Status.REFUTED
    # a float32 tangent that crosses the curve by some 1e-8
    v = 1.5
    slope = 1 - math.tanh(v) ** 2
    tangent = math.tanh(v) - slope * v
    assert check_plane(PlaneClaim("tanh", "upper", 0.5, 3.0, 0, 0, slope, 0, tangent - 1e-8)).status is Status.REFUTED
    assert check_plane(PlaneClaim("tanh", "upper", 0.5, 3.0, 0, 0, slope, 0, tangent + 1e-8)).status is Status.PROVED


def test_no_precision_leaves_it_undecided_with_a_reason():
    claim = PlaneClaim("tanh", "upper", 0.0, 1.0, 0, 0, 0.0, 0, 2.0)
    verdict = check_plane(claim, precisions=())
    assert verdict.status is Status.UNDECIDED
    assert "precision" in verdict.reason


def test_too_little_precision_is_undecided_never_wrong():
    claim = PlaneClaim("sigmoid", "upper", 1.0, 2.0, 0, 0, 0.0, 0, 0.0)
    exact_top = 1 / (1 + math.exp(-2.0))
    for shift in (-1, 1):
        near = _with_offset(claim, exact_top + shift * 1e-15)
        assert check_plane(near, precisions=(20,)).status is Status.UNDECIDED
        decided = check_plane(near)
        assert decided.status is (Status.PROVED if shift > 0 else Status.REFUTED)


def test_checking_restores_the_precision():
    from flint import ctx

    before = ctx.prec
    check_plane(PlaneClaim("relu", "upper", -1.0, 1.0, 0, 0, 0.5, 0, 0.5))
    assert ctx.prec == before


# Interior maximum and saddle 1e-8 apart: polishing the contact point leapt to z = -1e14, out of the concave region, and
# the "tangent plane" there proved this plane, which the surface exceeds by 3.8e-25.
FOLD = PlaneClaim(
    *("sigmoid_times_tanh", "upper", 0.7097681558057425, 0.7107682078387815, 0.649013546590101, 0.6500135616098285),
    *(0.12618131421463635, 0.45178414360985175, 5.398898699847501e-17),
)


@pytest.mark.parametrize("side", SIDES)
def test_a_false_plane_at_a_fold_is_not_proved(side):
    claim = FOLD
    if side == "lower":
        claim = PlaneClaim(
            *(FOLD.kind, "lower", FOLD.lower_v, FOLD.upper_v, -FOLD.upper_z, -FOLD.lower_z),
            *(-FOLD.slope_v, FOLD.slope_z, -FOLD.offset),
        )
    assert check_plane(claim).status is not Status.PROVED


@pytest.mark.parametrize("kind", KINDS)
def test_no_guess_whatsoever_proves_a_false_plane(kind, monkeypatch):
    """The guesses are untrusted: replaced by noise, a plane that is too low by a hair is never proved."""
    from refcert.kernel import guesses

    rng = random.Random(kind)
    noise = [0.0, -0.0, 1e-300, -1e-300, 1.0, -1.0, 2.0, -30.0, 40.0, 1e14, -1e14, 700.0, math.inf, -math.inf, math.nan]

    def contact(*_):
        return rng.choice(noise) if rng.random() < 0.5 else rng.uniform(-5, 5)

    def interior(*_):
        point = (contact(), contact())
        return None if any(not math.isfinite(x) for x in point) else point

    cases = []
    for side in SIDES:
        for _ in range(20):
            claim = _random_claim(rng, kind, side)
            inner, outer = _sharp_offset(claim)
            cases.append((_with_offset(claim, inner), _with_offset(claim, outer)))
    touching = PlaneClaim("sigmoid_times_tanh", "upper", 1.9, 2.1, 0.9, 1.1, 0.0, 0.0, 0.0)
    s, t = 1 / (1 + math.exp(-2.0)), math.tanh(1.0)
    for _ in range(10 if kind == "sigmoid_times_tanh" else 0):
        # touches inside, at (2, 1), and is then lowered
        slope_v, slope_z = s * (1 - s) * t, s * (1 - t * t)
        lowered = s * t - slope_v * 2.0 - slope_z - 1e-8
        box = (touching.lower_v, touching.upper_v, touching.lower_z, touching.upper_z)
        cases.append((PlaneClaim(kind, "upper", *box, slope_v, slope_z, lowered), None))
    monkeypatch.setattr(guesses, "sigmoid_contact", contact)
    monkeypatch.setattr(guesses, "tanh_contact", contact)
    monkeypatch.setattr(guesses, "interior_contact", interior)
    for false, _ in cases:
        for _ in range(4):
            assert check_plane(false, precisions=(128, 256, 512)).status is not Status.PROVED


def test_planes_with_a_slope_next_to_one_are_decided():
    below_one = math.nextafter(1.0, 0.0)
    box = (0.0001113053648908904, 55.841315471089466, 2.0842466515010978e-09, 1.982315537681234e-08)
    claim = PlaneClaim("sigmoid_times_tanh", "upper", *box, 5.492320219723766e-31, below_one, 6.4096415643724834e-21)
    assert check_plane(claim).status is Status.PROVED
    box = (-146681.18941736338, 1350048.7358206862, -2.8979714909420673e-08, 4.034255791184202e-08)
    claim = PlaneClaim("sigmoid_times_tanh", "upper", *box, 2.6953799233636394e-14, 1.0, 3.293333056210855e-08)
    assert check_plane(claim).status is Status.PROVED


@pytest.mark.parametrize("reach", [40.0, 300.0, 1000.0])
def test_saturated_constants_are_proved(reach):
    box = (-reach, reach, -reach, reach, 0.0, 0.0)
    assert check_plane(PlaneClaim("sigmoid", "upper", *box, 1.0)).status is Status.PROVED
    assert check_plane(PlaneClaim("sigmoid", "lower", *box, 0.0)).status is Status.PROVED
    assert check_plane(PlaneClaim("tanh", "lower", *box, -1.0)).status is Status.PROVED
    assert check_plane(PlaneClaim("sigmoid_times_tanh", "upper", *box, 1.0)).status is Status.PROVED
    assert check_plane(PlaneClaim("sigmoid", "upper", *box, math.nextafter(1.0, 0.0))).status is Status.REFUTED

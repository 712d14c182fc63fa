"""Laws of planes on octagons. Runs on the standard library, python-flint and pytest alone (tox -e kernel)."""

import math
import random
from dataclasses import replace
from fractions import Fraction

import pytest
from flint import arb, ctx

from refcert.kernel import cell_proof, diagonal_proof, guesses, octagon, octagon_proof
from refcert.kernel.cell_proof import holds_in_cells
from refcert.kernel.claims import SIDES, PlaneClaim, Status, as_upper
from refcert.kernel.diagonal_proof import Plane
from refcert.kernel.octagon import axes, diagonals, holds_point, shrunk
from refcert.kernel.plane_proof import check_plane

KINDS = ("sigmoid_times_tanh", "sigmoid_times_identity")
WIDTHS = (0.0, 1e-9, 1e-2, 1.0, 2.0, 8.0, 100.0)


def _inside(claim, v, z):
    """By rational numbers."""
    v, z = Fraction(v), Fraction(z)
    low_plus, high_plus, low_minus, high_minus = claim.diagonals
    in_box = claim.lower_v <= v <= claim.upper_v and claim.lower_z <= z <= claim.upper_z
    return in_box and low_plus <= v + z <= high_plus and low_minus <= v - z <= high_minus


def _excess(claim, v, z):
    """Surface less plane, with the sign of the side, at 300 bits."""
    before, ctx.prec = ctx.prec, 300
    try:
        x, y = arb(v), arb(z)
        value = (y.tanh() if claim.kind == "sigmoid_times_tanh" else y) / (1 + (-x).exp())
        return (value - x * claim.slope_v - y * claim.slope_z - claim.offset) * (1 if claim.side == "upper" else -1)
    finally:
        ctx.prec = before


def _points(rng, claim, count=60):
    """Points of the octagon, many of them on or next to edges: drawn in the box, then pushed onto bounds."""
    found = []
    for _ in range(count):
        v, z = rng.uniform(claim.lower_v, claim.upper_v), rng.uniform(claim.lower_z, claim.upper_z)
        low_plus, high_plus, low_minus, high_minus = claim.diagonals
        plus, minus = v + z, v - z
        if rng.random() < 0.7:
            plus = rng.choice((low_plus, high_plus, plus))
            minus = rng.choice((low_minus, high_minus, minus, minus))
        plus, minus = min(max(plus, low_plus), high_plus), min(max(minus, low_minus), high_minus)
        v, z = (plus + minus) / 2, (plus - minus) / 2
        found += [(a, b) for a in _three(v) for b in _three(z) if _inside(claim, a, b)][:3]
    return found


def _three(x):
    return x, math.nextafter(x, -math.inf), math.nextafter(x, math.inf)


def _claim(rng, kind, side):
    """A box, diagonals through it, slopes near a tangent; the offset is 0."""
    numbers = []
    for _ in range(2):
        width, centre = rng.choice(WIDTHS) * rng.random(), rng.choice((0.0, 1.0, 1.0, 3.0, 40.0)) * rng.uniform(-1, 1)
        numbers += [centre - width / 2, max(centre - width / 2, centre + width / 2)]
    low_v, high_v, low_z, high_z = numbers
    ends = []
    for low, high in ((low_v + low_z, high_v + high_z), (low_v - high_z, high_v - low_z)):
        cut = sorted((rng.uniform(low, high), rng.uniform(low, high)))
        ends += rng.choice((cut, [low, cut[1]], [cut[0], high], [low - 1, high + 1]))
    v, z = rng.uniform(low_v, high_v), rng.uniform(low_z, high_z)
    s, t = guesses.sigmoid(v), math.tanh(z)
    g, dg = (t, 1 - t * t) if kind == "sigmoid_times_tanh" else (z, 1.0)
    slopes = s * (1 - s) * g + rng.choice((0, 0.05)) * rng.gauss(0, 1), s * dg + rng.choice((0, 0.05)) * rng.gauss(0, 1)
    return PlaneClaim(kind, side, *numbers, *slopes, 0.0, diagonals=tuple(ends))


def _nonempty_claims(rng, kind, side, count):
    found = []
    while len(found) < count:
        claim = _claim(rng, kind, side)
        points = _points(rng, claim)
        if points:
            found.append((claim, points))
    return found


def _sharp(claim):
    """The last offset found REFUTED and the first one found PROVED, by bisection; None if nothing is refuted."""
    outward = 1.0 if claim.side == "upper" else -1.0
    size = 10 + sum(map(abs, (claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z)))
    inner, outer = -outward * 2 * size, outward * 2 * size
    assert check_plane(replace(claim, offset=outer)).status is Status.PROVED
    if check_plane(replace(claim, offset=inner)).status is not Status.REFUTED:
        return None
    for open_end in (Status.REFUTED, Status.PROVED):  # both ends of what is UNDECIDED
        low, high = inner, outer
        while abs(high - low) > 1e-13 * size:
            middle = (low + high) / 2
            status = check_plane(replace(claim, offset=middle)).status
            towards_outer = status is Status.REFUTED if open_end is Status.REFUTED else status is not Status.PROVED
            low, high = (middle, high) if towards_outer else (low, middle)
        if open_end is Status.REFUTED:
            refuted = low
        else:
            proved = high
    return refuted, proved, size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_no_point_of_the_octagon_is_beyond_a_proved_plane_and_little_is_left_undecided(kind, side):
    rng = random.Random(f"{kind}{side}")
    for claim, points in _nonempty_claims(rng, kind, side, 25):
        found = _sharp(claim)
        if found is None:
            continue  # too thin to hold a float that refutes
        refuted, proved, size = found
        assert all(not _excess(replace(claim, offset=proved), v, z) > 0 for v, z in points), claim
        assert abs(proved - refuted) <= 1e-10 * size, claim
        verdict = check_plane(replace(claim, offset=refuted))
        assert _inside(claim, *verdict.point)
        assert _excess(replace(claim, offset=refuted), *verdict.point) > 0
        assert _excess(replace(claim, offset=refuted), *verdict.point) >= verdict.violation >= 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_a_plane_lowered_below_a_point_of_the_octagon_is_never_proved(kind, side):
    rng = random.Random(f"planted{kind}{side}")
    outward = 1.0 if side == "upper" else -1.0
    refuted = 0
    for claim, points in _nonempty_claims(rng, kind, side, 60):
        v, z = rng.choice(points)
        touching = outward * float(_excess(claim, v, z).mid())  # the offset of the plane through this point
        for share in (1e-13, 1e-6, 1e-2):
            lowered = touching - outward * share * (1 + abs(touching))
            verdict = check_plane(replace(claim, offset=lowered))
            assert verdict.status is not Status.PROVED, (claim, v, z)
            refuted += verdict.status is Status.REFUTED
    assert refuted > 120


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_diagonals_that_the_box_implies_change_no_verdict(kind, side):
    rng = random.Random(f"implied{kind}{side}")
    found = set()
    for _ in range(40):
        claim = replace(_claim(rng, kind, side), diagonals=None)
        outward = 1.0 if side == "upper" else -1.0
        corners = [(v, z) for v in (claim.lower_v, claim.upper_v) for z in (claim.lower_z, claim.upper_z)]
        highest = max(float(_excess(claim, v, z).mid()) for v, z in corners)
        for room in (-1e-3, 0.0, 1e-3, 0.1):
            plain = replace(claim, offset=outward * (highest + room))
            whole = (
                *(math.nextafter(plain.lower_v + plain.lower_z, -math.inf), plain.upper_v + plain.upper_z + 1.0),
                *(plain.lower_v - plain.upper_z - 1.0, math.nextafter(plain.upper_v - plain.lower_z, math.inf)),
            )
            verdict = check_plane(plain)
            assert check_plane(replace(plain, diagonals=whole)).status is verdict.status
            found.add(verdict.status)
    assert found >= {Status.PROVED, Status.REFUTED}


@pytest.mark.parametrize("kind", KINDS)
def test_a_lower_plane_is_an_upper_plane_of_the_mirrored_octagon(kind):
    rng = random.Random(f"mirror{kind}")
    for claim, points in _nonempty_claims(rng, kind, "lower", 30):
        low_plus, high_plus, low_minus, high_minus = claim.diagonals
        for v, z in rng.sample(points, min(3, len(points))):
            claim = replace(claim, offset=-float(_excess(claim, v, z).mid()) - rng.choice((-1e-3, 1e-3, 0.1)))
            mirrored = PlaneClaim(
                *(kind, "upper", claim.lower_v, claim.upper_v, -claim.upper_z, -claim.lower_z),
                *(-claim.slope_v, claim.slope_z, -claim.offset),
                diagonals=(low_minus, high_minus, low_plus, high_plus),
            )
            lower, upper = check_plane(claim), check_plane(mirrored)
            assert lower.status is upper.status
            assert lower.violation == upper.violation
            if lower.point is not None:
                assert lower.point == (upper.point[0], -upper.point[1])


SQUARE = (-1.0, 1.0, -1.0, 1.0)


@pytest.mark.parametrize(
    ("kind", "diagonals", "slopes", "offset"),
    [
        # one corner is cut off, where the plane is too low: (1, 1), (-1, -1), (1, -1), (-1, 1)
        ("sigmoid_times_identity", (-2.0, 1.0, -2.0, 2.0), (-0.25, 0.5), 0.26),
        ("sigmoid_times_tanh", (-2.0, 1.0, -2.0, 2.0), (-0.2, 0.4), 0.22),
        ("sigmoid_times_identity", (-1.0, 2.0, -2.0, 2.0), (0.0, 0.75), 0.26),
        ("sigmoid_times_identity", (-2.0, 2.0, -2.0, 0.25), (-0.5, 0.9), 0.38),
        ("sigmoid_times_tanh", (-2.0, 2.0, -0.25, 2.0), (0.5, -0.1), 0.26),
        # two, about the line v = -z
        ("sigmoid_times_identity", (-0.25, 0.25, -2.0, 2.0), (0.0, 0.5), 0.004),
    ],
)
@pytest.mark.parametrize("side", SIDES)
def test_a_plane_that_holds_on_the_octagon_alone(kind, diagonals, slopes, offset, side):
    claim = PlaneClaim(kind, "upper", *SQUARE, *slopes, offset, diagonals=diagonals)
    if side == "lower":
        mirrored = (*diagonals[2:], *diagonals[:2])
        claim = PlaneClaim(kind, "lower", *SQUARE, -slopes[0], slopes[1], -offset, diagonals=mirrored)
    assert check_plane(claim).status is Status.PROVED
    verdict = check_plane(replace(claim, diagonals=None))
    assert verdict.status is Status.REFUTED
    assert not _inside(claim, *verdict.point)


@pytest.mark.parametrize("kind", KINDS)
def test_no_guess_whatsoever_proves_a_false_plane(kind, monkeypatch):
    rng = random.Random(f"noise{kind}")
    noise = [0.0, -0.0, 1e-300, 1.0, -1.0, -30.0, 40.0, 1e14, -1e14, 700.0, math.inf, -math.inf, math.nan]

    def contact(*_):
        return rng.choice(noise) if rng.random() < 0.5 else rng.uniform(-5, 5)

    def interior(*_):
        point = (contact(), contact())
        return None if any(not math.isfinite(x) for x in point) else point

    cases = []
    for side in SIDES:
        outward = 1.0 if side == "upper" else -1.0
        for claim, points in _nonempty_claims(rng, kind, side, 30):
            highest = max(float(_excess(claim, v, z).mid()) for v, z in points)
            cases.append(replace(claim, offset=outward * (highest - 1e-7 * (1 + abs(highest)))))
    monkeypatch.setattr(guesses, "sigmoid_contact", contact)
    monkeypatch.setattr(guesses, "tanh_contact", contact)
    monkeypatch.setattr(guesses, "interior_contact", interior)
    for claim in cases:
        assert check_plane(claim, precisions=(128, 256)).status is not Status.PROVED


def _peak(diagonals, lowered):
    """The tangent plane at (2, 1), which lies above the surface nearby, lowered; on a box with (2, 1) inside."""
    s, t = guesses.sigmoid(2.0), math.tanh(1.0)
    a, b = s * (1 - s) * t, s * (1 - t * t)
    offset = s * t - a * 2.0 - b - lowered
    return PlaneClaim("sigmoid_times_tanh", "upper", 1.6, 2.4, 0.6, 1.4, a, b, offset, diagonals=diagonals)


def test_a_maximum_inside_is_seen():
    around = (2.75, 3.25, 0.75, 1.25)
    for lowered in (1e-9, 1e-4):
        verdict = check_plane(_peak(around, lowered))
        assert verdict.status is Status.REFUTED
        assert verdict.violation == pytest.approx(lowered, rel=1e-3)
    assert check_plane(_peak(around, -1e-9)).status is Status.PROVED


@pytest.mark.parametrize("beside", [(3.25, 3.5, -1.0, 3.0), (0.0, 2.75, -1.0, 3.0), (0.0, 5.0, 1.25, 2.0)])
def test_a_maximum_outside_does_not_count(beside):
    """The box's proof meets it, also in the least box around the octagon; rectangles keep away from it."""
    claim = _peak(beside, 1e-4)
    assert check_plane(replace(claim, diagonals=None)).status is Status.REFUTED
    assert check_plane(claim).status is Status.PROVED
    upper = as_upper(claim)
    plane = Plane(arb(upper.slope_v), arb(upper.slope_z), arb(upper.offset))
    assert holds_in_cells(shrunk(upper), plane)
    around = replace(upper, diagonals=(2.75, 3.25, 0.75, 1.25))
    assert not holds_in_cells(shrunk(around), plane)


def test_rectangles_that_are_left_over_prove_nothing(monkeypatch):
    upper = as_upper(_peak((0.0, 2.75, -1.0, 3.0), 1e-4))
    plane = Plane(arb(upper.slope_v), arb(upper.slope_z), arb(upper.offset))
    monkeypatch.setattr(cell_proof, "CELLS", 1)
    assert not holds_in_cells(shrunk(upper), plane)


def test_pieces_that_are_left_over_prove_nothing(monkeypatch):
    claim = PlaneClaim("sigmoid_times_identity", "upper", *SQUARE, 0.0, 0.5, 1e-9, diagonals=(0.0, 0.0, -2.0, 2.0))
    assert check_plane(claim).status is Status.PROVED
    monkeypatch.setattr(diagonal_proof, "PIECES", 3)
    assert check_plane(claim).status is Status.UNDECIDED


def _off(claim, points):
    """Lowered below the highest of the points: false."""
    highest = max(float(_excess(claim, v, z).mid()) for v, z in points)
    return replace(claim, offset=(highest - 1e-6 * (1 + abs(highest))) * (1 if claim.side == "upper" else -1))


@pytest.mark.parametrize(
    "fault",
    [
        lambda patch: patch.setattr(octagon_proof, "holds_on_diagonal", lambda *_: octagon_proof.Outcome.PROVED),
        lambda patch: patch.setattr(octagon, "diagonals", lambda claim: diagonals(claim)[:1]),
        lambda patch: patch.setattr(octagon, "axes", lambda claim: axes(claim)[:1]),
        lambda patch: patch.setattr(octagon_proof, "holds_on_concave_half", lambda *_: True),
        lambda patch: patch.setattr(diagonal_proof, "larger", lambda a, b: b if b is diagonal_proof.ZERO else a),
        lambda patch: patch.setattr(diagonal_proof._Line, "bend", lambda *_: arb(0)),
        lambda patch: patch.setattr(octagon_proof, "holds_inside", lambda *_: True),
    ],
    ids=["diagonals", "one diagonal", "one side", "between ends", "left end only", "no bend", "inside"],
)
def test_what_a_proof_leaves_out_is_seen(fault, monkeypatch):
    """The planted planes of these tests find a kernel that proves too little."""
    rng = random.Random("faults")
    cases = [_off(*one) for kind in KINDS for side in SIDES for one in _nonempty_claims(rng, kind, side, 40)]
    cases += [_peak((2.75, 3.25, 0.75, 1.25), lowered) for lowered in (1e-9, 1e-4)]
    fault(monkeypatch)
    assert any(check_plane(claim, precisions=(128,)).status is Status.PROVED for claim in cases)


def test_an_empty_octagon_makes_no_claim_that_could_fail():
    for cut in ((2.5, 3.0, -9.0, 9.0), (-9.0, 9.0, 2.5, 3.0), (1.9, 2.0, 1.9, 2.0)):
        claim = PlaneClaim("sigmoid_times_identity", "upper", *SQUARE, 0.0, 0.0, -100.0, diagonals=cut)
        assert check_plane(claim).status is Status.PROVED


def test_thin_octagons():
    """A segment and a point: without room inside the edges decide."""
    segment = PlaneClaim("sigmoid_times_identity", "upper", *SQUARE, 0.0, 0.5, 0.0, diagonals=(0.0, 0.0, -2.0, 2.0))
    # along z = -v the surface less z / 2 is (sigmoid(v) - 1/2) (-v) <= 0, and 0 at v = 0: touched without room
    verdict = check_plane(segment)
    assert verdict.status is Status.UNDECIDED
    assert "edge v + z = 0.0" in verdict.reason
    assert check_plane(replace(segment, offset=1e-12)).status is Status.PROVED
    verdict = check_plane(replace(segment, offset=-1e-12))
    assert verdict.status is Status.REFUTED
    assert verdict.point[0] == -verdict.point[1]
    corner = replace(segment, diagonals=(2.0, 2.0, 0.0, 0.0), offset=float.fromhex("0x1.d9353d7568af4p-3"))
    assert check_plane(corner).status is Status.PROVED
    assert check_plane(replace(corner, offset=math.nextafter(corner.offset, 0.0))).status is Status.REFUTED


def test_ends_are_rounded_outward_and_never_beyond_the_box():
    rng = random.Random("ends")
    for _ in range(200):
        claim = as_upper(_claim(rng, "sigmoid_times_identity", "upper"))
        low_plus, high_plus, low_minus, high_minus = map(Fraction, claim.diagonals)
        least = shrunk(claim)
        if least is None:
            continue
        assert claim.lower_v <= least.lower_v <= least.upper_v <= claim.upper_v
        assert claim.lower_z <= least.lower_z <= least.upper_z <= claim.upper_z
        box = {"v": (least.lower_v, least.upper_v), "z": (least.lower_z, least.upper_z)}
        for axis in axes(least):
            low, high = box[axis.along]
            assert low <= axis.first <= axis.last <= high
            fixed, sign = Fraction(axis.fixed), 1 if axis.along == "v" else -1
            ends = [low_plus - fixed, *((low_minus + fixed) if sign > 0 else (fixed - high_minus),)]
            assert Fraction(axis.first) <= max(Fraction(low), *ends)
            ends = [high_plus - fixed, *((high_minus + fixed) if sign > 0 else (fixed - low_minus),)]
            assert Fraction(axis.last) >= min(Fraction(high), *ends)
        for edge in diagonals(least):
            assert edge.turn * edge.level in [edge.turn * x * (-1 if edge.turn > 0 else 1) for x in claim.diagonals]
            assert least.lower_v <= edge.first <= edge.last <= least.upper_v


def test_every_edge_point_is_on_an_edge_that_is_looked_at():
    """Drawn points of the octagon's border, in rational numbers, lie on an edge of the list."""
    rng = random.Random("border")
    seen = 0
    for _ in range(200):
        claim = as_upper(_claim(rng, "sigmoid_times_identity", "upper"))
        least = shrunk(claim)
        for v, z in _points(rng, claim, 20):
            assert least is not None
            assert least.lower_v <= v <= least.upper_v
            assert least.lower_z <= z <= least.upper_z
            plus, minus = Fraction(v) + Fraction(z), Fraction(v) - Fraction(z)
            on_side = [
                axis
                for axis in axes(least)
                if (v if axis.along == "z" else z) == axis.fixed
                and axis.first <= (z if axis.along == "z" else v) <= axis.last
            ]
            on_diagonal = [
                edge
                for edge in diagonals(least)
                if (plus == edge.level if edge.turn < 0 else minus == -Fraction(edge.level))
                and edge.first <= v <= edge.last
            ]
            low_plus, high_plus, low_minus, high_minus = claim.diagonals
            on_border = v in (claim.lower_v, claim.upper_v) or z in (claim.lower_z, claim.upper_z)
            on_border = on_border or plus in (low_plus, high_plus) or minus in (low_minus, high_minus)
            assert not on_border or on_side or on_diagonal, (claim, v, z)
            seen += on_border
    assert seen > 300


def test_points_are_held_against_the_octagon_exactly():
    claim = PlaneClaim(
        "sigmoid_times_tanh", "upper", -1.0, 1.0, -1e-30, 1e-30, 0, 0, 0, diagonals=(0.0, 0.5, -1.0, 0.5)
    )
    assert holds_point(claim, 0.5, 0.0)
    assert not holds_point(claim, 0.5, 1e-30)  # 0.5 + 1e-30 is 0.5 in floats
    assert not holds_point(claim, 0.5, -1e-30)
    assert holds_point(claim, 1e-30, -1e-30)
    assert not holds_point(claim, 9e-31, -1e-30)


def test_too_little_precision_is_undecided_never_wrong():
    claim = PlaneClaim("sigmoid_times_identity", "upper", *SQUARE, 0.0, 0.5, 0.004, diagonals=(-0.25, 0.25, -2.0, 2.0))
    assert check_plane(claim, precisions=(4,)).status is Status.UNDECIDED
    assert check_plane(claim, precisions=(4, 64)).status is Status.PROVED
    assert check_plane(claim, precisions=()).status is Status.UNDECIDED


def test_checking_restores_the_precision():
    before = ctx.prec
    check_plane(PlaneClaim("sigmoid_times_tanh", "upper", *SQUARE, 0.1, 0.1, 1.0, diagonals=(-1.0, 1.0, -1.0, 1.0)))
    assert ctx.prec == before

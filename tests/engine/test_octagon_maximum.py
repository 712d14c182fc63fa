"""Laws of exact offsets on octagons: sound on every one, for any slopes, and tight."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.bounds import Box, Diagonals
from gpu_engine.relaxations.octagon import octagon
from gpu_engine.relaxations.octagon_edges import Octagon, octagon_of
from gpu_engine.relaxations.octagon_maximum import PIECES, octagon_maximum
from gpu_engine.relaxations.products import PRODUCTS
from refcert.audit.domain import vertices
from refcert.kernel.claims import PlaneClaim, Status
from refcert.reference import octagons
from refcert.reference.intervals import Interval
from tests.engine.octagon_planes import drawn_diagonals, exact_pair, not_proved, octagon_claims
from tests.engine.plane_claims import engine_boxes

KINDS = sorted(PRODUCTS)
REACHES = st.sampled_from([1e-9, 0.1, 1.0, 30.0])
SEEDS = st.integers(0, 2**32 - 1)


def single(box: Box) -> Box:
    return Box(box.lower.float(), torch.maximum(box.lower.float(), box.upper.float()))


def slopes_of(rng, v, reach):
    return tuple(torch.tensor(rng.normal(0, reach, v.lower.shape)).to(v.lower.dtype) for _ in range(2))


def tensors(*rows):
    return [torch.tensor(row, dtype=torch.float64) for row in rows]


def moderate(rng, count, half=2.5):
    """Boxes around 0 with octagons."""
    centre, half = rng.uniform(-3, 3, (2, count)), half * rng.uniform(0.05, 1, (2, count))
    v, z = (Box(torch.tensor(c - h), torch.tensor(c + h)) for c, h in zip(centre, half, strict=True))
    return v, z, drawn_diagonals(v, z, rng)


def touching_pair(kind, rng, v, z, diagonals):
    """Planes with the slopes of the surface somewhere in the box."""
    at = [box.lower + torch.tensor(rng.uniform(0, 1, box.lower.shape)) * (box.upper - box.lower) for box in (v, z)]
    s = torch.sigmoid(at[0])
    product = PRODUCTS[kind]
    a, b = s * torch.sigmoid(-at[0]) * product.g_value(at[1]), s * product.g_slope(at[1])
    return a, b, exact_pair(kind, v, z, diagonals, a, b)


@pytest.mark.parametrize("kind", KINDS)
@given(box=engine_boxes(), seed=SEEDS, reach=REACHES, floats=st.booleans())
def test_offsets_are_sound_for_any_slopes(kind, box, seed, reach, floats):
    v, z = map(single, box) if floats else box
    rng = np.random.default_rng(seed)
    diagonals = drawn_diagonals(v, z, rng)
    pair = exact_pair(kind, v, z, diagonals, *slopes_of(rng, v, reach))
    assert not_proved(octagon_claims(kind, v, z, diagonals, pair)) == []


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=max(1, settings.default.max_examples // 2))
@given(box=engine_boxes(), seed=SEEDS, floats=st.booleans())
def test_the_relaxation_is_sound(kind, box, seed, floats):
    v, z = map(single, box) if floats else box
    diagonals = drawn_diagonals(v, z, np.random.default_rng(seed))
    pair = octagon(PRODUCTS[kind], v, z, diagonals)
    assert torch.equal(pair.lower.slope_z, pair.upper.slope_z)
    assert not_proved(octagon_claims(kind, v, z, diagonals, pair)) == []


def samples(claim: PlaneClaim, rng, count):
    """Exact points of the octagon: averages of its corners, and points of its edges."""
    corners = vertices(claim)
    for k in range(count):
        some = [corners[i] for i in rng.integers(0, len(corners), 2 if k % 2 else 3)]
        if k % 2:  # of an edge
            some = [some[0], corners[(corners.index(some[0]) + 1) % len(corners)]]
        weights = [Fraction(int(w)) for w in rng.integers(1, 2**20, len(some))]
        total = sum(weights)
        yield tuple(
            sum((w * p[axis] for w, p in zip(weights, some, strict=True)), Fraction(0)) / total for axis in (0, 1)
        )
    yield from corners


def excess_of(claim, point):
    """The surface over an upper plane, a lower plane over the surface, in 60 digits."""
    with mpmath.workdps(60):
        v, z, a, b, c = (
            mpmath.mpf(Fraction(x).numerator) / Fraction(x).denominator
            for x in (*point, claim.slope_v, claim.slope_z, claim.offset)
        )
        f = (mpmath.tanh(z) if claim.kind.endswith("tanh") else z) / (1 + mpmath.exp(-v))
        return (f - a * v - b * z - c) * (1 if claim.side == "upper" else -1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1.0, 1e-8, 30.0, 1e6, 1e12, 1e30])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_no_sample_is_beyond(kind, scale, dtype):
    """The same law without any of the audit's proofs: points as fractions, values in 60 digits.

    At 1e30 the square of an edge's length is too large for float32: infinity, outward, or NaN says so, which a run
    refuses.
    """
    rng = np.random.default_rng(17)
    ends = np.sort(scale * rng.normal(0, 1, (4, 2, 6)), axis=1)
    v, z = (Box(*torch.tensor(ends[k]).to(dtype)) for k in (0, 1))
    diagonals = drawn_diagonals(v, z, rng)
    pair = exact_pair(kind, v, z, diagonals, *slopes_of(rng, v, 0.5))
    tried = 0
    for claim in octagon_claims(kind, v, z, diagonals, pair):
        if not math.isfinite(claim.offset) and scale == 1e30 and dtype is torch.float32:
            assert math.isnan(claim.offset) or (claim.offset > 0) == (claim.side == "upper")
            continue
        assert math.isfinite(claim.offset)
        if not vertices(claim):
            continue  # float32 ends can leave nothing
        for point in samples(claim, rng, 24):
            assert excess_of(claim, point) <= 0
            tried += 1
    assert tried > 200 or (scale == 1e30 and dtype is torch.float32)


@pytest.mark.parametrize("kind", KINDS)
@given(box=engine_boxes(), seed=SEEDS, reach=REACHES)
def test_diagonals_that_do_not_bind_change_nothing_but_roundings(kind, box, seed, reach):
    v, z = box
    a, b = slopes_of(np.random.default_rng(seed), v, reach)
    product = PRODUCTS[kind]
    on_box = product.upper_maximum(v, z, a, b).value
    far = 1.0 + v.magnitude() + z.magnitude()
    # the ends of implied diagonals are sums, pushed outward by roundings of both coordinates
    slack = 1e-13 * (1 + a.abs() + b.abs()) * (v.magnitude() + z.magnitude()) + 1e-300
    for shape in (octagon_of(v, z, None), Octagon(v, z, Box(-2 * far, 2 * far), Box(-2 * far, 2 * far))):
        found = octagon_maximum(product, shape, a, b).value
        assert bool((found >= on_box - slack).all())
        assert bool((found <= on_box + slack).all())


def bend_of(kind, claim):
    """A bound of |h''| on diagonals: s' (|t g| + 2 g') + s |g''|."""
    largest = max(abs(claim.lower_z), abs(claim.upper_z))
    return 0.25 * (min(largest, 1.0) + 2) + 0.77 if kind.endswith("tanh") else 0.25 * (largest + 2)


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_are_as_tight_as_they_say(kind):
    """Above the true maximum by what a piece of a diagonal edge may cost, and by next to nothing for most.

    Interior maxima, which sigmoid(v) tanh(z) has, are bounded over the box around the octagon: some are looser.
    """
    rng = np.random.default_rng(3)
    for half in (2.5, 1e-3):
        v, z, diagonals = moderate(rng, 150, half)
        _, _, pair = touching_pair(kind, rng, v, z, diagonals)
        loose = []
        for claim in octagon_claims(kind, v, z, diagonals, pair):
            low_plus, high_plus, low_minus, high_minus = claim.diagonals
            cut = octagons.Diagonals(Interval(low_plus, high_plus), Interval(low_minus, high_minus))
            box = Interval(claim.lower_v, claim.upper_v), Interval(claim.lower_z, claim.upper_z)
            low, high = octagons.extreme_on_octagon(kind, *box, cut, claim.slope_v, claim.slope_z)
            extra = claim.offset - high.value if claim.side == "upper" else low.value - claim.offset
            longest = min(claim.upper_v - claim.lower_v, claim.upper_z - claim.lower_z)
            assert extra >= 0
            loose.append(extra / (bend_of(kind, claim) * (longest / PIECES) ** 2 / 8 + 1e-13))
        assert max(loose) <= 1.0 or kind.endswith("tanh")
        assert np.mean(np.array(loose) <= 1.0) >= 0.97
        assert np.median(loose) <= 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_plane_pushed_in_by_more_than_a_piece_is_refuted(kind):
    rng = np.random.default_rng(5)
    refuted = tried = 0
    v, z, diagonals = moderate(rng, 100)
    _, _, pair = touching_pair(kind, rng, v, z, diagonals)
    for claim in octagon_claims(kind, v, z, diagonals, pair):
        longest = min(claim.upper_v - claim.lower_v, claim.upper_z - claim.lower_z)
        inward = bend_of(kind, claim) * (longest / PIECES) ** 2 / 8 + 1e-9
        tried += 1
        offset = claim.offset + (inward if claim.side == "lower" else -inward)
        moved = PlaneClaim(
            *(kind, claim.side, claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z),
            *(claim.slope_v, claim.slope_z, offset),
            diagonals=claim.diagonals,
        )
        refuted += [verdict.status for _, verdict in not_proved([moved])].count(Status.REFUTED)
    assert refuted >= (tried if kind.endswith("identity") else 0.97 * tried)


# Boxes and diagonals that leave a point, a line, or a corner.
DEGENERATE = {
    "a box that is a point": ((0.25, 0.25), (-1.25, -1.25), (-1.0, -1.0), (1.5, 1.5)),
    "no width in v": ((0.5, 0.5), (-1.0, 2.0), (0.0, 1.75), (-1.0, 1.0)),
    "no width in z": ((-1.0, 2.0), (0.75, 0.75), (0.0, 1.75), (-1.0, 1.0)),
    "a point": ((-1.0, 2.0), (-1.0, 2.0), (0.75, 0.75), (0.25, 0.25)),
    "a falling line": ((-1.0, 2.0), (-1.0, 2.0), (0.75, 0.75), (-1.0, 1.25)),
    "a rising line": ((-1.0, 2.0), (-1.0, 2.0), (-1.0, 2.5), (0.25, 0.25)),
    "a corner": ((-1.0, 2.0), (-1.0, 2.0), (4.0, 5.0), (-1.0, 1.0)),
    "a triangle": ((0.0, 2.0), (0.0, 2.0), (0.0, 1.0), (-2.0, 2.0)),
}


@pytest.mark.parametrize("ends", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("kind", KINDS)
def test_octagons_that_have_degenerated(kind, ends):
    rng = np.random.default_rng(0)
    count = 20
    v, z, plus, minus = (Box(*(torch.full((count,), end, dtype=torch.float64) for end in pair)) for pair in ends)
    diagonals = Diagonals(plus, minus)
    pair = exact_pair(kind, v, z, diagonals, *slopes_of(rng, v, 0.7))
    rows = octagon_claims(kind, v, z, diagonals, pair)
    assert not_proved(rows) == []
    for claim in rows:
        cut = octagons.Diagonals(Interval(*ends[2]), Interval(*ends[3]))
        low, high = octagons.extreme_on_octagon(
            kind, Interval(*ends[0]), Interval(*ends[1]), cut, claim.slope_v, claim.slope_z
        )
        extra = claim.offset - high.value if claim.side == "upper" else low.value - claim.offset
        longest = min(claim.upper_v - claim.lower_v, claim.upper_z - claim.lower_z)
        assert extra >= 0
        if kind.endswith("identity"):  # interior maxima of the other are bounded over the box around the octagon
            assert extra <= bend_of(kind, claim) * (longest / PIECES) ** 2 / 8 + 1e-13


def test_where_the_maximum_is_found():
    """The point that goes with an offset is one of the box, mostly of the octagon, and nearly attains it."""
    rng = np.random.default_rng(8)
    for kind in KINDS:
        v, z, diagonals = moderate(rng, 200, 1.0)
        a, b, _ = touching_pair(kind, rng, v, z, diagonals)
        found = octagon_maximum(PRODUCTS[kind], octagon_of(v, z, diagonals), a, b)
        attained = PRODUCTS[kind].value(found.v, found.z) - a * found.v - b * found.z
        near, inside = 1e-9, torch.ones(200, dtype=torch.bool)
        for at, box in ((found.v, v), (found.z, z)):
            assert bool(((box.lower - near <= at) & (at <= box.upper + near)).all())
        for at, box in ((found.v + found.z, diagonals.plus), (found.v - found.z, diagonals.minus)):
            inside &= (box.lower - near <= at) & (at <= box.upper + near)
        assert int(inside.sum()) >= (200 if kind.endswith("identity") else 160)
        assert bool((found.value >= attained - 1e-15)[inside].all())
        assert float((found.value - attained).median()) <= 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_nan_is_seen(kind):
    good = tensors([-1.0] * 8, [1.0] * 8) * 4 + tensors([0.1] * 8, [0.2] * 8)
    for place in range(len(good)):
        values = [value.clone() for value in good]
        values[place][3] = torch.nan
        v, z, plus, minus = (Box(*values[k : k + 2]) for k in (0, 2, 4, 6))
        found = octagon_maximum(PRODUCTS[kind], Octagon(v, z, plus, minus), values[8], values[9]).value
        assert bool(torch.isnan(found[3]))
        assert bool(torch.isfinite(found[[0, 1, 2, 4, 5, 6, 7]]).all())


def test_inputs_are_not_modified():
    rng = np.random.default_rng(1)
    v, z, diagonals = moderate(rng, 5)
    everything = [getattr(box, end) for box in (v, z, diagonals.plus, diagonals.minus) for end in ("lower", "upper")]
    before = [value.clone() for value in everything]
    for kind in KINDS:
        octagon(PRODUCTS[kind], v, z, diagonals)
    assert all(torch.equal(one, other) for one, other in zip(before, everything, strict=True))

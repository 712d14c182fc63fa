"""Volume ratios of planes: laws of the ratio, known optima, mirrors, and what has no ratio."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.audit.plane_table import PlaneTable
from refcert.audit.tightness_lp import GAP, FloatPlane, Optimum, Why, least_volumes, volume_ratios
from refcert.kernel.claims import KINDS, SIDES, PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane
from refcert.reference.exact_planes import plane_above, plane_below
from refcert.reference.intervals import Interval, kind_interval
from refcert.reference.least_volume import GAP as REFERENCE_GAP
from refcert.reference.least_volume import least_volume

WIDTHS = (1e-6, 0.05, 0.5, 2.0, 6.0, 15.0)
SMOOTH = tuple(kind for kind in KINDS if kind != "relu")
seeds = st.integers(0, 2**32 - 1)


def drawn_boxes(rng, count, widths=WIDTHS):
    """Boxes around centres in [-5, 5], each axis with a width of its own, (count, 4).

    Not the public ones: laws about optima need boxes on which the linear program resolves one.
    """
    centre = rng.uniform(-5, 5, (count, 2))
    half = rng.choice(widths, (count, 2)) * rng.uniform(0.25, 0.5, (count, 2))
    return np.stack((centre - half, centre + half), axis=2).reshape(count, 4)


def table_of(kind, side, box, planes):
    """One row per entry; kind and side may be single strings."""
    count = len(box)
    columns = {"kind": np.broadcast_to(kind, count).astype(str), "side": np.broadcast_to(side, count).astype(str)}
    columns |= {name: box[:, k].copy() for k, name in enumerate(("lower_v", "upper_v", "lower_z", "upper_z"))}
    planes = np.asarray(planes, dtype=np.float64)
    return PlaneTable(columns | {name: planes[:, k].copy() for k, name in enumerate(FloatPlane._fields)})


def solve(kind, side, box):
    count = len(box)
    return least_volumes(np.full(count, kind), np.full(count, side), box)


@settings(max_examples=15)
@given(seeds, st.sampled_from(SMOOTH), st.sampled_from(SIDES))
def test_no_sound_plane_passes_the_optimum_and_the_optimum_is_reached(seed, kind, side):
    rng = np.random.default_rng(seed)
    box = drawn_boxes(rng, 6)
    for optimum, ends in zip(solve(kind, side, box), box.tolist(), strict=True):
        assert isinstance(optimum, Optimum)
        assert 0 <= optimum.gap <= GAP
        claim = PlaneClaim(kind, side, *ends, *optimum.plane)
        assert check_plane(claim).status is not Status.REFUTED
        volume, ratio = optimum.measure(optimum.plane)
        assert volume >= optimum.least * (1 - 1e-15)
        assert ratio >= 1
        if optimum.expressible:
            assert ratio <= 1 + GAP
        # Sound planes with slopes near the best ones, and at random.
        v, z = Interval(*ends[:2]), Interval(*ends[2:])
        for spread in (1e-3, 0.3):
            a, b = (slope + spread * rng.normal() for slope in optimum.plane[:2])
            sound = (plane_above if side == "upper" else plane_below)(kind, v, z, a, b)
            assert optimum.measure(FloatPlane(*sound))[1] >= 1


@settings(max_examples=8)
@given(seeds, st.sampled_from(KINDS), st.sampled_from(SIDES))
def test_the_slow_reference_agrees(seed, kind, side):
    """`reference.least_volume` solves each box by itself, with scalar separation and another solver's interface."""
    box = drawn_boxes(np.random.default_rng(seed), 3, widths=(0.5, 2.0, 6.0))
    for optimum, ends in zip(solve(kind, side, box), box.tolist(), strict=True):
        if optimum is Why.FLAT:
            continue
        v, z = Interval(*ends[:2]), Interval(*ends[2:])
        volume, ratio = optimum.measure(FloatPlane(*least_volume(kind, v, z, side).plane))
        assert ratio >= 1
        # The reference's gap is relative to the size of f.
        assert volume - optimum.least <= 4 * REFERENCE_GAP * kind_interval(kind, v, z).magnitude


@settings(max_examples=8)
@given(seeds, st.sampled_from(SMOOTH))
def test_lower_planes_are_mirrored_upper_planes(seed, kind):
    """f(v, -z) = -f(v, z) for products; tanh(-v) = -tanh(v), sigmoid(-v) = 1 - sigmoid(v): the same least volume."""
    box = drawn_boxes(np.random.default_rng(seed), 4)
    mirrored = -box[:, [1, 0, 3, 2]]
    if "times" in kind:
        mirrored[:, :2] = box[:, :2]
    for lower, upper in zip(solve(kind, "lower", mirrored), solve(kind, "upper", box), strict=True):
        assert lower.least == pytest.approx(upper.least, rel=2 * GAP)


@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("side", SIDES)
def test_kinds_of_one_argument_ignore_z(kind, side):
    rng = np.random.default_rng(1)
    box = drawn_boxes(rng, 5, widths=(12.0,))
    elsewhere = np.concatenate((box[:, :2], np.full((5, 2), math.nan)), axis=1)
    for one, other in zip(solve(kind, side, box), solve(kind, side, elsewhere), strict=True):
        assert (one.least, one.plane, one.support) == (other.least, other.plane, other.support)
    planes = np.tile((0.0, 7.0, 20.0 if side == "upper" else -20.0), (5, 1))
    ratios = volume_ratios(table_of(kind, side, box, planes)).ratio
    planes[:, 1] = math.nan
    assert np.array_equal(ratios, volume_ratios(table_of(kind, side, box, planes)).ratio)


def test_relu_by_hand():
    """Above relu on [-1, 1]: the chord, area 1/4 a unit. Below: any line through the kink, the same."""
    box = np.tile((-1.0, 1.0, 0.0, 0.0), (6, 1))
    side = ["upper", "upper", "upper", "lower", "lower", "lower"]
    planes = [(0.5, 0, 0.5), (0.5, 0, 0.75), (0.5, 0, 0.375), (0.25, 0, 0.0), (1.0, 0, -0.25), (0.5, 0, 0.125)]
    found = volume_ratios(table_of("relu", side, box, planes))
    assert found.least == pytest.approx(0.25, rel=1e-15)
    assert found.volume.tolist() == pytest.approx([0.25, 0.5, 0.125, 0.25, 0.5, 0.125], rel=1e-15)
    assert found.ratio.tolist() == pytest.approx([1, 2, math.nan, 1, 2, math.nan], rel=1e-14, nan_ok=True)
    # The third cuts the surface: less than the least volume is not possible for a sound plane.
    assert found.why.tolist() == ["", "", Why.REFUTED, "", "", Why.REFUTED]


def test_a_bilinear_limit_by_hand():
    """Above sigmoid(v) z on a box around 0 two opposite corners touch, as McCormick's planes do."""
    (optimum,) = solve("sigmoid_times_identity", "upper", np.array([[-1.0, 1.0, -1.0, 1.0]]))
    corners = {(float(v.p), float(z.p)) for v, z in optimum.support.points}
    assert corners == {(-1.0, -1.0), (1.0, 1.0)}
    # sigmoid(1) - sigmoid(-1) over 2 at the centre, where the mean is (mean of sigmoid) * 0.
    assert optimum.least == pytest.approx((1 / (1 + math.exp(-1)) - 1 / (1 + math.e)) / 2, rel=1e-14)


def test_where_the_surface_is_concave_the_tangent_is_best():
    """On a box in the concave region the plane touches at the centre, also where no float64 plane is that near."""
    box = np.array([[3.0, 3.5, 1.0, 1.5], [3.0, 3.0 + 2.0**-30, 1.0, 1.0 + 2.0**-30]])
    wide, thin = solve("sigmoid_times_tanh", "upper", box)
    for optimum in (wide, thin):
        assert len(optimum.support.points) == 1
        assert optimum.gap <= GAP
    assert wide.expressible
    assert not thin.expressible


def test_volumes_are_of_second_order_in_the_widths():
    """Halving a thin box quarters its least volume: rounding would hide that, were it relative to f."""
    for kind in SMOOTH:
        half = 2.0 ** -np.arange(10, 36, 5)
        box = np.stack((1 - half, 1 + half, 0.5 - half, 0.5 + half), axis=1)
        for side in SIDES:
            least = np.array([optimum.least for optimum in solve(kind, side, box)])
            assert least[:-1] / least[1:] == pytest.approx(4.0**5, rel=1e-2)


def test_what_has_no_ratio_says_why():
    box = np.array(
        [
            [-1.0, 1.0, 0.5, 0.5],  # no area
            [0.5, 0.5, -1.0, 1.0],  # no area
            [-1.0, 1.0, -1.0, 1.0],
            [-1.0, 1.0, -1.0, 1.0],  # below the surface
            [-1e-200, 1e-200, -1e-200, 1e-200],  # float64 cannot express the surface's rise
        ]
    )
    planes = np.tile((0.0, 0.0, 1.0), (5, 1))
    planes[3, 2] = 0.1
    found = volume_ratios(table_of("sigmoid_times_tanh", "upper", box, planes))
    assert found.why.tolist() == [Why.NO_AREA, Why.NO_AREA, "", Why.REFUTED, Why.UNRESOLVED]
    assert np.isnan(found.ratio).tolist() == [True, True, False, True, True]
    straight = volume_ratios(table_of("relu", "upper", np.array([[1.0, 2.0, 0.0, 0.0]]), [(1.0, 0.0, 0.0)]))
    assert straight.why.tolist() == [Why.FLAT]
    summary = found.summary()
    assert (summary["planes"], summary["used"], summary["no_area"], summary["refuted"]) == (5, 1, 2, 1)
    assert summary["by_kind"]["sigmoid_times_tanh"]["unresolved"] == 1
    assert set(summary["ratio"]) >= {"least", "median", "largest"}


def test_refuted_planes_have_no_ratio():
    """A plane with more than the least volume can cut the surface, too; the audit knows."""
    box = np.array([[-1.0, 1.0, -1.0, 1.0]] * 2)
    # Steep: far above the centre, yet cutting the surface at a corner.
    planes = [(2.0, 0.0, 1.0), (0.0, 0.0, 1.0)]
    table = table_of("sigmoid_times_tanh", "upper", box, planes)
    assert volume_ratios(table).why.tolist() == ["", ""]
    sound = np.array([check_plane(claim).status is Status.PROVED for claim in table.claims()])
    assert sound.tolist() == [False, True]
    found = volume_ratios(table, sound=sound)
    assert found.why.tolist() == [Why.REFUTED, ""]
    assert np.isnan(found.ratio).tolist() == [True, False]


def test_equal_questions_are_answered_alike_in_any_order_and_inputs_stay():
    rng = np.random.default_rng(5)
    box = np.repeat(drawn_boxes(rng, 4, widths=(1.0, 4.0)), 3, axis=0)
    box[0, 0], box[1, 0], box[2, 0] = 0.0, -0.0, 0.0
    box[:3, 1] = 1.0
    kind, side = rng.choice(KINDS, 12), rng.choice(SIDES, 12)
    kind[:3], side[:3] = "tanh", "upper"
    planes = np.where(side == "upper", 1.0, -1.0)[:, None] * (0.0, 0.0, 30.0)
    table = table_of(kind, side, box, planes)
    before = {name: column.copy() for name, column in table.columns.items()}
    ticks = []
    found = volume_ratios(table, progress=ticks.append)
    assert sum(ticks) == 12
    assert all(
        np.array_equal(before[name], column, equal_nan=name.endswith("z")) for name, column in table.columns.items()
    )
    assert len(set(found.least[:3].tolist())) == 1
    order = rng.permutation(12)
    shuffled = volume_ratios(table_of(kind[order], side[order], box[order], planes[order]))
    for name in ("ratio", "least", "gap", "offset", "points"):
        assert np.array_equal(getattr(found, name)[order], getattr(shuffled, name), equal_nan=True)
    assert np.array_equal(found.why[order], shuffled.why)


def test_touching_points_are_touched():
    """At its points with weight the optimum plane has the height of the surface, and nowhere less."""
    box = drawn_boxes(np.random.default_rng(8), 20, widths=(1.0, 4.0))
    found = volume_ratios(table_of("sigmoid_times_tanh", "lower", box, np.tile((0.0, 0.0, -2.0), (20, 1))))
    assert (found.why == "").all()
    v, z = found.points[..., 0], found.points[..., 1]
    surface = np.tanh(z) / (1 + np.exp(-v))
    plane = found.slope_v[:, None] * v + found.slope_z[:, None] * z + found.offset[:, None]
    touched = found.weights > 0
    assert touched.any(1).all()
    assert np.abs(surface - plane)[touched].max() < 1e-13
    assert found.weights.sum(1) == pytest.approx(1.0, rel=1e-15)
    for points, centre in ((v, box[:, :2].mean(1)), (z, box[:, 2:].mean(1))):
        assert (np.nan_to_num(points) * found.weights).sum(1) == pytest.approx(centre, abs=1e-14)


def test_bad_requests_are_refused():
    table = table_of("tanh", "upper", np.array([[0.0, 1.0, 0.0, 0.0]]), [(0.0, 0.0, 1.0)])
    for gap in (0.0, -1.0, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"gap is .*; give a share"):
            volume_ratios(table, gap=gap)
    with pytest.raises(ValueError, match=r"sound has shape \(2,\); give one entry for each of the 1 planes"):
        volume_ratios(table, sound=np.array([True, True]))


@pytest.mark.long
@settings(max_examples=100)
@given(seeds)
def test_many_boxes_of_all_widths_are_resolved(seed):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-1, 1, (300, 2)) * rng.choice((1, 5, 15, 40), (300, 1))
    half = 10.0 ** rng.uniform(-12, 1.3, (300, 2))
    box = np.stack((centre - half, centre + half), axis=2).reshape(300, 4)
    box = box[(box[:, 0] < box[:, 1]) & (box[:, 2] < box[:, 3])]
    kind, side = rng.choice(SMOOTH, len(box)), rng.choice(SIDES, len(box))
    for row, optimum in enumerate(least_volumes(kind, side, box)):
        assert isinstance(optimum, Optimum), (kind[row], side[row], box[row].tolist())
        assert optimum.gap <= GAP


def test_a_ratio_above_every_float_is_left_out_with_its_reason():
    """Regression: infinity went into the JSON. The box is so thin that the least volume is 1e-19."""
    box = np.array([[1.0, 1.0 + 1e-9, 0.0, 0.0]] * 3)
    table = table_of("tanh", "upper", box, [(0.0, 0.0, 1e308), (0.0, 0.0, 1.0), (1e308, 0.0, 1e308)])
    found = volume_ratios(table, sound=np.ones(3, dtype=bool))
    assert found.why.tolist() == [Why.OVERFLOW, "", Why.OVERFLOW]
    assert np.isfinite(found.ratio).tolist() == [False, True, False]
    assert np.isnan(found.ratio).tolist() == [True, False, True]
    summary = found.summary()
    assert (summary["used"], summary["overflow"]) == (1, 2)
    assert summary["ratio"]["largest"] == found.ratio[1]


@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "sigmoid_times_tanh"])
@pytest.mark.parametrize("side", SIDES)
def test_tiny_boxes_around_the_point_of_inflection_are_resolved(kind, side):
    """Regression: the slope of the plane is that of the surface at 0 to the last bit, so no contact was found."""
    v = np.array([[-1.8e-34, 2.1e-34], [8e-45, 3.5e-44], [-5.7e-54, 5.6e-54], [-7.7e-40, -5.6e-40]])
    z = np.array([[0.0, 0.0]] * 4)
    if kind == "sigmoid_times_tanh":
        z = np.array([[-1.1e-14, 2.1e-14], [-4e-15, 2e-14], [-5.1e-26, 5.5e-26], [-4.6e-13, 2.5e-13]])
    for box, optimum in zip(np.hstack((v, z)), solve(kind, side, np.hstack((v, z))), strict=True):
        assert isinstance(optimum, Optimum), box
        assert optimum.gap <= GAP

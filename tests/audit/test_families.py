"""Drawn boxes and planes are valid, repeatable, what their names say, and right about their truth."""

from __future__ import annotations

import numpy as np
import pytest

from refcert.audit.families.boxes import BOX_FAMILIES, draw_boxes
from refcert.audit.families.folds import draw_folds, singular_z
from refcert.audit.families.planes import (
    BLOCK,
    MOVES,
    PLANE_FAMILIES,
    draw_block,
    draw_blocks,
    draw_planes,
)
from refcert.audit.families.special import OWN, UNKNOWN
from refcert.audit.families.surface import factors, sigmoid, sigmoid_slope, top_along_v, top_along_z
from refcert.audit.judge import judge
from refcert.kernel.claims import KINDS

PRODUCTS = ("sigmoid_times_tanh", "sigmoid_times_identity")


def _axes(family, kind="sigmoid_times_tanh", count=300, seed=0):
    boxes = draw_boxes(family, kind, count, np.random.default_rng(seed))
    return np.concatenate([boxes[:, :2], boxes[:, 2:]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", BOX_FAMILIES)
def test_boxes_are_valid_and_repeatable(family, kind):
    boxes = draw_boxes(family, kind, 200, np.random.default_rng(7))
    assert boxes.shape == (200, 4)
    assert boxes.dtype == np.float64
    assert np.isfinite(boxes).all()
    assert (boxes[:, 0] <= boxes[:, 1]).all()
    assert (boxes[:, 2] <= boxes[:, 3]).all()
    if kind not in PRODUCTS:
        assert (boxes[:, 2:] == 0).all()
    assert np.array_equal(boxes, draw_boxes(family, kind, 200, np.random.default_rng(7)))
    assert not np.array_equal(boxes, draw_boxes(family, kind, 200, np.random.default_rng(8)))
    assert draw_boxes(family, kind, 0, np.random.default_rng(7)).shape == (0, 4)


WHAT_THE_NAME_SAYS = {
    "point": lambda low, high: low == high,
    "thin": lambda low, high: high - low <= 1e-12 + np.spacing(np.abs(low)),
    "narrow": lambda low, high: (high > low) & (high - low <= 0.11),
    "saturated": lambda low, high: (np.abs(low) > 1) | (np.abs(high) > 1),
    "spanning": lambda low, high: (low <= -10) & (high >= 10),
    "sign_crossing": lambda low, high: (low < 0) & (high > 0),
    "zero_ended": lambda low, high: (low == 0) != (high == 0),
    "tiny": lambda low, high: np.maximum(np.abs(low), np.abs(high)) < 1e-8,
    "adjacent": lambda low, high: np.nextafter(low, np.inf) == high,
}


@pytest.mark.parametrize("family", WHAT_THE_NAME_SAYS)
def test_boxes_are_what_their_family_says(family):
    axes = _axes(family)
    assert WHAT_THE_NAME_SAYS[family](axes[:, 0], axes[:, 1]).all()


def test_saturated_boxes_reach_a_thousand_and_mixed_ones_mix():
    assert np.abs(_axes("saturated")).max() > 900
    mixed = _axes("mixed", count=2000)
    for family, says in WHAT_THE_NAME_SAYS.items():
        assert says(mixed[:, 0], mixed[:, 1]).any(), family


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("flat", "tanh", 3), "family is 'flat'"),
        (("point", "softplus", 3), "kind is 'softplus'"),
        (("point", "tanh", -1), "count is -1"),
    ],
)
def test_boxes_that_cannot_be_drawn(arguments, shown):
    with pytest.raises(ValueError, match=shown):
        draw_boxes(*arguments, np.random.default_rng(0))


def test_planes_are_repeatable_and_every_family_kind_side_box_and_move_occurs():
    drawn = draw_planes(2000, np.random.default_rng(1))
    again = draw_planes(2000, np.random.default_rng(1))
    for name, column in drawn.table.columns.items():
        assert np.array_equal(column, again.table.columns[name])
    assert len(drawn.table) == len(drawn.family) == len(drawn.truth) == 2000
    assert set(drawn.family) == set(PLANE_FAMILIES)
    assert set(drawn.boxes) == {*BOX_FAMILIES, OWN}
    assert set(drawn.move) == set(MOVES)
    assert set(drawn.table.columns["kind"]) == set(KINDS)
    assert set(drawn.table.columns["side"]) == {"lower", "upper"}
    assert set(drawn.truth) == {UNKNOWN, "PROVED", "REFUTED"}
    assert (drawn.truth != UNKNOWN).mean() > 0.5


@pytest.mark.parametrize("family", PLANE_FAMILIES)
def test_the_known_truth_is_true(family):
    drawn = draw_planes(150, np.random.default_rng(2), (family,))
    for claim, truth in zip(drawn.table.claims(), drawn.truth, strict=True):
        assert truth in (UNKNOWN, judge(claim).status), claim


def test_blocks_make_up_the_count_and_can_be_drawn_alone():
    blocks = list(draw_blocks(BLOCK + 10, seed=3, families=("zero",)))
    assert [len(block.table) for block in blocks] == [BLOCK, 10]
    alone = draw_block(1, BLOCK + 10, seed=3, families=("zero",))
    assert np.array_equal(alone.table.columns["offset"], blocks[1].table.columns["offset"])
    assert len(draw_block(2, BLOCK + 10, seed=3).table) == 0


@pytest.mark.parametrize(("count", "families"), [(-1, ("zero",)), (5, ("none",)), (5, ())])
def test_planes_that_cannot_be_drawn(count, families):
    with pytest.raises(ValueError, match="count"):
        draw_planes(count, np.random.default_rng(0), families)


def _exact_ones(family, kind, boxes=("random", "wide", "sign_crossing")):
    """Upper planes of one family whose offset is the exact one, on boxes of ordinary size."""
    drawn = draw_planes(6000, np.random.default_rng(4), (family,))
    rows = (drawn.table.columns["kind"] == kind) & (drawn.table.columns["side"] == "upper")
    rows &= (drawn.move == "exact") & np.isin(drawn.boxes, boxes)
    assert rows.sum() > 5
    return {name: column[rows] for name, column in drawn.table.columns.items()}


def test_three_contacts_touch_both_sides_and_two_ends_of_one():
    c = _exact_ones("three contacts", "sigmoid_times_identity")
    v, z = (np.stack([c[f"lower_{axis}"], c[f"upper_{axis}"]], axis=1) for axis in ("v", "z"))
    g = factors("sigmoid_times_identity", z)[0]
    for end in (0, 1):
        gap = c["offset"] + c["slope_z"] * z[:, end] - top_along_v(g[:, end], c["slope_v"], v)
        assert np.abs(gap).max() < 1e-12
    # Where the curve bends both ways there are two contacts on one of the sides: an end and the tangent point.
    ends = [
        [sigmoid(v[:, i]) * g[:, j] - c["slope_v"] * v[:, i] - c["slope_z"] * z[:, j] for i in (0, 1)] for j in (0, 1)
    ]
    bent = (v[:, 0] < 0) & (v[:, 1] > 0)
    gap = np.array(ends).reshape(4, -1).max(axis=0) - c["offset"]
    assert bent.sum() > 5
    assert (np.abs(gap[bent]) < 1e-12).all()


def test_balanced_contacts_touch_opposite_sides():
    c = _exact_ones("balanced contacts", "sigmoid_times_tanh")
    v, z = (np.stack([c[f"lower_{axis}"], c[f"upper_{axis}"]], axis=1) for axis in ("v", "z"))
    tops_v = [top_along_v(np.tanh(z[:, i]), c["slope_v"], v) - c["slope_z"] * z[:, i] for i in (0, 1)]
    tops_z = [top_along_z(sigmoid(v[:, i]), c["slope_z"], z) - c["slope_v"] * v[:, i] for i in (0, 1)]
    level = np.abs(tops_v[0] - tops_v[1]) + np.abs(tops_z[0] - tops_z[1])
    assert np.median(level) < 1e-9


def test_folds_are_folds():
    v = np.linspace(0.2, 8, 40)
    z = singular_z(v)
    s, t = sigmoid(v), np.tanh(z)
    hessian = np.array(
        [
            [s * (1 - s) * (1 - 2 * s) * t, s * (1 - s) * (1 - t * t)],
            [s * (1 - s) * (1 - t * t), -2 * s * t * (1 - t * t)],
        ]
    )
    determinant = hessian[0, 0] * hessian[1, 1] - hessian[0, 1] ** 2
    assert (np.abs(determinant) < 1e-12 * hessian[0, 1] ** 2).all()
    boxes, slopes = draw_folds(500, np.random.default_rng(5))
    # the point of the tangent, found again: sigmoid'(v) tanh(z) = slope_v there, up to the shift of the slopes
    assert (boxes[:, 0] < boxes[:, 1]).all()
    assert (boxes[:, 2] < boxes[:, 3]).all()
    first, last = boxes[:, 0], boxes[:, 1]
    high = factors("sigmoid_times_tanh", singular_z(np.maximum(first, 1e-6)))[0] * sigmoid_slope(np.maximum(first, 0))
    low = factors("sigmoid_times_tanh", singular_z(np.maximum(last, 1e-6)))[0] * sigmoid_slope(last)
    assert (low <= slopes[:, 0] * 1.001).all()
    assert (slopes[:, 0] <= high * 1.001).all()

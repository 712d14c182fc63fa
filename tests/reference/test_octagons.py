"""Octagons in the reference: their extremes against dense grids, their bounds derived again, and planted faults."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcert.audit.families.boxes import draw_boxes
from refcert.audit.families.octagons import draw_octagons
from refcert.reference.equations import PRODUCTS, evaluate_kind
from refcert.reference.errors import ReferenceInputError
from refcert.reference.given_planes import DIAGONALS, bounds_with_planes, given_from_columns
from refcert.reference.intervals import Interval
from refcert.reference.octagons import Diagonals, box_diagonals, extreme_on_octagon
from tests.reference.engine_side import engine_bounds
from tests.reference.test_bounds import small


def drawn(family, kind, count, seed):
    rng = np.random.default_rng(seed)
    boxes = draw_boxes(family, kind, count, rng)
    for box, ends in zip(boxes.tolist(), draw_octagons(boxes, rng).tolist(), strict=True):
        octagon = Diagonals(Interval(*ends[:2]), Interval(*ends[2:]))
        yield Interval(*box[:2]), Interval(*box[2:]), octagon, rng


def grid_on(v, z, octagon, count=200):
    """Points of the octagon, (points,) each: for every v as many z as between the ends that it has there."""
    x = np.linspace(
        max(v.lower, 0.5 * (octagon.plus.lower + octagon.minus.lower)),
        min(v.upper, 0.5 * (octagon.plus.upper + octagon.minus.upper)),
        count,
    )[:, None]
    low = np.maximum.reduce([np.full_like(x, z.lower), octagon.plus.lower - x, x - octagon.minus.upper])
    high = np.minimum.reduce([np.full_like(x, z.upper), octagon.plus.upper - x, x - octagon.minus.lower])
    y = low + (high - low) * np.linspace(0, 1, count)
    there = np.broadcast_to(low <= high, y.shape)
    return np.broadcast_to(x, y.shape)[there], y[there]


@pytest.mark.parametrize("kind", PRODUCTS)
@pytest.mark.parametrize("family", ["random", "wide", "narrow", "sign_crossing"])
def test_no_point_of_a_grid_is_more_extreme(kind, family):
    """And the grid comes near the extremes: they are attained in the octagon."""
    for v, z, octagon, rng in drawn(family, kind, 40, 9):
        a, b = rng.normal(0, 0.3, 2)
        low, high = extreme_on_octagon(kind, v, z, octagon, a, b)
        x, y = grid_on(v, z, octagon)
        s, g = 1 / (1 + np.exp(-x)), np.tanh(y) if kind.endswith("tanh") else y
        found = s * g - a * x - b * y
        size = 1 + v.magnitude + z.magnitude
        if not len(found):
            continue
        assert found.max() <= high.value + 1e-13 * size
        assert found.min() >= low.value - 1e-13 * size
        step = max(v.upper - v.lower, z.upper - z.lower) / 100
        assert high.value - found.max() <= (1 + abs(a) + abs(b) + z.magnitude) * step
        for extreme in (low, high):
            assert extreme.value == evaluate_kind(kind, extreme.v, extreme.z) - a * extreme.v - b * extreme.z
            for value, ends in (
                (extreme.v, v),
                (extreme.z, z),
                (extreme.v + extreme.z, octagon.plus),
                (extreme.v - extreme.z, octagon.minus),
            ):
                assert ends.lower - 1e-14 * size <= value <= ends.upper + 1e-14 * size


def test_what_has_no_octagon_is_refused():
    ends = Diagonals(Interval(-1.0, 1.0), Interval(-1.0, 1.0))
    with pytest.raises(ReferenceInputError, match="one argument"):
        extreme_on_octagon("tanh", Interval(-1.0, 1.0), Interval(0.0, 0.0), ends, 0.0, 0.0)
    empty = Diagonals(Interval(2.5, 3.0), Interval(-1.0, 1.0))
    with pytest.raises(ReferenceInputError, match="empty"):
        extreme_on_octagon(PRODUCTS[0], Interval(-1.0, 1.0), Interval(-1.0, 1.0), empty, 0.0, 0.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4))
def test_the_box_implies_sums_outward(ends):
    v, z = (Interval(*sorted(pair)) for pair in (ends[:2], ends[2:]))
    plus, minus = box_diagonals(v, z)
    for x in v:
        for y in z:
            assert Diagonals(plus, minus).holds(Diagonals(Interval(x + y, x + y), Interval(x - y, x - y)))


# runs of the engine, see test_engine.py for the law over all of them


@pytest.fixture(params=["lstm", "gru"])
def run(request):
    network, region, C = small(request.param, time=2, radius=0.3)
    lower, columns = engine_bounds(network, region, C, np.zeros(len(C)), "octagon")
    return network, region, C, lower, columns


def escapes(network, region, C, columns):
    given_ = given_from_columns(network, 2, columns)
    return bounds_with_planes(network, region, C, None, given_).escapes


def test_a_run_is_derived_again_and_every_narrowed_diagonal_is_named(run):
    network, region, C, _, columns = run
    assert not escapes(network, region, C, columns)
    rows = [k for k, end in enumerate(columns["lower_plus"]) if end == end]
    product = {(columns["product"][k], columns["unit"][k], columns["t"][k]) for k in rows}
    assert len(rows) == 2 * len(product)
    tried = 0
    for name, inward, what in zip(DIAGONALS, (1, -1, 1, -1), ("v + z", "v + z", "v - z", "v - z"), strict=True):
        changed = {key: list(column) for key, column in columns.items()}
        for k in rows:
            width = columns[f"upper_{name[6:]}"][k] - columns[f"lower_{name[6:]}"][k]
            changed[name][k] += inward * width / 4
        found = escapes(network, region, C, changed)
        assert {escape.what for escape in found} == {what}
        tried += len(found)
    assert tried >= len(product)


def test_a_plane_is_held_against_its_octagon_and_not_its_box(run):
    network, _, _, _, columns = run
    planes = given_from_columns(network, 2, columns)
    octagons = {key: entry for key, entry in planes.items() if entry.diagonals is not None}
    assert octagons
    size = 1 + max(max(entry.v.magnitude, entry.z.magnitude) for entry in planes.values())
    assert max(entry.violation() for entry in octagons.values()) <= 1e-14 * size
    on_boxes = [entry._replace(diagonals=None).violation() for entry in octagons.values()]
    assert max(on_boxes) > 1e-6
    key, entry = next(iter(octagons.items()))
    upper = entry.planes.upper
    shifted = entry._replace(planes=entry.planes._replace(upper=upper._replace(offset=upper.offset - 0.5)))
    assert shifted.violation() > 0.4
    assert key in planes


def test_planes_that_need_octagons_are_no_planes_without_them(run):
    """Without the columns the same planes stand on boxes, and the reference says that they do not hold there."""
    network, _, _, _, columns = run
    plain = {name: column for name, column in columns.items() if name not in DIAGONALS}
    entries = given_from_columns(network, 2, plain).values()
    assert all(entry.diagonals is None for entry in entries)
    assert max(entry.violation() for entry in entries) > 1e-6


def test_a_bound_that_rests_on_another_network_is_seen(run):
    network, region, C, _, columns = run
    part = network.layers[0][0]
    other = part.weight_hh.copy()
    other[0, 0] += 0.5
    wrong = dataclasses.replace(network, layers=((dataclasses.replace(part, weight_hh=other),),))
    assert escapes(wrong, region, C, columns)

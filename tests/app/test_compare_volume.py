"""Volumes against the optimum: known optima, the engine's planes, and planted faults."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from gpu_engine.bounds import BoundedProduct, Box
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.registry import RELAXATIONS
from refcert.app.compare import volume_ratios
from refcert.app.compare_boxes import DrawnPlanes, _Pool
from refcert.app.compare_volume import SIDES, Optimum, Why, optimum, surface_mean
from refcert.app.progress import Progress
from refcert.reference.equations import KINDS, evaluate_kind
from refcert.reference.intervals import Interval

WIDTHS = st.sampled_from((0.3, 1.0, 3.0, 12.0))
CENTRES = st.floats(-4, 4)


@st.composite
def intervals(draw):
    centre, width = draw(CENTRES), draw(WIDTHS)
    return Interval(centre - width / 2, centre + width / 2)


@pytest.mark.parametrize("kind", KINDS)
@given(v=intervals(), z=intervals())
def test_the_mean_of_a_surface(kind, v, z):
    """Against adaptive quadrature of the definition, one axis inside the other."""

    def over_v(y):
        return quad(lambda x: evaluate_kind(kind, x, y), *v, epsabs=1e-11, limit=200, points=_kinks(v))[0]

    if "times" in kind:
        # sigmoid(v) g(z) is a product, so the integral over z is the one at z = 1 scaled by that of g / g(1).
        scale = quad(lambda y: evaluate_kind(kind, 0.0, y), *z, epsabs=1e-12, limit=200)[0]
        expected = over_v(1.0) * scale / evaluate_kind(kind, 0.0, 1.0) / (v.upper - v.lower) / (z.upper - z.lower)
    else:
        expected = over_v(0.0) / (v.upper - v.lower)
    assert surface_mean(kind, v, z) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def _kinks(v):
    return [0.0] if v.lower < 0 < v.upper else None


def test_known_optima():
    """Of relu on [-1, 1]: above the chord, area 1/4 a unit; below any line through the kink, the same."""
    for side, height in (("upper", 0.5), ("lower", 0.0)):
        found = optimum("relu", Interval(-1.0, 1.0), Interval(0.0, 0.0), side)
        assert isinstance(found, Optimum)
        assert found.mean == 0.25
        assert found.volume == pytest.approx(0.25, rel=1e-9)
        assert found.ratio(height) == pytest.approx(1.0, rel=1e-9)
        # Twice as far away from the mean of the surface: twice the volume.
        assert found.ratio(0.25 + 2 * (height - 0.25)) == pytest.approx(2.0, rel=1e-9)
        # A planted fault: nearer than the optimum, so it must cut the surface.
        assert found.ratio(0.25 + 0.9 * (height - 0.25)) < 0.95


def test_what_has_no_volume():
    unit, point = Interval(-1.0, 1.0), Interval(0.5, 0.5)
    for side in SIDES:
        assert optimum("sigmoid_times_tanh", unit, point, side) is Why.NO_AREA
        assert optimum("sigmoid_times_tanh", point, unit, side) is Why.NO_AREA
        assert optimum("tanh", point, unit, side) is Why.NO_AREA
        assert optimum("relu", Interval(1.0, 2.0), unit, side) is Why.FLAT
        # One argument: the other axis does not matter.
        assert isinstance(optimum("tanh", unit, point, side), Optimum)


@settings(max_examples=12)
@given(v=intervals(), z=intervals(), kind=st.sampled_from(sorted(PRODUCTS)))
def test_no_sound_plane_has_less(v, z, kind):
    """The engine's planes against the reference's optimum: never less volume, `planes` hardly more."""
    boxes = [Box(*(torch.tensor([end], dtype=torch.float64) for end in axis)) for axis in (v, z)]
    centre = [0.5 * (axis.lower + axis.upper) for axis in (v, z)]
    for side in SIDES:
        best = optimum(kind, v, z, side)
        if not isinstance(best, Optimum):
            continue
        ratios = {}
        for name, relaxation in RELAXATIONS.items():
            plane = getattr(relaxation.product(PRODUCTS[kind], *boxes), side)
            height = float(plane.slope_v * centre[0] + plane.slope_z * centre[1] + plane.offset)
            ratios[name] = best.ratio(height)
            assert ratios[name] >= 1 - 1e-6, (name, side)
        assert ratios["planes"] <= min(1.2 * min(ratios.values()), 1.5)
        assert ratios["planes"] <= ratios["constants"] * (1 + 1e-9)
        assert ratios["lines"] <= ratios["constants"] * (1 + 1e-9)


def test_ratios_of_a_sample_and_what_is_left_out():
    box = np.array([[-1.0, 1.0, -1.0, 1.0], [-1.0, 1.0, 2.0, 2.0], [1.0, 2.0, 0.0, 0.0]])
    drawn = DrawnPlanes(
        np.array(["relu", "sigmoid_times_identity", "relu"]),
        np.array(["upper", "lower", "lower"]),
        box,
        {"good": np.array([0.5, 0.0, 0.0]), "bad": np.array([1.0, 0.0, 0.0])},
    )
    ratios, counts = volume_ratios(drawn, Progress(None))
    assert counts == {"drawn": 3, "used": 1, "no_area": 1, "flat": 1, "unsolved": 0}
    assert ratios["good"] == [("relu", pytest.approx(1.0, rel=1e-9))]
    assert ratios["bad"] == [("relu", pytest.approx(3.0, rel=1e-9))]


# The sample


def place(name: str, batch: int, units: int) -> BoundedProduct:
    """A step whose boxes tell the sample, the unit and the step apart."""
    v = torch.arange(batch * units, dtype=torch.float64).view(batch, units) + 1000 * len(name)
    box = Box(v, v + 0.5)
    return BoundedProduct("sigmoid_times_tanh", name, 0, 0, box, box, None)


def sample_of(size: int, seed: int, chunks: list[list[int]]):
    pool = _Pool(size, seed)
    for chunk in chunks:
        index = torch.tensor(chunk)
        places = []
        for name, units in (("a", 3), ("bb", 2)):
            whole = place(name, 8, units)
            boxes = [Box(box.lower[index], box.upper[index]) for box in (whole.v, whole.z)]
            places.append(BoundedProduct(whole.kind, name, 0, 0, *boxes, None))
        heights = [(p.v.lower.numpy(), p.v.lower.numpy() + 0.25) for p in places]
        pool.add(index, places, {"one": heights})
    return pool.drawn(["one"])


def test_a_sample_does_not_depend_on_chunks():
    whole = sample_of(10, 3, [list(range(8))])
    parts = sample_of(10, 3, [[0, 1, 2], [3], [4, 5, 6, 7]])
    for name in ("kind", "side", "box"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))
    assert np.array_equal(whole.heights["one"], parts.heights["one"])
    other = sample_of(10, 4, [list(range(8))])
    assert not np.array_equal(whole.box, other.box)


def test_every_plane_once_and_its_own_height():
    """With room for all, the sample is everything: 8 samples of 5 units with two sides."""
    drawn = sample_of(1000, 0, [[0, 1, 2, 3], [4, 5, 6, 7]])
    found = set(zip(drawn.side.tolist(), drawn.box[:, 0].tolist(), strict=True))
    assert len(found) == len(drawn.side) == 8 * 5 * 2
    shift = np.where(drawn.side == "upper", 0.25, 0.0)
    assert np.array_equal(drawn.heights["one"], drawn.box[:, 0] + shift)


def test_every_plane_is_as_likely():
    """A quarter of the planes, drawn 400 times: each as often as the others, up to chance."""
    counts: dict[tuple[str, float], int] = {}
    for seed in range(400):
        drawn = sample_of(20, seed, [list(range(8))])
        for key in zip(drawn.side.tolist(), drawn.box[:, 0].tolist(), strict=True):
            counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 80
    # 100 expected, standard deviation below 9: five of them on both sides.
    assert all(abs(number - 100) < 5 * math.sqrt(400 * 0.25 * 0.75) for number in counts.values())

"""Volume ratios of compared relaxations: known ones, what is left out, and the sample that they are measured on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.bounds import BoundedProduct, Box
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.registry import RELAXATIONS
from refcert.app.compare_boxes import DrawnPlanes, _Pool
from refcert.app.compare_volume import RESOLVED, volume_ratios
from refcert.app.progress import Progress

WIDTHS = st.sampled_from((0.3, 1.0, 3.0, 12.0))
CENTRES = st.floats(-4, 4)


@st.composite
def intervals(draw):
    centre, width = draw(CENTRES), draw(WIDTHS)
    return centre - width / 2, centre + width / 2


@settings(max_examples=20)
@given(v=intervals(), z=intervals(), kind=st.sampled_from(sorted(PRODUCTS)))
def test_no_sound_plane_has_less(v, z, kind):
    """The engine's planes against the optimum: never less volume, `planes` hardly more."""
    boxes = [Box(*(torch.tensor([end], dtype=torch.float64) for end in axis)) for axis in (v, z)]
    centre = [0.5 * (low + high) for low, high in (v, z)]
    heights = {}
    for name, relaxation in RELAXATIONS.items():
        pair = relaxation.product(PRODUCTS[kind], *boxes)
        heights[name] = np.array(
            [float(p.slope_v * centre[0] + p.slope_z * centre[1] + p.offset) for p in (pair.lower, pair.upper)]
        )
    drawn = DrawnPlanes(np.array([kind] * 2), np.array(["lower", "upper"]), np.array([[*v, *z]] * 2), heights)
    ratios, counts = volume_ratios(drawn, Progress(None))
    assert counts["used"] == 2
    for side in range(2):
        found = {name: ratios[name][side][1] for name in RELAXATIONS}
        assert min(found.values()) >= 1 - 1e-9
        assert found["planes"] <= min(1.2 * min(found.values()), 1.5)
        assert found["planes"] <= found["constants"] * (1 + 1e-9)
        assert found["lines"] <= found["constants"] * (1 + 1e-9)


def test_ratios_of_a_sample_and_what_is_left_out():
    box = np.array(
        [[-1.0, 1.0, -1.0, 1.0], [-1.0, 1.0, 2.0, 2.0], [1.0, 2.0, 0.0, 0.0], [1.0, 1.0 + 2.0**-20, 0.0, 0.0]]
    )
    drawn = DrawnPlanes(
        np.array(["relu", "sigmoid_times_identity", "relu", "tanh"]),
        np.array(["upper", "lower", "lower", "upper"]),
        box,
        {"good": np.array([0.5, 0.0, 0.0, 0.0]), "bad": np.array([1.0, 0.0, 0.0, 0.0])},
    )
    ratios, counts = volume_ratios(drawn, Progress(None))
    assert counts == {"drawn": 4, "used": 1, "no_area": 1, "flat": 1, "unresolved": 1}
    assert ratios["good"] == [("relu", pytest.approx(1.0, rel=1e-9))]
    assert ratios["bad"] == [("relu", pytest.approx(3.0, rel=1e-9))]


def test_rounding_of_a_height_moves_a_ratio_that_counts_by_little():
    """The tangent of tanh at the centre of ever thinner boxes: its ratio is 1, or the plane is left out."""
    used = set()
    for power in range(1, 26):
        low, high = 1.0, 1.0 + 2.0**-power
        centre = (low + high) / 2
        # The slope of the tangent at the centre: a height computed from offset and slope, as the engine's are.
        slope = 1 - math.tanh(centre) ** 2
        offset = math.tanh(centre) - slope * centre
        heights = {"tangent": np.array([slope * centre + offset])}
        drawn = DrawnPlanes(np.array(["tanh"]), np.array(["upper"]), np.array([[low, high, 0.0, 0.0]]), heights)
        ratios, counts = volume_ratios(drawn, Progress(None))
        used.add(counts["used"])
        for _, ratio in ratios["tangent"]:
            assert abs(ratio - 1) <= RESOLVED
    assert used == {0, 1}


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

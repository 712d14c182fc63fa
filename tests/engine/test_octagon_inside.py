"""The bound inside octagons: a tangent plane of the concave region, wherever the search for its point has started."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.bounds import Box
from gpu_engine.relaxations.octagon_edges import Octagon
from gpu_engine.relaxations.octagon_inside import _from_the_edge, inside_octagon

COUNT, POINTS = 3000, 30


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def drawn(seed: int):
    """Octagons around points of the concave region {v >= V(z), z > 0}, slopes of the surface elsewhere, any starts."""
    rng = np.random.default_rng(seed)
    z = np.exp(rng.uniform(-2.5, 1.5, COUNT))
    v = border(z) + rng.choice((0.01, 0.3, 2.0), COUNT) * rng.uniform(0, 1, COUNT)
    wide = rng.choice((0.1, 1.0, 4.0), (4, 2, COUNT)) * rng.uniform(0, 1, (4, 2, COUNT))
    boxes = (
        Box(tensor(middle - low), tensor(middle + high))
        for middle, (low, high) in zip((v, z, v + z, v - z), wide, strict=True)
    )
    at_v, at_z = v + rng.normal(0, 0.7, COUNT), z + rng.normal(0, 0.7, COUNT)
    s, t = 1 / (1 + np.exp(-at_v)), np.tanh(at_z)
    start = v + rng.normal(0, 1, COUNT), z + rng.normal(0, 1, COUNT)
    return Octagon(*boxes), tensor(s * (1 - s) * t), tensor(s * (1 - t * t)), *map(tensor, start)


def border(z):
    """V(z) = log(1 + sech(z)^2 / (2 tanh(z)^2))."""
    return np.log1p(1 / (2 * np.sinh(z) ** 2))


def concave_points(shape: Octagon, seed: int):
    """Points of the boxes, and which of them lie in octagon and concave region, (POINTS, COUNT)."""
    share = tensor(np.random.default_rng(seed).uniform(0, 1, (2, POINTS, COUNT)))
    v, z = (box.lower + part * (box.upper - box.lower) for box, part in zip((shape.v, shape.z), share, strict=True))
    inside = (z > 0) & (v >= tensor(border(z.clamp(min=1e-9).numpy())))
    for total, box in ((v + z, shape.plus), (v - z, shape.minus)):
        inside &= (box.lower <= total) & (total <= box.upper)
    return v, z, inside


@given(st.integers(0, 2**32 - 1))
def test_the_tangent_plane_is_above_all_of_the_concave_region(seed):
    shape, a, b, *start = drawn(seed)
    bound, at_v, at_z = _from_the_edge(shape, a, b, *start)
    v, z, inside = concave_points(shape, seed)
    heights = torch.sigmoid(v) * torch.tanh(z) - a * v - b * z
    assert int(inside.sum()) > POINTS
    assert bool((heights <= bound)[inside].all())
    used = torch.isfinite(bound)
    assert bool((at_z > 0)[used].all())
    assert bool((at_v >= tensor(border(at_z.clamp(min=1e-9).numpy())) * (1 - 1e-12))[used].all())


@given(st.integers(0, 2**32 - 1))
def test_interior_maxima_are_below(seed):
    """Slopes of the surface at a point of region and octagon: there the maximum of the region is."""
    shape, _, _, *_ = drawn(seed)
    v, z, inside = concave_points(shape, seed)
    v, z = v[0], z[0]
    s, t = torch.sigmoid(v), torch.tanh(z)
    a, b = s * torch.sigmoid(-v) * t, s * (1 - t * t)
    bound, _, _ = inside_octagon(shape, a, b)
    reach = 1 + v.abs() + z.abs() + shape.v.magnitude() + shape.z.magnitude()  # the slack comes from the caller
    assert bool((s * t - a * v - b * z <= bound + 1e-14 * reach)[inside[0]].all())

"""The engine's relaxations audited live, over boxes that runs seldom or never meet: points, thin, wide, saturated."""

import numpy as np
import pytest
import torch

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.curves import CURVES
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.registry import RELAXATIONS
from tests.end_to_end.runs import not_proved
from tests.engine.plane_claims import claims

COUNT = 25


def drawn(family, rng):
    """(lower, upper) of COUNT intervals."""
    centre = rng.uniform(-4, 4, COUNT)
    width = {
        "point": np.zeros(COUNT),
        "thin": rng.uniform(0, 1e-12, COUNT),
        "narrow": rng.uniform(0, 1e-3, COUNT),
        "random": rng.uniform(0, 5, COUNT),
        "wide": rng.uniform(0, 40, COUNT),
        "saturated": rng.uniform(0, 20, COUNT),
        "touching zero": np.abs(centre),
    }[family]
    if family == "saturated":
        centre = centre * 10
    if family == "touching zero":
        return np.minimum(centre, 0.0), np.maximum(centre, 0.0)
    return centre - width / 2, np.maximum(centre - width / 2, centre + width / 2)


FAMILIES = ("point", "thin", "narrow", "random", "wide", "saturated", "touching zero")


def boxes(family, seed=0):
    """Both axes of the family, and one axis of it beside an ordinary one."""
    rng = np.random.default_rng(seed)
    axes = [drawn(family, rng), drawn(family, rng), drawn("random", rng), drawn("random", rng)]
    v, z = (axes[0], axes[1]), (axes[0], axes[2])
    other = (axes[3], axes[1])
    columns = [np.stack([pair[k] for pair in (v, z, other)], 1) for k in (0, 1)]
    return [Box(torch.tensor(low.ravel()), torch.tensor(high.ravel())) for low, high in columns]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", RELAXATIONS)
def test_planes_of_drawn_boxes_are_proved_and_the_boxes_stay_as_they_are(name, family):
    v, z = boxes(family)
    before = [end.clone() for box in (v, z) for end in (box.lower, box.upper)]
    for kind, product in PRODUCTS.items():
        pair = RELAXATIONS[name].product(product, v, z)
        assert not_proved(claims(kind, v, z, pair)) == []
    zero = torch.zeros_like(v.lower)
    for kind, curve in CURVES.items():
        pair = RELAXATIONS[name].curve(curve, v)
        assert not_proved(claims(kind, v, Box(zero, zero), pair)) == []
    assert all(torch.equal(a, b) for a, b in zip(before, (v.lower, v.upper, z.lower, z.upper), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_any_slopes_get_a_sound_offset(family):
    """Not only those that a rule chooses."""
    v, z = boxes(family, seed=1)
    rng = np.random.default_rng(2)
    size = torch.tensor(10.0 ** rng.integers(-12, 1, v.lower.shape))
    a, b = (torch.tensor(rng.uniform(-1, 1, v.lower.shape)) * size for _ in range(2))
    for kind, product in PRODUCTS.items():
        upper = product.upper_maximum(v, z, a, b).value
        rows = [row for row in claims(kind, v, z, pair_of(a, b, upper)) if row.side == "upper"]
        assert not_proved(rows) == []
    zero = torch.zeros_like(a)
    for kind, curve in CURVES.items():
        pair = pair_of(a, zero, curve.upper_maximum(v, a), curve.lower_minimum(v, a))
        assert not_proved(claims(kind, v, Box(zero, zero), pair)) == []


def pair_of(slope_v, slope_z, upper, lower=None):
    low = upper if lower is None else lower
    return PlanePair(Plane(slope_v, slope_z, low), Plane(slope_v, slope_z, upper))

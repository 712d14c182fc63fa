"""Bad input sets are refused with the value and the remedy; decibels are converted upward."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions, decibel_factor, decibel_radius

CENTER = torch.zeros(1, 2, 3).double()
TRUE = torch.ones(1, 2, dtype=torch.bool)
GOOD = {
    FrameBalls: {"center": CENTER, "radius": torch.zeros(1, 2).double()},
    SequenceBall: {"center": CENTER, "radius": torch.zeros(1).double(), "p": 2.0},
    Boxes: {"lower": CENTER, "upper": CENTER + 1},
    Substitutions: {
        "center": CENTER,
        "candidates": torch.zeros(1, 2, 4, 3).double(),
        "allowed": torch.ones(1, 2, 4, dtype=torch.bool),
    },
}

BALLS = [
    ({"p": 0.5}, "p = 0.5"),
    ({"p": math.nan}, "p = nan"),
    ({"clip": (1.0, 0.0)}, "[1.0, 0.0]"),
    ({"clip": (math.nan, 0.0)}, "[nan, 0.0]"),
    ({"clip": (0.2, 1.0)}, "outside the clip range"),
    ({"clip_bound": "best"}, "'best' is not known; known: exact, simple"),
    ({"center": torch.full((1, 2, 3), math.inf).double()}, "center[0, 0, 0] is inf"),
    ({"center": torch.zeros(1, 2, 3)}, "float32"),
    ({"center": torch.zeros(2, 3).double()}, "(2, 3)"),
    ({"center": torch.zeros(1, 0, 3).double()}, "(1, 0, 3)"),
]
CASES = [
    *((kind, *case) for kind in (FrameBalls, SequenceBall) for case in BALLS),
    (FrameBalls, {"radius": torch.full((1, 2), -1.0).double()}, "radius[0, 0] is -1.0; a radius cannot be negative"),
    (FrameBalls, {"radius": torch.full((1, 2), math.nan).double()}, "nan"),
    (FrameBalls, {"radius": torch.zeros(1, 3).double()}, "(1, 3); it needs one value per sample and frame, (1, 2)"),
    (FrameBalls, {"radius": torch.zeros(1, 2)}, "radius is torch.float32"),
    (SequenceBall, {"radius": torch.zeros(1, 2).double()}, "(1, 2); it needs one value per sample, (1,)"),
    (SequenceBall, {"radius": torch.full((1,), -2.0).double()}, "radius[0] is -2.0"),
    (SequenceBall, {"moves": torch.ones(1, 2)}, "moves is torch.float32 of shape (1, 2)"),
    (SequenceBall, {"moves": torch.ones(1, 3, dtype=torch.bool)}, "bool of shape (1, 2)"),
    (Boxes, {"upper": CENTER - 1}, "box[0, 0, 0] is [0.0, -1.0], which is empty"),
    (Boxes, {"upper": torch.zeros(1, 2, 4).double()}, "(1, 2, 4)"),
    (Boxes, {"lower": torch.full((1, 2, 3), -math.inf).double()}, "lower[0, 0, 0] is -inf"),
    (Boxes, {"lower": CENTER.float()}, "lower is torch.float32"),
    (Substitutions, {"candidates": torch.zeros(1, 2, 3).double()}, "(1, 2, 3); they need (batch, time, K, input)"),
    (Substitutions, {"candidates": torch.zeros(1, 2, 0, 3).double()}, "K >= 1"),
    (Substitutions, {"candidates": torch.zeros(1, 2, 4, 3)}, "float32"),
    (Substitutions, {"candidates": torch.full((1, 2, 4, 3), math.nan).double()}, "[0, 0, 0, 0] is nan"),
    (Substitutions, {"allowed": torch.ones(1, 2, 5, dtype=torch.bool)}, "bool of shape (1, 2, 4)"),
    (Substitutions, {"allowed": torch.ones(1, 2, 4)}, "torch.float32"),
]


@pytest.mark.parametrize(("kind", "change", "shown"), CASES)
def test_bad_input_sets_show_the_value(kind, change, shown):
    kind(**GOOD[kind])  # good as it is
    with pytest.raises(SpecificationError) as caught:
        kind(**(GOOD[kind] | change))
    assert shown in str(caught.value)


@given(decibel=st.floats(-400, 400), peak=st.floats(1e-30, 1e30))
def test_decibels_are_rounded_up(decibel, peak):
    """radius^20 >= peak^20 * 10^decibel in exact arithmetic, for whole decibels; close to it for all."""
    x = torch.tensor([[[0.0, -peak]]], dtype=torch.float64)
    radius = float(decibel_radius(x, decibel))
    assert radius == pytest.approx(peak * 10 ** (decibel / 20), rel=1e-12)
    whole = round(decibel)
    found = Fraction(float(decibel_radius(x, whole)))
    assert found**20 >= Fraction(peak) ** 20 * Fraction(10) ** whole
    assert found**20 <= Fraction(peak) ** 20 * Fraction(10) ** whole * (1 + Fraction(2) ** -45)


def test_decibels_of_silence_and_per_sample():
    x = torch.tensor([[[0.0]], [[0.5]]], dtype=torch.float64)
    radius = decibel_radius(x, -20.0)
    assert float(radius[0]) == 0.0
    assert 0.05 <= float(radius[1]) <= 0.05 * (1 + 1e-15)
    assert 1.0 <= decibel_factor(0.0) <= 1 + 2.0**-51


@pytest.mark.parametrize("decibel", [math.nan, math.inf, 1e9, -math.inf])
def test_bad_decibels_show_the_value(decibel):
    with pytest.raises(SpecificationError, match=str(decibel)):
        decibel_radius(CENTER, decibel)


def test_decibels_that_overflow_are_refused():
    with pytest.raises(SpecificationError, match=r"decibel radius\[0\] is inf"):
        decibel_radius(CENTER + 1e300, 1000.0)


def test_centers_of_boxes_are_inside_also_at_the_ends_of_the_range():
    largest = torch.finfo(torch.float64).max
    low = torch.tensor([[[-largest, 5e-324, largest, 0.1]]], dtype=torch.float64)
    high = torch.tensor([[[largest, 5e-324, largest, 0.1]]], dtype=torch.float64)
    center = Boxes(low, high).center
    assert bool(((low <= center) & (center <= high)).all())
    assert bool(torch.isfinite(center).all())

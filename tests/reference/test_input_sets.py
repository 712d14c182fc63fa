"""The least value of a form: never above any point of the set, attained or nearly, and the rounding helpers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.input_sets import BoxSet, FrameBalls, SequenceBall, Substitutions, dual_norm
from refcert.reference.rounding import above, below
from tests.reference.drawn import CLIP, KINDS, input_sets, points_of, seeds


def form_of(a):
    return {(t, i): Fraction(float(value)) for (t, i), value in np.ndenumerate(a)}


@given(st.data(), st.sampled_from(sorted(KINDS)), seeds)
def test_no_point_is_below_the_least_value(data, kind, seed):
    rng = np.random.default_rng(seed)
    time, inputs = rng.integers(1, 4, 2)
    region = data.draw(input_sets(int(time), int(inputs), (kind,)))
    a = rng.normal(0, 1, region.shape) * rng.integers(0, 2, region.shape)
    least = region.least(form_of(a))
    for x in points_of(region, rng, 40):
        exact = sum((Fraction(p) * Fraction(q) for p, q in zip(a.flat, x.flat, strict=True)), Fraction(0))
        assert exact >= least
        for (t, i), value in np.ndenumerate(x):
            assert region.interval(t, i).lower <= value <= region.interval(t, i).upper


def test_hand_calculated_values():
    a = form_of(np.array([[3.0, -4.0], [0.0, 2.0]]))
    center, radius = np.zeros((2, 2)), np.array([1.0, 0.5])
    assert FrameBalls(center, radius, math.inf).least(a) == -8
    assert FrameBalls(center, radius, 1.0).least(a) == -5
    assert float(FrameBalls(center, radius, 2.0).least(a)) == pytest.approx(-6, abs=1e-14)
    assert float(SequenceBall(center, 1.0, 2.0).least(a)) == pytest.approx(-math.sqrt(29), abs=1e-14)
    assert SequenceBall(center, 1.0, 1.0).least(a) == -4
    assert FrameBalls(center, radius, math.inf, (-0.25, 1.0)).least(a) == Fraction("-0.75") - 4 - Fraction("0.5")
    # l_1, cut: a quarter of the budget on the first value would be best spent up to 1 on the second
    assert FrameBalls(center, radius, 1.0, (-1.0, 0.25)).least(a) == -Fraction(1) - Fraction("2.25") - 1
    assert BoxSet(center - 1, center + 2).least(a) == -3 - 8 - 2
    choices = [np.array([[1.0, 1.0], [0.0, 2.0]]), np.array([[0.0, 3.0]])]
    assert Substitutions(choices).least(a) == -8 + 6


def test_cut_ball_is_nearly_exact():
    """Against a fine search: l_2 ball of radius 1 cut at 0.3 in the steepest direction."""
    a = np.array([[3.0, 1.0]])
    found = FrameBalls(np.zeros((1, 2)), np.array([1.0]), 2.0, (-0.3, 1.0)).least(form_of(a))
    # both values may fall by 0.3 only, and (0.3, 0.3) lies inside the ball
    assert float(found) == pytest.approx(-1.2, abs=1e-9)
    wide = FrameBalls(np.zeros((1, 2)), np.array([0.5]), 2.0, (-0.4, 1.0)).least(form_of(a))
    assert float(wide) == pytest.approx(-(3 * 0.4 + math.sqrt(0.25 - 0.16)), abs=1e-9)


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=5), st.floats(1, 50))
def test_dual_norm_is_rounded_up_and_close(weights, p):
    found = float(dual_norm([Fraction(w) for w in weights], p))
    largest = max(weights)
    if p > 1 and largest > 0:
        q = p / (p - 1)
        plain = largest * sum((w / largest) ** q for w in weights) ** (1 / q)
        assert found == pytest.approx(plain, rel=1e-9)
    assert found >= largest


@given(st.fractions(), st.fractions())
def test_rounding_is_outward_and_next(p, q):
    value = p * q + Fraction(1, 3)
    assert Fraction(below(value)) <= value <= Fraction(above(value))
    assert above(value) <= math.nextafter(below(value), math.inf)


def test_faults_of_the_caller():
    center = np.zeros((2, 1))
    with pytest.raises(ReferenceInputError, match=r"p = 0\.5"):
        SequenceBall(center, 1.0, 0.5)
    with pytest.raises(ReferenceInputError, match="nan"):
        SequenceBall(center, 1.0, math.nan)
    with pytest.raises(ReferenceInputError, match="radius"):
        FrameBalls(center, np.array([1.0, -1.0]))
    with pytest.raises(ReferenceInputError, match="radius"):
        SequenceBall(center, math.nan)
    with pytest.raises(ReferenceInputError, match="clip"):
        SequenceBall(center + 2.0, 1.0, 2.0, CLIP)
    with pytest.raises(ReferenceInputError, match="lower"):
        BoxSet(center, center - 1)
    with pytest.raises(ReferenceFailureError, match="float"):
        below(Fraction(10) ** 400)

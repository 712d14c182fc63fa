"""How far a pair of planes is left by the function: of each plane by itself, and of both."""

import math

import pytest

from refcert.reference.exact_planes import Plane, PlanePair, extreme_excess
from refcert.reference.given_planes import Given
from refcert.reference.intervals import POINT_ZERO, Interval


@pytest.mark.parametrize(("low", "high"), [(0.25, 0.0), (0.0, 0.125), (0.25, 0.125), (-0.5, -0.25)])
def test_the_violation_is_that_of_the_worse_plane(low, high):
    """tanh on [-1, 1] between constants: the lower one raised by `low`, the upper one lowered by `high`."""
    top = math.tanh(1.0)
    planes = PlanePair(Plane(0.0, 0.0, -top + low), Plane(0.0, 0.0, top - high))
    entry = Given("tanh", Interval(-1.0, 1.0), POINT_ZERO, planes)
    assert entry.violation() == pytest.approx(max(low, high), abs=1e-15)


def test_a_contact_far_out_is_found_beside_its_mirror_image():
    """q = 1 - sigmoid(v) is a root at about 1e-10 beside one at -1e-10: nearly double, and real."""
    a, b = 1e-10, 0.3
    top = extreme_excess("sigmoid_times_tanh", Interval(5.0, 50.0), Interval(0.5, 2.0), a, b)[1]
    t = math.sqrt(1 - b)  # where sigmoid is 1
    assert top.z == pytest.approx(math.atanh(t), abs=1e-6)
    assert top.v == pytest.approx(math.log(t / a), abs=1e-4)
    assert top.value == pytest.approx(t - b * math.atanh(t) - a * (1 + math.log(t / a)), abs=1e-15)

"""The other engine's bounds are sound: its lines are proved, its intervals are tried."""

from third_party import interval_bounds, planes


def test_its_lines(refcert_check):
    refcert_check.planes_sound(planes, kinds=["sigmoid", "tanh"])


def test_its_intervals(refcert_check, refcert_model):
    refcert_check.bounds_sound(interval_bounds, refcert_model, frames=4)

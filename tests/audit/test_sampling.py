"""Sampling: what Hypothesis draws lies where it should, climbs, leaves nothing behind, and works inside a test too."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from refcert.audit.families.boxes import BOX_FAMILIES, draw_boxes
from refcert.audit.hunting.excess import Excess
from refcert.audit.hunting.hunt import Hunt
from refcert.audit.sampling import PATCH, hunt_on_grid, hunt_with_hypothesis, patches
from refcert.kernel.claims import KINDS, PlaneClaim

ANY = PlaneClaim("sigmoid_times_tanh", "upper", -1.0, 2.0, -1.0, 3.0, 0.1, 0.1, 0.6)
WAYS = {"grid": hunt_on_grid, "hypothesis": hunt_with_hypothesis}


class Recorder(Excess):
    """Remembers every point that was asked for; a moved anchor remembers in the same place."""

    def __init__(self, claim, anchor=None):
        super().__init__(claim, anchor)
        self.points = []

    def __call__(self, v, z):
        v, z = np.broadcast_arrays(v, z)
        self.points += zip(v.ravel().tolist(), z.ravel().tolist(), strict=True)
        return super().__call__(v, z)


@pytest.mark.parametrize("way", WAYS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_every_sample_is_a_float_of_the_box_whatever_its_shape(way, seed):
    rng = np.random.default_rng(seed)
    kind, family = str(rng.choice(KINDS)), str(rng.choice(BOX_FAMILIES))
    box = draw_boxes(family, kind, 1, rng)[0].tolist()
    hunt = Hunt(Recorder(PlaneClaim(kind, "upper", *box, *rng.normal(size=3).tolist())), 10, seed)
    candidates = WAYS[way](hunt)
    assert candidates
    for v, z in [*hunt.excess.points, *candidates]:
        assert box[0] <= v <= box[1]
        assert box[2] <= z <= box[3]


def test_the_grid_has_corners_and_sides_and_keeps_its_budget():
    hunt = Hunt(Recorder(ANY), 100, 0)
    hunt_on_grid(hunt)
    points = hunt.excess.points
    assert len(points) == 100
    assert {(-1.0, -1.0), (-1.0, 3.0), (2.0, -1.0), (2.0, 3.0)} <= set(points)
    assert sum(v in (-1.0, 2.0) for v, _ in points) == 20


def test_the_grid_of_one_argument_is_finer():
    hunt = Hunt(Recorder(PlaneClaim("tanh", "upper", -1.0, 2.0, 0.0, 0.0, 0.1, 0.0, 0.6)), 100, 0)
    hunt_on_grid(hunt)
    assert len(set(hunt.excess.points)) == 100


def test_the_grid_refines_every_peak_it_sees():
    # (sigmoid(v) - 1/2) z: two opposite corners are equally high
    claim = PlaneClaim("sigmoid_times_identity", "upper", -3.0, 3.0, -2.0, 2.0, 0.0, 0.5, 0.0)
    assert {(3.0, 2.0), (-3.0, -2.0)} <= set(hunt_on_grid(Hunt(Excess(claim), 100, 0)))


def test_hypothesis_draws_as_many_patches_as_asked_and_looks_at_corners_and_last_places():
    hunt = Hunt(Recorder(ANY), 300, 1)
    hunt_with_hypothesis(hunt)
    points = set(hunt.excess.points)
    corners = {(v, z) for v in (-1.0, 2.0) for z in (-1.0, 3.0)}
    assert corners <= points
    beside = [(v, z) for v, z in points if v not in (-1.0, 2.0) and min(abs(v + 1.0), abs(v - 2.0)) < 1e-14]
    assert beside
    # nine points for the size of the violations, then a patch for each example
    assert len(hunt.excess.points) == 9 + 300 * len(PATCH) ** 2


def test_the_target_is_climbed(monkeypatch):
    """With the target, the best sample is far closer to the maximum than without."""
    claim = PlaneClaim("sigmoid_times_tanh", "upper", -6.0, -2.0, -4.0, -1.0, -0.014, 0.0009, -0.06)
    best = max(float(Excess(claim)(v, z)) for v, z in hunt_on_grid(Hunt(Excess(claim), 900, 0)))

    def loss(seed):
        hunt = Hunt(Recorder(claim), 150, seed)
        hunt_with_hypothesis(hunt)
        return best - float(Excess(claim)(*np.array(hunt.excess.points).T).max())

    climbed = [loss(seed) for seed in range(2)]
    monkeypatch.setattr("refcert.audit.sampling.target", lambda *_, **__: None)
    drawn = [loss(seed) for seed in range(2)]
    assert np.mean(climbed) < 0.1 * np.mean(drawn)


def test_patches_of_every_size_lie_in_corners_too():
    drawn = settings(database=None, max_examples=2000, derandomize=True, phases=[Phase.generate])
    assert find(patches(), lambda patch: patch.share_v == 1.0 and patch.share_z == 0.0, settings=drawn)
    assert find(patches(), lambda patch: patch.reach < 1e-12, settings=drawn)
    assert find(patches(), lambda patch: patch.reach == 1.0, settings=drawn)


def test_nothing_is_left_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hunt_with_hypothesis(Hunt(Excess(ANY), 5, 0))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def outside():
    return [hunt_with_hypothesis(Hunt(Excess(ANY), 8, seed)) for seed in range(4)]


@given(seed=st.integers(0, 3))
@settings(max_examples=4, suppress_health_check=list(HealthCheck))
def test_it_runs_inside_a_test_of_hypothesis_and_does_not_depend_on_it(seed, outside):
    assert hunt_with_hypothesis(Hunt(Excess(ANY), 8, seed)) == outside[seed]

"""The ladder: every rung a bound, none below the one before, and the order that users read it in."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.audit.network_lp import RUNGS, network_ladder
from refcert.audit.network_lp.attack import Attack, extreme, into
from refcert.audit.network_lp.tighten import MOST_ARGUMENTS
from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.networks import logits
from tests.audit.network_lp_cases import middle, slopes_only, system_for
from tests.reference.drawn import input_sets, networks, points_of, seeds
from tests.reference.test_bounds import FORWARD, rows_of, small

SOLVER = 1e-7


def planes_for(network, region, count, seed=0, spread=0.2):
    rng = np.random.default_rng(seed)
    program = system_for(network, region).program
    return [slopes_only(program, middle(region), rng, spread) for _ in range(count)]


@settings(max_examples=6)
@given(st.data(), networks(max_size=2), st.integers(1, 2), seeds)
def test_rungs_rise_and_stay_below_samples(data, drawn, time, seed):
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    rng = np.random.default_rng(seed)
    C, d = rows_of(network, time, rng)
    given_, *more = planes_for(network, region, 2, seed)
    rungs = ("back_substitution", "one_pair", "boxes", "several", "hull", "found")
    ladder = network_ladder(network, region, C, d, [given_], more, rungs, rounds=3, tolerance=1e-3)
    assert [rung.name for rung in ladder.rungs] == list(rungs)
    *bounds, found = [rung.certified for rung in ladder.rungs]
    for before, after in itertools.pairwise(bounds):
        assert (after >= before).all()
    values = np.array([C @ logits(network, x).reshape(-1) + d for x in points_of(region, rng, 12)])
    slack = FORWARD * (1 + np.abs(values).max())
    assert (bounds[-1] <= values.min(0) + slack).all()
    assert (bounds[-1] <= found + slack).all()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_every_rung_gains_on_a_wide_ball(cell):
    """Where planes are loose each step of the ladder shows: hull above boxes, tightened boxes above the hull."""
    network, region, C = small(cell, radius=0.3, time=2)
    given_, *more = planes_for(network, region, 3)
    ladder = network_ladder(network, region, C, None, [given_], more, RUNGS, rounds=8, tolerance=1e-4)
    worst = {rung.name: rung.worst for rung in ladder.rungs}
    assert list(worst) == list(RUNGS)
    assert list(worst.values()) == sorted(worst.values())
    assert worst["boxes"] < worst["hull"] - 1e-3
    assert worst["hull"] < worst["tightened"] - 1e-4
    assert all(abs(rung.gap) <= SOLVER for rung in ladder.rungs)
    assert ladder.rung("hull").programs > 1
    assert "planes added" in ladder.rung("hull").note


def test_the_limit_does_not_depend_on_the_planes_to_begin_with():
    """Cutting planes lead to the hulls, wherever they start."""
    network, region, C = small("lstm", radius=0.3, time=2)
    first, second = planes_for(network, region, 2, spread=0.05)
    reached = []
    for more in ([], [second]):
        ladder = network_ladder(network, region, C, None, [first], more, ("several", "hull"), tolerance=1e-7, rounds=40)
        reached.append([ladder.rung(name).worst for name in ("several", "hull")])
    assert reached[1][0] > reached[0][0] + 1e-6
    assert reached[0][1] == pytest.approx(reached[1][1], abs=1e-5)


def test_rows_that_cannot_be_the_worst_are_left_out():
    network, region, _ = small("gru", radius=0.1)
    C, d = np.array([[1.0, -1.0], [1.0, -1.0], [0.0, 1.0]]), np.array([0.0, 5.0, 9.0])
    planes = planes_for(network, region, 1)
    rungs = ("back_substitution", "boxes", "hull")
    every = network_ladder(network, region, C, d, planes, (), rungs, rounds=3)
    worst = network_ladder(network, region, C, d, planes, (), rungs, worst_only=True, rounds=3)
    for one, other in zip(every.rungs, worst.rungs, strict=True):
        assert one.worst == other.worst
        assert one.programs >= other.programs
    assert worst.rung("boxes").programs == 1
    assert every.rung("boxes").programs == 3


def test_several_starts_take_the_better_bound_row_by_row():
    network, region, C = small("lstm", radius=0.2)
    both = planes_for(network, region, 2)
    together = network_ladder(network, region, C, None, both, (), ("back_substitution", "one_pair"))
    for planes in both:
        alone = network_ladder(network, region, C, None, [planes], (), ("back_substitution",))
        assert together.rungs[0].worst >= alone.rungs[0].worst
    assert "2 starts" in together.rungs[0].note


@settings(max_examples=40)
@given(st.data(), st.integers(1, 3), st.integers(1, 3), seeds)
def test_the_attack_stays_in_the_set(data, time, inputs, seed):
    """Where the set can say so: the least value of any form is not above the form at the attack's points."""
    region = data.draw(input_sets(time, inputs))
    rng = np.random.default_rng(seed)
    form = rng.normal(size=(time, inputs))
    exact = {(t, i): Fraction(float(form[t, i])) for t in range(time) for i in range(inputs)}
    least = float(region.least(exact))
    slack = 1e-12 * (1 + np.abs(form).sum())
    for _ in range(3):
        x = extreme(region, rng.normal(size=(time, inputs)))
        assert (form * x).sum() >= least - slack
        assert np.allclose(into(region, x), x, atol=1e-11)
    if getattr(region, "clip", None) is None:
        assert (form * extreme(region, form)).sum() == pytest.approx(least, abs=1e-9 * (1 + abs(least)))


def test_the_attacks_value_is_the_networks_at_its_input():
    network, region, C = small("gru", radius=0.3)
    system = system_for(network, region)
    value, x = Attack(system, region).least_found(system.objective(C)[0], 0.5)
    assert value == pytest.approx(float(C[0] @ logits(network, x)) + 0.5, abs=1e-12)
    tried = [float(C[0] @ logits(network, x)) + 0.5 for x in points_of(region, np.random.default_rng(0), 300)]
    assert value <= min(tried) + 1e-9


def test_faults_of_the_caller():
    network, region, C = small("lstm")
    planes = planes_for(network, region, 1)
    with pytest.raises(ReferenceInputError, match=r"'top'.*known are back_substitution"):
        network_ladder(network, region, C, None, planes, (), ("top",))
    with pytest.raises(ReferenceInputError, match="rungs are none"):
        network_ladder(network, region, C, None, planes, (), ())
    with pytest.raises(ReferenceInputError, match=r"C has shape \(1, 3\); it needs \(rows, 2\)"):
        network_ladder(network, region, np.zeros((1, 3)), None, planes)
    with pytest.raises(ReferenceInputError, match=r"d has shape \(2,\); it needs \(1,\)"):
        network_ladder(network, region, C, np.zeros(2), planes)
    with pytest.raises(ReferenceInputError, match="no rung 'hull'; it has back_substitution"):
        network_ladder(network, region, C, None, planes, (), ("back_substitution",)).rung("hull")
    large, wide, row = small("lstm", hidden=8, time=7)
    with pytest.raises(ReferenceInputError, match=f"arguments, which is for at most {MOST_ARGUMENTS}"):
        network_ladder(large, wide, np.eye(2)[:1], None, planes_for(large, wide, 1), (), ("tightened",))
    assert row is not None


def test_a_refuted_plane_among_the_further_ones_is_an_error():
    network, region, C = small("lstm", radius=0.2)
    planes = planes_for(network, region, 1)[0]
    key = next(variable for variable in planes if variable.name == "input")
    entry = planes[key]
    wide = entry.v._replace(lower=-50.0, upper=50.0)
    bad = {**planes, key: entry._replace(v=wide, z=wide)}  # says its planes hold on a box that holds every other one
    with pytest.raises(ReferenceFailureError, match="does not hold"):
        network_ladder(network, region, C, None, [planes], [bad], ("several",))

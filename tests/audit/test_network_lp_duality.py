"""The rigorous value behind a program: true for any multipliers, exact to its charge; what is wrong is refused."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.audit.network_lp.boxes import as_array, derive
from refcert.audit.network_lp.duality import Multipliers, bound_by_multipliers, eliminate
from refcert.audit.network_lp.least import affine_interval, is_box, least_on_inputs
from refcert.audit.network_lp.planes import inequalities, joined, single
from refcert.audit.network_lp.solve import NetworkLP
from refcert.reference.bounds import joint_range
from refcert.reference.equations import Affine
from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.networks import BLOCKS, logits
from tests.audit.network_lp_cases import middle, slopes_only, system_for
from tests.reference.drawn import input_sets, networks, points_of, seeds
from tests.reference.test_bounds import FORWARD, rows_of, small


def problem(cell="lstm", radius=0.2, starts=2):
    network, region, C = small(cell, radius=radius)
    system = system_for(network, region)
    rng = np.random.default_rng(3)
    derived = derive(system, region, [slopes_only(system.program, middle(region), rng) for _ in range(starts)])
    rows = inequalities(system, joined(map(single, derived.starts)), derived.boxes)
    return network, region, system, derived, rows, system.objective(C)


def exact_value(system, rows, region, boxes, C, d, multipliers):
    """Weak duality in rational arithmetic, written out entry by entry."""
    m, pi = multipliers
    residual = [Fraction(float(value)) for value in C]
    total = Fraction(float(d))
    for matrix, right, factors in ((rows.G, rows.h, m[:, 0]), (system.E, system.e, pi[:, 0])):
        table = matrix.toarray()
        for k, factor in enumerate(factors):
            total -= Fraction(float(factor)) * Fraction(float(right[k]))
            for j in np.flatnonzero(table[k]):
                residual[j] += Fraction(float(factor)) * Fraction(float(table[k, j]))
    inputs = system.inputs
    form = {(x.t, x.unit): residual[k] for k, x in enumerate(system.variables[:inputs])}
    total += region.least(form)
    for j in range(inputs, system.size):
        total -= abs(residual[j]) * Fraction(float(np.abs(boxes[j]).max()))
    return total


@pytest.mark.parametrize("cell", BLOCKS)
def test_floats_stay_below_the_exact_value_and_near_it(cell):
    _, region, system, derived, rows, W = problem(cell)
    boxes = as_array(system, derived.boxes)
    rng = np.random.default_rng(0)
    for start in (None, rng.exponential(1.0, (len(rows.h), 1))):
        multipliers = eliminate(system, rows, W, start)
        assert (multipliers.of_planes >= 0).all()
        found = bound_by_multipliers(system, rows, region, boxes, W, np.array([0.25]), multipliers)[0]
        exact = exact_value(system, rows, region, boxes, W[0], 0.25, multipliers)
        size = 1 + np.abs(multipliers.of_planes).sum() + np.abs(multipliers.of_equations).sum()
        assert 0 <= exact - Fraction(found) <= 1e-11 * size


@settings(max_examples=20)
@given(st.data(), networks(max_size=2), st.integers(1, 2), seeds, st.sampled_from((0.0, 0.1, 10.0)))
def test_any_multipliers_give_a_bound(data, drawn, time, seed, scale):
    """Nothing is assumed about where they come from: at random, from nothing, or repaired from random ones."""
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    rng = np.random.default_rng(seed)
    system = system_for(network, region)
    C, d = rows_of(network, time, rng, 2)
    derived = derive(system, region, [slopes_only(system.program, middle(region), rng)])
    rows = inequalities(system, single(derived.starts[0]), derived.boxes)
    boxes, W = as_array(system, derived.boxes), system.objective(C)
    m = scale * rng.exponential(1.0, (len(rows.h), 2)) * rng.integers(0, 2, (len(rows.h), 2))
    pi = scale * rng.normal(0, 1, (len(system.e), 2))
    values = np.array([C @ logits(network, x).reshape(-1) + d for x in points_of(region, rng, 12)]).min(0)
    for multipliers in (Multipliers(m, pi), eliminate(system, rows, W, m)):
        lower = bound_by_multipliers(system, rows, region, boxes, W, d, multipliers)
        assert (lower <= values + FORWARD * (1 + np.abs(values))).all()


@settings(max_examples=20)
@given(st.data(), networks(max_size=3), st.integers(1, 3), seeds)
def test_ranges_over_boxes_are_the_references(data, drawn, time, seed):
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    rng = np.random.default_rng(seed)
    system = system_for(network, region)
    derived = derive(system, region, [slopes_only(system.program, middle(region), rng)])
    boxes = as_array(system, derived.boxes)
    for level in system.levels:
        row = level.rows.start
        for equation in level.equations:
            if isinstance(equation, Affine):
                ours, theirs = (
                    affine_interval(system, region, equation, row, boxes),
                    joint_range(equation, derived.boxes, region),
                )
                slack = 1e-12 * (1 + max(abs(end) for end in theirs))
                assert theirs.lower - slack <= ours.lower <= theirs.lower + 1e-300
                assert theirs.upper - 1e-300 <= ours.upper <= theirs.upper + slack
                row += 1
    r = rng.normal(0, 1, system.inputs)
    form = {(x.t, x.unit): Fraction(float(a)) for x, a in zip(system.variables, r, strict=False)}
    least = least_on_inputs(system, region, boxes, r)
    assert least <= region.least(form) if not is_box(region) else float(region.least(form) - least) >= -1e-300
    assert float(region.least(form) - least) <= 1e-12 * (1 + np.abs(r).sum())


def test_a_solvers_duals_leave_nothing_but_rounding():
    _, region, system, derived, _, W = problem("gru")
    program = NetworkLP(system, region, joined(map(single, derived.starts)), derived.boxes, True)
    found = program.minimise(W[0], 0.0)
    assert abs(found.gap) <= 1e-9


# planted faults


def test_negative_multipliers_are_refused():
    _, region, system, derived, rows, W = problem()
    m, pi = eliminate(system, rows, W)
    boxes = as_array(system, derived.boxes)
    right = bound_by_multipliers(system, rows, region, boxes, W, np.zeros(1), Multipliers(m, pi))
    with pytest.raises(ReferenceInputError, match=r"multiplier of inequality .* sign convention"):
        bound_by_multipliers(system, rows, region, boxes, W, np.zeros(1), Multipliers(-m, pi))
    with pytest.raises(ReferenceInputError, match="not finite"):
        bound_by_multipliers(system, rows, region, boxes, W, np.zeros(1), Multipliers(m * np.nan, pi))
    # the wrong sign for equations is no error: it stays a bound, a useless one
    wrong = bound_by_multipliers(system, rows, region, boxes, W, np.zeros(1), Multipliers(m, -pi))
    assert wrong[0] < right[0] - 0.1


def test_forms_over_what_is_not_bounded_yet_are_refused():
    _, region, system, derived, rows, W = problem()
    multipliers = eliminate(system, rows, W)
    boxes = as_array(system, derived.boxes)
    stop = system.levels[1].stop
    with pytest.raises(ReferenceInputError, match="not bounded yet"):
        bound_by_multipliers(system, rows, region, boxes, W, np.zeros(1), multipliers, stop)
    unbounded = np.where(np.arange(system.size)[:, None] == system.size - 1, np.inf * np.array([-1, 1]), boxes)
    with pytest.raises(ReferenceFailureError, match="infinite"):
        bound_by_multipliers(system, rows, region, unbounded, W, np.zeros(1), multipliers)


@pytest.mark.parametrize("fault", ["upper for lower", "forgotten constant", "no time step"])
def test_a_wrong_system_is_above_a_sample(fault):
    """Bounds of a program with a fault in its matrices do not hold the samples of the right network."""
    network, region, system, derived, rows, W = problem("lstm", radius=0.05, starts=1)
    boxes = as_array(system, derived.boxes)
    if fault == "upper for lower":
        rows = dataclasses.replace(rows, h=-rows.h)
    elif fault == "forgotten constant":
        system = dataclasses.replace(system, e=np.zeros_like(system.e))
    else:
        E = system.E.copy()
        E.data[E.data != 1.0] *= 0.5
        system = dataclasses.replace(system, E=E)
    both = np.vstack((W, -W))
    lower = bound_by_multipliers(system, rows, region, boxes, both, np.zeros(2), eliminate(system, rows, both))
    rows_of_outputs = np.array([[1.0, -1.0], [-1.0, 1.0]])
    values = np.array([rows_of_outputs @ logits(network, x) for x in points_of(region, np.random.default_rng(0), 40)])
    assert (lower > values.min(0) + 1e-3).any()

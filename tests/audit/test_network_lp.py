"""The relaxation of the whole network: its place between back-substitution and samples, and what faults do to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.audit.network_lp.boxes import as_array, derive
from refcert.audit.network_lp.duality import bound_by_multipliers, eliminate
from refcert.audit.network_lp.planes import PlaneSet, inequalities, joined, single
from refcert.audit.network_lp.solve import NetworkLP
from refcert.reference import bounds
from refcert.reference.backsubstitution import lower_bound
from refcert.reference.equations import evaluate
from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.given_planes import Given
from refcert.reference.intervals import Interval
from refcert.reference.least_volume import METHODS
from refcert.reference.networks import BLOCKS, Dense, Network, logits
from tests.audit.network_lp_cases import chained_relus, middle, slopes_only, system_for
from tests.reference.drawn import KINDS, input_sets, networks, points_of, recurrent, seeds
from tests.reference.test_bounds import FORWARD, next_input_set, rows_of, small
from tests.reference.test_given_planes import given_of

# What a solver may leave between its optimum and the certified value, in units of the sizes involved.
SOLVER = 1e-6


def back_substitution(system, region, derived, C, d):
    """Of the first start, by the same rigorous evaluation."""
    rows = inequalities(system, single(derived.starts[0]), None)
    W = system.objective(C)
    return bound_by_multipliers(system, rows, region, as_array(system, derived.boxes), W, d, eliminate(system, rows, W))


def size_of(system, derived, C):
    """The sizes that a row's terms can have: what rounding and solvers are held to."""
    return 1 + np.abs(system.objective(C)) @ np.abs(as_array(system, derived.boxes)).max(1)


@settings(max_examples=20)
@given(st.data(), networks(max_size=2), st.integers(1, 2), seeds)
def test_between_back_substitution_and_samples(data, drawn, time, seed):
    """Any network, input set and planes: back-substitution <= one pair <= with boxes <= with more planes <= samples."""
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    rng = np.random.default_rng(seed)
    system = system_for(network, region)
    C, d = rows_of(network, time, rng, 1)
    starts = [slopes_only(system.program, middle(region), rng) for _ in range(2)]
    derived = derive(system, region, starts)
    back = back_substitution(system, region, derived, C, d)[0]
    one, several = single(derived.starts[0]), joined(map(single, derived.starts))
    W, slack = system.objective(C)[0], SOLVER * size_of(system, derived, C)[0]
    ladder = [back]
    for planes, with_boxes in ((one, False), (one, True), (several, True)):
        found = NetworkLP(system, region, planes, derived.boxes, with_boxes).minimise(W, d[0])
        assert found.lower >= ladder[-1] - slack
        assert -slack <= found.gap <= slack
        ladder.append(found.lower)
    values = [C[0] @ logits(network, x).reshape(-1) + d[0] for x in points_of(region, rng, 20)]
    assert max(ladder) <= min(values) + FORWARD * (1 + np.abs(values).max())


@pytest.mark.parametrize("cell", BLOCKS)
@pytest.mark.parametrize("kind", KINDS)
def test_one_pair_on_its_own_boxes_equals_back_substitution(cell, kind):
    """Boxes from back-substitution alone: no pair of planes crosses inside, so the program knows nothing more."""
    rng = np.random.default_rng(len(cell) * 7 + len(kind))
    region = next_input_set(rng, kind)
    cells = tuple(recurrent(rng, cell, 2, 2, reverse=reverse, started=True) for reverse in (False, True))
    network = Network((cells,), (Dense(rng.normal(0, 1, (2, 4)), np.zeros(2)),), (), "mean")
    system = system_for(network, region)
    C, d = rows_of(network, 3, rng, 1)
    derived = derive(system, region, [slopes_only(system.program, middle(region), rng, 0.05)], intervals=False)
    back = back_substitution(system, region, derived, C, d)[0]
    program = NetworkLP(system, region, single(derived.starts[0]), derived.boxes, with_boxes=False)
    found = program.minimise(system.objective(C)[0], d[0])
    assert found.primal == pytest.approx(back, abs=SOLVER * size_of(system, derived, C)[0])
    assert found.lower == pytest.approx(back, abs=SOLVER * size_of(system, derived, C)[0])


def test_boxes_cut_by_intervals_tell_the_program_more():
    """By hand: back-substitution allows u = -1; relu(u - 1/4) has planes that cross below -1/4, so u >= 0."""
    network, region, planes = chained_relus()
    system = system_for(network, region)
    C, d = np.array([[0.0, 1.0]]), np.zeros(1)
    for intervals, expected in ((True, 5.0), (False, 4.0)):
        derived = derive(system, region, [planes], intervals)
        assert back_substitution(system, region, derived, C, d)[0] == pytest.approx(4.0, abs=1e-9)
        program = NetworkLP(system, region, single(derived.starts[0]), derived.boxes, False)
        assert program.minimise(system.objective(C)[0], 0.0).lower == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("cell", BLOCKS)
def test_back_substitution_is_the_references(cell):
    """The same planes and boxes give the reference's bound, up to what both charge for rounding."""
    network, region, C = small(cell, radius=0.2)
    own = bounds.bound(network, region, C, None, "constants", "tree")
    system = system_for(network, region)
    derived = derive(system, region, [given_of(own)])
    for variable, box in own.boxes.items():
        assert derived.boxes[variable].lower == pytest.approx(box.lower, abs=1e-11)
        assert derived.boxes[variable].upper == pytest.approx(box.upper, abs=1e-11)
    again = back_substitution(system, region, derived, C, np.zeros(1))[0]
    row = dict(zip(system.program.outputs, C[0].tolist(), strict=True))
    exact = lower_bound(system.program, region, row, derived.starts[0], derived.boxes, exact=True).value
    assert again <= exact
    assert again == pytest.approx(float(exact), abs=1e-11)


@settings(max_examples=12)
@given(st.data(), networks(max_size=2), st.integers(1, 2), seeds)
def test_boxes_hold_every_sample(data, drawn, time, seed):
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    rng = np.random.default_rng(seed)
    system = system_for(network, region)
    derived = derive(system, region, [slopes_only(system.program, middle(region), rng)])
    for x in points_of(region, rng, 6):
        for variable, value in evaluate(system.program, x).items():
            box, slack = derived.boxes[variable], FORWARD * (1 + abs(value))
            assert box.lower - slack <= value <= box.upper + slack


# planted faults


def faulty(cell="lstm", share=0.9):
    """A network whose first upper plane, made for the derived boxes, cuts off a part of the surface."""
    network, region, C = small(cell, radius=0.3)
    system = system_for(network, region)
    result = bounds.bound(network, region, C, None, "constants", "tree")
    planes = given_of(result)
    key = next(variable for variable in planes if variable.name in ("input", "candidate") and variable.t == 1)
    entry = planes[key]
    width = entry.planes.upper.offset - entry.planes.lower.offset
    upper = entry.planes.upper._replace(offset=entry.planes.upper.offset - share * width)
    wide = entry._replace(
        v=entry.v._replace(lower=entry.v.lower - 1e-6, upper=entry.v.upper + 1e-6),
        z=entry.z._replace(lower=entry.z.lower - 1e-6, upper=entry.z.upper + 1e-6),
        planes=entry.planes._replace(upper=upper),
    )
    return network, region, system, {**planes, key: wide}, key


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_plane_that_cuts_off_the_surface_is_refused(cell):
    _, region, system, planes, key = faulty(cell)
    with pytest.raises(ReferenceFailureError, match=rf"upper plane of .*{key.name}.* does not hold: at"):
        derive(system, region, [planes])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_plane_that_cuts_off_the_surface_lifts_the_bound_above_a_sample(cell):
    """Taken on trust, the fault shows where bounds meet samples."""
    _, region, system, planes, key = faulty(cell)
    derived = derive(system, region, [planes], prove=False)
    program = NetworkLP(system, region, single(derived.starts[0]), derived.boxes, True)
    c = np.zeros(system.size)
    c[system.number[key]] = -1.0
    lower = program.minimise(c, 0.0).lower
    values = [evaluate(system.program, x)[key] for x in points_of(region, np.random.default_rng(0), 60)]
    assert lower > -max(values) + 1e-3


def test_contradicting_planes_are_a_clear_error():
    _, region, system, planes, _ = faulty(share=1.5)
    derived = derive(system, region, [planes], prove=False)
    with pytest.raises(ReferenceFailureError, match="a plane or a box does not hold; audit the planes"):
        NetworkLP(system, region, single(derived.starts[0]), derived.boxes, True).minimise(np.zeros(system.size), 0.0)


def test_faults_of_the_caller():
    network, region, _ = small("lstm")
    system = system_for(network, region)
    planes = slopes_only(system.program, middle(region), np.random.default_rng(0))
    with pytest.raises(ReferenceInputError, match="no planes are given; give at least one pair"):
        derive(system, region, [])
    key = next(variable for variable in planes if variable.name == "input")
    with pytest.raises(ReferenceInputError, match=r"input.* are missing; give those of sigmoid_times_tanh"):
        derive(system, region, [{k: v for k, v in planes.items() if k != key}])
    with pytest.raises(ReferenceInputError, match="are of tanh; give those of sigmoid_times_tanh"):
        derive(system, region, [{**planes, key: planes[key]._replace(kind="tanh")}])
    derived = derive(system, region, [planes])
    with pytest.raises(ReferenceInputError, match="one side only"):
        inequalities(system, {**single(derived.starts[0]), key: PlaneSet((), ())}, None)
    with pytest.raises(ReferenceInputError, match="no planes are given for"):
        inequalities(system, {}, None)
    with pytest.raises(ReferenceInputError, match="type object are not known"):
        NetworkLP(system, object(), single(derived.starts[0]), derived.boxes, False)


def test_planes_on_larger_boxes_are_kept_and_others_moved():
    network, region, C = small("gru", radius=0.1)
    system = system_for(network, region)
    own = given_of(bounds.bound(network, region, C, None, "constants", "tree"))

    def wider(entry: Given, by: float) -> Given:
        v, z = (Interval(box.lower - by, box.upper + by) for box in (entry.v, entry.z))
        return Given(entry.kind, v, z, METHODS["constants"](entry.kind, v, z))

    assert derive(system, region, [{key: wider(entry, 1e-6) for key, entry in own.items()}]).moved == 0
    slopes = slopes_only(system.program, middle(region), np.random.default_rng(0))
    assert derive(system, region, [slopes]).moved > 0

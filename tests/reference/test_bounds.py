"""Laws of the whole algorithm, and planted faults that they find."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.reference import backsubstitution, bounds
from refcert.reference.equations import Nonlinear, evaluate, evaluate_kind
from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.exact_planes import PlanePair
from refcert.reference.input_sets import BoxSet, FrameBalls, SequenceBall, Substitutions
from refcert.reference.intervals import Interval, interval_boxes
from refcert.reference.least_volume import METHODS
from refcert.reference.networks import BLOCKS, READOUTS, Dense, Network, logits
from refcert.reference.radius import certified_radius
from tests.reference.drawn import KINDS, input_sets, networks, points_of, recurrent, seeds

# Forward passes in floats are themselves rounded by this much, in units of the sizes involved.
FORWARD = 1e-12


def rows_of(network, time, rng, count=2):
    outputs = len(network.after[-1].bias) * (time if network.readout == "every" else 1)
    return rng.normal(0, 1, (count, outputs)), rng.normal(0, 1, count)


def excess(network, region, result, C, d, rng, points=12):
    """How far a row or a variable leaves its bounds at sampled points; positive means a fault."""
    worst = 0.0
    for x in points_of(region, rng, points):
        values = C @ logits(network, x).reshape(-1) + d
        slack = FORWARD * (1 + np.abs(values))
        worst = max(worst, (result.lower - values - slack).max(), (values - result.upper - slack).max())
        for variable, value in evaluate(result.program, x).items():
            box, slack = result.boxes[variable], FORWARD * (1 + abs(value))
            worst = max(worst, box.lower - value - slack, value - box.upper - slack)
    return worst


@settings(max_examples=25)  # linear programs are slow
@given(st.data(), networks(max_size=2), st.integers(1, 3), seeds, st.sampled_from(tuple(METHODS)))
def test_samples_never_leave_the_bounds(data, drawn, time, seed, method):
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    rng = np.random.default_rng(seed)
    C, d = rows_of(network, time, rng)
    maximum = data.draw(st.sampled_from(("chain", "tree")))
    result = bounds.bound(network, region, C, d, method, maximum)
    assert excess(network, region, result, C, d, rng) <= 0


@pytest.mark.parametrize("cell", BLOCKS)
@pytest.mark.parametrize("readout", READOUTS)
def test_every_cell_with_every_readout_and_input_set(cell, readout):
    """Constants as planes: fast, and every equation is met."""
    rng = np.random.default_rng(len(cell) * 10 + len(readout))
    parts = tuple(recurrent(rng, cell, 2, 2, reverse=reverse, started=True) for reverse in (False, True))
    network = Network((parts,), (Dense(rng.normal(0, 1, (2, 4)), np.zeros(2)),), (), readout)
    for kind in KINDS:
        region = next_input_set(rng, kind)
        C, d = rows_of(network, 3, rng)
        result = bounds.bound(network, region, C, d, "constants")
        assert excess(network, region, result, C, d, rng, 20) <= 0


def next_input_set(rng, kind):
    center, radius = rng.uniform(-0.9, 0.9, (3, 2)), np.array([0.1, 0.0, 0.3])
    return {
        "balls": FrameBalls(center, radius, 2.0),
        "clipped": FrameBalls(center, radius, np.inf, (-1.0, 1.0)),
        "sequence": SequenceBall(center, 0.3, 3.0),
        "box": BoxSet(center - 0.1, center + 0.2),
        "substitutions": Substitutions([frame + rng.normal(0, 0.2, (3, 2)) for frame in center]),
    }[kind]


def small(cell="lstm", readout="final", seed=0, hidden=2, time=3, radius=0.05):
    rng = np.random.default_rng(seed)
    network = Network(
        ((recurrent(rng, cell, 1, hidden),),),
        (Dense(rng.normal(0, 1, (2, hidden)), np.zeros(2)),),
        (),
        readout,
    )
    region = FrameBalls(rng.uniform(-1, 1, (time, 1)), np.full(time, radius))
    return network, region, np.array([[1.0, -1.0]])


@pytest.mark.parametrize("cell", BLOCKS)
def test_a_point_has_bounds_of_no_width(cell):
    network, region, C = small(cell, radius=0.0)
    for method in METHODS:
        result = bounds.bound(network, region, C, method=method)
        assert (result.upper - result.lower <= 1e-11).all()


@pytest.mark.parametrize("cell", BLOCKS)
def test_exact_arithmetic_agrees_within_the_charge(cell):
    network, region, C = small(cell)
    floats = bounds.bound(network, region, C, method="lines")
    again = bounds.row_bounds(floats.program, region, C, None, floats.planes, floats.boxes, exact=True)
    for fast, exact in zip(floats.rows, again[2], strict=True):
        assert exact.charge == 0
        assert fast.lower <= exact.value
        assert abs(float(fast.value - exact.value)) <= fast.charge
        assert fast.charge <= 1e-12 * fast.absolute + 1e-290


@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm", "gru"])
def test_planes_beat_constants_and_boxes_beat_intervals(cell):
    network, region, C = small(cell)
    planes = bounds.bound(network, region, C, method="planes")
    constants = bounds.bound(network, region, C, method="constants")
    assert (planes.lower > constants.lower + 1e-3).all()
    plain = interval_boxes(planes.program, bounds.input_boxes(planes.program, region))
    for variable, box in planes.boxes.items():
        assert plain[variable].lower <= box.lower <= box.upper <= plain[variable].upper


def test_one_relu_unit_by_hand():
    """h = relu(x) on [-1, 2]: upper plane 2/3 (x + 1); row -h: at least -2, and h itself at least the lower plane."""
    cell = dataclasses.replace(
        recurrent(np.random.default_rng(0), "rnn_relu", 1, 1),
        weight_ih=np.array([[1.0]]),
        weight_hh=np.array([[0.0]]),
        bias_ih=np.zeros(1),
        bias_hh=np.zeros(1),
    )
    network = Network(((cell,),), (Dense(np.eye(1), np.zeros(1)),))
    region = FrameBalls(np.array([[0.5]]), np.array([1.5]))
    result = bounds.bound(network, region, np.array([[1.0]]))
    assert result.upper[0] == pytest.approx(2.0, abs=1e-9)
    assert result.lower[0] == pytest.approx(-1.0, abs=1e-9)  # the identity is the least-volume lower plane on [-1, 2]


def test_widths_grow_with_the_radius():
    """True for constants, whose boxes are monotone in the radius."""
    widths = []
    for radius in (0.0, 0.01, 0.1, 0.5):
        network, region, C = small("gru", radius=radius)
        result = bounds.bound(network, region, C, method="constants")
        widths.append(float(result.upper[0] - result.lower[0]))
    assert widths == sorted(widths)


# planted faults


def test_a_plane_shifted_inward_is_detected():
    """The law about planes: every value at sampled points lies between them."""
    network, region, C = small("gru", radius=0.3)
    result = bounds.bound(network, region, C, method="constants")
    rng = np.random.default_rng(1)

    def violation(planes):
        worst = 0.0
        for x in points_of(region, rng, 60):
            values = evaluate(result.program, x)
            for equation in result.program.equations:
                if isinstance(equation, Nonlinear):
                    v, z = values[equation.v], 0.0 if equation.z is None else values[equation.z]
                    f, pair = evaluate_kind(equation.kind, v, z), planes[equation.variable]
                    low, high = (p.slope_v * v + p.slope_z * z + p.offset for p in pair)
                    worst = max(worst, low - f - FORWARD, f - high - FORWARD)
        return worst

    assert violation(result.planes) <= 0
    key = next(key for key in result.planes if key.name == "candidate")
    pair = result.planes[key]
    width = pair.upper.offset - pair.lower.offset
    shifted = PlanePair(pair.lower, pair.upper._replace(offset=pair.upper.offset - 0.9 * width))
    assert violation({**result.planes, key: shifted}) > 0


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_swapped_gate_is_detected(cell):
    """Bounds of a network with two gates swapped do not hold the samples of the right one."""
    network, region, C = small(cell, radius=0.02)
    part = network.layers[0][0]
    H = part.hidden
    order = [1, 0, *range(2, BLOCKS[cell])]
    index = np.concatenate([np.arange(block * H, block * H + H) for block in order])
    swapped = dataclasses.replace(
        part, **{name: getattr(part, name)[index] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    )
    wrong = bounds.bound(dataclasses.replace(network, layers=((swapped,),)), region, C, method="constants")
    right = bounds.bound(network, region, C, method="constants")
    rng = np.random.default_rng(0)
    assert excess(network, region, right, C, 0.0, rng) <= 0
    assert excess(network, region, wrong, C, 0.0, rng) > 0


@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm", "gru"])
def test_the_wrong_plane_for_a_sign_is_detected(cell):
    """Upper planes where the coefficient is positive (planes changed places) give bounds that samples leave."""
    network, region, C = small(cell, radius=0.3)
    result = bounds.bound(network, region, C, method="constants")
    wrong = {key: PlanePair(pair.upper, pair.lower) for key, pair in result.planes.items()}
    lower, upper, *_ = bounds.row_bounds(result.program, region, C, None, wrong, result.boxes)
    broken = dataclasses.replace(result, lower=lower, upper=upper)
    assert excess(network, region, broken, C, 0.0, np.random.default_rng(0)) > 0


def test_a_box_that_is_too_small_is_detected():
    network, region, C = small("lstm")
    result = bounds.bound(network, region, C, method="constants")
    key = next(key for key in result.boxes if key.name == "cell")
    narrow = {**result.boxes, key: Interval(result.boxes[key].lower, result.boxes[key].lower)}
    broken = dataclasses.replace(result, boxes=narrow)
    assert excess(network, region, broken, C, 0.0, np.random.default_rng(0)) > 0


# faults of the caller


def test_faults_of_the_caller():
    network, region, C = small()
    with pytest.raises(ReferenceInputError, match="plains"):
        bounds.bound(network, region, C, method="plains")
    with pytest.raises(ReferenceInputError, match="circle"):
        bounds.bound(network, region, C, maximum="circle")
    with pytest.raises(ReferenceInputError, match=r"\(1, 5\)"):
        bounds.bound(network, region, np.zeros((1, 5)))
    wide = FrameBalls(np.zeros((3, 4)), np.zeros(3))
    with pytest.raises(ReferenceInputError, match="weights meet"):
        bounds.bound(network, wide, C)
    result = bounds.bound(network, region, C, method="constants")
    row = {result.program.outputs[0]: 1.0}
    with pytest.raises(ReferenceInputError, match="no planes"):
        backsubstitution.lower_bound(result.program, region, row, {}, result.boxes)
    huge = {key: PlanePair(*(p._replace(offset=1e308) for p in pair)) for key, pair in result.planes.items()}
    with pytest.raises(ReferenceFailureError, match="inf"):
        backsubstitution.lower_bound(result.program, region, {result.program.outputs[0]: 1e3}, huge, result.boxes)


def test_radius_by_bisection():
    assert certified_radius(lambda r: r <= 0.3, 1.0, 20) == pytest.approx(0.3, abs=1e-5)
    assert certified_radius(lambda r: r <= 0.3, 1.0, 20) <= 0.3
    assert certified_radius(lambda r: True, 1.0, 20) == 1.0
    assert certified_radius(lambda r: False, 1.0, 20) == 0.0
    with pytest.raises(ReferenceInputError, match="steps"):
        certified_radius(lambda r: True, 1.0, 0)


def test_the_certified_radius_of_a_network_holds_its_samples():
    network, region, _ = small("lstm", seed=3)
    label = int(np.argmax(logits(network, region.center)))
    C = np.array([[1.0, -1.0]]) * (1 if label == 0 else -1)

    def certified(radius):
        ball = FrameBalls(region.center, np.full(3, radius))
        return bool((bounds.bound(network, ball, C, method="constants").lower > 0).all())

    radius = certified_radius(certified, 2.0, 8)
    assert radius > 0
    rng = np.random.default_rng(0)
    for x in points_of(FrameBalls(region.center, np.full(3, radius)), rng, 200):
        assert int(np.argmax(logits(network, x))) == label

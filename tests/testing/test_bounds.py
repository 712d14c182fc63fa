"""assert_bounds_sound: honest bounds pass on every network, planted faults are caught, made simple and shown."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gpu_engine.errors import ModelError, NumericalError, SoundnessFault
from gpu_engine.inputs import Boxes, FrameBalls
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from refcert.app.errors import InputError
from refcert.strategies import classifiers
from refcert.testing import NotDecidedError, Outcome, ViolatedError, assert_bounds_sound
from refcert.testing import bounds as bounds_module
from refcert.testing.bounds_violation import is_point
from tests.testing.engines_under_test import Small, bounds_of, honest, narrowed, of_module, run, small

LSTM = small()
FEW = "7 examples"


def violated(function, model=LSTM, **options):
    with pytest.raises(ViolatedError) as caught:
        assert_bounds_sound(function, model, **{"budget": FEW, **options})
    return caught.value


def with_swapped_gates(network):
    """Input and forget gates changed places."""
    ((cell,),) = network.layers

    def swapped(value):
        i, f, g, o = value.chunk(4)
        return torch.cat([f, i, g, o])

    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return replace(network, layers=((replace(cell, **{n: swapped(getattr(cell, n)) for n in names}),),))


@settings(max_examples=6)
@given(classifiers(max_size=3), st.integers(0, 1000))
def test_honest_bounds_of_any_network_never_fail(network, seed):
    """Of every cell, readout and scale of weights, on all kinds of sets."""

    def patient(network, inputs, rows):
        try:
            return bounds_of(network, inputs, rows)
        except (NumericalError, ModelError):  # overflow, subnormal weights: nothing is claimed
            return torch.full(rows.shape[:2], -math.inf), torch.full(rows.shape[:2], math.inf)

    sets = ("boxes", "frames", "sequence", "substitutions")
    report = assert_bounds_sound(patient, network, sets=sets, seed=seed, budget="3 examples", frames=2)
    assert report.outcome is Outcome.HOLDS


@pytest.mark.long
@settings(max_examples=400)
@given(classifiers(), st.integers(0, 10**6))
def test_honest_bounds_never_fail_in_a_long_campaign(network, seed):
    test_honest_bounds_of_any_network_never_fail.hypothesis.inner_test(network, seed)


def test_a_report_counts_what_was_tried():
    report = assert_bounds_sound(honest, LSTM, budget=FEW)
    assert report.numbers["examples"] == report.numbers["planned"] == 7
    assert report.numbers["bounds"] == 7 * 2 * 4 * 2  # samples, rows, sides
    assert "none is wrong" in report.text() and "7 of 7 examples" in report.text()


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize("size", [1e-6, 1e-13])
def test_a_small_fault_is_caught_on_a_point_and_made_simple(side, size):
    """Where nothing moves, bounds are as exact as rounding: there a fault of a millionth cannot hide."""

    def faulty(network, inputs, rows):
        lower, upper = bounds_of(network, inputs, rows)
        return (lower + size, upper) if side == "lower" else (lower, upper - size)

    error = violated(faulty)
    (violation,) = error.violations
    found = violation.data["found"]
    assert found.side == side and is_point(found.inputs)
    assert found.inputs.center.shape == (1, 1, 2) and not found.inputs.center.any()
    assert size / 10 <= violation.amount <= size
    for word in (f"the {side} bound of", "seed 0", "made simpler from", repr(violation.amount), "exact arithmetic"):
        assert word in str(error)
    assert (float(run(violation.snippet)["value"]) < found.bound) is (side == "lower")


def test_boxes_made_too_small_are_caught():
    error = violated(lambda network, inputs, rows: bounds_of(network, narrowed(inputs), rows))
    found = error.violations[0].data["found"]
    assert not is_point(found.inputs) and found.inputs.time == 1
    run(error.snippet)


def test_swapped_gates_are_caught():
    other = with_swapped_gates(LSTM)
    run(violated(lambda network, inputs, rows: bounds_of(other, inputs, rows)).snippet)


def test_a_frame_too_few_is_caught():
    def late(network, inputs, rows):
        return bounds_of(network, inputs.first_frames(max(1, inputs.time - 1)), rows)

    error = violated(late)
    assert error.violations[0].data["found"].inputs.time == 2, "one frame is what it gets right"
    run(error.snippet)


def test_a_wrong_clip_is_caught():
    def clipped(network, inputs, rows):
        if inputs.clip is not None:
            inputs = replace(inputs, center=inputs.center.clamp(0.0, 1.0), clip=(0.0, 1.0))
        return bounds_of(network, inputs, rows)

    run(violated(clipped, sets=["frames"]).snippet)


def test_rounding_of_float32_bounds_is_a_violation_unless_it_is_allowed():
    def rounded(network, inputs, rows):
        lower, upper = bounds_of(network, inputs, rows)
        return lower.float() + 1e-8, upper.float()

    error = violated(rounded)
    assert error.violations[0].amount < 1e-6
    report = assert_bounds_sound(rounded, LSTM, budget=FEW, tolerance=1e-6)
    assert "by more than 1e-06" in report.text()


def exact_line(weight, bias):
    """relu(x) times a weight, plus a bias: computed without rounding for small whole numbers."""
    one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    relu = Direction("rnn_relu", one, torch.zeros_like(one), zero, zero)
    head = Dense(torch.tensor([[weight], [0.0]], dtype=torch.float64), torch.tensor([bias, 0.0], dtype=torch.float64))
    return RecurrentClassifier(layers=((relu,),), after=(head,))


@pytest.mark.parametrize(("up", "wrong"), [(0, False), (1, True)])
def test_the_last_place_decides(up, wrong, capsys):
    """A bound that is exactly the value is sound, its neighbour is not: no tolerance anywhere."""
    network = exact_line(3.0, 0.5)
    point = Boxes(*(torch.full((1, 1, 1), 2.0, dtype=torch.float64),) * 2)

    def bound(network, inputs, rows):
        value = network.logits(inputs.center)[:, :1]
        return torch.nextafter(value, torch.full_like(value, math.inf)) if up else value

    rows = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    if not wrong:
        assert assert_bounds_sound(bound, network, point, rows).outcome is Outcome.HOLDS
        return
    error = violated(bound, network, inputs=point, rows=rows)
    assert error.violations[0].amount == math.ulp(error.violations[0].data["found"].bound)
    run(error.snippet)
    assert len(capsys.readouterr().out) < 200, "as many digits as tell the value from the bound"


@pytest.mark.parametrize("lower", [math.nan, math.inf])
def test_what_is_no_bound_is_a_violation(lower):
    def faulty(network, inputs, rows):
        found, _ = bounds_of(network, inputs, rows)
        found[0, 0] = lower
        return found

    error = violated(faulty)
    assert error.violations[0].data["found"].bound != 0 and ("nan" in str(error).lower() or "inf" in str(error))


def test_infinite_bounds_on_the_right_side_are_sound():
    def nothing(network, inputs, rows):
        return torch.full(rows.shape[:2], -math.inf), torch.full(rows.shape[:2], math.inf)

    report = assert_bounds_sound(nothing, LSTM, budget=FEW)
    assert report.outcome is Outcome.HOLDS
    assert report.numbers["infinite"] == report.numbers["bounds"]
    assert "are infinite" in report.text()


def test_the_function_gets_the_users_own_model_and_may_answer_in_numpy():
    module = Small(cell=nn.GRU)

    def numpy_bounds(model, inputs, rows):
        assert model is module
        return of_module(model, inputs, rows)[0].numpy().tolist()

    assert assert_bounds_sound(numpy_bounds, module, budget="2 examples").outcome is Outcome.HOLDS


def test_the_cross_check_says_what_refcert_proves():
    def far(network, inputs, rows):
        lower, upper = bounds_of(network, inputs, rows)
        return lower + 10.0, upper

    def only_the_first(network, inputs, rows):
        return far(network, inputs, rows) if len(rows) == 2 else bounds_of(network, inputs, rows)

    assert "refcert proves that the row is at most" in str(violated(only_the_first))


def test_a_fault_of_refcert_itself_is_no_fault_of_the_user(monkeypatch):
    """Our bounds are sound, so unsound ones are put in their place."""
    true = bounds_module.certify

    def unsound(*asked):
        found = true(*asked)
        return replace(found, lower=found.lower + 1.0)

    monkeypatch.setattr(bounds_module, "certify", unsound)
    with pytest.raises(SoundnessFault, match="a fault of refcert"):
        assert_bounds_sound(honest, LSTM, budget=FEW)


def test_given_sets_are_tried_as_they_are_and_as_points():
    asked: list[FrameBalls] = []

    def watched(network, inputs, rows):
        asked.append(inputs)
        return bounds_of(network, inputs, rows)

    balls = FrameBalls(torch.rand(2, 3, 2, dtype=torch.float64), torch.full((2, 3), 0.2, dtype=torch.float64), 2.0)
    assert_bounds_sound(watched, LSTM, balls)
    assert sorted(float(one.radius.max()) for one in asked) == pytest.approx([0.0, 0.002, 0.2])
    assert all(one.p == 2.0 for one in asked)


def test_the_same_seed_says_the_same():
    def faulty(network, inputs, rows):
        lower, upper = bounds_of(network, inputs, rows)
        return lower + 1e-3, upper

    assert str(violated(faulty, seed=5)) == str(violated(faulty, seed=5)) != str(violated(faulty, seed=6))


def test_no_time_is_no_decision():
    with pytest.raises(NotDecidedError, match="the budget ended: 0 bounds"):
        assert_bounds_sound(honest, LSTM, budget="0s")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lower, upper: lower[:1], r"have shape \(1, 4\); give one number per sample and row, \(2, 4\)"),
        (lambda lower, upper: (lower, upper, upper), "a tuple of 3"),
        (lambda lower, upper: lower > 0, "bool"),
        (lambda lower, upper: None, "are None"),
        (lambda lower, upper: np.ma.masked_array(lower.numpy(), mask=True), "a masked array"),
    ],
    ids=["a sample less", "three", "answers", "nothing", "masked"],
)
def test_what_are_no_bounds_is_refused_and_not_an_assertion(change, said):
    with pytest.raises(InputError, match=said):
        assert_bounds_sound(lambda *asked: change(*bounds_of(*asked)), LSTM, budget=FEW)


def test_changed_inputs_are_refused():
    def widens(network, inputs, rows):
        inputs.lower.sub_(1.0)
        return bounds_of(network, inputs, rows)

    with pytest.raises(InputError, match="changed its input lower"):
        assert_bounds_sound(widens, LSTM, budget=FEW)


def test_a_changed_model_is_refused():
    """Else the bounds tried would be about one network and the values about another."""
    module = Small().double()  # as wide as the engine's own numbers: nothing is copied on the way

    def shifts(model, inputs, rows):
        with torch.no_grad():
            model.head.bias += 1.0
        return of_module(model, inputs, rows)

    with pytest.raises(InputError, match="changed the model that it got"):
        assert_bounds_sound(shifts, module, budget="2 examples")


def test_an_exception_of_the_function_is_its_own_with_the_seed():
    with pytest.raises(ZeroDivisionError) as caught:
        assert_bounds_sound(lambda *asked: 1 / 0, LSTM, seed=8)
    assert "example 0 (point), seed 8" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "options",
    [
        {"bounds_fn": 3},
        {"model": nn.Linear(2, 2)},
        {"model": 7},
        {"inputs": []},
        {"inputs": [torch.zeros(1, 1, 2)]},
        {"inputs": Boxes(*(torch.zeros(1, 1, 5, dtype=torch.float64),) * 2)},
        {"rows": torch.zeros(1, 9, dtype=torch.float64)},
        {"rows": torch.full((1, 3), math.nan, dtype=torch.float64)},
        {"sets": ["pentagons"]},
        {"sets": []},
        {"frames": 0},
        {"tolerance": -1.0},
        {"seed": -3},
        {"budget": "1.5 examples"},
        {"readout": "final"},
    ],
)
def test_bad_arguments_are_no_assertion_errors(options):
    with pytest.raises((InputError, ModelError)):
        assert_bounds_sound(**{"bounds_fn": honest, "model": LSTM, **options})

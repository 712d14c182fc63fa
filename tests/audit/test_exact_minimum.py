"""The mixed-integer minimum: equal to trying every pattern, above no input that breaks the row, and bad input named."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.audit.exact_minimum import BallFamily, Status, encoding, exact_minimum
from refcert.audit.exact_minimum.minimum import TOLERANCE
from refcert.audit.exact_minimum.rational import exact_rows
from refcert.reference.bounds import bound
from refcert.reference.errors import ReferenceInputError
from refcert.reference.input_sets import FrameBalls
from refcert.reference.networks import Dense, Network, Recurrent, logits
from refcert.reference.unrolling import unroll
from tests.audit.tiny_relu import FAMILIES, SHAPES, ball_family, cases, least_by_enumeration, relu_network, rows_at
from tests.reference.drawn import seeds

LARGEST = 4.0
# What two solvers with different programs may differ by, in units of radii up to LARGEST.
AGREE = 4 * TOLERANCE


def one_unit(weight=1.0, bias=0.0, head=((1.0,), (0.0,)), shift=(0.0, 0.5)):
    """F = head * relu(weight x + bias) + shift on a single number."""
    cell = Recurrent("rnn_relu", np.array([[weight]]), np.zeros((1, 1)), np.array([bias]), np.zeros(1))
    return Network(((cell,),), (Dense(np.array(head), np.array(shift)),))


ROW = np.array([[1.0, -1.0]])


@settings(max_examples=8)
@given(cases(), st.sampled_from((LARGEST, 0.5)))
def test_equals_trying_every_pattern(case, largest):
    network, family, C, d = case
    program = unroll(network, *family.center.shape, "tree")
    found = exact_minimum(network, family, C, d, largest=largest)
    for row, constant, one in zip(C, d, found.rows, strict=True):
        expected = least_by_enumeration(program, family, row, constant, largest)
        if math.isinf(expected):
            assert one.status is Status.NONE_IN_RANGE
            assert (one.upper, one.x) == (math.inf, None)
            assert largest * (1 - AGREE) <= one.lower <= largest
            continue
        assert one.status is Status.OPTIMAL, one.reason
        assert one.lower <= expected + AGREE
        assert expected - AGREE <= one.upper
        assert one.upper - one.lower <= AGREE


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", FAMILIES)
def test_the_input_is_in_the_ball_and_breaks_the_row(shape, kind):
    """Of the size claimed, in the clip range, frames without weight unmoved; the reference's bounds agree."""
    rng = np.random.default_rng(SHAPES.index(shape))
    network, time, inputs = relu_network(rng, shape)
    family = ball_family(rng, kind, 1.0, time, inputs)
    C, d = rows_at(network, family.center)
    found = exact_minimum(network, family, C, d, largest=40.0)
    program = unroll(network, time, inputs, "chain")
    for k, row in enumerate(found.rows):
        if row.x is None:
            continue
        assert exact_rows(program, row.x, C, d)[k] <= 0
        assert family.size(row.x) == row.upper
        assert (row.x[family.weights == 0] == family.center[family.weights == 0]).all()
        if family.clip is not None:
            assert family.clip[0] <= row.x.min() <= row.x.max() <= family.clip[1]
    assert found.upper == min(row.upper for row in found.rows)
    assert found.complete
    if kind != "sequence" and math.isfinite(found.upper):
        balls = FrameBalls(family.center, found.upper * family.weights, 1.0, family.clip)
        assert bound(network, balls, C, d).lower.min() <= 0


@given(seeds)
def test_exact_rows_are_the_network_s_own(seed):
    rng = np.random.default_rng(seed)
    network, time, inputs = relu_network(rng, SHAPES[seed % len(SHAPES)])
    x = rng.normal(size=(time, inputs))
    C, d = rng.normal(size=(2, 3)), rng.normal(size=2)
    found = exact_rows(unroll(network, time, inputs), x, C, d)
    assert [float(value) for value in found] == pytest.approx(C @ logits(network, x) + d, rel=1e-12, abs=1e-12)


def test_known_answer():
    """relu(x) - 1/2 <= 0 from x = 2: the step is 3/2, down to 1/2; with half the weight it takes twice the radius."""
    network, center = one_unit(), np.array([[2.0]])
    for weight, expected in ((1.0, 1.5), (0.5, 3.0)):
        found = exact_minimum(network, BallFamily(center, np.array([weight])), ROW, largest=8.0)
        assert found.lower <= expected <= found.upper <= expected * (1 + 1e-12)
    assert found.x == pytest.approx(np.array([[0.5]]))


def test_a_broken_center_has_radius_zero():
    found = exact_minimum(one_unit(), BallFamily(np.array([[0.25]])), ROW, largest=8.0)
    assert found.rows[0].status is Status.CENTER_BROKEN
    assert (found.lower, found.upper) == (0.0, 0.0)


@pytest.mark.parametrize("weight", [np.zeros(1), None])
def test_none_in_range(weight):
    """Where nothing moves, and where the ball is too small, none is claimed: only the range is excluded."""
    found = exact_minimum(one_unit(), BallFamily(np.array([[2.0]]), weight), ROW, largest=1.25)
    assert found.rows[0].status is Status.NONE_IN_RANGE
    assert found.upper == math.inf
    assert 1.25 - 2e-6 < found.lower <= 1.25


def test_a_row_that_no_input_breaks_has_none():
    """relu is never below zero, whatever the range."""
    found = exact_minimum(one_unit(shift=(0.5, 0.0)), BallFamily(np.array([[2.0]])), ROW, largest=100.0)
    assert found.rows[0].status is Status.NONE_IN_RANGE


def test_a_time_limit_is_named_and_nothing_is_claimed():
    rng = np.random.default_rng(0)
    cell = Recurrent("rnn_relu", rng.normal(size=(20, 2)), rng.normal(size=(20, 20)), np.zeros(20), np.zeros(20))
    network = Network(((cell,),), (Dense(rng.normal(size=(3, 20)), np.zeros(3)),))
    family = BallFamily(rng.normal(size=(4, 2)))
    found = exact_minimum(network, family, *rows_at(network, family.center), largest=2.0, time_limit=1e-3)
    assert {row.status for row in found.rows} == {Status.TIME_LIMIT}
    assert not found.complete
    assert all(0 <= row.lower <= row.upper for row in found.rows)


def test_a_solver_that_fails_is_named(monkeypatch):
    """An option that HiGHS does not know makes it refuse: the row is reported as failed, with the reason."""
    monkeypatch.setattr(encoding, "_OPTIONS", {"no_such_option": 1})
    found = exact_minimum(one_unit(), BallFamily(np.array([[2.0]])), ROW, largest=8.0)
    assert found.rows[0].status is Status.FAILED
    assert "no_such_option" in found.rows[0].reason
    assert (found.lower, found.upper) == (0.0, math.inf)


def test_rows_that_cannot_be_solved_leave_the_others():
    """A broken center and a range without inputs beside a row with an answer."""
    C = np.array([[1.0, -1.0], [1.0, 0.0], [-1.0, 0.0]])
    found = exact_minimum(one_unit(), BallFamily(np.array([[2.0]])), C, np.array([0.0, 1.0, 1.0]), largest=8.0)
    assert [row.status for row in found.rows] == [Status.OPTIMAL, Status.NONE_IN_RANGE, Status.CENTER_BROKEN]
    assert found.rows[0].upper == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"largest": 0.0}, "largest radius is 0.0"),
        ({"largest": math.nan}, "largest radius is nan"),
        ({"time_limit": 0.0}, "time limit is 0.0"),
        ({"C": np.ones((1, 5))}, r"shape \(1, 5\)"),
        ({"C": np.ones((0, 2))}, r"rows >= 1"),
        ({"C": np.array([[1.0, math.nan]])}, "finite"),
        ({"d": np.zeros(4)}, r"shape \(4,\)"),
        ({"network": "rnn_tanh"}, "tanh.*ReLUs only"),
    ],
)
def test_bad_questions_are_named(arguments, message):
    good = {"network": one_unit(), "family": BallFamily(np.array([[2.0]])), "C": ROW, "d": None, "largest": 1.0}
    if "network" in arguments:
        cell = Recurrent("rnn_tanh", np.ones((1, 1)), np.zeros((1, 1)), np.zeros(1), np.zeros(1))
        arguments = {"network": Network(((cell,),), one_unit().after)}
    with pytest.raises(ReferenceInputError, match=message):
        exact_minimum(**(good | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p": 2.0}, "norm 2.0"),
        ({"center": np.array([[math.nan]])}, "finite"),
        ({"weight": np.array([-1.0])}, "weights are"),
        ({"weight": np.array([math.nan])}, "weights are"),
        ({"weight": np.ones(2)}, "one >= 0 for each of 1 frames"),
        ({"weight": np.array([0.5]), "shared": True}, "0 and 1"),
        ({"clip": (0.0, 1.0)}, "leaves the clip range"),
    ],
)
def test_bad_families_are_named(arguments, message):
    with pytest.raises(ReferenceInputError, match=message):
        BallFamily(**({"center": np.array([[2.0]])} | arguments))


def test_sizes_are_exact_and_rounded_up():
    center, x = np.array([[0.1, 0.2], [0.0, 0.0]]), np.array([[0.3, 0.1], [0.0, 0.0]])
    assert BallFamily(center, np.array([3.0, 0.0]), 1.0).size(x) >= (abs(0.3 - 0.1) + 0.1) / 3
    assert BallFamily(center, np.array([0.0, 1.0])).size(x) == math.inf
    assert BallFamily(center, clip=(0.0, 0.25)).size(x) == math.inf
    assert BallFamily(center).size(center) == 0.0

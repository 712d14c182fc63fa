"""The search: never below the exact minimum, walking never worse, and every way to end is named."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.attacks.bisection import Bisected
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.found import smallest_at
from gpu_engine.attacks.lp.search import FOUND, MISCLASSIFIED, NOTHING_MOVES, LPFound, LPSearch
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.errors import ModelError, SpecificationError
from gpu_engine.model import Dense, RecurrentClassifier
from gpu_engine.spec import Specification, per_class, top_k, untargeted
from refcert.strategies import classifiers
from tests.engine.attacks.lp_cases import Case, case, exact_minimum, relu_network

SMALL = st.builds(
    case,
    st.integers(0, 10_000),
    time=st.just(2),
    inputs=st.integers(1, 3),
    hidden=st.integers(1, 3),
    p=st.sampled_from([math.inf, 1.0]),
    clip=st.booleans(),
    shared=st.booleans(),
)


CHEAP = Bisected(PGD(steps=4, restarts=1), tolerance=0.2)


def search(one: Case, **options) -> LPFound:
    return LPSearch(start=CHEAP, **options).smallest(one.question, one.family, torch.Generator().manual_seed(0))


@given(SMALL)
@settings(max_examples=10)
def test_never_below_the_exact_minimum_and_walking_is_never_worse(one):
    exact = exact_minimum(one)
    staying, walking = search(one, steps=0), search(one, steps=20)
    assert float(staying.radius[0]) >= exact * (1 - 1e-6) - 1e-7
    assert exact * (1 - 1e-6) - 1e-7 <= float(walking.radius[0]) <= float(staying.radius[0])
    assert float(walking.restricted[0]) == float(staying.radius[0])
    if math.isinf(exact):
        assert walking.status == ("infeasible",)
    for found in (staying, walking):
        again = smallest_at(one.question, one.family, found.x)
        assert torch.equal(again.radius, found.radius) and torch.equal(again.margin, found.margin)
        assert (found.status[0] == FOUND) == bool(found.found[0])
        assert sum(found.programs[0].values()) >= 1


def test_walking_reaches_the_exact_minimum_mostly():
    """On small networks, from the default start; three in ten may end where no neighbour is better."""
    reached = total = 0
    for seed in range(14):
        one = case(seed, hidden=2, inputs=2, time=2)
        exact = exact_minimum(one)
        if math.isinf(exact):
            continue
        total += 1
        found = LPSearch(steps=30).smallest(one.question, one.family, torch.Generator().manual_seed(0))
        reached += float(found.radius[0]) <= exact * (1 + 1e-5) + 1e-6
    assert total >= 10 and reached >= 0.7 * total


def test_targets_all_is_never_worse_than_the_second_label():
    better = 0
    for seed in range(20):
        one = case(seed, time=1, inputs=4, hidden=5)
        every, second = search(one, steps=0), search(one, steps=0, targets="second")
        assert float(every.radius[0]) <= float(second.radius[0])
        better += float(every.radius[0]) < float(second.radius[0])
    assert better > 0


@pytest.mark.parametrize("reading", [per_class, lambda labels, classes: top_k(labels, 2, classes)])
def test_every_reading_is_broken_by_what_is_found(reading):
    """Row 0 with another, or two rows at once: the margin as the specification reads it is not positive."""
    found = 0
    for seed in range(8):
        one = case(seed, time=1, inputs=4, hidden=5)
        question = Question(one.question.model, reading(torch.tensor([one.label]), 3))
        result = LPSearch(start=CHEAP, steps=5).smallest(question, one.family, torch.Generator().manual_seed(0))
        if result.status == (FOUND,):
            found += 1
            assert float(question.plain_margins(result.x)[0]) <= 0
    assert found >= 4


def test_weights_fix_and_stretch_frames():
    """Weight 0: the frame is not touched. Twice the weight everywhere: half the radius."""
    one = case(11, time=3, inputs=3, hidden=4, weights=(1.0, 0.0, 2.0))
    found = search(one, steps=10)
    assert found.status == (FOUND,)
    moved = (found.x != one.family.center).any(2)[0].tolist()
    assert not moved[1] and any(moved)
    double = BallFamily(one.family.center, 2 * one.family.weight)
    half = LPSearch(steps=0).smallest(one.question, double, torch.Generator())
    assert float(half.restricted[0]) == pytest.approx(float(found.restricted[0]) / 2, rel=1e-7)


def test_the_clip_range_is_kept_and_costs():
    for seed in range(6):
        free, cut = case(seed, hidden=4, p=1.0), case(seed, hidden=4, p=1.0, clip=True)
        found = search(cut, steps=0)
        assert bool(((found.x >= 0) & (found.x <= 1)).all())
        assert float(search(free, steps=0).radius[0]) <= float(found.radius[0]) * (1 + 1e-6)


def test_one_frame_shared_and_by_frame_are_the_same_ball():
    for p in (1.0, math.inf):
        frame, shared = (case(4, time=1, inputs=4, hidden=4, p=p, shared=s) for s in (False, True))
        assert float(search(frame, steps=0).radius[0]) == float(search(shared, steps=0).radius[0])


def test_every_end_is_named_and_nothing_else_is_lost():
    """A misclassified, a fixed and a found sample in one batch, each as it would be alone."""
    good = case(3, time=2, inputs=2, hidden=4)
    center = good.family.center.repeat(3, 1, 1)
    label = good.label
    labels = torch.tensor([label, (label + 1) % 3, label])
    weight = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    question = Question(good.question.model, untargeted(labels, 3))
    found = LPSearch(start=CHEAP, steps=5).smallest(
        question, BallFamily(center, weight), torch.Generator().manual_seed(0)
    )
    assert found.status == (FOUND, MISCLASSIFIED, NOTHING_MOVES)
    assert float(found.radius[1]) == 0 and math.isinf(float(found.radius[2]))
    assert float(found.radius[0]) == pytest.approx(float(search(good, steps=5).radius[0]), rel=1e-9)
    assert torch.equal(found.x[1:], center[1:])


def test_an_infeasible_program_is_named():
    """A margin that no input changes: the head ignores the network."""
    model = relu_network(0, 2, 3)
    head = Dense(torch.zeros(2, 3, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64))
    constant = RecurrentClassifier(model.layers, (head,))
    x = torch.rand(1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    question = Question(constant, untargeted(torch.tensor([0]), 2))
    for p in (1.0, math.inf):
        family = BallFamily(x, torch.ones(1, 2, dtype=torch.float64), p, (0.0, 1.0))
        found = LPSearch(start=CHEAP, steps=3).smallest(question, family, torch.Generator().manual_seed(0))
        assert found.status == ("infeasible",) and math.isinf(float(found.radius[0]))
        assert torch.equal(found.x, x)


def test_an_impossible_time_limit_is_named():
    one = case(3, hidden=4)
    found = search(one, steps=5, seconds=1e-9)
    assert found.status == ("time limit",) and math.isinf(float(found.radius[0]))
    assert found.programs[0]["time limit"] > 0 and found.programs[0]["optimal"] == 0


def test_a_solver_that_fails_hands_over_and_is_named_where_all_fail(monkeypatch):
    """HiGHS gives up by its own iteration limit: planted, because sound programs hardly make it fail."""
    from gpu_engine.attacks.lp import fixed, highs

    new_model = highs.new_model

    def limited():
        model = new_model()
        model.setOptionValue("simplex_iteration_limit", 0)
        model.setOptionValue("presolve", "off")
        return model

    one = case(3, time=2, inputs=4, hidden=6)
    sound = search(one, steps=0)
    monkeypatch.setattr(fixed, "new_model", limited)
    handed_over = search(one, steps=0)
    assert handed_over.status == sound.status == (FOUND,)
    assert float(handed_over.radius[0]) == pytest.approx(float(sound.radius[0]), rel=1e-7)
    monkeypatch.setattr(highs, "new_model", limited)
    found = search(one, steps=0)
    assert found.status == ("solver failed",) and math.isinf(float(found.radius[0]))


def test_ragged_sequences_read_only_their_frames():
    """A sample of two frames in a batch of three: as alone, and the padding stays."""
    model = relu_network(8, 2, 4)
    x = torch.rand(2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([3, 2])
    labels = torch.stack([model.logits(x[:1])[0].argmax(), model.logits(x[1:, :2])[0].argmax()])
    question = Question(model, untargeted(labels, 3), lengths)
    weight = torch.ones(2, 3, dtype=torch.float64)
    found = LPSearch(start=CHEAP, steps=5).smallest(question, BallFamily(x, weight), torch.Generator().manual_seed(0))
    alone = LPSearch(start=CHEAP, steps=5).smallest(
        Question(model, untargeted(labels[1:], 3)),
        BallFamily(x[1:, :2], weight[1:, :2]),
        torch.Generator().manual_seed(0),
    )
    assert float(found.restricted[1]) == pytest.approx(float(alone.restricted[0]), rel=1e-9)
    assert torch.equal(found.x[1, 2], x[1, 2])


def test_the_grid_is_kept_where_rounding_is_adversarial():
    levels, rounded = 20, 0
    for seed in range(8):
        one = case(seed, time=2, inputs=4, hidden=4, clip=True)
        center = (one.family.center * levels).round() / levels
        label = one.question.model.logits(center).argmax(1)
        question = Question(one.question.model, untargeted(label, 3))
        family = BallFamily(center, one.family.weight, clip=(0.0, 1.0))
        found = LPSearch(start=CHEAP, steps=5, grid=levels).smallest(question, family, torch.Generator().manual_seed(0))
        if not bool(found.grid.found[0]):
            continue
        rounded += 1
        steps = found.grid.x * levels
        assert torch.allclose(steps, steps.round(), atol=1e-9)
        assert bool(((found.grid.x >= 0) & (found.grid.x <= 1)).all())
        assert float(question.plain_margins(found.grid.x)[0]) <= 0
        assert float(found.grid.radius[0]) <= float(found.radius[0]) + 5 / levels
    assert rounded >= 4


@given(classifiers(cells=["lstm", "gru", "rnn_tanh"], max_size=3))
@settings(max_examples=10)
def test_other_cells_are_refused_by_name(model):
    x = torch.zeros(1, 2, model.input_size, dtype=torch.float64)
    outputs = model.outputs(2)
    rows = torch.zeros(1, 1, outputs, dtype=torch.float64)
    question = Question(model, Specification(rows, torch.ones(1, 1, dtype=torch.float64)))
    family = BallFamily(x, torch.ones(1, 2, dtype=torch.float64))
    with pytest.raises(ModelError, match=r"piecewise-linear networks \(ReLU\).*(tanh|sigmoid)"):
        LPSearch().smallest(question, family, torch.Generator())


def test_bad_options_are_refused_by_their_value():
    for options, words in (
        ({"targets": "third"}, "'third'"),
        ({"steps": -1}, "steps is -1"),
        ({"seconds": 0.0}, "0.0 s"),
        ({"grid": 0}, "0 levels"),
    ):
        with pytest.raises(SpecificationError, match=words):
            LPSearch(**options)
    one = case(0, p=2.0)
    with pytest.raises(SpecificationError, match="inf and 1, not 2"):
        search(one)

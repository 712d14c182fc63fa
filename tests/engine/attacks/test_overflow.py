"""Inputs at which the network overflows: no attack ever, no harm to other samples, an error where it is the sample."""

from __future__ import annotations

import math

import pytest
import torch

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.fgsm import FGSM
from gpu_engine.attacks.found import smallest_at
from gpu_engine.attacks.lp.search import LPSearch
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.errors import NumericalError
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.spec import Specification, matrix, per_class, untargeted
from tests.engine.attacks.radius_cases import ATTACKS

WEIGHT = 4e307
"""h = relu(WEIGHT x) overflows from x = 4.5 on."""
EVERY = {**ATTACKS, "lp": LPSearch(steps=2)}


def network(head: list[list[float]], bias: list[float]) -> RecurrentClassifier:
    """Units h = relu(WEIGHT x) of one frame's value x; head: in units of 1 / WEIGHT."""
    units = len(head[0])
    state = torch.zeros(units, units, dtype=torch.float64)
    unit = Direction("rnn_relu", torch.full((units, 1), WEIGHT, dtype=torch.float64), state, state[0], state[0])
    weight = torch.tensor(head, dtype=torch.float64) / WEIGHT
    return RecurrentClassifier(((unit,),), (Dense(weight, torch.tensor(bias, dtype=torch.float64)),))


def ask(model, values, lengths=None):
    """One sample for each list of values, one value a frame; class 0 against class 1."""
    center = torch.tensor(values, dtype=torch.float64)[:, :, None]
    question = Question(model, untargeted(torch.zeros(len(values), dtype=torch.int64), 2), lengths)
    return question, BallFamily(center, torch.ones_like(center[:, :, 0]))


@pytest.mark.parametrize("name", EVERY)
def test_the_others_go_on(name):
    """Class 0 loses at x = 2; the search also tries inputs beyond 4.5, which ended the whole batch."""
    question, family = ask(network([[-1.0], [0.0]], [2.0, 0.0]), [[0.5], [1.0]])
    found = EVERY[name].smallest(question, family, torch.Generator().manual_seed(0))
    assert found.radius.tolist() == pytest.approx([1.5, 1.0], rel=0.05)
    assert all(radius >= exact - 1e-9 for radius, exact in zip(found.radius.tolist(), (1.5, 1.0), strict=True))


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_what_is_no_number_is_no_attack(name, ragged):
    """Class 0 wins everywhere by 1 + h - h; with lengths the NaN of the overflow was read as 0, a tie."""
    lengths = torch.tensor([1, 2]) if ragged else None
    question, family = ask(network([[1.0, -1.0], [0.0, 0.0]], [1.0, 0.0]), [[0.5, 0.5], [1.0, 1.0]], lengths)
    found = EVERY[name].smallest(question, family, torch.Generator().manual_seed(0))
    assert found.radius.tolist() == [math.inf, math.inf]
    assert torch.equal(found.x, family.center)


def test_an_input_just_before_the_border_is_moved_on():
    """Another batch sums in another order: a find with margin 0 came out positive, and was lost."""
    question, family = ask(network([[-1.0], [0.0]], [2.0, 0.0]), [[0.5], [0.5]])
    x = torch.tensor([2.0 - 2.0**-50, 1.9], dtype=torch.float64)[:, None, None]
    assert bool((question.plain_margins(x) > 0).all())
    found = smallest_at(question, family, x)
    assert found.radius.tolist() == [pytest.approx(1.5), math.inf]
    assert float(found.margin[0]) <= 0
    assert torch.equal(found.margin, question.plain_margins(found.x))


@pytest.mark.parametrize("specification", [untargeted, per_class, None])
def test_all_rows_of_such_a_sample_are_infinite(specification):
    model = network([[-1.0], [0.0]], [2.0, 0.0])
    x = torch.tensor([[[0.5]], [[5.0]], [[2.5]]], dtype=torch.float64)
    rows: Specification = matrix(torch.eye(2, dtype=torch.float64), batch=3)
    if specification is not None:
        rows = specification(torch.zeros(3, dtype=torch.int64), 2)
    question = Question(model, rows)
    assert torch.isfinite(question.rows(x)).all(1).tolist() == [True, False, True]
    margins, slope = question.gradient(x)
    assert (margins == math.inf).tolist() == [False, True, False]
    assert bool(torch.isfinite(slope[[0, 2]]).all())


@pytest.mark.parametrize("name", [*EVERY, "fixed pgd", "fixed fgsm"])
def test_a_sample_that_overflows_itself_is_named(name):
    question, family = ask(network([[-1.0], [0.0]], [2.0, 0.0]), [[0.5], [5.0], [1.0]])
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(NumericalError, match="overflow at sample 1 itself"):
        if name.startswith("fixed"):
            attack = PGD(steps=2, restarts=1) if name == "fixed pgd" else FGSM()
            attack.worst(question, family.at(torch.ones(3, dtype=torch.float64)), generator)
        else:
            EVERY[name].smallest(question, family, generator)

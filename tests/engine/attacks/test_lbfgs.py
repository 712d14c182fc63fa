"""L-BFGS: the search on the price, and that no stop on the way loses what was found."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.lbfgs import LBFGS, PRICE_FACTOR, PRICE_HALVINGS, PRICE_MOVES, _search_price
from gpu_engine.attacks.question import Question
from gpu_engine.errors import NumericalError
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.spec import untargeted
from tests.engine.attacks.radius_cases import Case, linear_cases


@given(exponent=st.floats(-(PRICE_MOVES - 0.5), PRICE_MOVES - 0.5), start=st.sampled_from([1e-3, 1.0, 50.0]))
def test_the_price_closes_in_on_the_last_that_succeeds(exponent, start):
    edge, tried = start * PRICE_FACTOR**exponent, []

    def succeeds(price: float) -> bool:
        tried.append(price)
        return price <= edge

    _search_price(succeeds, start)
    best = max(price for price in tried if price <= edge)
    assert edge <= best * PRICE_FACTOR ** (2.0**-PRICE_HALVINGS) * (1 + 1e-9)
    assert len(tried) <= 1 + PRICE_MOVES + PRICE_HALVINGS


@pytest.mark.parametrize("always", [False, True])
def test_the_search_on_the_price_ends_where_nothing_or_everything_succeeds(always):
    tried = []

    def succeeds(price: float) -> bool:
        tried.append(price)
        return always

    _search_price(succeeds, 1.0)
    assert len(tried) == 1 + PRICE_MOVES
    assert math.isclose(tried[-1], PRICE_FACTOR ** (PRICE_MOVES if always else -PRICE_MOVES))


@given(drawn=linear_cases(norms=(2.0,), shared=True))
@settings(max_examples=4)
def test_an_optimiser_that_stops_before_it_has_converged_loses_nothing(drawn):
    case, exact = drawn
    found = LBFGS(steps=3).smallest(case.question, case.family, case.generator())
    assert bool((found.radius >= exact * (1 - 1e-9)).all())
    assert bool(torch.isfinite(found.radius).all())


@dataclass(frozen=True)
class Overflowing(Question):
    """A network that overflows beyond a distance from given centers, which is what ReLU cells do far away."""

    center: torch.Tensor | None = None
    reach: float = math.inf

    def rows(self, x):
        if float((x.detach() - self.center).abs().max()) > self.reach:
            raise NumericalError("the network's outputs overflow")
        return super().rows(x)

    def select(self, index):
        return Overflowing(self.model, self.specification.select(index), None, self.center[index], self.reach)


@given(drawn=linear_cases(norms=(2.0,), shared=True), slack=st.sampled_from([0.1, 2.0]))
@settings(max_examples=5)
def test_an_overflow_on_the_way_loses_nothing(drawn, slack):
    """What was evaluated before it counts; where everything overflows before the edge, nothing is found."""
    case, exact = drawn
    reach = slack * float(exact.max())
    model, specification = case.question.model, case.question.specification
    question = Overflowing(model, specification, None, case.family.center, reach)
    found = LBFGS().smallest(question, case.family, case.generator())
    ordinary = run(case)
    assert bool((found.radius >= exact * (1 - 1e-9)).all())
    if slack >= 2:
        assert bool((found.radius <= ordinary.radius * 1.1).all())


@pytest.mark.parametrize(("size", "clip"), [(1e200, None), (1e-200, (0.0, 1e-200))])
def test_data_whose_square_overflows(size, clip):
    """The first price divided by the largest radius squared: an OverflowError for the whole batch."""
    one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    model = RecurrentClassifier(
        ((Direction("rnn_relu", one / size, one, zero, zero),),),
        (Dense(torch.tensor([[-1.0], [0.0]]).double(), torch.tensor([0.75, 0.0]).double()),),
    )
    center = torch.full((1, 1, 1), size / 2, dtype=torch.float64)
    question = Question(model, untargeted(torch.tensor([0]), 2))
    family = BallFamily(center, torch.ones(1, 1, dtype=torch.float64), 2.0, clip)
    found = LBFGS(steps=3).smallest(question, family, torch.Generator().manual_seed(0))
    assert float(found.radius) >= size / 4 * (1 - 1e-9)


def run(case: Case):
    return LBFGS().smallest(case.question, case.family, case.generator())

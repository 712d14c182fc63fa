"""C&W-Ada: its steps do what they claim, vanished gradients do not stop it, and it keeps up with PGD."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.attacks.bisection import Bisected
from gpu_engine.attacks.cw_ada import CWAda
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.goals import goals
from gpu_engine.attacks.perturbation import Perturbation
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.loading import load_model
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.spec import KthLeast, untargeted
from refcert.app.datasets import load_sequences
from refcert.app.pretrained import pretrained_path
from tests.engine.attacks.radius_cases import NORMS, cases


def families(p: float, shared: bool, clip=None, frames: int = 3, size: int = 4) -> BallFamily:
    generator = torch.Generator().manual_seed(1)
    center = torch.rand((2, frames, size), generator=generator, dtype=torch.float64)
    weight = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]] if shared else [[1.0, 0.0, 0.5], [2.0, 1.0, 1.0]]).double()
    return BallFamily(center, weight, p, clip, shared)


def normal(seed: int, like: torch.Tensor) -> torch.Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moves(family: BallFamily) -> torch.Tensor:
    return (family.weight > 0)[..., None]


@given(
    p=st.sampled_from(NORMS), shared=st.booleans(), seed=st.integers(0, 2**31), scale=st.sampled_from([0.1, 1.0, 9.0])
)
@settings(max_examples=15)
def test_the_way_back_is_the_projection(p, shared, seed, scale):
    """Of that size at most, and no point of the ball is nearer: the variational inequality, with random points."""
    family = families(p, shared)
    perturbation, radius = Perturbation(family, None), torch.tensor([0.3, 1.2], dtype=torch.float64)
    x = family.center + scale * normal(seed, family.center) * moves(family)
    back = perturbation.within(x, radius)
    assert bool((family.size(back) <= radius * (1 + 1e-9)).all())
    inside = family.size(x) <= radius * (1 - 1e-9)
    torch.testing.assert_close(back[inside], x[inside])
    if p not in (1.0, 2.0, math.inf):
        return
    for k in range(8):
        other = perturbation.within(family.center + normal(seed + k, x) * moves(family), radius)
        assert bool((((x - back) * (other - back)).sum((1, 2)) <= 1e-8 * scale).all())


@given(p=st.sampled_from(NORMS), shared=st.booleans(), seed=st.integers(0, 2**31))
@settings(max_examples=15)
def test_the_steepest_direction_has_size_one_and_falls_by_the_dual_norm(p, shared, seed):
    family = families(p, shared)
    slope = normal(seed, family.center)
    way = Perturbation(family, None).steepest(slope, family.center, 0.0)
    torch.testing.assert_close(family.size(family.center + way), torch.ones(2, dtype=torch.float64))
    dual = {1.0: math.inf, math.inf: 1.0}[p] if p in (1.0, math.inf) else p / (p - 1)
    seen = slope * moves(family)
    if shared:
        fall = torch.linalg.vector_norm(seen.flatten(1), dual, dim=1)
    else:
        fall = (torch.linalg.vector_norm(seen, dual, dim=2) * family.weight).sum(1)
    torch.testing.assert_close(-(way * slope).sum((1, 2)), fall)


def test_coordinates_at_the_end_of_the_range_are_not_pushed_beyond_it():
    family = families(math.inf, False, clip=(0.0, 1.0))
    slope = torch.ones_like(family.center)
    assert not bool(Perturbation(family, None).steepest(slope, torch.zeros_like(slope), 0.0).any())
    assert bool((Perturbation(family, None).steepest(slope, torch.ones_like(slope), 0.0)[:, 0] < 0).all())


@given(case=cases(max_size=3, max_layers=1, scales=(1.0, 3.0)))
@settings(max_examples=8)
def test_a_goal_that_is_reached_breaks_the_specification(case):
    rows = case.question.rows(case.family.center)
    rows = torch.cat([rows - shift for shift in (0.0, 0.5, 2.0)])
    question = case.question.select(torch.arange(len(case.question)).repeat(3))
    reached = (goals(question, rows) <= 0).any(1)
    broken = question.specification.margins(rows) <= 0
    assert torch.equal(reached, broken)  # for the k-th least, too: its only goal is the margin
    if isinstance(question.specification.reading, KthLeast):
        assert goals(question, rows).shape[1] == 1


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_a_gradient_that_vanishes_at_the_center_does_not_end_the_search(p):
    """h = (relu(x - 1), relu(-x - 1)) is flat around 0; the label loses at |x| = 1.5, for one frame of one value."""
    ones, zeros = torch.ones(2, 1, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    unit = Direction("rnn_relu", torch.tensor([[1.0], [-1.0]]).double(), zeros, -ones[:, 0], zeros[0])
    head = Dense(torch.tensor([[0.0, 0.0], [1.0, 1.0]]).double(), torch.tensor([0.5, 0.0]).double())
    model = RecurrentClassifier(((unit,),), (head,))
    center = torch.zeros(1, 1, 1, dtype=torch.float64)
    question = Question(model, untargeted(torch.tensor([0]), 2))
    assert not bool(question.gradient(center)[1].any())
    family = BallFamily(center, torch.ones(1, 1, dtype=torch.float64), p, (-4.0, 4.0))
    found = CWAda().smallest(question, family, torch.Generator().manual_seed(0))
    assert 1.5 <= float(found.radius) <= 1.5 * 1.01


@pytest.mark.parametrize("p", [*(pytest.param(p, marks=pytest.mark.long) for p in (1.0, 2.0)), math.inf])
def test_mean_radii_are_not_above_those_of_pgd_by_more_than_a_tenth(p):
    model = load_model(pretrained_path("digits_rnn"))
    data = load_sequences("digits", input_size=model.input_size, count=8, classes=model.classes)
    x, labels = torch.from_numpy(data.x), torch.from_numpy(data.labels)
    question = Question(model, untargeted(labels, model.classes))
    family = BallFamily(x, torch.ones_like(x[:, :, 0]), p, (0.0, 1.0))
    cw, pgd = (
        attack.smallest(question, family, torch.Generator().manual_seed(0)) for attack in (CWAda(), Bisected(PGD()))
    )
    assert bool(cw.found.all())
    assert float(cw.radius.mean()) <= 1.1 * float(pgd.radius.mean())

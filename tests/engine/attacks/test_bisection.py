"""The search for the smallest ball around any attack; what all searches keep is in test_radius_attacks.py."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.attacks.base import SetAttack
from gpu_engine.attacks.bisection import SEGMENT_HALVINGS, Bisected, nearest_on_segment
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.fgsm import FGSM
from gpu_engine.attacks.found import Worst
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.errors import SpecificationError
from gpu_engine.loading import load_model
from gpu_engine.spec import untargeted
from refcert.app.datasets import load_sequences
from refcert.app.pretrained import pretrained_path
from tests.engine.attacks.radius_cases import cases, linear_cases


class Unused(SetAttack):
    """Fails where it is asked."""

    name = "unused"

    def worst(self, question, inputs, generator, start=None) -> Worst:
        raise AssertionError("there was nothing to search")


class Blind(SetAttack):
    """Never finds anything, and notes the radii."""

    name = "blind"

    def __init__(self) -> None:
        self.asked: list[float] = []

    def worst(self, question, inputs, generator, start=None) -> Worst:
        self.asked.append(float(inputs.radius.max()))
        return Worst(inputs.center, question.plain_margins(inputs.center))


@given(case=cases(max_size=4, max_layers=1))
@settings(max_examples=10)
def test_broken_centers_cost_no_search(case):
    margins = case.question.plain_margins(case.family.center)
    broken = (margins <= 0).nonzero()[:, 0]
    if len(broken) == 0:
        return
    found = Bisected(Unused()).smallest(case.question.select(broken), case.family.select(broken), case.generator())
    assert found.radius.tolist() == [0.0] * len(broken)


@given(data=st.data())
@settings(max_examples=10)
def test_the_point_on_a_segment_is_where_the_margin_crosses_zero(data):
    case, exact = data.draw(linear_cases())
    question, center = case.question, case.family.center
    far = FGSM().worst(question, case.family.at(3 * exact), case.generator()).x
    point = nearest_on_segment(question, center, far)
    assert bool((question.plain_margins(point) <= 0).all())
    share = (point - center).flatten(1).norm(dim=1) / (far - center).flatten(1).norm(dim=1)
    assert bool((share >= (1 - 1e-9) / 3).all()) and bool((share <= 1 / 3 + 2.0**-SEGMENT_HALVINGS).all())
    unbroken = center + (far - center) / 4
    assert torch.equal(nearest_on_segment(question, center, unbroken), unbroken)


@given(data=st.data(), tolerance=st.sampled_from([0.3, 0.05, 0.001]))
@settings(max_examples=10)
def test_the_answer_is_within_the_tolerance(data, tolerance):
    case, exact = data.draw(linear_cases())
    found = Bisected(FGSM(), tolerance).smallest(case.question, case.family, case.generator())
    assert bool((found.radius >= exact * (1 - 1e-9)).all())
    assert bool((found.radius <= exact * (1 + tolerance) + 1e-9).all())


def test_radii_grow_to_the_largest_and_no_further():
    """An attack that finds nothing, on a question where the first look finds nothing either."""
    shipped = load_model(pretrained_path("digits_rnn"))
    x = torch.from_numpy(load_sequences("digits", input_size=shipped.input_size, count=1, classes=10).x)
    always = untargeted(torch.zeros(1, dtype=torch.int64), 10)
    always = type(always)(0 * always.C, always.d + 1)
    family = BallFamily(x, torch.ones(x.shape[:2], dtype=torch.float64), math.inf, (0.0, 1.0))
    blind = Blind()
    found = Bisected(blind).smallest(Question(shipped, always), family, torch.Generator())
    assert found.radius.tolist() == [math.inf]
    assert blind.asked == [2.0**k for k in range(-7, 1)]


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_pgd_is_stronger_than_one_step_on_a_trained_network(p):
    model = load_model(pretrained_path("digits_lstm"))
    data = load_sequences("digits", input_size=model.input_size, count=8, classes=model.classes)
    x, labels = torch.from_numpy(data.x), torch.from_numpy(data.labels)
    question = Question(model, untargeted(labels, model.classes))
    family = BallFamily(x, torch.ones(x.shape[:2], dtype=torch.float64), p, (0.0, 1.0))
    pgd, fgsm = (
        Bisected(attack).smallest(question, family, torch.Generator().manual_seed(0))
        for attack in (PGD(steps=10, restarts=3), FGSM())
    )
    assert bool(pgd.found.all())
    assert bool((pgd.radius <= 1.02 * fgsm.radius).all())
    assert float(pgd.radius.mean()) < 0.97 * float(fgsm.radius.mean())


def test_the_search_has_the_name_of_its_attack():
    assert (Bisected(PGD()).name, Bisected(FGSM()).name) == ("pgd", "fgsm")


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -1.0, math.nan])
def test_a_tolerance_that_makes_no_sense_is_refused(tolerance):
    with pytest.raises(SpecificationError, match="tolerance is"):
        Bisected(FGSM(), tolerance)

"""PGD on every kind of input set: what it returns is in the set, is what it says, and is least where that is known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.attacks.fgsm import FGSM
from gpu_engine.attacks.pgd import PGD, checkpoints_of, steepness
from gpu_engine.attacks.question import Question
from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import Boxes
from refcert.strategies import questions
from tests.engine.attacks.radius_cases import cases, linear_cases
from tests.engine.attacks.test_geometry import holds

MILD = {"scales": (0.5, 1.0), "max_size": 4, "max_layers": 1}
SHORT = PGD(steps=6, restarts=3)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slack(question: Question, x: torch.Tensor) -> torch.Tensor:
    """What the rounding of matrix products may change a margin by, with much room."""
    return 1e-6 * (1 + question.rows(x).abs().amax(1))


@given(drawn=questions(max_size=4), started=st.booleans())
@settings(max_examples=30)
def test_a_result_is_in_its_set_and_its_margin_is_that_of_a_plain_forward_pass(drawn, started):
    """And it is not worse than the center, a given start, or, without one, FGSM."""
    question, inputs = Question(drawn.model, drawn.spec), drawn.inputs
    start = inputs.center + 0.1 if started else None
    found = SHORT.worst(question, inputs, generator(drawn.seed), start)
    assert all(holds(inputs, k, found.x[k]) for k in range(len(inputs)))
    torch.testing.assert_close(found.margin, question.plain_margins(found.x), rtol=0, atol=0)
    assert bool((found.margin <= question.plain_margins(inputs.center)).all())
    if not started:
        fgsm = FGSM().worst(question, inputs, generator(0))
        assert bool((found.margin <= fgsm.margin + slack(question, fgsm.x)).all())


@given(case=cases(max_size=4), radius=st.sampled_from([1e-9, 0.05, 0.5, 3.0]))
@settings(max_examples=25)
def test_every_reading_and_length_is_served(case, radius):
    """Frames behind a sequence's end, and frames of weight zero, stay; the range of the data is kept."""
    question, family = case.question, case.family
    inputs = family.at(torch.full((len(family),), radius, dtype=torch.float64))
    found = SHORT.worst(question, inputs, case.generator())
    assert all(holds(inputs, k, found.x[k]) for k in range(len(family)))
    if question.lengths is not None:
        behind = torch.arange(family.center.shape[1]) >= question.lengths[:, None]
        assert torch.equal(found.x[behind], family.center[behind])
    assert torch.equal(found.x[family.weight == 0], family.center[family.weight == 0])


@given(data=st.data(), share=st.sampled_from([0.1, 0.9, 1.1]))
@settings(max_examples=20)
def test_on_a_linear_network_the_least_margin_is_found(data, share):
    case, exact = data.draw(linear_cases())
    question, family = case.question, case.family
    at_center = question.plain_margins(family.center)
    found = PGD(steps=10, restarts=1).worst(question, family.at(share * exact), case.generator())
    torch.testing.assert_close(found.margin, at_center * (1 - share), rtol=1e-6, atol=1e-6)
    assert bool((found.found == (share > 1)).all())


@given(data=st.data())
@settings(max_examples=20)
def test_on_a_linear_network_the_least_margin_of_a_box_is_found(data):
    case, _ = data.draw(linear_cases())
    center = case.family.center
    reach = torch.rand((2, *center.shape), generator=case.generator(), dtype=torch.float64)
    boxes = Boxes(center - reach[0], center + reach[1])
    _, slope = case.question.gradient(center)
    least = case.question.plain_margins(torch.where(slope > 0, boxes.lower, boxes.upper))
    found = PGD(steps=5, restarts=2).worst(case.question, boxes, case.generator())
    torch.testing.assert_close(found.margin, least, rtol=1e-9, atol=1e-9)


@given(drawn=questions(**MILD))
@settings(max_examples=15)
def test_a_seed_repeats_a_run(drawn):
    question = Question(drawn.model, drawn.spec)
    first, second = (SHORT.worst(question, drawn.inputs, generator(drawn.seed)) for _ in range(2))
    assert torch.equal(first.x, second.x) and torch.equal(first.margin, second.margin)


@given(drawn=questions(**MILD))
@settings(max_examples=20)
def test_a_batch_finds_what_each_sample_finds_alone(drawn):
    question, inputs = Question(drawn.model, drawn.spec), drawn.inputs
    together = SHORT.worst(question, inputs, generator(drawn.seed))
    for k in range(len(inputs)):
        one = slice(k, k + 1)
        alone = SHORT.worst(question.select(one), inputs.select(one), generator(drawn.seed))
        assert bool(((alone.margin - together.margin[one]).abs() <= slack(question, together.x)[one]).all())


@given(drawn=questions(**MILD))
@settings(max_examples=20)
def test_more_restarts_find_no_larger_margin(drawn):
    question, inputs = Question(drawn.model, drawn.spec), drawn.inputs
    few, many = (PGD(6, restarts).worst(question, inputs, generator(drawn.seed)) for restarts in (1, 4))
    assert bool((many.margin <= few.margin + slack(question, few.x)).all())


@given(case=cases(**MILD), radius=st.sampled_from([0.1, 1.0]))
@settings(max_examples=15)
def test_stopping_at_the_first_success_breaks_the_same_samples(case, radius):
    inputs = case.family.at(torch.full((len(case.family),), radius, dtype=torch.float64))
    full = SHORT.worst(case.question, inputs, case.generator())
    soon = SHORT.until_success().worst(case.question, inputs, case.generator())
    near_zero = full.margin.abs() < 1e-9
    assert bool(((full.found == soon.found) | near_zero).all())


@given(data=st.data())
@settings(max_examples=10)
def test_a_start_is_where_the_search_begins(data):
    """From a start that breaks the specification the first success is the start itself."""
    case, exact = data.draw(linear_cases(norms=(math.inf,)))
    inputs = case.family.at(2 * exact)
    start = FGSM().worst(case.question, inputs, case.generator()).x
    found = PGD(first_success=True).worst(case.question, inputs, case.generator(), start)
    assert torch.equal(found.x, start)


@pytest.mark.parametrize("what", ["steps", "restarts"])
def test_settings_that_make_no_sense_are_refused(what):
    with pytest.raises(SpecificationError, match=f"{what} is 0"):
        PGD(**{what: 0})


def test_checkpoints_are_the_papers():
    assert checkpoints_of(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints_of(1) == [1] * 8


def test_gradients_that_overflow_still_point_somewhere():
    slope = torch.tensor([[[math.inf, -1.0]], [[math.nan, 2.0]], [[0.0, 0.0]], [[1e-320, 0.0]]], dtype=torch.float64)
    found = steepness(slope)
    assert bool(torch.isfinite(found).all()) and float(found.abs().max()) <= 1
    assert found[1].tolist() == [[0.0, 1.0]] and found[0, 0, 0] == 1
    assert found[3].tolist() == [[1.0, 0.0]]

"""The contract of all attacks that search the smallest ball: what they return is what they say it is."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.errors import SpecificationError
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.search.radius import certified_radius, certified_sequence_radius
from gpu_engine.spec import Steps, untargeted
from tests.engine.attacks.radius_cases import ATTACKS, Case, cases, linear_cases
from tests.engine.input_sets import contains, exactly

every_attack = pytest.mark.parametrize("name", ATTACKS)


def run(name: str, case: Case):
    return ATTACKS[name].smallest(case.question, case.family, case.generator())


@every_attack
@given(case=cases(max_size=4, scales=(0.5, 1.0, 3.0, 30.0)))
@settings(max_examples=8)
def test_a_result_is_an_input_of_its_ball_that_breaks_the_specification(name, case):
    """In exact arithmetic; or it is the center: broken and of radius 0, or unbroken and of radius infinity."""
    question, family = case.question, case.family
    found = run(name, case)
    torch.testing.assert_close(found.margin, question.plain_margins(found.x), rtol=0, atol=0)
    at_center = question.plain_margins(family.center)
    assert bool((found.found == (found.margin <= 0)).all())
    assert bool(((found.radius == 0) == (at_center <= 0)).all())
    at_rest = (found.radius == 0) | torch.isinf(found.radius)
    assert torch.equal(found.x[at_rest], family.center[at_rest])
    balls = family.at(torch.where(torch.isinf(found.radius), 0.0, found.radius))
    assert all(contains(balls, k, exactly(found.x[k].numpy())) for k in range(len(family)))
    assert torch.equal(found.x[family.weight == 0], family.center[family.weight == 0])
    if family.clip is not None:
        assert float(found.x.min()) >= family.clip[0] and float(found.x.max()) <= family.clip[1]


@every_attack
@given(case=cases(max_size=4, max_layers=1, scales=(0.5, 1.0)))
@settings(max_examples=4)
def test_a_seed_repeats_a_run_and_inputs_stay_as_they_are(name, case):
    family, question = case.family, case.question
    before = [t.clone() for t in (family.center, family.weight, question.specification.C, question.specification.d)]
    first, second = run(name, case), run(name, case)
    assert torch.equal(first.x, second.x) and torch.equal(first.radius, second.radius)
    after = (family.center, family.weight, question.specification.C, question.specification.d)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not first.x.requires_grad and not first.radius.requires_grad


@every_attack
@given(case=cases(max_size=4, max_layers=1, scales=(0.5, 1.0)))
@settings(max_examples=4)
def test_a_batch_finds_what_each_sample_finds_alone(name, case):
    together = run(name, case)
    for k in range(len(case.family)):
        one = slice(k, k + 1)
        alone = run(name, Case(case.question.select(one), case.family.select(one), case.seed))
        torch.testing.assert_close(alone.radius, together.radius[one], rtol=1e-3, atol=1e-9)


@every_attack
def test_larger_neighbours_change_nothing(name):
    """Without a clip range, radii begin at the sample's own magnitude, not at the batch's."""
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(4, 3, generator=generator).double(), torch.zeros(4, dtype=torch.float64)
    cell = Direction("rnn_tanh", weight, torch.eye(4, dtype=torch.float64) / 2, bias, bias)
    head = Dense(torch.randn(3, 4, generator=generator).double(), torch.zeros(3, dtype=torch.float64))
    model = RecurrentClassifier(((cell,),), (head,))
    center = torch.randn((4, 2, 3), generator=generator).double()
    center[1:] *= torch.tensor([1e2, 1e4, 1e6], dtype=torch.float64)[:, None, None]
    question = Question(model, untargeted(model.logits(center).argmax(1), 3))
    case = Case(question, BallFamily(center, torch.ones(4, 2, dtype=torch.float64), 2.0), 0)
    together, one = run(name, case), slice(0, 1)
    alone = run(name, Case(question.select(one), case.family.select(one), 0))
    assert bool(torch.isfinite(alone.radius).all())
    torch.testing.assert_close(alone.radius, together.radius[one], rtol=1e-9, atol=0.0)


@every_attack
@given(case=cases(max_size=4, norms=(1.0, 2.0, math.inf), ragged=False, scales=(0.5, 1.0, 3.0)))
@settings(max_examples=6)
def test_no_attack_is_below_the_certified_radius(name, case):
    found, family, question = run(name, case), case.family, case.question
    if not bool((found.found & (found.radius > 0)).any()):
        return
    arguments = {"p": family.p, "clip": family.clip, "tolerance": 0.05}
    if family.shared:
        moves = family.weight > 0
        radii = certified_sequence_radius(
            question.model, family.center, question.specification, moves=moves, **arguments
        )
    else:
        radii = certified_radius(question.model, family.center, family.weight, question.specification, **arguments)
    assert bool((found.radius >= radii.proved).all())


@every_attack
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, math.inf])
@pytest.mark.parametrize("shared", [False, True])
def test_a_constant_classifier_has_no_adversarial_input(name, p, shared):
    zero = torch.zeros(2, 2, dtype=torch.float64)
    cell = Direction("rnn_tanh", zero, zero, zero[0], zero[0])
    model = RecurrentClassifier(((cell,),), (Dense(zero, torch.tensor([1.0, 0.0]).double()),))
    center = torch.rand((2, 3, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    family = BallFamily(center, torch.ones_like(center[:, :, 0]), p, (0.0, 1.0), shared)
    labels = torch.tensor([0, 1])
    found = run(name, Case(Question(model, untargeted(labels, 2)), family, 0))
    assert found.radius.tolist() == [math.inf, 0.0]  # the second is misclassified, and stays so
    assert found.margin.tolist() == [1.0, -1.0]
    assert torch.equal(found.x, center)


@every_attack
@given(case=cases(max_size=3, max_layers=1, scales=(1.0,)))
@settings(max_examples=3)
def test_where_no_frame_moves_only_a_broken_center_is_found(name, case):
    family = case.family
    still = BallFamily(family.center, torch.zeros_like(family.weight), family.p, family.clip, family.shared)
    found = run(name, Case(case.question, still, case.seed))
    broken = case.question.plain_margins(family.center) <= 0
    assert torch.equal(found.radius, torch.where(broken, 0.0, math.inf))


# L-BFGS minimises the sum of squares: of these norms, one l_2 ball around the sequence.
CLOSED_FORMS = [("fgsm", {}), ("pgd", {}), ("cw", {}), ("lbfgs", {"norms": (2.0,), "shared": True})]


@pytest.mark.parametrize(("name", "kinds"), CLOSED_FORMS, ids=[name for name, _ in CLOSED_FORMS])
@given(data=st.data())
@settings(max_examples=8)
def test_a_linear_network_gives_the_dual_norms_radius(name, kinds, data):
    case, exact = data.draw(linear_cases(**kinds))
    found = run(name, case)
    assert bool((found.radius >= exact * (1 - 1e-9)).all())
    assert bool((found.radius <= exact * 1.03).all())


@every_attack
@given(case=cases(max_size=4, max_layers=1, scales=(0.5, 1.0), cells=("lstm", "gru", "rnn_tanh")))
@settings(max_examples=4)
def test_values_behind_a_sequences_end_have_no_influence(name, case):
    question, family = case.question, case.family
    if question.lengths is None or isinstance(question.specification.reading, Steps):
        return
    behind = torch.arange(family.center.shape[1]) >= question.lengths[:, None]
    other = torch.where(behind[..., None], 1 - family.center, family.center)
    padded = BallFamily(other, family.weight, family.p, family.clip, family.shared)
    first, second = run(name, case), run(name, Case(question, padded, case.seed))
    torch.testing.assert_close(first.radius, second.radius, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["cw", "lbfgs"])
@given(case=cases(max_size=3, max_layers=1, scales=(1.0, 30.0)))
@settings(max_examples=8)
def test_frames_behind_a_sequences_end_are_not_perturbed(name, case):
    if case.question.lengths is None:
        return
    found = run(name, case)
    behind = torch.arange(found.x.shape[1]) >= case.question.lengths[:, None]
    assert torch.equal(found.x[behind], case.family.center[behind])


@pytest.mark.parametrize("changes", [{"steps": 0}, {"targets": -1}])
@pytest.mark.parametrize("name", ["cw", "lbfgs"])
def test_settings_that_make_no_sense_are_refused(name, changes):
    ((what, value),) = changes.items()
    with pytest.raises(SpecificationError, match=f"{what} is {value}"):
        type(ATTACKS[name])(**changes)

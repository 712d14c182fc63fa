"""Never a certified radius that reaches an attack: planted faults stop, rounding does not."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from gpu_engine.attacks.bisection import Bisected
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.fgsm import FGSM
from gpu_engine.attacks.found import Smallest, smallest_at
from gpu_engine.attacks.question import Question
from gpu_engine.errors import SoundnessFault
from gpu_engine.loading import load_model
from gpu_engine.spec import matrix, per_class, top_k, untargeted, untargeted_steps
from refcert.app import cli
from refcert.app.errors import ExitCode
from refcert.app.sandwich.check import check_sandwich
from refcert.app.sandwich.exact_network import exact_outputs, program_of
from refcert.app.sandwich.judge import Verdict, judge
from refcert.kernel.ball import float_above, float_below, precision
from tests.app.tiny import CLASSES, INPUT, TIME, save_model, values

NORMS = (math.inf, 1.0, 2.0, 1.5)
LARGE = 1e16
"""An output next to which a margin of less than 1 is rounded away."""


def say(k):
    return {"sample": k, "method": "planted"}


@pytest.fixture(scope="module")
def lstm(tmp_path_factory):
    return load_model(save_model(tmp_path_factory.mktemp("model") / "m.safetensors"))


@pytest.fixture(scope="module")
def rounded(tmp_path_factory):
    """One ReLU unit h = relu(x) of one frame and logits (10^16 + h, 10^16): rounding hides a margin below 1."""
    path = tmp_path_factory.mktemp("rounded") / "m.safetensors"
    state = {
        "rnn.weight_ih_l0": torch.ones(1, 1),
        "rnn.weight_hh_l0": torch.zeros(1, 1),
        "rnn.bias_ih_l0": torch.zeros(1),
        "rnn.bias_hh_l0": torch.zeros(1),
        "fc.weight": torch.tensor([[1.0], [0.0]]),
        "fc.bias": torch.full((2,), LARGE, dtype=torch.float64),
    }
    save_file({k: v.to(torch.float64) for k, v in state.items()}, path, metadata={"refcert.cell": "rnn_relu"})
    return load_model(path)


def question_of(model, x, labels=None):
    labels = model.logits(x).argmax(1) if labels is None else labels
    return Question(model, untargeted(labels, model.classes))


def family_of(x, p=math.inf, **options):
    return BallFamily(x, torch.ones(x.shape[:2], dtype=torch.float64), p, **options)


# the exact network


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("readout", ["final", "mean", "max", "every"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=["plain", "two", "both"])
def test_the_exact_network_is_that_of_the_forward_pass(kind, readout, options, tmp_path):
    model = load_model(save_model(tmp_path / "m.safetensors", kind, **options), readout=readout)
    x = torch.from_numpy(values(2))
    program = program_of(model, TIME)
    for one, expected in zip(x, model.logits(x).flatten(1).tolist(), strict=True):
        with precision(128):
            found = exact_outputs(program, one.tolist())
        assert len(found) == len(expected)
        for ball, value in zip(found, expected, strict=True):
            low, high = float_below(ball), float_above(ball)
            assert high - low < 1e-14
            assert value == pytest.approx(low, abs=1e-12)


def test_a_point_of_another_length_is_refused(lstm):
    with pytest.raises(ValueError, match="has 2 frames"):
        exact_outputs(program_of(lstm, TIME), [[0.0] * INPUT] * 2)


# the judge


def specifications(model, labels):
    other = (labels + 1) % model.classes
    rows = torch.zeros(len(labels), 2, model.classes, dtype=torch.float64)
    rows[:, 0].scatter_(1, labels[:, None], 1.0)
    rows[:, 1].scatter_(1, other[:, None], -1.0)
    return {
        "untargeted": untargeted(labels, model.classes),
        "top 2": top_k(labels, 2, model.classes),
        "per class": per_class(labels, model.classes),
        "rows": matrix(rows, torch.tensor([0.125, -0.25], dtype=torch.float64), batch=len(labels)),
    }


@pytest.mark.parametrize("name", ["untargeted", "top 2", "per class", "rows"])
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_it_decides_as_the_forward_pass_where_the_margin_is_clear(lstm, name, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(1, TIME, INPUT, generator=generator, dtype=torch.float64)
    point = x + 4 * torch.rand(x.shape, generator=generator, dtype=torch.float64) - 2
    question = Question(lstm, specifications(lstm, lstm.logits(x).argmax(1))[name])
    family = family_of(x)
    found = judge(question, family, family.size(point), point)
    margin = float(question.plain_margins(point)[0])
    assert found.margin_low == pytest.approx(margin, abs=1e-9)
    assert found.margin_high == pytest.approx(margin, abs=1e-9)
    if abs(margin) > 1e-9:
        assert found.verdict == (Verdict.CONTRADICTED if margin < 0 else Verdict.INSIDE_HOLDS)


@pytest.mark.parametrize("shared", [False, True], ids=["frames", "sequence"])
@pytest.mark.parametrize("p", NORMS)
def test_what_lies_outside_the_ball_contradicts_nothing(lstm, p, shared):
    x = torch.from_numpy(values(1))
    question = question_of(lstm, x, (lstm.logits(x).argmax(1) + 1) % CLASSES)  # broken everywhere near
    point = x + torch.linspace(0.01, 0.02, TIME * INPUT, dtype=torch.float64).reshape(x.shape)
    family = family_of(x, p, shared=shared)
    size = family.size(point)
    assert judge(question, family, size, point).verdict == Verdict.CONTRADICTED
    assert judge(question, family, size * (1 - 1e-9), point).verdict == Verdict.OUTSIDE


def test_frames_that_stay_and_the_range_belong_to_the_ball(lstm):
    x = torch.from_numpy(values(1))
    question = question_of(lstm, x, (lstm.logits(x).argmax(1) + 1) % CLASSES)
    weight = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    moved, radius = x.clone(), torch.tensor([10.0], dtype=torch.float64)
    moved[0, 1, 0] += 1e-9
    assert judge(question, BallFamily(x, weight), radius, moved).verdict == Verdict.OUTSIDE
    outside = x + 1.0
    assert judge(question, family_of(x, clip=(0.0, 1.0)), radius, outside).verdict == Verdict.OUTSIDE
    assert judge(question, family_of(x), radius, outside).verdict != Verdict.OUTSIDE


def test_a_tie_of_the_exact_network_is_a_contradiction(rounded):
    x = torch.full((1, 1, 1), 4.0, dtype=torch.float64)
    question = question_of(rounded, x)
    found = judge(question, family_of(x), torch.tensor([4.0], dtype=torch.float64), torch.zeros_like(x))
    assert (found.verdict, found.margin_low, found.margin_high) == (Verdict.CONTRADICTED, 0.0, 0.0)


def test_sequences_end_where_they_end(tmp_path):
    model = load_model(save_model(tmp_path / "m.safetensors"), readout="every")
    x, lengths = torch.from_numpy(values(2)), torch.tensor([2, TIME])
    labels = model.logits(x).argmax(2)
    question = Question(model, untargeted_steps(labels, CLASSES, lengths), lengths)
    family = family_of(x)
    for k in range(2):
        at = slice(k, k + 1)
        found = judge(question.select(at), family.select(at), torch.ones(1, dtype=torch.float64), x[at])
        assert found.verdict == Verdict.INSIDE_HOLDS
        assert found.margin_low == pytest.approx(float(question.plain_margins(x)[k]))


# the check


@pytest.mark.parametrize("p", NORMS)
def test_a_certified_radius_that_was_doubled_is_found_and_saved(lstm, p, tmp_path):
    x = torch.from_numpy(values())
    question, family = question_of(lstm, x), family_of(x, p)
    found = Bisected(FGSM()).smallest(question, family, torch.Generator().manual_seed(0))
    honest = torch.where(found.found, found.radius / 1.5, 1.0)
    passed = check_sandwich(question, family, honest, found, folder=tmp_path, about=say)
    assert passed.found is found
    assert not passed.withdrawn
    planted = honest.clone()
    k = int(found.found.nonzero()[-1, 0])
    planted[k] *= 2
    with pytest.raises(SoundnessFault, match=f"sample {k} is certified") as fault:
        check_sandwich(question, family, planted, found, folder=tmp_path, about=say)
    assert cli._exit_code(fault.value) is ExitCode.FAULT
    (path,) = tmp_path.glob("soundness_fault_*.json")
    assert str(path) in str(fault.value)
    evidence = json.loads(path.read_text())
    assert evidence["sample"] == k
    assert evidence["method"] == "planted"
    assert evidence["certified_radius"] == float(planted[k])
    assert evidence["attack_radius"] == float(found.radius[k])
    assert evidence["judgement"]["verdict"] == "contradicted"
    assert evidence["C"] == question.specification.C[k].tolist()
    assert evidence["d"] == question.specification.d[k].tolist()
    assert (evidence["reading"], evidence["frames"]) == ("AllRows()", TIME)
    assert evidence["network_digest"] == lstm.digest()
    # The evidence stands by itself: the input breaks the question, inside the ball.
    saved = torch.tensor([evidence["adversarial"]], dtype=torch.float64)
    assert float(question.select(slice(k, k + 1)).plain_margins(saved)) <= 0
    assert float(family.select(slice(k, k + 1)).size(saved)) <= evidence["certified_radius"]


def test_evidence_never_replaces_evidence(lstm, tmp_path):
    x = torch.from_numpy(values(1))
    question, family = question_of(lstm, x), family_of(x)
    found = Bisected(FGSM()).smallest(question, family, torch.Generator().manual_seed(0))
    assert bool(found.found.all())
    for number in (1, 2):
        with pytest.raises(SoundnessFault):
            check_sandwich(question, family, found.radius * 2, found, folder=tmp_path, about=say)
        assert len(list(tmp_path.iterdir())) == number


def test_evidence_that_cannot_be_saved_is_in_the_message(lstm, tmp_path):
    x = torch.from_numpy(values(1))
    question, family = question_of(lstm, x), family_of(x)
    found = Bisected(FGSM()).smallest(question, family, torch.Generator().manual_seed(0))
    with pytest.raises(SoundnessFault, match=r'could not be saved.*"adversarial": '):
        check_sandwich(question, family, found.radius * 2, found, folder=tmp_path / "missing", about=say)


def test_an_attack_that_rounding_made_is_taken_back(rounded, tmp_path):
    x = torch.full((2, 1, 1), 4.0, dtype=torch.float64)
    question, family = question_of(rounded, x), family_of(x)
    # At 0.5 the exact margin is 0.5, which 10^16 swallows; at -1 it is 0, a true break.
    found = smallest_at(question, family, torch.tensor([[[0.5]], [[-1.0]]], dtype=torch.float64))
    assert found.margin.tolist() == [0.0, 0.0]
    checked = check_sandwich(
        question, family, torch.tensor([3.75, 3.75], dtype=torch.float64), found, folder=tmp_path, about=say
    )
    assert checked.found.radius.tolist() == [math.inf, float(found.radius[1])]
    assert list(checked.withdrawn) == [0]
    assert checked.withdrawn[0].verdict == Verdict.INSIDE_HOLDS
    assert torch.equal(checked.found.x[0], x[0])
    assert float(checked.found.margin[0]) == 4.0
    assert found.radius[0] < 4  # the input stays as it was
    assert not list(tmp_path.iterdir())


def test_equal_radii_contradict_each_other(rounded, tmp_path):
    x = torch.full((1, 1, 1), 4.0, dtype=torch.float64)
    question, family = question_of(rounded, x), family_of(x)
    found = smallest_at(question, family, torch.zeros(1, 1, 1, dtype=torch.float64))
    below = torch.nextafter(found.radius, torch.zeros(1, dtype=torch.float64))
    check_sandwich(question, family, below, found, folder=tmp_path, about=say)
    with pytest.raises(SoundnessFault):
        check_sandwich(question, family, found.radius, found, folder=tmp_path, about=say)


def test_a_radius_of_zero_claims_nothing_and_a_broken_center_contradicts_any_other(lstm, tmp_path):
    x = torch.from_numpy(values(1))
    question = question_of(lstm, x, (lstm.logits(x).argmax(1) + 1) % CLASSES)
    family = family_of(x)
    found = smallest_at(question, family, x)
    assert float(found.radius) == 0
    check_sandwich(question, family, torch.zeros(1, dtype=torch.float64), found, folder=tmp_path, about=say)
    with pytest.raises(SoundnessFault):
        check_sandwich(question, family, torch.full((1,), 1e-9, dtype=torch.float64), found, folder=tmp_path, about=say)


@pytest.mark.parametrize("radius", [math.nan, -1.0])
def test_an_attacks_radius_that_is_none_does_not_pass(lstm, radius, tmp_path):
    """NaN is below no certified radius, so that any claim would pass."""
    x = torch.from_numpy(values(1))
    found = Smallest(x, torch.zeros(1, dtype=torch.float64), torch.full((1,), radius, dtype=torch.float64))
    certified = torch.ones(1, dtype=torch.float64)
    with pytest.raises(ValueError, match="negative or no number"):
        check_sandwich(question_of(lstm, x), family_of(x), certified, found, folder=tmp_path, about=say)


@pytest.mark.parametrize("radius", [math.nan, math.inf, -1.0])
def test_certified_radii_that_are_none(lstm, radius, tmp_path):
    x = torch.from_numpy(values(1))
    nothing = Smallest(x, torch.ones(1, dtype=torch.float64), torch.full((1,), np.inf, dtype=torch.float64))
    certified = torch.full((1,), radius, dtype=torch.float64)
    with pytest.raises(ValueError, match="one finite number"):
        check_sandwich(question_of(lstm, x), family_of(x), certified, nothing, folder=tmp_path, about=say)

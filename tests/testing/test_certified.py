"""assert_certified, assert_radius_at_least: what is proved passes; regressions fail with a simple counter-example."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from gpu_engine.errors import EngineError, SoundnessFault
from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions
from gpu_engine.saving import save_model
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import per_class, top_k, untargeted
from refcert.app.errors import InputError
from refcert.strategies import contains
from refcert.testing import (
    NotDecidedError,
    NotProvedError,
    Outcome,
    ViolatedError,
    assert_certified,
    assert_radius_at_least,
    kernel_checks,
)
from refcert.testing import certified as certified_module
from refcert.testing import doubted as doubted_module
from refcert.testing.budget import Clock
from tests.testing.engines_under_test import Small, balanced, run, small
from tests.testing.test_bounds import with_swapped_gates

X = torch.rand(3, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
MODEL = balanced(small(inputs=3, hidden=6, scale=3.0), X)
LABELS = MODEL.logits(X).argmax(1)


def failing(kind, function, *arguments, **options):
    with pytest.raises(kind) as caught:
        function(*arguments, **options)
    return caught.value


def frames(radius, p=math.inf, clip=None):
    return FrameBalls(X, torch.full((3, 4), radius, dtype=torch.float64), p, clip)


def one_of(violation, sets):
    """The counter-example is in its set, exactly."""
    k = violation.where["sample"]
    return contains(sets.select(slice(k, k + 1)), violation.data["x"][None])


def test_what_is_proved_passes_with_its_margins():
    report = assert_certified(MODEL, X, LABELS, frames(1e-3))
    assert report.outcome is Outcome.HOLDS and report.numbers["proved"] == 3
    own = certify(MODEL, frames(1e-3), untargeted(LABELS, 3), Options("best")).margin
    assert list(report.numbers["margins"]) == own.tolist()


@pytest.mark.parametrize("seed", range(2))
def test_an_unchanged_model_never_fails(seed):
    assert assert_radius_at_least(MODEL, X, LABELS, 1e-3, seed=seed, relaxation="parallel").outcome is Outcome.HOLDS


def test_modules_paths_and_functions_of_x_are_taken(tmp_path):
    module = Small(inputs=3, hidden=6)
    with torch.no_grad():
        labels = module(X.float()).argmax(1)
    save_model(small(inputs=3, hidden=6), tmp_path / "model.safetensors")
    for model in (module, tmp_path / "model.safetensors", str(tmp_path / "model.safetensors")):
        sets = (lambda x: FrameBalls(x, 0 * x[..., 0] + 1e-4), None, "constants")
        report = assert_certified(model, X.numpy(), labels.tolist(), *sets)
        assert report.outcome is Outcome.HOLDS


SETS = [
    frames(0.3),
    frames(0.3, clip=(0.0, 1.0)),
    frames(0.5, 2.0),
    frames(1.0, 1.0),
    frames(0.6, 3.5),
    SequenceBall(
        X, torch.full((3,), 1.0, dtype=torch.float64), 2.0, moves=torch.tensor([[False, True, True, True]] * 3)
    ),
    Boxes(X - 0.1, X + 0.5),
    Substitutions(X, torch.stack([1 - X, X.flip(2)], 2), torch.ones(3, 4, 2, dtype=torch.bool)),
]


@pytest.mark.parametrize("sets", SETS, ids=["inf", "clip", "2", "1", "3.5", "sequence", "boxes", "words"])
def test_a_counter_example_is_in_the_set_wrong_and_shown(sets, tmp_path):
    error = failing(ViolatedError, assert_certified, MODEL, X, LABELS, sets, None, "parallel", evidence=tmp_path)
    shown = [violation for violation in error.violations if violation.snippet]
    assert shown
    for violation in shown:
        k, x = violation.where["sample"], violation.data["x"]
        assert one_of(violation, sets)
        assert MODEL.logits(x[None]).argmax(1) != LABELS[k]
        assert violation.data["exact margin"][1] < 0
        assert run(violation.snippet)["margin"] < 0
        assert f"sample {k}" in str(error)
    assert f"margin {error.report.numbers['margins'][shown[0].where['sample']]:.6g}" in str(error)
    assert "<table>" in error._repr_html_()


def only_reads(t, i):
    """A classifier in which one coordinate of the last frame decides."""
    network = small(inputs=3, hidden=2, classes=2)
    ((cell,),) = network.layers
    weight = torch.zeros_like(cell.weight_ih)
    weight[:, i] = 4.0
    return replace(network, layers=((replace(cell, weight_ih=weight, weight_hh=torch.zeros_like(cell.weight_hh)),),))


@pytest.mark.parametrize("coordinate", [0, 2])
def test_a_counter_example_changes_what_matters_and_nothing_else(coordinate):
    network = only_reads(3, coordinate)
    labels = network.logits(X).argmax(1)
    error = failing(ViolatedError, assert_radius_at_least, network, X, labels, 1.0, relaxation="constants")
    found = next(v for v in error.violations if v.snippet)
    changed = (found.data["x"] != found.data["sample"]).nonzero().tolist()
    assert changed and {i for _, i in changed} == {coordinate}
    assert f"coordinate {coordinate}: " in str(error)
    value = float(found.data["x"][tuple(changed[0])])
    assert len(repr(abs(value))) <= 5, "a round number"


def test_the_smallest_radius_lies_between_the_certified_one_and_the_asked_one():
    error = failing(ViolatedError, assert_radius_at_least, MODEL, X, LABELS, 0.3, relaxation="constants")
    radius = error.violations[0].data["radius"]
    k = error.violations[0].where["sample"]
    assert 0 < radius <= 0.3
    assert repr(radius) in str(error)
    assert assert_radius_at_least(MODEL, X[k : k + 1], LABELS[k : k + 1], radius / 50).outcome is Outcome.HOLDS


def test_a_less_robust_model_a_swapped_gate_and_a_quantised_one_are_caught(tmp_path):
    """What a team's change may do to the model, while the test's labels stay."""
    ((cell,),) = MODEL.layers
    coarse = {n: (getattr(cell, n) * 2).round() / 2 for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    for changed in (
        replace(MODEL, layers=((replace(cell, weight_ih=8 * cell.weight_ih),),)),
        with_swapped_gates(MODEL),
        replace(MODEL, layers=((replace(cell, **coarse),),)),
    ):
        with pytest.raises((ViolatedError, NotProvedError)):
            assert_radius_at_least(changed, X, LABELS, 2e-3, relaxation="parallel")


def test_a_frame_off_by_one_is_caught():
    class Early(Small):
        def forward(self, x):
            return self.head(self.rnn(x[:, : max(1, x.shape[1] - 1)])[0][:, -1])

    with pytest.raises((ViolatedError, EngineError)):  # mostly the module is not understood any more
        assert_radius_at_least(Early(inputs=3, hidden=6, scale=3.0), X, LABELS, 1e-3)
    late = torch.cat([X[:, :1], X[:, :-1]], 1)
    with pytest.raises((ViolatedError, NotProvedError)):
        assert_radius_at_least(MODEL, 1 - late, LABELS, 1e-3)


def test_a_sample_that_is_wrong_by_itself_is_told():
    error = failing(ViolatedError, assert_radius_at_least, MODEL, X[:1], (LABELS[:1] + 1) % 3, 1e-4)
    assert "nothing: the sample itself is wrong" in str(error)
    assert error.violations[0].data["radius"] == 0.0
    run(error.snippet)


def test_what_is_only_not_proved_says_how_far_a_proof_goes():
    error = failing(NotProvedError, assert_radius_at_least, MODEL, X, LABELS, 0.02, relaxation="constants")
    assert error.outcome is Outcome.NOT_PROVED and not error.snippet
    for violation in error.violations:
        k, radius = violation.where["sample"], violation.data["radius"]
        assert 0 < radius < 0.02
        at = [FrameBalls(X, torch.full((3, 4), r, dtype=torch.float64)) for r in (radius, 1.06 * radius)]
        margins = [certify(MODEL, one, untargeted(LABELS, 3), Options("constants")).margin[k] for one in at]
        assert margins[0] > 0 >= margins[1]
        assert f"proved up to radius {radius!r} of 0.02" in str(error)
    for word in ("no counter-example was found", "layer 0, frame", "unit", "margin"):
        assert word in str(error)


def test_the_search_for_the_message_takes_planes_that_are_quick(monkeypatch):
    """The radius is proved by the planes that the message names; the weakest row is that of the question."""
    monkeypatch.setattr(doubted_module, "attacked", lambda part, seed: (part.x, torch.ones(len(part))))
    error = failing(NotProvedError, assert_radius_at_least, MODEL, X[:1], LABELS[:1], 0.3)
    own = certify(MODEL, frames(0.3), untargeted(LABELS, 3), Options("best"))
    for violation in error.violations:
        k, radius = violation.where["sample"], violation.data["radius"]
        assert certify(MODEL, frames(radius), untargeted(LABELS, 3), Options("parallel")).margin[k] > 0
        assert "parallel planes)" in violation.text()
        assert violation.where["row"].startswith(f"{int(own.lower[k].argmin())} (")


def test_what_is_told_does_not_outlast_the_budget(monkeypatch):
    monkeypatch.setattr(doubted_module, "weakest", lambda asked: pytest.fail("there was no time"))
    ticks = iter([False, True, True, True])
    monkeypatch.setattr(Clock, "over", property(lambda clock: next(ticks, True)))
    error = failing(NotProvedError, assert_radius_at_least, MODEL, X, LABELS, 0.02, relaxation="constants")
    assert "there was no time for an attack" in str(error)


def test_boxes_say_which_share_is_proved():
    error = failing(NotProvedError, assert_certified, MODEL, X, LABELS, Boxes(X - 0.02, X + 0.02), None, "constants")
    assert 0 < error.violations[0].data["scale"] < 1
    assert "proved for the box scaled by" in str(error)


def test_ragged_sequences_are_shown_without_what_is_not_read():
    lengths = torch.tensor([2, 4, 3])
    labels = torch.stack([MODEL.logits(X[k : k + 1, :n])[0] for k, n in enumerate(lengths)]).argmax(1)
    quick = {"lengths": lengths, "relaxation": "constants"}
    assert assert_radius_at_least(MODEL, X, labels, 1e-4, **quick).outcome is Outcome.HOLDS
    error = failing(ViolatedError, assert_radius_at_least, MODEL, X, labels, 1.0, **quick)
    for violation in error.violations:
        changed = (violation.data["x"] != violation.data["sample"]).nonzero()
        assert not len(changed) or int(changed[:, 0].max()) < lengths[violation.where["sample"]]
    assert run(error.snippet)["margin"] < 0


def test_answers_per_frame_have_labels_per_frame():
    every = replace(MODEL, readout="every")
    labels = every.logits(X).argmax(2)
    assert assert_radius_at_least(every, X, labels, 1e-4, relaxation="constants").outcome is Outcome.HOLDS
    error = failing(ViolatedError, assert_radius_at_least, every, X, labels, 0.5, clip=(0, 1), relaxation="constants")
    assert run(error.snippet)["margin"] < 0


@pytest.mark.parametrize("question", [lambda y: top_k(y, 2, 3), lambda y: per_class(y, 3)], ids=["top 2", "per class"])
def test_other_questions(question):
    asked = question(LABELS)
    assert assert_certified(MODEL, X, None, frames(1e-4), asked, "constants").outcome is Outcome.HOLDS
    error = failing(ViolatedError, assert_certified, MODEL, X, None, frames(2.0), asked, "constants")
    assert run(error.snippet)["margin"] <= 0


def test_frames_that_stay_and_one_ball_around_the_sequence():
    for options in ({"frames": [0, 2]}, {"frames": [3], "whole_sequence": True, "norm": 2}, {"norm": "inf"}):
        error = failing(ViolatedError, assert_radius_at_least, MODEL, X, LABELS, 2.0, relaxation="constants", **options)
        for violation in error.violations:
            moved = {t for t, _ in (violation.data["x"] != violation.data["sample"]).nonzero().tolist()}
            assert moved <= set(options.get("frames", range(4)))
        run(error.snippet)


def test_certificates_are_kept_and_checked_by_the_kernel(tmp_path):
    report = assert_certified(MODEL, X, LABELS, frames(1e-3), None, "parallel", tmp_path / "kept")
    assert report.outcome is Outcome.HOLDS
    assert len(list((tmp_path / "kept").glob("sample-*.safetensors"))) == 3


def test_a_certificate_that_the_kernel_does_not_accept_fails(monkeypatch):
    """The engine's certificates are VALID, so the kernel is given no precision to see it."""
    honest = kernel_checks.check

    def without_time(path, seconds=None, known=None):
        return honest(path, 0.0, known)

    monkeypatch.setattr(kernel_checks, "check", without_time)
    error = failing(NotProvedError, assert_certified, MODEL, X, LABELS, frames(1e-3), None, "parallel", True)
    assert "the kernel says HOLEY" in str(error) and error.report.numbers["proved"] == 0


def test_a_proof_and_a_counter_example_together_are_a_fault_of_refcert(monkeypatch):
    monkeypatch.setattr(
        certified_module, "_margins", lambda *_: ([1.0] * 3, dict.fromkeys(range(3), "the kernel says HOLEY"))
    )
    with pytest.raises(SoundnessFault):
        assert_certified(MODEL, X, LABELS, frames(2.0))


@pytest.mark.parametrize("budget", [0, "0s", "2 examples"])
def test_what_the_budget_does_not_reach_is_not_decided(budget):
    error = failing(NotDecidedError, assert_radius_at_least, MODEL, X, LABELS, 1e-3, budget=budget)
    assert error.outcome is Outcome.NOT_DECIDED and "the budget ended" in str(error)


def test_the_same_seed_says_the_same(tmp_path):
    sets, options = frames(0.3), {"seed": 2, "evidence": tmp_path}
    first, second = (
        str(failing(ViolatedError, assert_certified, MODEL, X, LABELS, sets, None, "constants", **options))
        for _ in range(2)
    )
    assert first == second


def test_data_that_were_preprocessed_otherwise_are_refused():
    with pytest.raises(InputError, match=r"x\[0\] is not in its own input set"):
        assert_certified(MODEL, 255 * X, LABELS, frames(1e-3))
    with pytest.raises(EngineError, match="outside the clip range"):
        assert_radius_at_least(MODEL, 255 * X, LABELS, 1e-3, clip=(0, 1))


@pytest.mark.parametrize(
    "options",
    [
        {"model": nn.ReLU()},
        {"model": "no_such_model"},
        {"x": X[0]},
        {"x": X[..., :2]},
        {"x": torch.full_like(X, math.nan)},
        {"x": "numbers"},
        {"labels": LABELS[:2]},
        {"labels": LABELS.double()},
        {"labels": LABELS + 7},
        {"labels": None},
        {"radius": -1.0},
        {"radius": math.nan},
        {"radius": torch.ones(4)},
        {"norm": 0.5},
        {"norm": "two"},
        {"clip": (1.0, 0.0)},
        {"frames": [4]},
        {"frames": []},
        {"frames": [True, False, False, True]},
        {"frames": torch.tensor([False, True, True, True])},
        {"frames": [0.7]},
        {"frames": "03"},
        {"frames": 2},
        {"radius": "0.1"},
        {"radius": None},
        {"labels": ["a", "b", "c"]},
        {"lengths": [4, 4]},
        {"lengths": [4.0, 4.0, 4.0]},
        {"relaxation": "guess"},
        {"dtype": "float8"},
        {"lengths": torch.tensor([9] * 3)},
        {"specification": untargeted(LABELS[:2], 3)},
        {"seed": "one"},
        {"budget": "a while"},
    ],
    ids=str,
)
def test_bad_arguments_are_no_assertion_errors(options):
    given = {"model": MODEL, "x": X, "labels": LABELS, "radius": 1e-3, **options}
    with pytest.raises((InputError, EngineError)):
        assert_radius_at_least(**given)


@pytest.mark.parametrize("input_set", [None, X, frames(0.1).select(slice(0, 2)), lambda x: x])
def test_what_is_no_input_set_is_refused(input_set):
    with pytest.raises(InputError):
        assert_certified(MODEL, X, LABELS, input_set)

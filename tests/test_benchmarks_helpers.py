"""What the benchmarks' tables rest on: marks, targets, planted faults, fitted exponents, ragged word radii;
certificates and what falls short; exact logits and errors of inference.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.audit_speed import planted, refuted_with_point
from benchmarks.certificates import (
    HOLEY,
    INVALID,
    VALID,
    Checked,
    Run,
    Written,
    check,
    parts,
    refused,
    runs,
    shortfalls,
)
from benchmarks.certificates import write as write_certificates
from benchmarks.counts import ABOVE_THE_ATTACK, FALLS_SHORT, marked, marks
from benchmarks.exact_network import exact_logits
from benchmarks.float32_inference import CELLS, ByCells, ByLayers, corners, errors, upward
from benchmarks.relaxations import wrong_classes
from benchmarks.scaling import evaluate, exponent, network
from benchmarks.trec_words import POSITIONS, position, word_radii
from examples.train_mnist import LAYERS, RowsClassifier
from examples.train_trec import NETWORKS, QuestionClassifier
from gpu_engine.loading import from_state_dict, load_model
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, untargeted
from refcert.app.datasets import load_sequences
from refcert.app.plane_export import PlaneCollector
from refcert.app.pretrained import pretrained_path
from refcert.audit.plane_audit import audit_planes
from refcert.strategies import classifiers


def test_a_count_is_marked_exactly_when_it_is_below_the_need_or_above_the_attack():
    cells = marked([3, 4, 5, 9, 2], [4, 4, 4, 4, 4], [5, 5, 5, 8, 1])
    assert cells == ["3" + FALLS_SHORT, "4", "5", "9" + ABOVE_THE_ATTACK, "2" + FALLS_SHORT + ABOVE_THE_ATTACK]
    assert marks([cells]) == "Cells that fall short: 2; cells above what the attack leaves: 2.\n"
    assert marked([7], [0], [None]) == ["7"]


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=20), seed=st.integers(0, 2**31))
def test_a_target_is_a_class_other_than_the_label_and_repeats_with_its_seed(labels, seed):
    given_labels = torch.tensor(labels)
    targets = wrong_classes(given_labels, 5, seed)
    assert bool((targets != given_labels).all())
    assert int(targets.min()) >= 0
    assert int(targets.max()) < 5
    assert torch.equal(targets, wrong_classes(given_labels, 5, seed))


@pytest.mark.parametrize("relaxation", ["parallel", "planes"])
def test_planes_moved_inward_are_refuted_with_a_point_while_the_engines_own_are_proved(relaxation):
    model = load_model(pretrained_path("digits_lstm"))
    data = load_sequences("digits", input_size=8, count=2, classes=10)
    x, labels = torch.from_numpy(data.x), torch.from_numpy(data.labels)
    balls = FrameBalls(x, torch.full(x.shape[:2], 0.02, dtype=torch.float64))
    collector = PlaneCollector(0)
    certify(model, balls, untargeted(labels, 10), Options(relaxation), collector.add)
    planes = collector.table()
    assert planes is not None
    assert audit_planes(planes).summary["proved"] == len(planes)
    faults = planted(planes, 1)
    assert len(faults) == len(planes) // 2  # every plane of one of the two samples
    assert refuted_with_point(audit_planes(faults)) == len(faults)


@given(power=st.floats(-3, 3), factor=st.floats(0.1, 10))
def test_the_exponent_of_a_power_law_is_its_power(power, factor):
    frames = [4, 8, 16, 32]
    assert exponent(frames, [factor * t**power for t in frames]) == pytest.approx(power, abs=1e-9)


def test_a_memory_budget_leaves_the_bounds_of_the_scaling_network_as_they_are():
    model = network(0)
    free = evaluate(model, 6, 5, 0, Options())
    kept = evaluate(model, 6, 5, 0, Options(memory=1 << 18))
    torch.testing.assert_close(kept.lower, free.lower, rtol=1e-12, atol=0)


def test_every_word_of_a_question_has_one_place():
    words = ["What", "is", "the", "chemical", "symbol", "of", "gold", "?"]
    places = [position(t, words) for t in range(len(words))]
    assert places == [*POSITIONS[:4], "later words", "later words", "last word", "question mark"]
    assert [position(t, ["Name", "it"]) for t in range(2)] == ["1st word", "last word"]


def small_bidirectional_lstm(seed):
    generator = torch.Generator().manual_seed(seed)
    directions = [
        Direction(
            "lstm",
            *(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((12, 2), (12, 3), 12, 12)),
            reverse=reverse,
        )
        for reverse in (False, True)
    ]
    weights = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((4, 6), 4)]
    return RecurrentClassifier((tuple(directions),), (Dense(*weights),))


def test_the_radius_of_a_word_is_that_of_its_question_alone():
    model = small_bidirectional_lstm(1)
    x = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    lengths = torch.tensor([2, 4])
    labels = torch.stack([model.logits(x[k : k + 1, :length]).argmax() for k, length in enumerate(lengths.tolist())])
    together = word_radii(model, x, lengths, labels, Options(), 0.01)
    assert [len(radii) for radii in together] == [2, 4]
    for k, length in enumerate(lengths.tolist()):
        some = slice(k, k + 1)
        (alone,) = word_radii(model, x[some, :length], lengths[some], labels[some], Options(), 0.01)
        assert bool((together[k] > 0).all())
        torch.testing.assert_close(together[k], alone, rtol=0.05, atol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_question_classifier_is_read_as_it_computes_on_ragged_questions(name):
    torch.manual_seed(3)
    network = QuestionClassifier(*NETWORKS[name])
    model = from_state_dict(network.state_dict(), readout="final")
    x, lengths = torch.randn(4, 6, 50), torch.tensor([3, 6, 1, 5])
    with torch.no_grad():
        expected = network(x, lengths).double()
    for k, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(model.logits(x[k : k + 1, :length].double())[0], expected[k], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_rows_classifier_is_read_as_it_computes(kind):
    torch.manual_seed(4)
    network = RowsClassifier(kind, 14)
    model = from_state_dict(network.state_dict(), cell="rnn_tanh" if kind == "rnn" else None)
    x = torch.rand(3, 14, 56)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(x.double()), network(x).double(), rtol=1e-5, atol=1e-5)


def checked(name, dtype, outcomes, relaxation="parallel"):
    """A made run: outcomes (verdict, seconds) of samples 0, 1, ..."""
    run = Run(name, 0.01, relaxation, dtype)
    files = {k: Path(f"sample-{k}") for k in range(len(outcomes))}
    made = {
        k: {"verdict": verdict, "seconds": seconds, "step": 1, "rule": "margin", "reason": "too large"}
        for k, (verdict, seconds) in enumerate(outcomes)
    }
    return Checked(Written(run, len(outcomes), files, 1.0, 1.0, 1), made)


def test_a_run_is_named_by_model_radius_and_perhaps_relaxation():
    assert runs("a:0.5", ["float64", "float32"]) == [
        Run("a", 0.5, "parallel", "float64"),
        Run("a", 0.5, "parallel", "float32"),
    ]
    assert runs("a:0.5:best", ["float64"]) == [Run("a", 0.5, "best", "float64")]


@pytest.mark.parametrize(
    ("name", "dtype", "outcomes", "short"),
    [
        ("other", "float64", 100 * [(VALID, 99.0)], 0),
        ("other", "float64", 99 * [(VALID, 1.0)] + [(HOLEY, 1.0)], 1),
        ("other", "float32", 99 * [(VALID, 1.0)] + [(INVALID, 1.0)], 0),
        ("other", "float32", 98 * [(VALID, 1.0)] + 2 * [(INVALID, 1.0)], 1),
        ("mnist_04f_032h_1l", "float64", [(VALID, 1.9)], 0),
        ("mnist_04f_032h_1l", "float64", [(VALID, 1.0), (VALID, 2.0)], 1),
        ("mnist_04f_032h_1l", "float64", [(HOLEY, 2.0)], 2),
        ("mnist_04f_032h_1l", "float32", [], 0),
    ],
)
def test_every_demand_that_is_not_met_is_named(name, dtype, outcomes, short):
    assert len(shortfalls([checked(name, dtype, outcomes)])) == short


def test_a_refused_certificate_is_shown_with_what_the_other_dtype_says_of_its_sample():
    wide = checked("a", "float64", [(VALID, 1.0), (VALID, 1.0)])
    narrow = checked("a", "float32", [(VALID, 1.0), (INVALID, 1.0), (HOLEY, 1.0)])
    lines = refused([wide, narrow])
    assert [(line[1], line[2], line[3], line[5]) for line in lines] == [
        ("float32", "1", INVALID, "float64: VALID"),
        ("float32", "2", HOLEY, "float64: not claimed"),
    ]
    assert refused([wide]) == []


def test_written_certificates_are_checked_one_by_one_and_a_spoiled_one_is_found(tmp_path):
    written = write_certificates(Run("digits_rnn", 0.02, "parallel", "float64"), 3, tmp_path)
    assert written.correct == len(written.files) == 3
    content = written.files[2].read_bytes()
    head, data = parts(content)
    assert head + data == len(content)
    written.files[2].write_bytes(content[:head] + bytes(data))  # zeros instead of all numbers
    found = check(written, 2)
    assert [outcome["verdict"] for outcome in found.outcomes.values()] == [VALID, VALID, INVALID]
    assert all(outcome["seconds"] > 0 for outcome in found.outcomes.values())


def test_the_process_that_is_measured_has_loaded_nothing_but_the_kernel():
    code = (
        "import sys, benchmarks.kernel_timing; print([m for m in ('torch', 'numpy', 'gpu_engine') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@settings(max_examples=25)
@given(
    model=classifiers(readouts=("final", "last_frame", "mean", "max"), scales=(0.5, 0.1, 1.0)),
    frames=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_exact_logits_are_those_of_the_forward_pass(model, frames, seed):
    x = torch.randn(2, frames, model.input_size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    exact, plain = exact_logits(model, x), model.logits(x)
    for j, row in enumerate(exact):
        for k, ball in enumerate(row):
            assert float(ball.rad()) < 1e-25
            assert float(ball.mid()) == pytest.approx(float(plain[k, j]), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", CELLS)
def test_deployed_networks_compute_what_they_stand_for(kind, layers):
    torch.manual_seed(5)
    parts_of = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn_tanh": torch.nn.RNN}
    network = torch.nn.ModuleDict({"rnn": parts_of[kind](3, 4, layers), "head": torch.nn.Linear(4, 5)})
    model = from_state_dict(network.state_dict(), cell=kind if kind == "rnn_tanh" else None)
    x = torch.randn(6, 5, 3)
    for module in (ByLayers(model), ByCells(model)):
        with torch.no_grad():
            found = module(x)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), model.logits(x.double()), rtol=1e-5, atol=1e-5)


def test_a_network_that_is_no_plain_stack_is_refused():
    with pytest.raises(SystemExit, match="give another model"):
        ByLayers(small_bidirectional_lstm(1))


def test_errors_are_upper_ends_and_other_decisions_are_counted():
    true = [[arb(1), arb(3)], [arb(0), arb(2)]]  # two classes, two inputs
    labels = torch.tensor([0, 0])
    found = torch.tensor([[1.25, 0.0], [3.0, 2.5]])
    error = errors(found, true, labels)
    assert (error.logit, error.margin, error.differing) == (0.5, 0.5, 0)
    wide = [[one + arb(0, 2.0**-10) for one in row] for row in true]
    assert errors(found, wide, labels).logit >= 0.5 + 2.0**-10
    turned = errors(torch.tensor([[1.0, 0.0], [2.0, 3.0]]), true, labels)
    assert (turned.logit, turned.margin, turned.differing) == (1.0, 2.0, 1)


@given(st.floats(1e-300, 1e300))
def test_an_upper_end_is_never_printed_smaller_and_little_larger(end):
    assert end <= float(upward(end)) <= 1.01 * end


def test_corners_lie_on_the_ball_or_at_the_end_of_the_range():
    x = torch.tensor([[[0.0, 0.25, 1.0]]], dtype=torch.float64).expand(50, 1, 3)
    moved = corners(x, 0.125, 1)
    assert {tuple(sorted(set(moved[..., k].flatten().tolist()))) for k in range(3)} == {
        (0.0, 0.125),
        (0.125, 0.375),
        (0.875, 1.0),
    }

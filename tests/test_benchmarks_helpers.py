"""What the benchmarks' tables rest on: marks, targets, planted faults, fitted exponents, ragged word radii."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.audit_speed import planted, refuted_with_point
from benchmarks.counts import ABOVE_THE_ATTACK, FALLS_SHORT, marked, marks
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

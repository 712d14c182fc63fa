"""CLEVER-RNN: exact where the network is linear, named where it cannot be fitted, and the same in any company."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gpu_engine.attacks.bisection import Bisected
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.fgsm import FGSM
from gpu_engine.attacks.question import Question
from gpu_engine.errors import NumericalError, SpecificationError
from gpu_engine.loading import load_model
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.scores import clever_rnn as module
from gpu_engine.scores.clever_rnn import Score, clever_rnn
from gpu_engine.scores.rows import dual
from gpu_engine.scores.weibull import CONSTANT, FITTED, NO_FIT
from gpu_engine.search.certify import Options
from gpu_engine.search.radius import certified_radius
from gpu_engine.spec import matrix, per_class, targeted, top_k, untargeted
from refcert.app.datasets import load_sequences
from refcert.app.pretrained import pretrained_path
from refcert.strategies import classifiers

NORMS = (1.0, 1.5, 2.0, math.inf)
TIME, INPUT, CLASSES = 3, 4, 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(seed: int = 0, cell: str = "rnn_relu", shift: float = 50.0, hidden: int = 5) -> RecurrentClassifier:
    """With a large shift no ReLU comes near its kink: F is affine wherever inputs are of moderate size.

    Logits are near 0 in the middle of the inputs, so that margins are small.
    """
    draw = generator(seed)

    def random(*shape: int) -> Tensor:
        return 0.5 * torch.randn(*shape, generator=draw, dtype=torch.float64)

    gates = {"lstm": 4, "gru": 3}.get(cell, 1)
    rows = gates * hidden
    bias = torch.full((rows,), shift, dtype=torch.float64)
    layer = Direction(cell, random(rows, INPUT), random(rows, hidden).abs(), bias, torch.zeros_like(bias))
    weight, middle = random(CLASSES, hidden), torch.full((1, TIME, INPUT), 0.5, dtype=torch.float64)
    plain = RecurrentClassifier(((layer,),), (Dense(weight, torch.zeros(CLASSES, dtype=torch.float64)),))
    return RecurrentClassifier(((layer,),), (Dense(weight, -plain.logits(middle)[0]),))


def inputs(batch: int = 3, seed: int = 1, time: int = TIME) -> Tensor:
    return torch.rand(batch, time, INPUT, generator=generator(seed), dtype=torch.float64)


def ones(x: Tensor) -> Tensor:
    return torch.ones(x.shape[:2], dtype=torch.float64)


def labels_of(model: RecurrentClassifier, x: Tensor) -> Tensor:
    return model.logits(x).argmax(1)


def slopes(model: RecurrentClassifier, x: Tensor, C: Tensor) -> Tensor:
    """Gradients of rows C F at x: (batch, rows, time, input), by autograd on the whole Jacobian."""
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(lambda y: model.logits(y[None])[0], sample) for sample in x]
    )
    return torch.einsum("brc,bcti->brti", C, jacobian)


# Exact on linear networks


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("constants", ["frames", "sum"])
def test_linear_network_gets_its_exact_radius(p, constants):
    """The gradient is constant: g(x0) / sum_t w_t ||grad_t g||_q for the least row, from any ball."""
    model, x = network(), inputs()
    weight = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64).expand(len(x), TIME)
    spec = untargeted(labels_of(model, x), CLASSES)
    norms = torch.linalg.vector_norm(slopes(model, x, spec.C), dual(p), dim=3)
    rows = Question(model, spec).rows(x)
    exact = (rows / (norms * weight[:, None]).sum(2)).amin(1)
    for ball in (None, 3.0):
        score = clever_rnn(
            Question(model, spec), BallFamily(x, weight, p), generator(), samples=5, batches=12, ball=ball,
            constants=constants,
        )  # fmt: skip
        expected = exact if ball is None else exact.clamp(max=ball)
        assert torch.allclose(score.radius, expected, rtol=1e-9)
        assert all(fit.status == CONSTANT for rows in score.fits for row in rows for fit in row.fits())


@pytest.mark.parametrize("p", NORMS)
def test_linear_network_on_a_sequence_ball(p):
    """One constant: the dual norm of the whole gradient over the frames that move."""
    model, x = network(), inputs()
    weight = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64).expand(len(x), TIME)
    spec = untargeted(labels_of(model, x), CLASSES)
    moving = slopes(model, x, spec.C)[:, :, [0, 2]].flatten(2)
    exact = (Question(model, spec).rows(x) / torch.linalg.vector_norm(moving, dual(p), dim=2)).amin(1)
    score = clever_rnn(Question(model, spec), BallFamily(x, weight, p, shared=True), generator(), samples=5, batches=12)
    assert torch.allclose(score.radius, exact, rtol=1e-9)
    assert all(row.frames == () and row.whole.status == CONSTANT for rows in score.fits for row in rows)


def test_frames_that_stay_have_no_constant():
    model, x = network(), inputs(1)
    weight = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    question = Question(model, untargeted(labels_of(model, x), CLASSES))
    by_frame, by_sum = (
        clever_rnn(question, BallFamily(x, weight, 2.0), generator(), samples=5, batches=12, constants=kind)
        for kind in ("frames", "sum")
    )
    assert [fit is not None for fit in by_frame.fits[0][0].frames] == [False, True, False]
    assert torch.equal(by_frame.radius, by_sum.radius)


# Readings


@pytest.mark.parametrize("k", [1, 2, 3])
def test_k_th_least_row_decides(k):
    """The label leaves the k largest once k rows are not positive: the k-th least of the rows' own radii."""
    model, x = network(), inputs()
    labels = model.logits(x).argsort(1, descending=True)[:, k - 1]  # k - 1 classes are above the label at the start
    family = BallFamily(x, ones(x), math.inf)
    score = clever_rnn(Question(model, top_k(labels, k, CLASSES)), family, generator(), samples=5, batches=12, ball=9.0)
    alone = []
    for other in range(CLASSES):
        row = torch.zeros(len(x), 1, CLASSES, dtype=torch.float64)
        row[torch.arange(len(x)), 0, labels] += 1
        row[:, 0, other] -= 1
        row_question = Question(model, matrix(row, batch=len(x)))
        found = clever_rnn(row_question, family, generator(), samples=5, batches=12, ball=9.0).radius
        alone.append(torch.where(labels == other, math.inf, found))
    assert torch.allclose(score.radius, torch.stack(alone, 1).sort(1).values[:, k - 1], rtol=1e-12)


def test_label_against_others_is_the_margins_question():
    """At points the two are the same: equal scores."""
    model, x = network(cell="lstm", shift=0.0), inputs()
    labels, family = labels_of(model, x), BallFamily(x, ones(x), 2.0)
    one, other = (
        clever_rnn(Question(model, spec(labels, CLASSES)), family, generator(), samples=20, batches=12)
        for spec in (untargeted, per_class)
    )
    assert torch.allclose(one.radius, other.radius, rtol=1e-12)
    assert torch.allclose(one.margin, other.margin, rtol=1e-12)


# Laws on any network


@settings(max_examples=40)
@given(
    classifiers(max_size=3, readouts=("final", "mean")),
    st.sampled_from(NORMS),
    st.booleans(),
    st.sampled_from(["frames", "sum"]),
    st.integers(0, 1000),
)
def test_laws(model, p, shared, constants, seed):
    """Between 0 and the ball; 0 exactly where misclassified; never more than the linear radius; constants sum up."""
    draw = generator(seed)
    x = torch.rand(2, 2, model.input_size, generator=draw, dtype=torch.float64)
    labels = torch.stack((labels_of(model, x)[0], torch.randint(model.classes, (), generator=draw)))
    question = Question(model, untargeted(labels, model.classes))
    family = BallFamily(x, ones(x), p, shared=shared)
    score = clever_rnn(question, family, generator(seed), samples=4, batches=11, constants=constants)
    wrong = question.plain_margins(x) <= 0
    assert torch.equal(score.misclassified, wrong)
    assert bool((score.radius[wrong] == 0).all())
    assert bool((score.radius >= 0).all())
    assert bool((score.radius <= score.ball).all())
    rows = question.rows(x)
    for b, fits in enumerate(score.fits):
        assert (len(fits) == 0) == bool(wrong[b])
        for k, row in enumerate(fits):
            ends = [fit.end for fit in row.fits()]
            assert all(fit.end >= fit.largest for fit in row.fits())
            assert all(fit.status in (FITTED, CONSTANT, NO_FIT) for fit in row.fits())
            if sum(ends) > 0:
                # All frames together never have more room than one of them with the same constants.
                assert float(score.radius[b]) <= float(rows[b, k]) / max(ends) * (1 + 1e-12)
                assert float(score.radius[b]) <= float(rows[b, k]) / sum(ends) * (1 + 1e-12)
    assert score.guarantee == "estimate, no guarantee"


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("shared", [False, True])
def test_batch_is_the_loop(p, shared):
    """Neither company nor place matters: the same noise for every question."""
    model, x = network(cell="gru", shift=0.0), inputs(4)
    x[2] *= 10  # without a clip range, the search of the largest ball looks at the data
    question = Question(model, untargeted(labels_of(model, x), CLASSES))
    family = BallFamily(x, ones(x), p, shared=shared)
    whole = clever_rnn(question, family, generator(3), samples=10, batches=12)
    for b in range(4):
        index = torch.tensor([b])
        one = clever_rnn(question.select(index), family.select(index), generator(3), samples=10, batches=12)
        assert float(one.radius) == pytest.approx(float(whole.radius[b]), rel=1e-9)
        assert float(one.ball) == pytest.approx(float(whole.ball[b]), rel=1e-12)


def test_seed():
    """The same seed, the same score; another one, another estimate. Global generators are left alone."""
    model, x = network(cell="lstm", shift=0.0), inputs(2)
    question, family = Question(model, untargeted(labels_of(model, x), CLASSES)), BallFamily(x, ones(x), 2.0)
    state = torch.get_rng_state()
    first, again, other = (
        clever_rnn(question, family, generator(seed), samples=10, batches=12).radius for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("held", [1, 500, 10**9])
def test_chunks_change_nothing(monkeypatch, held):
    """However little memory a pass may take: the points are the same."""
    model, x = network(cell="lstm", shift=0.0), inputs(1)
    question, family = Question(model, untargeted(labels_of(model, x), CLASSES)), BallFamily(x, ones(x), 2.0)
    usual = clever_rnn(question, family, generator(), samples=10, batches=12)
    monkeypatch.setattr(module, "_HELD", held)
    chunked = clever_rnn(question, family, generator(), samples=10, batches=12)
    assert torch.allclose(chunked.radius, usual.radius, rtol=1e-9)


def test_largest_sampled_gradients_are_those_of_the_points(monkeypatch):
    """Norms by an own Jacobian at every point that was tried; the largest of them and the center is `largest`."""
    model, x = network(cell="lstm", shift=0.0), inputs(1)
    spec = untargeted(labels_of(model, x), CLASSES)
    tried = [x]
    draw = module.Draws.batch

    def noted(self, count):
        tried.append(draw(self, count))
        return tried[-1]

    monkeypatch.setattr(module.Draws, "batch", noted)
    score = clever_rnn(Question(model, spec), BallFamily(x, ones(x), 1.5), generator(), samples=3, batches=10)
    points = torch.cat(tried)
    norms = torch.linalg.vector_norm(slopes(model, points, spec.C.expand(len(points), -1, -1)), 3.0, dim=3)
    found = torch.tensor([[fit.largest for fit in row.frames] for row in score.fits[0]], dtype=torch.float64)
    assert len(points) == 31
    assert torch.allclose(found, norms.amax(0), rtol=1e-9)


def test_gradient_at_the_center_counts():
    """A tanh unit is steepest at 0, where random points never are: no constant is below its gradient there."""
    one = torch.ones(1, 1, dtype=torch.float64)
    unit = Direction("rnn_tanh", one.expand(1, INPUT).clone(), 0 * one, one[0] * 0, one[0] * 0)
    head = Dense(torch.cat((one, -one)), torch.tensor([0.3, 0.0], dtype=torch.float64))
    model, x = RecurrentClassifier(((unit,),), (head,)), torch.zeros(1, 1, INPUT, dtype=torch.float64)
    question = Question(model, untargeted(torch.tensor([0]), 2))
    score = clever_rnn(question, BallFamily(x, ones(x)), generator(), samples=2, batches=10, ball=3.0)
    fit = score.fits[0][0].frames[0]
    assert fit.largest == pytest.approx(2.0 * INPUT)  # the l_1 norm of twice the weights
    assert fit.end >= fit.largest
    assert float(score.radius) <= 0.3 / (2.0 * INPUT) * (1 + 1e-12)


def test_ragged_sequences_are_as_if_cut():
    """Frames behind the end stay and are never read."""
    model, x = network(cell="lstm", shift=0.0), inputs(1)
    short = x[:, :2]
    labels, weight = labels_of(model, short), torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    spec = untargeted(labels, CLASSES)
    padded = x.clone()
    padded[:, 2] = 1e6
    scores = [
        clever_rnn(
            Question(model, spec, torch.tensor([2])),
            BallFamily(y, weight, math.inf),
            generator(),
            samples=10,
            batches=12,
        )
        for y in (x, padded)
    ]
    assert torch.equal(scores[0].radius, scores[1].radius)
    alone = clever_rnn(Question(model, spec), BallFamily(short, ones(short), math.inf), generator(), ball=None)
    assert float(scores[0].radius) == pytest.approx(float(alone.radius), rel=0.5)  # other points, the same question
    assert scores[0].fits[0][0].frames[2] is None


# Named cases


def test_dead_network():
    """No gradient anywhere: constant 0, and the score is the ball, which says so."""
    model, x = network(shift=-50.0), inputs(1)
    spec = matrix(torch.zeros(1, CLASSES, dtype=torch.float64), torch.ones(1, dtype=torch.float64), batch=1)
    for ball in (None, 2.0):
        score = clever_rnn(Question(model, spec), BallFamily(x, ones(x)), generator(), samples=2, batches=10, ball=ball)
        assert [(fit.status, fit.end) for fit in score.fits[0][0].frames] == [(CONSTANT, 0.0)] * TIME
        assert torch.equal(score.radius, score.ball)
        assert bool(score.capped)


def test_a_small_ball_caps_the_score():
    model, x = network(cell="lstm", shift=0.0), inputs(2)
    question = Question(model, untargeted(labels_of(model, x), CLASSES))
    score = clever_rnn(question, BallFamily(x, ones(x)), generator(), samples=5, batches=10, ball=1e-6)
    assert score.radius.tolist() == [1e-6, 1e-6]
    assert bool(score.capped.all())


def test_misclassified_center_costs_nothing_else():
    """Radius 0 and no fits for it; its neighbour is scored as if alone."""
    model, x = network(cell="lstm", shift=0.0), inputs(2)
    labels = labels_of(model, x)
    wrong = torch.stack(((labels[0] + 1) % CLASSES, labels[1]))
    family = BallFamily(x, ones(x))
    right, half = (
        clever_rnn(Question(model, untargeted(y, CLASSES)), family, generator(), samples=10, batches=12)
        for y in (labels, wrong)
    )
    assert half.misclassified.tolist() == [True, False]
    assert float(half.radius[0]) == float(half.ball[0]) == 0.0
    assert half.fits[0] == ()
    assert torch.equal(half.radius[1], right.radius[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"batches": 0}, "batches is 0"),
        ({"ball": 0.0}, "radius is 0.0"),
        ({"ball": math.nan}, "radius is nan"),
        ({"ball": math.inf}, "radius is inf"),
        ({"constants": "max"}, "'max' is not known"),
    ],
)
def test_bad_options(options, message):
    model, x = network(), inputs(1)
    question = Question(model, untargeted(labels_of(model, x), CLASSES))
    with pytest.raises(SpecificationError, match=message):
        clever_rnn(question, BallFamily(x, ones(x)), generator(), **options)


def test_bad_questions():
    model, x = network(), inputs(2)
    question = Question(model, untargeted(labels_of(model, x), CLASSES))
    with pytest.raises(SpecificationError, match="2 questions and 1 balls"):
        clever_rnn(question, BallFamily(x[:1], ones(x[:1])), generator())
    with pytest.raises(SpecificationError, match="no frame that moves"):
        clever_rnn(question, BallFamily(x, 0 * ones(x)), generator())


def test_overflow_is_no_score():
    model, x = network(shift=0.0), inputs(1)
    question = Question(model, untargeted(labels_of(model, x), CLASSES))
    with pytest.raises(NumericalError, match="overflow"):
        clever_rnn(question, BallFamily(x, ones(x)), generator(), ball=1e308, samples=2, batches=10)


# Where it usually sits


@pytest.mark.parametrize("p", [2.0, math.inf])
def test_between_certified_radius_and_attack_on_digits(p):
    """No law: an estimate. On the shipped LSTM most scores are above the certified radius and below a weak attack."""
    model = load_model(pretrained_path("digits_lstm"))
    data = load_sequences("digits", input_size=model.input_size, count=6, classes=model.classes)
    x, labels = torch.from_numpy(data.x), torch.from_numpy(data.labels)
    kept = labels_of(model, x) == labels
    x, labels = x[kept], labels[kept]
    spec = targeted(labels, (labels + 1) % model.classes, model.classes)
    question, family = Question(model, spec), BallFamily(x, ones(x), p)
    score: Score = clever_rnn(question, family, generator(), samples=40, batches=30)
    proved = certified_radius(
        model, x, ones(x), spec, p=p, clip=None, clip_bound="exact", options=Options("parallel", "float64", "cpu"),
        largest=family.largest(), tolerance=0.05,
    ).proved  # fmt: skip
    attack = Bisected(FGSM(), tolerance=0.05).smallest(question, family, generator()).radius
    assert float((score.radius > proved).double().mean()) >= 0.8
    assert float((score.radius < attack).double().mean()) >= 0.6
    assert float(score.radius.mean()) < float(attack.mean())

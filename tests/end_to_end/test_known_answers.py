"""Networks whose exact answer is known by hand: a ReLU cell that never switches is a linear form of its frames."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.search.radius import certified_radius
from gpu_engine.spec import Specification, matrix

W = np.array([[0.5, -1.0, 0.25], [1.0, 0.75, -0.5]])
U = np.array([[0.5, 0.25], [-0.25, 0.5]])
X = np.array([[[0.25, 0.5, 1.0], [0.0, 0.75, 0.5]], [[1.0, 0.0, 0.5], [0.5, 0.25, 0.75]]])
A = np.array([2.0, -1.0])
"""The row asks for A . h_2 = A . (W x_2 + U (W x_1 + 8) + 8): a linear form, as no unit comes near its kink."""


def classifier():
    biases = torch.full((2,), 3.0).double(), torch.full((2,), 5.0).double()
    cell = Direction("rnn_relu", torch.tensor(W), torch.tensor(U), *biases)
    return RecurrentClassifier(
        ((cell,),), (Dense(torch.tensor(np.stack((A, -A))), torch.tensor([0.5, 0.25]).double()),)
    )


def row():
    return Specification(torch.tensor([[1.0, 0.0]]).double().expand(2, 1, 2), torch.full((2, 1), -0.125).double())


def form():
    """Weights of the two frames, and the constant."""
    return np.stack((A @ U @ W, A @ W)), float(A @ (U @ np.full(2, 8.0) + 8.0) + 0.5 - 0.125)


def exact_least(choices):
    """The least value per sample; choices(sample): decrease below the value at the center."""
    weights, constant = form()
    return [float((weights * X[k]).sum() + constant - choices(k)) for k in range(2)]


def dual(a, p):
    a = np.abs(a)
    return {1.0: a.max, math.inf: a.sum}.get(p, lambda: (a ** (p / (p - 1))).sum() ** ((p - 1) / p))()


RADIUS = np.array([[0.25, 0.5], [0.0, 0.125]])


@pytest.mark.parametrize("relaxation", ["parallel", "planes", "lines", "best"])
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_balls(p, relaxation):
    weights, _ = form()
    found = certify(classifier(), FrameBalls(torch.tensor(X), torch.tensor(RADIUS), p), row(), Options(relaxation))
    expected = exact_least(lambda k: sum(RADIUS[k, t] * dual(weights[t], p) for t in range(2)))
    np.testing.assert_allclose(found.lower[:, 0], expected, atol=1e-11)
    assert (found.lower[:, 0].numpy() <= np.array(expected) + 1e-15).all()


@pytest.mark.parametrize("how", ["exact", "simple"])
def test_a_cut_cube(how):
    inputs = FrameBalls(torch.tensor(X), torch.tensor(RADIUS), math.inf, (0.0, 1.0), how)
    weights, _ = form()

    def decrease(k):
        low, high = np.maximum(X[k] - RADIUS[k][:, None], 0), np.minimum(X[k] + RADIUS[k][:, None], 1)
        return (weights * X[k]).sum() - np.minimum(weights * low, weights * high).sum()

    np.testing.assert_allclose(certify(classifier(), inputs, row()).lower[:, 0], exact_least(decrease), atol=1e-11)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_a_cut_ball(p):
    """Against a fine search over the multiplier of the dual problem, and against points of the set."""
    inputs = FrameBalls(torch.tensor(X), torch.tensor(RADIUS), p, (0.0, 1.0))
    lower = certify(classifier(), inputs, row()).lower[:, 0].numpy()
    weights, _ = form()

    def decrease(k):
        total = 0.0
        for t in range(2):
            a, room = np.abs(weights[t]), np.where(weights[t] > 0, X[k, t], 1 - X[k, t])
            room = np.minimum(room, RADIUS[k, t])
            share = np.concatenate(([0.0], np.geomspace(1e-4, 1e3, 4001)))[:, None]
            inside = np.minimum(a, share * np.maximum(room, 1e-300) ** (p - 1))
            values = [RADIUS[k, t] * dual(b, p) + ((a - b) * room).sum() for b in inside]
            total += min(values)
        return total

    expected = np.array(exact_least(decrease))
    assert (lower >= expected - 1e-9).all()
    assert (lower <= expected + 2e-3).all()
    rng = np.random.default_rng(0)
    step = rng.normal(0, 1, (4000, 2, 2, 3))
    step *= (RADIUS / np.maximum((np.abs(step) ** p).sum(-1) ** (1 / p), 1e-300))[..., None]
    points = np.clip(X + step * (1 - 1e-12), 0.0, 1.0)
    values = np.einsum("nbti,ti->nb", points, weights) + form()[1]
    assert (lower <= values.min(0)).all()


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
def test_one_ball_around_the_sequence(p):
    weights, _ = form()
    radius = np.array([0.25, 0.5])
    found = certify(classifier(), SequenceBall(torch.tensor(X), torch.tensor(radius), p), row()).lower[:, 0]
    np.testing.assert_allclose(found, exact_least(lambda k: radius[k] * dual(weights.ravel(), p)), atol=1e-11)
    moves = torch.tensor([[True, False], [False, True]])
    found = certify(classifier(), SequenceBall(torch.tensor(X), torch.tensor(radius), p, moves=moves), row()).lower
    expected = exact_least(lambda k: radius[k] * dual(weights[k], p))
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-11)


def test_an_uneven_box_and_substitutions():
    weights, _ = form()
    low, high = X - np.array([0.25, 0.0, 0.125]), X + np.array([0.5, 0.25, 0.0])
    found = certify(classifier(), Boxes(torch.tensor(low), torch.tensor(high)), row()).lower[:, 0]
    expected = exact_least(lambda k: (weights * X[k] - np.minimum(weights * low[k], weights * high[k])).sum())
    np.testing.assert_allclose(found, expected, atol=1e-11)
    candidates = np.stack((X + 0.25, X - 0.5, X * 2.0), axis=2)
    allowed = np.ones((2, 2, 3), dtype=bool)
    allowed[0, 0, 1] = allowed[1, 1, 2] = False
    sets = Substitutions(torch.tensor(X), torch.tensor(candidates), torch.tensor(allowed))

    def decrease(k):
        total = 0.0
        for t in range(2):
            vectors = [X[k, t], *candidates[k, t][allowed[k, t]]]
            total += weights[t] @ X[k, t] - min(weights[t] @ vector for vector in vectors)
        return total

    np.testing.assert_allclose(certify(classifier(), sets, row()).lower[:, 0], exact_least(decrease), atol=1e-11)


@pytest.mark.parametrize("width", [0.0, 1e-9, 1e-4])
def test_narrow_sets_are_taken_as_they_are_and_stay_as_they_are(width):
    """Nothing is widened, neither in the result nor in the caller's own tensors."""
    weights, _ = form()
    low, high = torch.tensor(X), torch.tensor(X + width)
    radius = torch.full((2, 2), width, dtype=torch.float64)
    candidates = torch.tensor(X[:, :, None] + width)
    sets = {
        "box": (Boxes(low, high), lambda k: np.minimum(weights, 0)),
        "balls": (FrameBalls(low, radius, math.inf), lambda k: -np.abs(weights)),
        "one ball": (SequenceBall(low, radius[:, 0].clone(), 1.0), lambda k: -np.abs(weights).max()),
        "words": (
            Substitutions(low, candidates, torch.ones(2, 2, 1, dtype=torch.bool)),
            lambda k: np.minimum(weights.sum(1), 0),
        ),
    }
    for inputs, change in sets.values():
        tensors = [value for value in vars(inputs).values() if isinstance(value, torch.Tensor)]
        before = [tensor.clone() for tensor in tensors]
        found = certify(classifier(), inputs, row()).lower[:, 0]
        expected = exact_least(lambda k, change=change: -width * float(np.sum(change(k))))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
        assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


@pytest.mark.parametrize("p", [1.0, math.inf])
@pytest.mark.parametrize("clip", [None, (-0.5, 1.5)])
def test_float32_is_below_the_exact_value_of_the_float32_question_and_near_it(p, clip):
    rng = np.random.default_rng(7)
    for _ in range(40):
        x = rng.uniform(0, 1, (1, 2, 3))
        radius = rng.uniform(0, 0.3, (1, 2))
        inputs = FrameBalls(torch.tensor(x), torch.tensor(radius), p, clip)
        lower = certify(classifier(), inputs, row().select(slice(0, 1)), Options(dtype="float32")).lower[0, 0]
        weights, constant = form()
        exact = Fraction(constant)
        for t in range(2):
            costs = [abs(Fraction(a)) * Fraction(float(radius[0, t])) for a in weights[t]]
            exact += sum(Fraction(a) * Fraction(float(b)) for a, b in zip(weights[t], x[0, t], strict=True))
            exact -= max(costs) if p == 1.0 else sum(costs)
        assert Fraction(float(lower)) <= exact
        assert float(exact) - float(lower) <= 5e-3


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_the_radius_of_a_linear_form(p):
    """The margin at radius 0 over the dual norm. Both samples move in their own direction; one finishes first."""
    weights, constant = form()
    direction = np.array([[1.0, 0.5], [0.0, 0.25]])
    value = np.array([(weights * X[k]).sum() + constant for k in range(2)])
    margins = np.array([0.5, 1.0])
    spec = Specification(row().C, row().d + torch.tensor(margins - value)[:, None])
    speed = np.array([sum(direction[k, t] * dual(weights[t], p) for t in range(2)) for k in range(2)])
    found = certified_radius(
        classifier(), torch.tensor(X), torch.tensor(direction), spec, p=p, tolerance=1e-6, largest=8.0
    )
    exact = margins / speed
    assert (found.proved.numpy() <= exact + 1e-12).all()
    assert (found.failed.numpy() >= exact - 1e-9).all()
    np.testing.assert_allclose(found.proved.numpy(), exact, rtol=1e-5)


def test_a_point_that_is_exactly_on_the_border_is_not_proved():
    """The margin is zero: nothing is claimed."""
    one = [torch.tensor(v, dtype=torch.float64) for v in ([[1.0]], [[0.0]], [0.0], [0.0])]
    head = Dense(torch.tensor([[1.0], [1.0]]).double(), torch.zeros(2).double())
    model = RecurrentClassifier(((Direction("rnn_relu", *one),),), (head,))
    inputs = FrameBalls(torch.ones(1, 1, 1).double(), torch.zeros(1, 1).double())
    assert not bool(certify(model, inputs, matrix(torch.tensor([[1.0, -1.0]]).double(), batch=1)).proved)

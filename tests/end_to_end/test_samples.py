"""What attacks find in PyTorch's own network never lies outside of what the engine claims of it."""

import math

import pytest
import torch

from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions
from gpu_engine.search.certify import Options, certify
from gpu_engine.search.radius import certified_radius, certified_sequence_radius
from gpu_engine.spec import top_k, untargeted
from refcert.app.pretrained import PRETRAINED
from refcert.strategies import extremes
from tests.end_to_end.runs import CLIP, balls, certified, digits, plain, shipped

STEPS = 8


def attacked(name, inputs, spec, steps=STEPS):
    """The least value of every row that a few steps along the gradient find, (batch, spec); every point is tried."""
    network, (batch, rows) = plain(name), spec.C.shape[:2]
    x = inputs.center.expand(rows, *inputs.center.shape)
    least = torch.full((batch, rows), math.inf, dtype=torch.float64)
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        values = network(x.flatten(0, 1)).reshape(rows, batch, -1)
        every = torch.einsum("rbk,bsk->rbs", values, spec.C) + spec.d
        least = torch.minimum(least, every.detach().amin(0))
        (gradient,) = torch.autograd.grad(torch.einsum("rbr->", every), x)
        x = extremes(inputs, gradient)
    return least


def sets(count):
    """Input sets of every kind around the same digits."""
    x, _ = digits(count)
    shifted = (x + 0.02 * torch.sin(37 * x)).clamp(*CLIP)
    return {
        "l_inf": balls(count, 0.03),
        "l_2": balls(count, 0.1, 2.0),
        "l_1": balls(count, 0.3, 1.0),
        "l_3, no clip": balls(count, 0.1, 3.0, None),
        "sequence": SequenceBall(x, torch.full((count,), 0.2, dtype=torch.float64), 2.0, CLIP),
        "box": Boxes((x - 0.01).clamp(*CLIP), (x + 0.04).clamp(*CLIP)),
        "substitutions": Substitutions(
            x, torch.stack((shifted, x.flip(-1) * 0.3 + x * 0.7), 2), torch.ones(*x.shape[:2], 2, dtype=torch.bool)
        ),
    }


@pytest.mark.parametrize("kind", sets(1))
@pytest.mark.parametrize("name", PRETRAINED)
def test_no_attack_gets_below_the_bounds(name, kind):
    inputs, (_, labels) = sets(2)[kind], digits(2)
    spec = untargeted(labels, 10)
    found = attacked(name, inputs, spec)
    for relaxation in ("parallel", "lines"):
        lower = certify(shipped(name), inputs, spec, Options(relaxation)).lower
        assert bool((lower <= found + 1e-9).all())


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_best_of_several_relaxations_holds_and_is_no_looser_than_each(name):
    inputs, (_, labels) = balls(2, 0.02), digits(2)
    spec = untargeted(labels, 10)
    best = certify(shipped(name), inputs, spec, Options("best")).lower
    assert bool((best <= attacked(name, inputs, spec) + 1e-9).all())
    for relaxation in ("parallel", "planes"):
        assert bool((best >= certify(shipped(name), inputs, spec, Options(relaxation)).lower - 1e-9).all())


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_bounds_are_not_vacuous(name):
    """Bounds that an attack nearly reaches: at a small radius the gap is a small share of what the radius moves."""
    inputs, (_, labels) = balls(3, 0.002), digits(3)
    spec = untargeted(labels, 10)
    still = torch.einsum("bsk,bk->bs", spec.C, plain(name)(inputs.center)).detach()
    lower, found = certified(name, "parallel", 0.002)[0].lower, attacked(name, inputs, spec)
    assert bool((lower <= found + 1e-9).all())
    assert bool((found - lower <= 0.2 * (still - found) + 1e-9).all())


@pytest.mark.parametrize("name", PRETRAINED)
def test_radii_are_proved_alone_and_no_attack_succeeds_within_them(name):
    """Samples that finish at different times, in one batch and each by itself."""
    x, labels = digits(4)
    spec = untargeted(labels, 10)
    direction = torch.ones(x.shape[:2], dtype=torch.float64) * torch.linspace(0.2, 1.0, 4)[:, None].double()
    options = Options(chunk=3)
    found = certified_radius(shipped(name), x, direction, spec, clip=CLIP, tolerance=0.1, options=options)
    assert bool((found.proved > 0).all())
    for k in range(4):
        one = slice(k, k + 1)
        for radius, proved in ((found.proved[k], True), (found.failed[k], False)):
            inputs = FrameBalls(x[one], radius * direction[one], math.inf, CLIP)
            assert bool(certify(shipped(name), inputs, spec.select(one)).proved) == proved
            if proved:
                assert float(attacked(name, inputs, spec.select(one)).amin()) > 0


def test_the_radius_of_a_whole_sequence_is_proved():
    x, labels = digits(2)
    spec = untargeted(labels, 10)
    moves = torch.zeros(2, 8, dtype=torch.bool)
    moves[0, 2:5] = moves[1, :1] = True
    found = certified_sequence_radius(shipped("digits_gru"), x, spec, p=2.0, clip=CLIP, moves=moves, tolerance=0.2)
    inputs = SequenceBall(x, found.proved, 2.0, CLIP, moves)
    assert bool((attacked("digits_gru", inputs, spec) > 0).all())
    free = SequenceBall(x, found.proved, 2.0, CLIP)
    assert bool((certify(shipped("digits_gru"), free, spec).margin < found.margin).all())


@pytest.mark.parametrize("name", PRETRAINED)
def test_answers_follow_from_the_margins_of_their_rows(name):
    """The reading of the rows: one row that fails is one too many, among the k largest it may be k - 1."""
    inputs, (_, labels) = balls(3, 0.06), digits(3)
    spec = untargeted(labels, 10)
    rows = certify(shipped(name), inputs, spec)
    assert torch.equal(rows.margin, rows.lower.min(1).values)
    assert torch.equal(rows.proved, rows.lower.min(1).values > 0)
    second = certify(shipped(name), inputs, top_k(labels, 2, 10)).margin
    assert torch.equal(second, rows.lower.sort(1).values[:, 1])

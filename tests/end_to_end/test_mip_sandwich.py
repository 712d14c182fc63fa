"""The exact minimum of tiny ReLU networks lies inside every sandwich: certified < minimum <= attack.

The engine's radii and attacks on one side, mixed-integer programming on the reference's equations on the other; the
upper end of its bracket is an input that breaks a row in exact rational arithmetic.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine import model as engine
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.attacks.registry import ATTACKS
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search.certify import Options
from gpu_engine.search.radius import certified_radius, certified_sequence_radius
from gpu_engine.spec import matrix
from refcert.audit.exact_minimum import exact_minimum
from refcert.reference.networks import Dense
from tests.audit.tiny_relu import FAMILIES, cases

STARTS = (*RELAXATIONS, "best")
# Steps and restarts that are enough for a few values; what has no such number gets none.
FEW = {"pgd": (10, 1), "cw": (30, None), "fgsm": (None, None), "lbfgs": (None, None), "lp": (None, None)}


def engine_model(network):
    """The same network for the engine, weight by weight."""
    layers = tuple(tuple(_direction(part) for part in layer) for layer in network.layers)
    return engine.RecurrentClassifier(layers, _blocks(network.after), _blocks(network.before), network.readout)


def _direction(part):
    return engine.Direction(
        part.cell,
        *(torch.tensor(w) for w in (part.weight_ih, part.weight_hh, part.bias_ih, part.bias_hh)),
        initial_hidden=None if part.initial_hidden is None else torch.tensor(part.initial_hidden),
        reverse=part.reverse,
    )


def _blocks(blocks):
    return tuple(
        engine.Dense(torch.tensor(b.weight), torch.tensor(b.bias)) if isinstance(b, Dense) else engine.Activation(b)
        for b in blocks
    )


def engine_family(family):
    center, weight = torch.tensor(family.center)[None], torch.tensor(family.weights)[None]
    return BallFamily(center, weight, family.p, family.clip, family.shared)


def certified(model, family, rows, relaxation):
    """The certified radius of the only sample."""
    rest = {"p": family.p, "clip": family.clip, "tolerance": 0.1, "options": Options(relaxation)}
    if family.shared:
        found = certified_sequence_radius(model, family.center, rows, moves=family.weight > 0, **rest)
    else:
        found = certified_radius(model, family.center, family.weight, rows, **rest)
    return float(found.proved[0])


def sandwich(case, seed):
    """(certified by relaxation, bracket of the minimum, radius by attack)."""
    network, plain, C, d = case
    model, family = engine_model(network), engine_family(plain)
    rows = matrix(torch.tensor(C), torch.tensor(d), batch=1)
    # Two times what attacks and certificates try, so that every radius of theirs is in the range.
    exact = exact_minimum(network, plain, C, d, largest=2 * family.largest())
    below = {name: certified(model, family, rows, name) for name in STARTS}
    above = {}
    for name, entry in ATTACKS.items():
        attack = entry.builder(*FEW[name])
        found = attack.smallest(Question(model, rows), family, torch.Generator().manual_seed(seed))
        above[name] = float(found.radius[0])
    return below, exact, above


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_minimum_is_inside_every_sandwich(kind):
    found = []

    @settings(max_examples=3)
    @given(cases(kinds=(kind,)), st.integers(0, 2**31))
    def judged(case, seed):
        below, exact, above = sandwich(case, seed)
        assert exact.complete, [row.reason for row in exact.rows]
        if exact.upper > 0:  # else a tie at the center: nothing is certified
            assert max(below.values()) < exact.upper, below
        else:
            assert set(below.values()) == {0.0}
        assert min(above.values()) >= exact.lower, above
        found.append((max(below.values()), exact.upper, min(above.values())))

    judged()
    # The law would also hold for engines and attacks that never find anything: here they do.
    assert any(certified > 0 and math.isfinite(attack) for certified, _, attack in found)
    assert any(attack <= 1.05 * upper for _, upper, attack in found if math.isfinite(upper))


@pytest.mark.long
@settings(max_examples=150)
@given(cases(), st.integers(0, 2**31))
def test_the_minimum_is_inside_many_sandwiches(case, seed):
    below, exact, above = sandwich(case, seed)
    assert exact.complete, [row.reason for row in exact.rows]
    assert max(below.values()) < exact.upper or exact.upper == max(below.values()) == 0
    assert min(above.values()) >= exact.lower

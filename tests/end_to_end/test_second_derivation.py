"""Drawn networks of every kind: the reference derives the engine's bounds and boxes again from its planes."""

import numpy as np
import pytest
import torch

from refcert.kernel.claims import PlaneClaim
from refcert.reference.bounds import bound
from refcert.reference.given_planes import bounds_with_planes, given_from_columns
from refcert.reference.input_sets import BoxSet, FrameBalls, SequenceBall, Substitutions
from refcert.reference.networks import BLOCKS, READOUTS, Dense, Network, logits
from tests.end_to_end.runs import not_proved
from tests.reference.drawn import points_of, recurrent
from tests.reference.engine_side import classifier, engine_bounds, tensor
from tests.reference.test_engine import faults

TIME, INPUTS, HIDDEN = 3, 2, 2
# Boxes of both sides are rounded outward; beyond that they are the same.
SAME_BOX = 1e-9


def network(cell, readout, seed, both=True, layers=1, scale=1.0):
    """Two directions, start states with both signs and none positive, activations on both sides."""
    rng = np.random.default_rng(seed)
    stack, below = [], HIDDEN
    for _ in range(layers):
        ways = (False, True) if both else (False,)
        parts = [recurrent(rng, cell, below, HIDDEN, scale, reverse=way, started=True) for way in ways]
        for part in parts:
            part.initial_hidden[:] = -np.abs(part.initial_hidden)
        stack.append(tuple(parts))
        below = HIDDEN * len(ways)
    before = (Dense(rng.normal(0, 1, (HIDDEN, INPUTS)), rng.normal(0, 0.3, HIDDEN)), "tanh")
    after = (
        Dense(rng.normal(0, 1, (3, below)), rng.normal(0, 0.3, 3)),
        "relu",
        Dense(rng.normal(0, 1, (2, 3)), rng.normal(0, 0.3, 2)),
    )
    return Network(tuple(stack), after, before, readout)


def region(kind, seed, radius=0.1):
    rng = np.random.default_rng(seed)
    center, radii = rng.uniform(-0.9, 0.9, (TIME, INPUTS)), radius * np.array([1.0, 0.0, 2.0])
    return {
        "ball": FrameBalls(center, radii, 2.0),
        "clipped": FrameBalls(center, radii, np.inf, (-1.0, 1.0)),
        "clipped l_3": FrameBalls(center, radii, 3.0, (-0.95, 0.95)),
        "sequence": SequenceBall(center, 2 * radius, 2.0),
        "box": BoxSet(center - radius, center + 2 * radius),
        "substitutions": Substitutions([frame + rng.normal(0, radius, (4, INPUTS)) for frame in center]),
    }[kind]


REGIONS = ("ball", "clipped", "clipped l_3", "sequence", "box", "substitutions")
RELAXATIONS = ("parallel", "planes", "constants", "parallel", "lines")
CASES = [
    (cell, READOUTS[(i + j) % len(READOUTS)], REGIONS[(2 * i + j) % len(REGIONS)], RELAXATIONS[(3 * i + j) % 5])
    for i, cell in enumerate(BLOCKS)
    for j in range(5)
]


def rows(drawn, seed):
    outputs = 2 * (TIME if drawn.readout == "every" else 1)
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (3, outputs)), rng.normal(0, 1, 3)


def derived(drawn, where, C, d, relaxation, dtype=torch.float64):
    lower, columns = engine_bounds(drawn, where, C, d, relaxation, dtype)
    given = given_from_columns(drawn, TIME, columns)
    return lower, bounds_with_planes(drawn, where, C, d, given), given, columns


def claims(columns):
    names = ("kind", "side", "lower_v", "upper_v", "lower_z", "upper_z", "slope_v", "slope_z", "offset")
    return [PlaneClaim(*row) for row in zip(*(columns[name] for name in names), strict=True)]


def loose_boxes(result, given):
    """Variables whose box in the engine is wider than the one derived again."""
    program = {equation.variable: equation for equation in result.program.equations}
    found = []
    for variable, entry in given.items():
        equation = program[variable]
        for argument, box in ((equation.v, entry.v), (equation.z, entry.z)):
            if argument is not None:
                own = result.boxes[argument]
                slack = SAME_BOX * (1 + box.magnitude)
                if box.lower < own.lower - slack or box.upper > own.upper + slack:
                    found.append(argument)
    return found


@pytest.mark.parametrize(("cell", "readout", "kind", "relaxation"), CASES)
def test_bounds_boxes_and_planes_are_derived_again(cell, readout, kind, relaxation):
    seed = len(cell) + 7 * len(readout)
    drawn, where = network(cell, readout, seed), region(kind, seed)
    C, d = rows(drawn, seed)
    lower, result, given, columns = derived(drawn, where, C, d, relaxation)
    assert not faults(lower, result)
    assert not result.escapes
    assert not loose_boxes(result, given)
    assert not_proved(claims(columns)) == []
    for x in points_of(where, np.random.default_rng(seed), 20):
        assert (lower <= C @ logits(drawn, x).reshape(-1) + d + 1e-9).all()


@pytest.mark.parametrize("cell", BLOCKS)
def test_two_layers_and_large_weights(cell):
    drawn, where = network(cell, "final", 5, both=False, layers=2, scale=2.5), region("ball", 5)
    C, d = rows(drawn, 5)
    for relaxation in ("parallel", "mccormick"):
        lower, result, given, columns = derived(drawn, where, C, d, relaxation)
        assert not faults(lower, result)
        assert not result.escapes
        assert not loose_boxes(result, given)
        assert not_proved(claims(columns)) == []


@pytest.mark.parametrize("cell", BLOCKS)
def test_float32_is_derived_again(cell):
    drawn, where = network(cell, "mean", 6), region("clipped l_3", 6)
    C, d = rows(drawn, 6)
    lower, result, _, _ = derived(drawn, where, C, d, "parallel", torch.float32)
    assert not faults(lower, result, torch.float32)
    assert not result.escapes


@pytest.mark.parametrize("cell", BLOCKS)
@pytest.mark.parametrize("readout", ["final", "max"])
def test_constants_agree_with_the_references_own(cell, readout):
    """Nothing is shared: planes, boxes and bounds are the reference's own."""
    drawn, where = network(cell, readout, 8), region("substitutions", 8)
    C, d = rows(drawn, 8)
    lower, _ = engine_bounds(drawn, where, C, d, "constants")
    own = bound(drawn, where, C, d, "constants", "tree")
    np.testing.assert_allclose(lower, own.lower, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cell", BLOCKS)
@pytest.mark.parametrize("readout", READOUTS)
def test_forward_passes_agree(cell, readout):
    drawn = network(cell, readout, 9)
    x = np.random.default_rng(9).uniform(-1, 1, (2, TIME, INPUTS))
    found = classifier(drawn).logits(tensor(x)).reshape(2, -1)
    np.testing.assert_allclose(found, [logits(drawn, one).reshape(-1) for one in x], rtol=1e-12, atol=1e-12)

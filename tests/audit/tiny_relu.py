"""Tiny ReLU networks with ball families, and their smallest perturbation by trying every activation pattern.

No twin of `refcert.strategies.classifiers`: these have at most six ReLUs, so that every pattern can be tried, in each
of seven named shapes.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import strategies as st
from scipy.optimize import linprog

from refcert.audit.exact_minimum import BallFamily
from refcert.reference.equations import Affine, Nonlinear
from refcert.reference.networks import Dense, Network, Recurrent, logits
from tests.reference.drawn import recurrent, seeds

FAMILIES = ("frames", "clipped", "sequence")
SHAPES = ("rnn", "mlp", "deep", "stacks", "maximum", "mean", "backward")
CLASSES = 3


def relu_network(rng, shape):
    """(network, frames, inputs) of at most six ReLUs."""
    head = Dense(rng.normal(0, 1, (CLASSES, 2)), rng.normal(0, 0.3, CLASSES))
    layer, before, readout, time = (recurrent(rng, "rnn_relu", 2, 2, started=True),), (), "final", 3
    after = (head,)
    if shape == "mlp":  # one frame, no state: a feed-forward network
        time, first = 1, Dense(rng.normal(0, 1, (3, 2)), rng.normal(0, 0.3, 3))
        wide = rng.normal(0, 1, (2, 3)), np.zeros((2, 2)), rng.normal(0, 0.3, 2), np.zeros(2)
        layer, before = (Recurrent("rnn_relu", *wide),), (first, "relu")
    elif shape == "deep":
        time = 1
        return Network((layer, (recurrent(rng, "rnn_relu", 2, 2),)), after, (), "last_frame"), time, 2
    elif shape == "stacks":
        time = 1
        inner = Dense(rng.normal(0, 1, (2, 2)), rng.normal(0, 0.3, 2))
        before, after = (inner, "relu"), (inner, "relu", head)
    elif shape == "maximum":
        time, readout = 2, "max"
    elif shape == "mean":
        readout = "mean"
    elif shape == "backward":
        time, layer = 2, (recurrent(rng, "rnn_relu", 2, 1), recurrent(rng, "rnn_relu", 2, 1, reverse=True))
    return Network((layer,), after, before, readout), time, 2


def ball_family(rng, kind, p, time, inputs):
    """A family of this kind; some frames weigh more, some stay."""
    center = rng.uniform(-1, 1, (time, inputs))
    if kind == "sequence":
        weight = np.ones(time)
        weight[1:] = rng.integers(0, 2, time - 1)
        return BallFamily(center, weight, p, shared=True)
    weight = rng.choice((0.0, 0.5, 1.0, 3.0), time)
    weight[0] = 1.0
    return BallFamily(center, weight, p, (-1.25, 1.0) if kind == "clipped" else None)


@st.composite
def cases(draw, kinds=FAMILIES):
    """(network, family, C, d): every other class against the one that is largest at the center."""
    rng = np.random.default_rng(draw(seeds))
    network, time, inputs = relu_network(rng, draw(st.sampled_from(SHAPES)))
    family = ball_family(rng, draw(st.sampled_from(kinds)), draw(st.sampled_from((math.inf, 1.0))), time, inputs)
    return network, family, *rows_at(network, family.center)


def rows_at(network, center):
    """Margin rows of the label at the center, (C, d)."""
    label = int(np.argmax(logits(network, center)))
    others = [k for k in range(CLASSES) if k != label]
    C = np.zeros((len(others), CLASSES))
    C[:, label] = 1.0
    C[range(len(others)), others] = -1.0
    return C, np.zeros(len(others))


def least_by_enumeration(program, family, row, constant, largest):
    """The least radius over all patterns of ReLUs, one linear program each; inf where every one is empty."""
    relus = [equation for equation in program.equations if isinstance(equation, Nonlinear)]
    assert len(relus) <= 6
    programs = (
        pattern_program(program, family, row, constant, on) for on in itertools.product((0, 1), repeat=len(relus))
    )
    return min(solved(*found, family, largest) for found in programs)


def pattern_program(program, family, row, constant, on):
    """Rows a.x <= b that say: this pattern, and the row broken."""
    n = family.center.size
    inputs = [variable for frame in program.inputs for variable in frame]
    forms = {variable: (unit, 0.0) for variable, unit in zip(inputs, np.eye(n), strict=True)}
    A, b = [], []
    states = iter(on)
    for equation in program.equations:
        if isinstance(equation, Affine):
            slope = sum((float(w) * forms[v][0] for w, v in equation.terms), np.zeros(n))
            offset = sum((float(w) * forms[v][1] for w, v in equation.terms), sum(equation.constants))
            forms[equation.variable] = slope, offset
            continue
        state, (slope, offset) = next(states), forms[equation.v]
        sign = -1.0 if state else 1.0
        A.append(sign * slope)
        b.append(-sign * offset)
        forms[equation.variable] = (slope, offset) if state else (np.zeros(n), 0.0)
    A.append(sum((c * forms[y][0] for c, y in zip(row, program.outputs, strict=True)), np.zeros(n)))
    b.append(-constant - sum(c * forms[y][1] for c, y in zip(row, program.outputs, strict=True)))
    return np.array(A), np.array(b)


def solved(A, b, family, largest):
    """Variables x, r and the lengths s >= |x - center| of every value."""
    time, inputs = family.center.shape
    n, flat = time * inputs, family.center.reshape(-1)
    weights = np.repeat(family.weights, inputs)
    eye, zero = np.eye(n), np.zeros((n, n))
    rows = [np.hstack([A, np.zeros((len(A), 1 + n))])]
    rows += [np.hstack([sign * eye, np.zeros((n, 1)), -eye]) for sign in (1, -1)]
    rest = [b, flat, -flat]
    if math.isinf(family.p):
        rows.append(np.hstack([zero, -weights[:, None], eye]))
        rest.append(np.zeros(n))
    else:
        groups = np.ones((1, n)) if family.shared else np.kron(np.eye(time), np.ones((1, inputs)))
        reach = np.ones(1) if family.shared else family.weights
        rows.append(np.hstack([np.zeros((len(groups), n)), -reach[:, None], groups]))
        rest.append(np.zeros(len(groups)))
    low, high = (-np.inf, np.inf) if family.clip is None else family.clip
    ends = [(low, high) if weight else (value, value) for weight, value in zip(weights, flat, strict=True)]
    ends += [(0.0, largest), *((0.0, None if weight else 0.0) for weight in weights)]
    cost = np.zeros(2 * n + 1)
    cost[n] = 1.0
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(cost, np.vstack(rows), np.concatenate(rest), bounds=ends, method="highs", options=options)
    assert found.status in (0, 2), found.message
    return found.fun if found.status == 0 else math.inf

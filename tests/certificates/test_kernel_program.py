"""The kernel's own unrolling computes what the network computes, and counts its variables as the specification says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.cells.unroll import unroll as engine_unroll
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.steps import Affine, Input
from refcert.kernel.errors import UnreadableError
from refcert.kernel.network import build_network
from refcert.kernel.program import Part, Program, View, unroll
from refcert.strategies import classifiers
from tests.certificates.engine_networks import kernel_network


def forward(program: Program, x: np.ndarray) -> np.ndarray:
    """The program in floats. x (frames, input) -> all answers, one behind the other."""
    values: list[np.ndarray] = []

    def read(view: View) -> np.ndarray:
        return values[view.variable][view.first : view.first + view.size]

    for number, variable in enumerate(program.variables):
        if number < program.frames:
            values.append(x[number])
            continue
        total = np.zeros(variable.size)
        for constant in variable.constants:
            total[constant.row : constant.row + len(constant.values)] += np.array(constant.values)
        for term in variable.terms:
            source = read(term.source)
            if term.matrix is not None:
                weight = np.array(term.matrix.entries).reshape(term.matrix.rows, term.matrix.columns)
                source = weight @ source
            else:
                source = source / term.divisor
            total[term.row : term.row + len(source)] += source
        for part in variable.parts:
            total += nonlinear(part, read)
        values.append(total)
    return np.concatenate([read(view) for view in program.answers])


def nonlinear(part: Part, read) -> np.ndarray:
    v = -read(part.v) if part.negate else read(part.v)
    s = 1 / (1 + np.exp(-v))
    if part.kind == "relu":
        return np.maximum(v, 0)
    if part.kind == "tanh":
        return np.tanh(v)
    if part.z is None:
        return s
    z = read(part.z)
    return s * (np.tanh(z) if part.kind == "sigmoid_times_tanh" else z)


@given(model=classifiers(embeddings=True), frames=st.integers(1, 5), seed=st.integers(0, 99))
def test_it_is_the_network(model: RecurrentClassifier, frames: int, seed: int) -> None:
    network = kernel_network(model)
    assert network.digest == model.digest()
    assert (network.input_size, network.classes) == (model.input_size, model.classes)
    x = np.random.default_rng(seed).normal(size=(frames, model.input_size))
    with np.errstate(over="ignore"):
        found = forward(unroll(network, frames), x)
    wanted = model.logits(torch.tensor(x)[None])[0].numpy().ravel()
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * (1 + np.abs(wanted).max()))


@given(model=classifiers(), frames=st.integers(1, 5))
def test_variables_are_the_engines_steps(model: RecurrentClassifier, frames: int) -> None:
    """Behind the frames, in the same order: sizes, kinds of parts, and what they read."""
    program, tape = unroll(kernel_network(model), frames), engine_unroll(model, frames)
    steps = [step for step in tape.steps if not isinstance(step, Input)]
    number = {k: step.t for k, step in enumerate(tape.steps) if isinstance(step, Input)}
    number |= {k: frames + place for place, k in enumerate(k for k in range(len(tape.steps)) if k not in number)}
    own = program.variables[frames:]
    assert len(own) == len(steps)
    for variable, step in zip(own, steps, strict=True):
        assert variable.size == step.size
        assert bool(variable.parts) != isinstance(step, Affine)
        if variable.parts:
            kinds = [(part.kind, part.negate, number[part.v.step], part.v.start) for part in step.parts]
            assert [(p.kind, p.negate, p.v.variable, p.v.first) for p in variable.parts] == kinds
        else:
            assert [t.source.variable for t in variable.terms] == [number[term.source.step] for term in step.terms]
    assert [view.variable for view in program.answers] == [number[view.step] for view in tape.outputs]


@given(model=classifiers(max_size=3), data=st.data())
def test_weights_that_do_not_fit_are_refused(model: RecurrentClassifier, data: st.DataObject) -> None:
    """A weight that is missing, of another shape, or too many; each by name."""
    network = kernel_network(model)
    name = data.draw(st.sampled_from(sorted(network.weights)))
    whole = dict(network.weights)
    wrong = dict(whole, **{name: type(whole[name])((*whole[name].shape, 1), whole[name].values)})
    with pytest.raises(UnreadableError, match=name):
        build(model, wrong)
    with pytest.raises(UnreadableError, match=r"layers\.9\.0\.weight_ih"):
        build(model, dict(whole, **{"layers.9.0.weight_ih": whole[name]}))
    if not name.endswith(("weight_hr", "initial_hidden", "initial_cell")):
        with pytest.raises(UnreadableError, match=name):
            build(model, {key: value for key, value in whole.items() if key != name})


def build(model: RecurrentClassifier, weights):
    return build_network(model.structure(), weights)


def test_limits_on_frames_and_units(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(2)
    with pytest.raises(UnreadableError, match="65537 frames"):
        unroll(kernel_network(model), 65537)
    monkeypatch.setattr("refcert.kernel.program.MAX_UNITS", 10)
    with pytest.raises(UnreadableError, match="over 10 units"):
        unroll(kernel_network(model), 9)


def small(size: int) -> RecurrentClassifier:
    ones = torch.ones(size, size, dtype=torch.float64)
    zero = torch.zeros(size, dtype=torch.float64)
    return RecurrentClassifier(((Direction("rnn_relu", ones, ones, zero, zero),),), (Dense(ones, zero),))

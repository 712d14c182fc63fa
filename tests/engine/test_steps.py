"""The tape: what it refuses, and the facts about it that rounding and memory rest on."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.cells.unroll import CELLS, unroll
from gpu_engine.errors import ModelError, SpecificationError
from gpu_engine.inputs import Substitutions
from gpu_engine.model import GATES
from gpu_engine.propagation.input_sets.substitutions import prepare_substitutions
from gpu_engine.propagation.memory import budget
from gpu_engine.propagation.usage import usage_of
from gpu_engine.steps import MAX_PARTS, Affine, Bias, Input, Nonlinear, Nonlinearity, Place, Tape, Term, sources_of
from refcert.strategies import classifiers

HERE = Place()


def eye(n):
    return torch.eye(n, dtype=torch.float64)


def test_every_cell_of_the_normal_form_has_its_steps():
    assert set(CELLS) == set(GATES)


@given(model=classifiers(), time=st.integers(1, 5))
def test_steps_read_only_what_comes_before_them(model, time):
    tape = unroll(model, time)
    for number, step in enumerate(tape.steps):
        for view in sources_of(step):
            assert view.step < number
            assert 0 <= view.start < view.stop <= tape.steps[view.step].size
    assert sum(view.size for view in tape.outputs) == model.outputs(time)
    frames = [step.t for step in tape.steps if isinstance(step, Input)]
    assert len(set(frames)) == len(
        frames
    )  # each frame is one step, so that its coefficients meet before they are bounded


def test_terms_and_parts_that_do_not_fit_are_refused():
    tape = Tape(3)
    x = tape.frame(0)
    with pytest.raises(ModelError, match="does not fit"):
        tape.affine("wide", 2, [Term(x, eye(3))], (), HERE)
    with pytest.raises(ModelError, match="does not fit"):
        tape.affine("columns", 4, [Term(x, eye(4))], (), HERE)
    v = tape.affine("v", 3, [Term(x, eye(3))], [Bias(torch.ones(3).double())], HERE)
    with pytest.raises(ModelError, match="wrong number of arguments"):
        tape.nonlinear("one", [Nonlinearity("sigmoid_times_tanh", "p", v)], HERE)
    with pytest.raises(ModelError, match="different sizes"):
        tape.nonlinear("sizes", [Nonlinearity("sigmoid_times_tanh", "p", v, v.part(0, 2))], HERE)
    with pytest.raises(ModelError, match=f"1 to {MAX_PARTS}"):
        tape.nonlinear("many", [Nonlinearity("tanh", "p", v)] * (MAX_PARTS + 1), HERE)


def test_facts_of_a_tape_by_hand():
    """x -> a = W x + b -> c = V a (a chain of two affine steps) -> tanh(c) + tanh(a), read twice."""
    tape = Tape(5)
    x = tape.frame(0)
    a = tape.affine("a", 4, [Term(x, torch.ones(4, 5).double())], [Bias(torch.ones(4).double())], HERE)
    c = tape.affine("c", 4, [Term(a, eye(4))], (), HERE)
    h = tape.nonlinear("h", [Nonlinearity("tanh", "c", c), Nonlinearity("tanh", "a", a)], HERE)
    tape.outputs = (tape.affine("y", 2, [Term(h, torch.ones(2, 4).double())], (), HERE), h)
    usage = usage_of(tape)
    assert usage.arguments == {1: ((0, 4),), 2: ((0, 4),)}
    assert usage.entered == {0, 1, 3, 4}  # x, a, h in sums; h and y as outputs
    assert usage.first_reader == {0: 1, 1: 2, 2: 3, 3: 4}
    assert usage.widest == 4
    # a: 5 products, 1 term, 1 bias, 2; c: that, 4 products, 1 term, 2
    assert usage.chain == (5 + 1 + 1 + 2) + (4 + 1 + 2)
    assert usage.readers == 2


@given(model=classifiers(), time=st.integers(1, 5))
def test_chains_and_readers_are_never_undercounted(model, time):
    tape = unroll(model, time)
    usage = usage_of(tape)
    for number, step in enumerate(tape.steps):
        reads = sum(view.step == number for other in tape.steps for view in sources_of(other))
        assert reads + sum(view.step == number for view in tape.outputs) <= usage.readers
        if isinstance(step, Affine):
            assert usage.chain >= max((term.source.size for term in step.terms), default=0) + len(step.terms)
        if isinstance(step, Affine | Nonlinear):
            assert step.size <= usage.widest


@given(model=classifiers(), time=st.integers(1, 5))
def test_a_smaller_budget_never_allows_more(model, time):
    cpu = torch.device("cpu")
    plans = [budget(model, time, torch.float64, cpu, memory) for memory in (1, 10**4, 10**6, 10**9)]
    assert all(plan.samples is not None and plan.samples >= 1 and plan.block_bytes >= 1 for plan in plans)
    for less, more in pairwise(plans):
        assert less.samples <= more.samples
        assert less.block_bytes <= more.block_bytes
    assert budget(model, time, torch.float64, cpu, None).samples is None


def test_candidates_too_close_for_float32_are_refused_there():
    center = torch.zeros(1, 1, 2, dtype=torch.float64)
    inputs = Substitutions(center, torch.full((1, 1, 1, 2), 1e-42, dtype=torch.float64), torch.ones(1, 1, 1).bool())
    prepare_substitutions(inputs, torch.float64)
    with pytest.raises(SpecificationError, match="1e-42"):
        prepare_substitutions(inputs, torch.float32)

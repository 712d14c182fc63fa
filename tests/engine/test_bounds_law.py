"""Soundness laws of the whole engine, for every cell, depth, direction, head, norm, input set and relaxation."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings, target
from hypothesis import strategies as st

from gpu_engine.bounds import Plane, PlanePair
from gpu_engine.cells.unroll import unroll
from gpu_engine.errors import ModelError, SpecificationError
from gpu_engine.inputs import FrameBalls
from gpu_engine.model import Activation, Dense, Direction, RecurrentClassifier
from gpu_engine.propagation.schedule import bound
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import Specification, untargeted, untargeted_steps
from gpu_engine.steps import Nonlinear
from refcert.strategies import Question, classifiers, questions
from tests.engine.plain_steps import Exact, evaluate, outputs

# Matrix products of other shapes round in another order, and a rule may then take the other one of two contact points
# that are almost equally good. Both results are sound; they differ by less than this, relative to one plus the bound.
SAME = 1e-4

NAMES = (*sorted(RELAXATIONS), "best")
PARALLEL = RELAXATIONS["parallel"]


def followed(name):
    return Options(name).relaxations


def excess(question: Question, lower: torch.Tensor) -> tuple[float, float]:
    """By how much the bounds exceed the least value found: in fact, and beyond what can be rounding of the value."""
    found = question.points()
    worst, beyond = -np.inf, -np.inf
    for sample in range(len(question.inputs)):
        exact = Exact(question.model, found[:, sample])
        value, error = exact.rows(question.spec.C[sample].numpy(), question.spec.d[sample].numpy())
        above = lower[sample].numpy().astype(np.longdouble) - value
        worst, beyond = max(worst, float(above.max())), max(beyond, float((above - error).max()))
    return worst, beyond


@given(model=classifiers(), time=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_the_steps_compute_what_the_forward_pass_computes(model, time, seed):
    x = torch.tensor(np.random.default_rng(seed).normal(0, 1, (3, time, model.input_size)))
    tape = unroll(model, time)
    found = torch.from_numpy(outputs(tape, evaluate(tape, x.numpy())))
    expected = model.logits(x).reshape(3, -1)
    # Saturating weights amplify rounding from frame to frame; ReLU networks can grow without bound.
    largest = max(float(w.abs().max()) for w in model.named_weights().values())
    torch.testing.assert_close(found, expected, rtol=1e-9 * (1 + largest) ** 3, atol=1e-10 * (1 + largest) ** 3)


@pytest.mark.parametrize("name", NAMES)
@given(question=questions())
def test_no_perturbation_leaves_the_bounds(name, question):
    lower = bound(question.model, question.inputs, question.spec, followed(name), dtype=torch.float64).lower
    worst, beyond = excess(question, lower)
    target(worst, label="bound minus the least value found")
    assert beyond <= 0


@given(question=questions(scales=(0.1, 0.5, 1.0, 3.0)), name=st.sampled_from(NAMES))
def test_float32_is_sound_too(question, name):
    lower = bound(question.model, question.inputs, question.spec, followed(name), dtype=torch.float32).lower.double()
    assert excess(question, lower)[1] <= 0


@given(question=questions(), name=st.sampled_from(sorted(RELAXATIONS)))
def test_every_box_contains_its_variable(question, name):
    """All arguments of nonlinearities in a plain pass lie in the boxes behind the planes."""
    products = bound(question.model, question.inputs, question.spec, RELAXATIONS[name], dtype=torch.float64).products
    found = question.points()
    for sample in range(len(question.inputs)):
        exact = Exact(question.model, found[:, sample])
        seen = iter(products)
        for step in exact.tape.steps:
            if not isinstance(step, Nonlinear):
                continue
            for part in step.parts:
                product = next(seen)
                assert (product.kind, product.t) == (part.kind, step.place.t)
                for view, box in ((part.v, product.v), (part.z, product.z)):
                    if view is None:
                        continue
                    units = slice(view.start, view.stop)
                    fine, coarse = exact.values[view.step][:, units], exact.coarse[view.step][:, units]
                    if part.negate and view is part.v:
                        fine, coarse = -fine, -coarse
                    error = exact.error(fine, coarse)
                    assert (box.lower[sample].numpy() <= fine + error).all()
                    assert (fine - error <= box.upper[sample].numpy()).all()
        assert next(seen, None) is None


@given(question=questions(), name=st.sampled_from(NAMES))
def test_batch_is_loop_and_chunks_change_nothing(question, name):
    model, inputs, spec = question.model, question.inputs, question.spec
    whole = certify(model, inputs, spec, Options(name, chunk=64)).lower
    scale = 1 + whole.abs()
    chunked = certify(model, inputs, spec, Options(name, chunk=1)).lower
    torch.testing.assert_close(whole / scale, chunked / scale, rtol=0, atol=SAME)


@given(question=questions(), memory=st.sampled_from([1, 10_000, 1_000_000]))
def test_a_memory_budget_changes_nothing(question, memory):
    model, inputs, spec = question.model, question.inputs, question.spec
    whole = certify(model, inputs, spec).lower
    within = certify(model, inputs, spec, Options(memory=memory)).lower
    scale = 1 + whole.abs()
    torch.testing.assert_close(whole / scale, within / scale, rtol=0, atol=SAME)


@given(question=questions(readouts=("final", "last_frame", "mean", "max")), data=st.data())
def test_ragged_batches_are_their_sequences_one_by_one(question, data):
    model, inputs, spec = question.model, question.inputs, question.spec
    lengths = torch.tensor([data.draw(st.integers(1, inputs.time)) for _ in range(len(inputs))])
    ragged = certify(model, inputs, spec, lengths=lengths).lower
    for k, length in enumerate(lengths.tolist()):
        alone = certify(model, inputs.select(slice(k, k + 1)).first_frames(length), spec.select(slice(k, k + 1))).lower
        torch.testing.assert_close(ragged[k : k + 1], alone, rtol=SAME, atol=SAME)


@given(question=questions(readouts=("every",)), data=st.data())
@settings(max_examples=25)
def test_ragged_answers_per_frame_are_those_of_the_sequences_one_by_one(question, data):
    model, inputs = question.model, question.inputs
    lengths = torch.tensor([data.draw(st.integers(1, inputs.time)) for _ in range(len(inputs))])
    labels = torch.zeros(len(inputs), inputs.time, dtype=torch.int64)
    spec = untargeted_steps(labels, model.classes, lengths)
    margins = certify(model, inputs, spec, lengths=lengths).margin
    for k, length in enumerate(lengths.tolist()):
        alone = inputs.select(slice(k, k + 1)).first_frames(length)
        margin = certify(model, alone, untargeted_steps(labels[k : k + 1, :length], model.classes)).margin
        torch.testing.assert_close(margins[k : k + 1], margin, rtol=SAME, atol=SAME)
    if bool((lengths < inputs.time).any()):
        with pytest.raises(SpecificationError, match="behind the sequence's"):
            certify(model, inputs, untargeted_steps(labels, model.classes), lengths=lengths)


@given(question=questions(), name=st.sampled_from(NAMES))
def test_inputs_are_unchanged(question, name):
    model, inputs, spec = question.model, question.inputs, question.spec
    tensors = [v for v in vars(inputs).values() if isinstance(v, torch.Tensor)]
    tensors += [spec.C, spec.d, *model.named_weights().values()]
    before = [t.clone() for t in tensors]
    bound(model, inputs, spec, followed(name), dtype=torch.float64)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))


@given(question=questions(sets=("frames",)), name=st.sampled_from(NAMES))
def test_a_point_input_set_gives_the_exact_output_within_rounding(question, name):
    inputs = dataclasses.replace(question.inputs, radius=torch.zeros_like(question.inputs.radius))
    lower = bound(question.model, inputs, question.spec, followed(name), dtype=torch.float64).lower
    for sample in range(len(inputs)):
        exact = Exact(question.model, inputs.center[sample : sample + 1])
        value, error = exact.rows(question.spec.C[sample].numpy(), question.spec.d[sample].numpy())
        gap = value[0] - lower[sample].numpy()
        assert (gap >= -error[0]).all()
        # Saturating weights amplify rounding from frame to frame; the law is about ordinary ones.
        if max(float(w.abs().max()) for w in question.model.named_weights().values()) < 4:
            assert (gap <= 1e-6 * (1 + np.abs(value[0]))).all()


@given(question=questions(), share=st.floats(0.0, 1.0))
@settings(max_examples=30)
def test_a_smaller_input_set_is_inside_in_fact(question, share):
    """Not that bounds are monotone (they need not be), but that both are sound for the smaller set."""
    assume(hasattr(question.inputs, "radius"))
    smaller = dataclasses.replace(question.inputs, radius=question.inputs.radius * share)
    lower = bound(question.model, question.inputs, question.spec, PARALLEL, dtype=torch.float64).lower
    assert excess(dataclasses.replace(question, inputs=smaller), lower)[1] <= 0


# Faults that the laws have to see.


def lstm(inputs=3, hidden=4, classes=3, seed=3, fill=None):
    rng = np.random.default_rng(seed)
    shapes = ((4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
    weights = [
        torch.tensor(rng.normal(0, 1, s)) if fill is None else torch.full(s, fill, dtype=torch.float64) for s in shapes
    ]
    head = torch.tensor(rng.normal(0, 1, (classes, hidden)))
    return RecurrentClassifier(((Direction("lstm", *weights),),), (Dense(head, torch.zeros(classes).double()),))


def both_signs(classes):
    rows = torch.cat((torch.eye(classes), -torch.eye(classes))).double()[None]
    return Specification(rows, torch.zeros(1, 2 * classes, dtype=torch.float64))


def test_a_planted_fault_in_a_plane_is_seen_by_the_law():
    """Planes that cross the surface at the centre of the box break it."""
    inputs = FrameBalls(torch.zeros(1, 1, 3, dtype=torch.float64), torch.full((1, 1), 2.0, dtype=torch.float64))
    question = Question(lstm(), inputs, both_signs(3), 0)

    def faulty(product, v, z):
        pair = PARALLEL.product(product, v, z)
        mid_v, mid_z = (v.lower + v.upper) / 2, (z.lower + z.upper) / 2
        surface = product.value(mid_v, mid_z)
        crossing = [
            Plane(p.slope_v, p.slope_z, surface - p.slope_v * mid_v - p.slope_z * mid_z)
            for p in (pair.lower, pair.upper)
        ]
        return PlanePair(*crossing)

    def law(relaxation):
        lower = bound(question.model, inputs, question.spec, relaxation, dtype=torch.float64).lower
        return excess(question, lower)[1]

    assert law(PARALLEL) <= 0
    assert law(dataclasses.replace(PARALLEL, product=faulty)) > 0


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "rnn_sigmoid"])
def test_a_planted_fault_in_a_line_is_seen_by_the_law(cell):
    rng = np.random.default_rng(1)
    weights = [torch.tensor(rng.normal(0, 1, s)) for s in ((4, 3), (4, 4), (4,), (4,))]
    head = Dense(torch.tensor(rng.normal(0, 1, (3, 4))), torch.zeros(3).double())
    model = RecurrentClassifier(((Direction(cell, *weights),),), (head,))
    inputs = FrameBalls(torch.zeros(1, 2, 3, dtype=torch.float64), torch.full((1, 2), 1.0, dtype=torch.float64))
    question = Question(model, inputs, both_signs(3), 0)

    def faulty(curve, v):
        pair = PARALLEL.curve(curve, v)
        middle = (v.lower + v.upper) / 2
        value = curve.value(middle)
        crossing = [Plane(p.slope_v, p.slope_z, value - p.slope_v * middle) for p in (pair.lower, pair.upper)]
        return PlanePair(*crossing)

    def law(relaxation):
        lower = bound(model, inputs, question.spec, relaxation, dtype=torch.float64).lower
        return excess(question, lower)[1]

    assert law(PARALLEL) <= 0
    assert law(dataclasses.replace(PARALLEL, curve=faulty)) > 0


# Cases with a story.


def test_margin_rows_of_a_correct_sample_are_its_margins():
    spec = untargeted(torch.tensor([1]), 3)
    assert spec.C.tolist() == [[[-1.0, 1.0, 0.0], [0.0, 1.0, -1.0]]]


def test_layers_in_front_of_the_recurrence_are_counted_once():
    """The constant of an affine step that feeds another one was added both there and behind it."""
    model = lstm(inputs=2)
    model = dataclasses.replace(model, before=(Dense(torch.ones(2, 3).double(), torch.ones(2).double()),))
    inputs = FrameBalls(torch.ones(1, 2, 3).double(), torch.full((1, 2), 0.1, dtype=torch.float64))
    question = Question(model, inputs, both_signs(3), 0)
    lower = bound(model, inputs, question.spec, PARALLEL, dtype=torch.float64).lower
    assert excess(question, lower)[1] <= 0
    gap = torch.cat((model.logits(inputs.center), -model.logits(inputs.center)), 1) - lower
    assert bool((gap < 2.0).all())


def test_an_activation_alone_in_front_reads_the_input_itself():
    model = dataclasses.replace(lstm(), before=(Activation("tanh"),))
    inputs = FrameBalls(torch.ones(1, 2, 3).double(), torch.full((1, 2), 0.1, dtype=torch.float64))
    question = Question(model, inputs, both_signs(3), 0)
    assert excess(question, bound(model, inputs, question.spec, PARALLEL, dtype=torch.float64).lower)[1] <= 0


def test_float32_with_a_finite_norm_and_a_fixed_frame():
    """The centre's cast can move it beyond an end of its box: the room there was negative, and its power NaN."""
    model = lstm(inputs=2, hidden=1, classes=2, fill=0.5)
    center = torch.tensor([[[0.1, 0.7]]], dtype=torch.float64)
    inputs = FrameBalls(center, torch.zeros(1, 1, dtype=torch.float64), 1.5, (0.0, 1.0))
    spec = untargeted(torch.tensor([0]), 2)
    lower = bound(model, inputs, spec, PARALLEL, dtype=torch.float32).lower.double()
    exact = torch.einsum("bsk,bk->bs", spec.C, model.logits(center))
    assert bool((lower <= exact).all())
    assert bool((lower >= exact - 1e-3).all())


def test_weights_that_underflow_in_float32_are_refused():
    model = lstm(inputs=2, hidden=1, classes=2, fill=1e-42)
    inputs = FrameBalls(torch.zeros(1, 1, 2).double(), torch.zeros(1, 1).double())
    spec = untargeted(torch.tensor([0]), 2)
    bound(model, inputs, spec, PARALLEL, dtype=torch.float64)
    with pytest.raises(ModelError, match="1e-42"):
        bound(model, inputs, spec, PARALLEL, dtype=torch.float32)


def at_the_origin(model, inputs):
    balls = FrameBalls(torch.zeros(1, 1, inputs).double(), torch.zeros(1, 1).double())
    return balls, untargeted(torch.tensor([0]), model.classes)


@pytest.mark.parametrize("new", [False, True], ids=["one setting", "settings by backend"])
def test_the_matmul_precision_of_the_user_is_kept_and_not_used(new):
    """By a process of its own: torch refuses to read the one setting for ever once a backend's own was set."""
    program = f"""
import dataclasses, torch
from gpu_engine.propagation.schedule import bound
from tests.engine.test_bounds_law import PARALLEL, at_the_origin, lstm
backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
if {new}:
    backends[0].fp32_precision = "tf32"
    backends[1].fp32_precision = "bf16"
else:
    torch.set_float32_matmul_precision("medium")
before = [backend.fp32_precision for backend in backends]
seen = []
def watching(product, v, z):
    seen.append([backend.fp32_precision for backend in backends])
    return PARALLEL.product(product, v, z)
model = lstm(inputs=2, hidden=1, classes=2, fill=0.5)
bound(model, *at_the_origin(model, 2), dataclasses.replace(PARALLEL, product=watching), dtype=torch.float32)
assert seen and all(values == ["ieee", "ieee"] for values in seen), seen
assert [backend.fp32_precision for backend in backends] == before
if not {new}:
    assert torch.get_float32_matmul_precision() == "medium"
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("cell", ["rnn_relu", "rnn_tanh"])
def test_autocast_has_no_influence(cell):
    """Products in bfloat16 gave bounds above the truth by up to 0.04."""
    rng = np.random.default_rng(2)
    weights = [torch.tensor(rng.normal(0, 1, s)) for s in ((16, 3), (16, 16), (16,), (16,))]
    head = Dense(torch.tensor(rng.normal(0, 1, (2, 16))), torch.zeros(2).double())
    model = RecurrentClassifier(((Direction(cell, *weights),),), (head,))
    inputs = FrameBalls(torch.tensor(rng.normal(0, 1, (2, 3, 3))), torch.zeros(2, 3).double())
    spec = untargeted(torch.zeros(2, dtype=torch.int64), 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = bound(model, inputs, spec, PARALLEL, dtype=torch.float32).lower
    assert torch.equal(inside, bound(model, inputs, spec, PARALLEL, dtype=torch.float32).lower)


def dense(weight, bias):
    return Dense(torch.tensor([[weight]], dtype=torch.float64), torch.tensor([bias], dtype=torch.float64))


def test_what_underflows_in_a_constant_is_charged_behind_large_weights():
    """1e-25 * 1.1e-18 is lost in float32, and 1e30 brings it back: a false claim was proved."""
    one = [torch.tensor(v, dtype=torch.float64) for v in ([[1e30]], [[0.0]], [0.0], [0.0])]
    model = RecurrentClassifier(((Direction("rnn_relu", *one),),), (dense(1.0, 0.0),), before=(dense(1e-25, 0.0),))
    inputs = FrameBalls(torch.full((1, 1, 1), 1.1e-18).double(), torch.zeros(1, 1).double())
    spec = Specification(torch.full((1, 1, 1), -1.0).double(), torch.full((1, 1), 1.096e-13).double())
    for dtype in (torch.float32, torch.float64):
        lower = float(bound(model, inputs, spec, PARALLEL, dtype=dtype).lower)
        assert Fraction(lower) <= Fraction(1.096e-13) - Fraction(1e30) * Fraction(1e-25) * Fraction(
            inputs.center.item()
        )


def test_what_underflows_between_biases_is_charged():
    zero = [torch.zeros(s, dtype=torch.float64) for s in ((1, 1), (1, 1), (1,), (1,))]
    cases = (torch.float32, 1.3e-20, 1.7e-22, 3e38), (torch.float64, 1.3e-160, 1.7e-158, 3e307)
    for dtype, bias, weight, row in cases:
        after = (dense(0.0, bias), dense(weight, 0.0))
        model = RecurrentClassifier(((Direction("rnn_tanh", *zero),),), after)
        inputs = FrameBalls(torch.zeros(1, 1, 1).double(), torch.zeros(1, 1).double())
        for sign in (1, -1):
            spec = Specification(torch.full((1, 1, 1), sign * row, dtype=torch.float64), torch.zeros(1, 1).double())
            lower = float(bound(model, inputs, spec, PARALLEL, dtype=dtype).lower)
            assert Fraction(lower) <= sign * Fraction(row) * Fraction(weight) * Fraction(bias)


def test_a_negated_view_is_not_taken_for_its_base():
    """`imag` of a conjugate is a view of the same memory with the same shape and strides."""
    base = torch.complex(torch.zeros(1, 1).double(), torch.full((1, 1), 0.7).double())
    a, minus_a = base.imag, base.conj().imag
    assert minus_a.is_neg()
    bias = torch.ones(1, dtype=torch.float64)
    model = RecurrentClassifier(((Direction("rnn_relu", a, minus_a, bias, bias),),), (dense(1.0, 0.0),))
    inputs = FrameBalls(torch.ones(1, 2, 1).double(), torch.zeros(1, 2).double())
    spec = Specification(torch.ones(1, 1, 1).double(), torch.zeros(1, 1).double())
    lower = bound(model, inputs, spec, PARALLEL, dtype=torch.float64).lower
    torch.testing.assert_close(lower, model.logits(inputs.center), rtol=1e-9, atol=1e-9)


def test_rows_for_another_number_of_samples_are_refused():
    model = lstm(inputs=2)
    inputs = FrameBalls(torch.zeros(2, 1, 2).double(), torch.zeros(2, 1).double())
    for count in (1, 5):
        with pytest.raises(SpecificationError, match=f"rows for {count} samples"):
            certify(model, inputs, untargeted(torch.zeros(count, dtype=torch.int64), 3))
    with pytest.raises(SpecificationError, match="whole numbers"):
        certify(model, inputs, untargeted(torch.zeros(2, dtype=torch.int64), 3), lengths=torch.tensor([1.0, 0.5]))
    with pytest.raises(SpecificationError, match="need"):
        certify(model, inputs, untargeted(torch.zeros(2, dtype=torch.int64), 7))

"""Soundness laws of the whole engine: no perturbation ever leaves the bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, target
from hypothesis import strategies as st

from gpu_engine.errors import ModelError
from gpu_engine.model import LSTMLayer, RecurrentClassifier
from gpu_engine.propagation.schedule import bound
from gpu_engine.relaxations.rules import RULES
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, Specification, untargeted
from tests.engine.boxes import classifiers

RADII = (0.0, 1e-12, 1e-6, 1e-3, 0.05, 0.5, 3.0, 100.0)
NORMS = (1.0, 1.5, 2.0, 3.0, math.inf)


@st.composite
def questions(draw):
    """A network, an input set and every logit as a specification row, both signs."""
    model = draw(classifiers())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    batch, time = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    clip = draw(st.sampled_from([None, (0.0, 1.0), (-0.25, 2.0)]))
    low, high = clip if clip is not None else (-2.0, 2.0)
    center = torch.tensor(rng.uniform(low, high, (batch, time, model.input_size)))
    # pixels at the border of the range are the rule, not the exception
    center = torch.where(torch.tensor(rng.random(center.shape)) < 0.3, low, center)
    radius = torch.tensor(rng.choice(RADII, (batch, time)))
    if draw(st.booleans()):
        radius = torch.full_like(radius, draw(st.sampled_from(RADII)))
    p = draw(st.sampled_from(NORMS))
    inputs = FrameBalls(center, radius, p, clip)
    rows = torch.cat((torch.eye(model.classes), -torch.eye(model.classes))).double()
    rows = torch.cat((rows, torch.tensor(rng.normal(0, 1, (2, model.classes)))))
    d = torch.tensor(rng.normal(0, 1, (batch, len(rows))))
    return model, inputs, Specification(rows.expand(batch, -1, -1).clone(), d), int(rng.integers(2**31))


def _project(inputs: FrameBalls, delta: torch.Tensor) -> torch.Tensor:
    """Shrink perturbations (many, batch, time, input) into the balls, then into the clip range."""
    size = torch.linalg.vector_norm(delta, ord=inputs.p, dim=-1, keepdim=True)
    radius = inputs.radius[..., None]
    shrunk = delta * torch.where(size > radius, radius / size.clamp(min=1e-300), 1.0)
    if math.isinf(inputs.p):
        shrunk = torch.minimum(torch.maximum(delta, -radius), radius)
    x = inputs.center + shrunk
    return x.clamp(*inputs.clip) if inputs.clip is not None else x


def _perturbed(inputs: FrameBalls, generator: torch.Generator) -> torch.Tensor:
    """Inside, on the border, at corners and at single coordinates; (many, batch, time, input)."""
    shape = (40, *inputs.center.shape)
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    radius = inputs.radius[..., None]
    inside = normal * radius * torch.rand((40, 1, 1, 1), generator=generator, dtype=torch.float64)
    border = normal * radius * 1e3
    corners = normal.sign() * radius
    single = torch.zeros_like(normal)
    pick = torch.randint(shape[-1], (*shape[:-1], 1), generator=generator)
    single.scatter_(-1, pick, normal.sign().gather(-1, pick))
    return _project(inputs, torch.cat((inside, border, corners, single * radius)))


def _values(model: RecurrentClassifier, spec: Specification, x: torch.Tensor) -> torch.Tensor:
    """Rows C F(x) + d for x (many, batch, time, input) -> (many, batch, spec)."""
    logits = torch.stack([model.logits(one) for one in x])
    return torch.einsum("bsk,mbk->mbs", spec.C, logits) + spec.d


def _attacked(model: RecurrentClassifier, inputs: FrameBalls, spec: Specification, steps: int = 12) -> torch.Tensor:
    """Signed-gradient descent on every row at once; (rows, batch, time, input)."""
    rows = spec.C.shape[1]
    delta = torch.zeros((rows, *inputs.center.shape), dtype=torch.float64)
    for k in range(steps):
        x = _project(inputs, delta).requires_grad_(True)
        values = torch.stack([_values(model, spec, x[r : r + 1])[0, :, r] for r in range(rows)])
        (gradient,) = torch.autograd.grad(values.sum(), x)
        delta = delta - gradient.sign() * inputs.radius[..., None] * (0.6 if k < 4 else 0.15)
    return _project(inputs, delta).detach()


def _rounding(model: RecurrentClassifier, spec: Specification) -> torch.Tensor:
    """What the plain float64 forward pass can be off by, generously: (batch, spec)."""
    size = (spec.C.abs() @ model.head_weight.abs()).sum(-1) + spec.C.abs() @ model.head_bias.abs() + spec.d.abs()
    largest = max(float(weight.abs().max()) for weight in model.named_weights().values())
    return size * 1e-13 * (1 + largest) ** 2 * 1e3


@pytest.mark.parametrize("rule", sorted(RULES))
@given(question=questions())
def test_no_perturbation_leaves_the_bounds(rule, question):
    model, inputs, spec, seed = question
    lower = bound(model, inputs, spec, RULES[rule], dtype=torch.float64).lower
    generator = torch.Generator().manual_seed(seed)
    x = torch.cat((_perturbed(inputs, generator), _attacked(model, inputs, spec)))
    below = (lower - _values(model, spec, x)).amax(0)
    excess = float((below - _rounding(model, spec)).max())
    target(float(below.max()), label="bound minus the least value found")
    assert excess <= 0


@given(question=questions())
@settings(max_examples=30)
def test_float32_is_sound_too(question):
    model, inputs, spec, seed = question
    lower = bound(model, inputs, spec, RULES["parallel"], dtype=torch.float32).lower.double()
    x = torch.cat((_perturbed(inputs, torch.Generator().manual_seed(seed)), _attacked(model, inputs, spec)))
    assert bool((lower - _values(model, spec, x) <= _rounding(model, spec)).all())


@pytest.mark.parametrize("rule", sorted(RULES))
@given(question=questions())
def test_every_box_contains_its_variable(rule, question):
    """All gates and cell states of a plain forward pass lie in the boxes behind the planes."""
    model, inputs, spec, seed = question
    products = bound(model, inputs, spec, RULES[rule], dtype=torch.float64).products
    boxes = {(p.name, p.layer, p.t): p for p in products}
    largest = max(float(weight.abs().max()) for weight in model.named_weights().values())
    for x in _perturbed(inputs, torch.Generator().manual_seed(seed))[::8]:
        sequence = x
        for k, layer in enumerate(model.layers):
            h = torch.zeros(len(x), layer.hidden_size, dtype=torch.float64)
            c, outputs = torch.zeros_like(h), []
            for t in range(x.shape[1]):
                gates = sequence[:, t] @ layer.weight_ih.T + h @ layer.weight_hh.T + layer.bias_ih + layer.bias_hh
                i, f, g, o = gates.chunk(4, 1)
                before = c
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                seen = {"input": (i, g), "forget": (f, before), "output": (o, c)}
                for name, (v, z) in seen.items():
                    if (name, k, t) not in boxes:
                        assert name == "forget" and t == 0
                        continue
                    product = boxes[name, k, t]
                    for value, box in ((v, product.v), (z, product.z)):
                        slack = 1e-11 * (1 + largest) ** 2 * (1 + value.abs())
                        assert bool((box.lower <= value + slack).all())
                        assert bool((value <= box.upper + slack).all())
                h = torch.sigmoid(o) * torch.tanh(c)
                outputs.append(h)
            sequence = torch.stack(outputs, 1)


@given(question=questions())
def test_batch_is_loop_and_chunks_change_nothing(question):
    model, inputs, spec, _ = question
    whole = certify(model, inputs, spec, Options(chunk=64)).lower
    chunked = certify(model, inputs, spec, Options(chunk=1)).lower
    torch.testing.assert_close(whole, chunked, rtol=1e-9, atol=1e-9)


@given(question=questions())
def test_inputs_are_unchanged(question):
    model, inputs, spec, _ = question
    before = [t.clone() for t in (inputs.center, inputs.radius, spec.C, spec.d, *model.named_weights().values())]
    bound(model, inputs, spec, RULES["parallel"], dtype=torch.float64)
    after = (inputs.center, inputs.radius, spec.C, spec.d, *model.named_weights().values())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@given(question=questions())
def test_a_point_input_set_gives_the_exact_output_within_rounding(question):
    model, inputs, spec, _ = question
    point = FrameBalls(inputs.center, torch.zeros_like(inputs.radius), inputs.p, inputs.clip)
    lower = bound(model, point, spec, RULES["parallel"], dtype=torch.float64).lower
    exact = _values(model, spec, point.center[None])[0]
    assert bool((lower <= exact + _rounding(model, spec)).all())
    # Saturating weights amplify rounding from frame to frame; the law is about ordinary ones.
    if max(float(w.abs().max()) for w in model.named_weights().values()) < 4:
        torch.testing.assert_close(lower, exact, rtol=1e-7, atol=1e-7)


@given(question=questions(), share=st.floats(0.0, 1.0))
def test_a_smaller_input_set_is_inside_in_fact(question, share):
    """Not that bounds are monotone (they need not be), but that both are sound for the smaller set."""
    model, inputs, spec, seed = question
    smaller = FrameBalls(inputs.center, inputs.radius * share, inputs.p, inputs.clip)
    lower = bound(model, inputs, spec, RULES["parallel"], dtype=torch.float64).lower
    x = _perturbed(smaller, torch.Generator().manual_seed(seed))
    assert bool((lower - _values(model, spec, x) <= _rounding(model, spec)).all())


def test_a_planted_fault_in_a_plane_is_seen_by_the_law():
    """The law can fail: planes that cross the surface at the centre of the box break it."""
    from gpu_engine.bounds import Plane, PlanePair

    rng = np.random.default_rng(3)
    shapes = ((16, 3), (16, 4), (16,), (16,))
    layer = LSTMLayer(*(torch.tensor(rng.normal(0, 1, s)) for s in shapes))
    head, bias = torch.tensor(rng.normal(0, 1, (3, 4))), torch.zeros(3, dtype=torch.float64)
    model = RecurrentClassifier((layer,), head, bias)
    inputs = FrameBalls(torch.zeros(1, 1, 3, dtype=torch.float64), torch.full((1, 1), 2.0, dtype=torch.float64))
    rows = torch.cat((torch.eye(3), -torch.eye(3))).double()[None]
    spec = Specification(rows, torch.zeros(1, 6, dtype=torch.float64))

    def faulty(product, v, z):
        pair = RULES["parallel"](product, v, z)
        mid_v, mid_z = (v.lower + v.upper) / 2, (z.lower + z.upper) / 2
        surface = product.value(mid_v, mid_z)
        crossing = [
            Plane(p.slope_v, p.slope_z, surface - p.slope_v * mid_v - p.slope_z * mid_z)
            for p in (pair.lower, pair.upper)
        ]
        return PlanePair(*crossing)

    values = _values(model, spec, _attacked(model, inputs, spec, steps=40)).amin(0)
    sound = bound(model, inputs, spec, RULES["parallel"], dtype=torch.float64).lower
    assert bool((sound <= values).all())
    assert bool((bound(model, inputs, spec, faulty, dtype=torch.float64).lower > values).any())


def test_margin_rows_of_a_correct_sample_are_its_margins():
    spec = untargeted(torch.tensor([1]), 3)
    assert spec.C.tolist() == [[[-1.0, 1.0, 0.0], [0.0, 1.0, -1.0]]]


def test_float32_with_a_finite_norm_and_a_fixed_frame():
    """The centre's cast can move it beyond an end of its box: the room there was negative, and its power NaN."""
    layer = LSTMLayer(*(torch.full(s, 0.5, dtype=torch.float64) for s in ((4, 2), (4, 1), (4,), (4,))))
    model = RecurrentClassifier((layer,), torch.eye(2, 1).double(), torch.zeros(2, dtype=torch.float64))
    center = torch.tensor([[[0.1, 0.7]]], dtype=torch.float64)
    inputs = FrameBalls(center, torch.zeros(1, 1, dtype=torch.float64), 1.5, (0.0, 1.0))
    spec = untargeted(torch.tensor([0]), 2)
    lower = bound(model, inputs, spec, RULES["parallel"], dtype=torch.float32).lower.double()
    exact = _values(model, spec, center[None])[0]
    assert bool((lower <= exact).all())
    assert bool((lower >= exact - 1e-3).all())


def test_weights_that_underflow_in_float32_are_refused():
    layer = LSTMLayer(*(torch.full(s, 1e-42, dtype=torch.float64) for s in ((4, 2), (4, 1), (4,), (4,))))
    model = RecurrentClassifier((layer,), torch.eye(2, 1).double(), torch.zeros(2, dtype=torch.float64))
    inputs = FrameBalls(torch.zeros(1, 1, 2).double(), torch.zeros(1, 1).double())
    spec = untargeted(torch.tensor([0]), 2)
    bound(model, inputs, spec, RULES["parallel"], dtype=torch.float64)
    with pytest.raises(ModelError, match="1e-42"):
        bound(model, inputs, spec, RULES["parallel"], dtype=torch.float32)


def test_the_matmul_precision_of_the_user_is_kept_and_not_used():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        layer = LSTMLayer(*(torch.full(s, 0.5, dtype=torch.float64) for s in ((4, 2), (4, 1), (4,), (4,))))
        model = RecurrentClassifier((layer,), torch.eye(2, 1).double(), torch.zeros(2, dtype=torch.float64))
        seen = []

        def watching(product, v, z):
            seen.append(torch.get_float32_matmul_precision())
            return RULES["parallel"](product, v, z)

        inputs = FrameBalls(torch.zeros(1, 1, 2).double(), torch.zeros(1, 1).double())
        bound(model, inputs, untargeted(torch.tensor([0]), 2), watching, dtype=torch.float32)
        assert set(seen) == {"highest"}
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)

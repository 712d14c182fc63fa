"""Laws of concretization: never above the true minimum over the input set, and exact where it says so."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.errors import SpecificationError
from gpu_engine.propagation.concretize import dual_norm, prepare
from gpu_engine.spec import FrameBalls, dual_exponent

NORMS = (1.0, 1.1, 1.5, 2.0, 3.0, 10.0, math.inf)


@st.composite
def balls(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 7))
    clip = draw(st.sampled_from([None, (0.0, 1.0)]))
    center = rng.uniform(0, 1, (2, 1, size))
    center = np.where(rng.random(center.shape) < 0.4, rng.integers(0, 2, center.shape), center)
    radius = np.full((2, 1), draw(st.sampled_from([0.0, 1e-9, 0.01, 0.3, 2.0])))
    rows = rng.normal(0, draw(st.sampled_from([1e-8, 1.0, 1e6])), (2, 4, size))
    rows[rng.random(rows.shape) < 0.2] = 0.0
    p = draw(st.sampled_from(NORMS))
    return FrameBalls(torch.tensor(center), torch.tensor(radius), p, clip), torch.tensor(rows)


def _true_minimum(inputs: FrameBalls, rows: torch.Tensor) -> torch.Tensor:
    """Convex program (cvxpy): min rows . (x - center) over ball and clip range, (2, 4)."""
    import cvxpy as cp

    found = torch.zeros(rows.shape[:2], dtype=torch.float64)
    for b in range(rows.shape[0]):
        center, radius = inputs.center[b, 0].numpy(), float(inputs.radius[b, 0])
        for r in range(rows.shape[1]):
            scale = float(rows[b, r].abs().max()) or 1.0
            delta = cp.Variable(len(center))  # in units of the radius
            order = "inf" if math.isinf(inputs.p) else inputs.p
            constraints = [cp.norm(delta, order) <= 1]
            if inputs.clip is not None and radius > 0:
                constraints += [delta >= (inputs.clip[0] - center) / radius]
                constraints += [delta <= (inputs.clip[1] - center) / radius]
            problem = cp.Problem(cp.Minimize((rows[b, r].numpy() / scale) @ delta), constraints)
            problem.solve(solver=cp.CLARABEL)
            found[b, r] = problem.value * scale * radius
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")  # cvxpy on its conic approximation of p-norms
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
def test_bound_is_the_minimum(norm, clip):
    """Sound, and tight to a per mille for every norm, cut by a clip range or not."""
    rng = np.random.default_rng(17)
    for _ in range(3):
        center = rng.uniform(0, 1, (2, 1, 5))
        center = np.where(rng.random(center.shape) < 0.4, rng.integers(0, 2, center.shape), center)
        rows = torch.tensor(rng.normal(0, 1, (2, 4, 5)))
        inputs = FrameBalls(torch.tensor(center), torch.full((2, 1), 0.3).double(), norm, clip)
        bound = prepare(inputs, torch.float64).concretize(rows, 0)
        shifted = bound + torch.einsum(
            "bsi,bi->bs", rows, prepare(inputs, torch.float64).center[:, 0] - inputs.center[:, 0]
        )
        true = _true_minimum(inputs, rows)
        assert bool((shifted <= true + 1e-6).all())
        assert bool((shifted >= true - 2e-3 * true.abs() - 1e-6).all())


@given(question=balls(), seed=st.integers(0, 2**32 - 1))
def test_no_point_of_the_set_is_below(question, seed):
    inputs, rows = question
    prepared = prepare(inputs, torch.float64)
    bound = prepared.concretize(rows, 0)
    rng = np.random.default_rng(seed)
    delta = torch.tensor(rng.normal(0, 1, (50, 2, 1, rows.shape[-1])))
    if seed % 2:
        # the worst direction of Hoelder's inequality for one of the rows
        q = dual_exponent(inputs.p)
        worst = (
            rows[:, 0].abs() ** (q - 1) if math.isfinite(q) else (rows[:, 0].abs() == rows[:, 0].abs().amax(-1, True))
        )
        delta[:, :, 0] = -rows[:, 0].sign() * worst + 1e-3 * delta[:, :, 0]
    size = torch.linalg.vector_norm(delta, ord=inputs.p, dim=-1, keepdim=True)
    x = inputs.center + delta / size.clamp(min=1e-300) * inputs.radius[..., None] * (1 - 1e-15)
    if inputs.clip is not None:
        x = x.clamp(*inputs.clip)
    value = torch.einsum("bsi,nbi->nbs", rows, x[:, :, 0] - prepared.center[:, 0])
    slack = 1e-14 * rows.abs().sum(-1) * (1 + inputs.radius.max())
    assert bool((bound <= value.amin(0) + slack).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(question=balls())
def test_prepared_box_is_outward(dtype, question):
    inputs, _ = question
    prepared = prepare(inputs, dtype)
    radius = inputs.radius[..., None]
    low, high = inputs.center - radius, inputs.center + radius
    if inputs.clip is not None:
        low, high = low.clamp(min=inputs.clip[0]), high.clamp(max=inputs.clip[1])
    assert bool((prepared.box.lower.double() <= low).all())
    assert bool((prepared.box.upper.double() >= high).all())
    center = prepared.center.double()
    assert bool((center - prepared.below_center.double() <= low).all())
    assert bool((center + prepared.above_center.double() >= high).all())
    fixed = (radius == 0).expand_as(low)
    assert torch.equal(prepared.box.lower[fixed].double(), inputs.center[fixed]) or dtype == torch.float32


def test_dual_norm_does_not_overflow_or_underflow():
    for scale in (1e200, 1e-200):
        row = torch.tensor([[3.0, 4.0]], dtype=torch.float64) * scale
        assert float(dual_norm(row, 2.0)) == pytest.approx(5 * scale, rel=1e-15)
    assert float(dual_norm(torch.zeros(1, 3, dtype=torch.float64), 1.7)) == 0.0


def test_dual_exponents():
    assert dual_exponent(1.0) == math.inf
    assert dual_exponent(math.inf) == 1.0
    assert dual_exponent(2.0) == 2.0
    assert 1 / dual_exponent(3.0) + 1 / 3 == pytest.approx(1, abs=1e-14)
    assert dual_exponent(3.0) < 1.5


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"p": 0.5}, "p = 0.5"),
        ({"p": math.nan}, "p = nan"),
        ({"clip": (1.0, 0.0)}, "[1.0, 0.0]"),
        ({"clip": (0.2, 1.0)}, "outside the clip range"),
        ({"radius": torch.full((1, 2), -1.0).double()}, "-1.0"),
        ({"radius": torch.full((1, 2), math.nan).double()}, "nan"),
        ({"radius": torch.zeros(1, 3).double()}, "(1, 3)"),
        ({"center": torch.full((1, 2, 3), math.inf).double()}, "inf"),
        ({"center": torch.zeros(1, 2, 3)}, "float32"),
        ({"center": torch.zeros(2, 3).double()}, "(2, 3)"),
    ],
)
def test_bad_input_sets_show_the_value(change, shown):
    good = {"center": torch.zeros(1, 2, 3).double(), "radius": torch.zeros(1, 2).double()}
    with pytest.raises(SpecificationError) as caught:
        FrameBalls(**(good | change))
    assert shown in str(caught.value)


def test_rooms_that_are_next_to_nothing():
    """A cast to float32 leaves rooms of 1e-45: the split's multiplier must not overflow into NaN."""
    center = torch.tensor([[[0.1, 0.0, 1.0]]], dtype=torch.float64)
    for p in (1.0, 1.5, 2.0, 3.0, 10.0):
        for radius in (0.0, 1e-44, 1e-30, 3.0):
            inputs = FrameBalls(center, torch.full((1, 1), radius).double(), p, (0.0, 1.0))
            for dtype in (torch.float32, torch.float64):
                rows = torch.tensor([[[1.0, 2.0, -3.0], [1e-30, 0.0, 1e30]]], dtype=dtype)
                found = prepare(inputs, dtype).concretize(rows, 0)
                assert bool(torch.isfinite(found).all())
                assert bool((found <= 0).all())

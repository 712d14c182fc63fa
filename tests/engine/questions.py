"""Hypothesis strategies for whole questions (network, input set, rows) and points of every input set."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import Specification
from tests.engine.networks import networks

RADII = (0.0, 1e-12, 1e-6, 1e-3, 0.05, 0.5, 3.0, 100.0)
NORMS = (1.0, 1.5, 2.0, 3.0, math.inf)
SETS = ("frames", "sequence", "boxes", "substitutions")
# Shrinks a perturbation whose length was computed in floating point, so that it is inside for certain.
INSIDE = 1 - 1e-12


@dataclass(frozen=True)
class Question:
    """A network, an input set, rows C F(x) + d for every sample, and a seed for perturbations."""

    model: RecurrentClassifier
    inputs: InputSet
    spec: Specification
    seed: int


@st.composite
def questions(draw, sets=SETS, max_time=4, **kinds) -> Question:
    """Every logit with both signs and two mixed rows."""
    model = draw(networks(**kinds))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    batch, time = draw(st.integers(1, 2)), draw(st.integers(1, max_time))
    inputs = draw(input_sets(rng, (batch, time, model.input_size), sets))
    outputs = model.outputs(time)
    eye = torch.eye(outputs, dtype=torch.float64)
    rows = torch.cat((eye, -eye, torch.tensor(rng.normal(0, 1, (2, outputs)))))
    d = torch.tensor(rng.normal(0, 1, (batch, len(rows))))
    return Question(model, inputs, Specification(rows.expand(batch, -1, -1).clone(), d), int(rng.integers(2**31)))


@st.composite
def input_sets(draw, rng, shape, sets=SETS) -> InputSet:
    """An input set of any kind around random frames."""
    kind = draw(st.sampled_from(sets))
    batch, time, size = shape
    clip = draw(st.sampled_from([None, (0.0, 1.0), (-0.25, 2.0)])) if kind in ("frames", "sequence") else None
    low, high = clip if clip is not None else (-2.0, 2.0)
    center = torch.tensor(rng.uniform(low, high, shape))
    # pixels at the border of the range are the rule, not the exception
    center = torch.where(torch.tensor(rng.random(shape)) < 0.3, low, center)
    p = draw(st.sampled_from(NORMS))
    how = draw(st.sampled_from(("exact", "simple")))
    scale = draw(st.sampled_from(RADII))
    if kind == "frames":
        radius = torch.tensor(rng.choice(RADII, (batch, time)))
        if draw(st.booleans()):
            radius = torch.full_like(radius, scale)
        return FrameBalls(center, radius, p, clip, clip_bound=how)
    if kind == "sequence":
        moves = torch.tensor(rng.random((batch, time)) < 0.7) if draw(st.booleans()) else None
        return SequenceBall(
            center, torch.full((batch,), scale, dtype=torch.float64), p, clip, clip_bound=how, moves=moves
        )
    if kind == "boxes":
        width = torch.tensor(rng.uniform(0, 1, (2, *shape)) * (rng.random((2, *shape)) < 0.8)) * scale
        return Boxes(center - width[0], center + width[1])
    count = draw(st.integers(1, 4))
    candidates = center[:, :, None] + torch.tensor(rng.normal(0, 1, (batch, time, count, size))) * scale
    return Substitutions(center, candidates, torch.tensor(rng.random((batch, time, count)) < 0.7))


def extreme(inputs: InputSet, gradient: Tensor) -> Tensor:
    """A point of the set that (nearly) minimises gradient . x; gradient (many, batch, time, input)."""
    if isinstance(inputs, Boxes):
        return torch.where(gradient > 0, inputs.lower, inputs.upper)
    if isinstance(inputs, Substitutions):
        return _best_candidate(inputs, gradient)
    if isinstance(inputs, SequenceBall):
        moves = torch.ones_like(gradient[0, ..., 0]) if inputs.moves is None else inputs.moves.double()
        masked = gradient * moves[..., None]
        step = _steepest(masked.flatten(2), inputs.p).view_as(gradient) * inputs.radius[:, None, None]
    else:
        step = _steepest(gradient, inputs.p) * inputs.radius[..., None]
    return _clipped(inputs, inputs.center - step * (1.0 if math.isinf(inputs.p) else INSIDE))


def _steepest(gradient: Tensor, p: float) -> Tensor:
    """The vector of l_p length at most 1 along the last axis that maximises gradient . vector."""
    size = gradient.abs()
    largest = size.amax(-1, keepdim=True).clamp(min=1e-300)
    if math.isinf(p):
        return gradient.sign()
    if p == 1:
        return torch.where(size == largest, gradient.sign(), 0.0) / (size == largest).sum(-1, keepdim=True).clamp(min=1)
    vector = gradient.sign() * (size / largest) ** (1 / (p - 1))
    return vector / (vector.abs() ** p).sum(-1, keepdim=True).clamp(min=1e-300) ** (1 / p)


def _clipped(inputs: FrameBalls | SequenceBall, x: Tensor) -> Tensor:
    if math.isinf(inputs.p):  # the float sum may lie beyond the real one
        x = _no_further(inputs, x)
    return x.clamp(*inputs.clip) if inputs.clip is not None else x


def _no_further(inputs: FrameBalls | SequenceBall, x: Tensor) -> Tensor:
    radius = inputs.radius[..., None] if isinstance(inputs, FrameBalls) else inputs.radius[:, None, None]
    rounded = (x - inputs.center).abs() > radius
    return torch.where(rounded, torch.nextafter(x, inputs.center.expand_as(x)), x)


def _best_candidate(inputs: Substitutions, gradient: Tensor) -> Tensor:
    all_of = torch.cat((inputs.center[:, :, None], inputs.candidates), 2)
    value = torch.einsum("mbti,btki->mbtk", gradient, all_of)
    closed = torch.cat((torch.zeros_like(inputs.allowed[..., :1]), ~inputs.allowed), -1)
    best = value.masked_fill(closed, math.inf).argmin(-1)
    many = all_of.expand(len(gradient), *all_of.shape)
    return many.gather(3, best[..., None, None].expand(*best.shape, 1, gradient.shape[-1]))[..., 0, :]


def points(question: Question, many: int = 24, steps: int = 3) -> Tensor:
    """Points of the set, (points, batch, time, input): its center, random extremes, and the rows' own descent."""
    inputs, generator = question.inputs, torch.Generator().manual_seed(question.seed)
    shape = (many, *inputs.center.shape)
    random = extreme(inputs, torch.randn(shape, generator=generator, dtype=torch.float64))
    share = torch.rand((many, 1, 1, 1), generator=generator, dtype=torch.float64)
    between = inputs.center + (random - inputs.center) * share * INSIDE
    found = [inputs.center[None].expand(1, *shape[1:]), random, between]
    rows = question.spec.C.shape[1]
    x = inputs.center.expand(rows, *shape[1:])
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        logits = question.model.logits(x.flatten(0, 1)).reshape(rows, shape[1], -1)
        (gradient,) = torch.autograd.grad(torch.einsum("rbk,brk->", logits, question.spec.C), x)
        x = extreme(inputs, torch.nan_to_num(gradient))
        found.append(x)
    return torch.cat([part.detach() for part in found])

"""Hypothesis strategies for input sets of every kind, and points that are in them beyond doubt (exact arithmetic)."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import torch
from hypothesis import strategies as st

from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions

NORMS = (1.0, 1.5, 2.0, 3.0, math.inf)
RADII = (0.0, 1e-9, 0.01, 0.3, 2.0)
KINDS = ("frames", "sequence", "boxes", "substitutions")
BATCH = 2

exactly = np.vectorize(Fraction, otypes=[object])


@st.composite
def input_sets(draw, kinds=KINDS, norms=NORMS):
    """A set of one of the kinds, batch 2, up to 3 frames of up to 5 values; centers touch the clip range."""
    kind, p = draw(st.sampled_from(kinds)), draw(st.sampled_from(norms))
    clip, clip_bound = draw(st.sampled_from([None, (0.0, 1.0)])), draw(st.sampled_from(["exact", "simple"]))
    size = draw(st.sampled_from(RADII))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (BATCH, draw(st.integers(1, 3)), draw(st.integers(1, 5)))
    center = rng.uniform(0, 1, shape)
    center = torch.tensor(np.where(rng.random(shape) < 0.4, rng.integers(0, 2, shape), center))
    if kind == "frames":
        radius = torch.tensor(size * rng.choice([0.0, 0.5, 1.0], shape[:2]))
        return FrameBalls(center, radius, p, clip, clip_bound)
    if kind == "sequence":
        moves = draw(st.sampled_from([None, "some"])) and torch.tensor(rng.random(shape[:2]) < 0.6)
        return SequenceBall(center, torch.full((BATCH,), size).double(), p, clip, moves, clip_bound)
    if kind == "boxes":
        reach = torch.tensor(size * rng.random((2, *shape)) * (rng.random((2, *shape)) < 0.7))
        return Boxes(center - reach[0], center + reach[1])
    candidates = draw(st.integers(1, 3))
    vectors = center[:, :, None] + torch.tensor(rng.normal(0, size, (*shape[:2], candidates, shape[2])))
    return Substitutions(center, vectors, torch.tensor(rng.random((*shape[:2], candidates)) < 0.7))


@st.composite
def rows_for(draw, inputs: InputSet, dtype=torch.float64, spec=3):
    """Rows (BATCH, time, spec, input) of one scale, some of them exactly zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (BATCH, inputs.time, spec, inputs.center.shape[2])
    rows = rng.normal(0, draw(st.sampled_from([1e-8, 1.0, 1e6])), shape)
    rows[rng.random(shape) < 0.2] = 0.0
    return torch.tensor(rows).to(dtype)


def members(inputs: InputSet, sample: int, row: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Points (time, input) of Fractions, among them ones that are bad for the row (time, input)."""
    center = exactly(inputs.center[sample].numpy())
    if isinstance(inputs, Boxes):
        low, high = exactly(inputs.lower[sample].numpy()), exactly(inputs.upper[sample].numpy())
        share = exactly(rng.random(low.shape))
        return [
            np.where(row > 0, low, high),
            np.where(rng.random(row.shape) < 0.5, low, high),
            low + share * (high - low),
        ]
    if isinstance(inputs, Substitutions):
        return _replaced(inputs, sample, row, rng)
    found = [center]
    for direction in (_worst(row, inputs, sample), rng.normal(0, 1, row.shape), -np.sign(row)):
        step = _in_ball(inputs, sample, direction)
        if step is not None:
            found.append(step)
            found += [near for near in _neighbours(inputs, sample, step, row) if near is not None]
    return found


def _replaced(inputs: Substitutions, sample: int, row: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    worst, anyone, mixed = [], [], []
    for t in range(inputs.time):
        allowed = inputs.candidates[sample, t][inputs.allowed[sample, t]].numpy()
        vectors = exactly(np.concatenate([inputs.center[sample, t][None].numpy(), allowed]))
        worst.append(min(vectors, key=lambda v: (exactly(row[t]) * v).sum()))
        anyone.append(vectors[rng.integers(len(vectors))])
        weights = exactly(rng.random(len(vectors)))
        mixed.append((weights[:, None] * vectors).sum(0) / weights.sum())
    return [np.stack(x) for x in (worst, anyone, mixed)]


def _worst(row: np.ndarray, inputs: FrameBalls | SequenceBall, sample: int) -> np.ndarray:
    """The minimiser of the row on the uncut balls, up to its length."""
    size = np.abs(row)
    if math.isinf(inputs.p):
        return -np.sign(row)
    if isinstance(inputs, SequenceBall) and inputs.moves is not None:
        size = size * inputs.moves[sample].numpy()[:, None]
    if inputs.p == 1:
        axis = -1 if isinstance(inputs, FrameBalls) else None
        return -np.sign(row) * (size == size.max(axis=axis, keepdims=True))
    scale = size.max(axis=-1, keepdims=True) if isinstance(inputs, FrameBalls) else size.max()
    return -np.sign(row) * (size / np.where(scale > 0, scale, 1)) ** (1 / (inputs.p - 1))


def contains(inputs: FrameBalls | SequenceBall, sample: int, x: np.ndarray) -> bool:
    """Is the point (time, input) of Fractions in the set? Exact; p = 1.5 may refuse within 1e-50 of the surface."""
    delta = x - exactly(inputs.center[sample].numpy())
    if inputs.clip is not None:
        low, high = (Fraction(end) for end in inputs.clip)
        if not all(low <= value <= high for value in x.flat):
            return False
    if isinstance(inputs, FrameBalls):
        radii = inputs.radius[sample].tolist()
        return all(_within(d, Fraction(r), inputs.p) for d, r in zip(delta, radii, strict=True))
    if inputs.moves is not None and any(value != 0 for value in delta[~inputs.moves[sample].numpy()].flat):
        return False
    return _within(delta.reshape(-1), Fraction(inputs.radius[sample].item()), inputs.p)


def _within(delta: np.ndarray, radius: Fraction, p: float) -> bool:
    sizes = [abs(d) for d in delta]
    if math.isinf(p):
        return max(sizes) <= radius
    if p == int(p):
        return sum(s ** int(p) for s in sizes) <= radius ** int(p)
    if max(sizes) == 0:
        return True
    with mpmath.workdps(70):
        length = mpmath.fsum((mpmath.mpf(s.numerator) / s.denominator) ** p for s in sizes)
        limit = (mpmath.mpf(radius.numerator) / radius.denominator) ** p
        return bool(length <= limit * (1 - mpmath.mpf(10) ** -50))


def _in_ball(inputs: FrameBalls | SequenceBall, sample: int, direction: np.ndarray) -> np.ndarray | None:
    """The float point farthest out in this direction, cut to the clip range."""
    center = inputs.center[sample].numpy()
    if isinstance(inputs, SequenceBall):
        if inputs.moves is not None:
            direction = direction * inputs.moves[sample].numpy()[:, None]
        length, radius = np.linalg.norm(direction.reshape(-1), inputs.p), inputs.radius[sample].numpy()
    else:
        length = np.linalg.norm(direction, inputs.p, axis=1, keepdims=True)
        radius = inputs.radius[sample].numpy()[:, None]
    step = direction / np.where(length > 0, length, 1) * radius
    for shrink in (0.0, *(2.0**j for j in range(-53, 0))):
        x = center + step * (1 - shrink)
        if inputs.clip is not None:
            x = x.clip(*inputs.clip)
        if contains(inputs, sample, exactly(x)):
            return exactly(x)
    return None


def _neighbours(
    inputs: FrameBalls | SequenceBall, sample: int, x: np.ndarray, row: np.ndarray
) -> list[np.ndarray | None]:
    """Points one or a few float numbers farther along the row, where they are still in the set."""
    point = x.astype(float)
    found = []
    for steps in (1, 4):
        near = point.copy()
        for _ in range(steps):
            near = np.nextafter(near, np.where(row > 0, -np.inf, np.where(row < 0, np.inf, near)))
        found.append(exactly(near) if contains(inputs, sample, exactly(near)) else None)
    return found

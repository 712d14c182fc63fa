"""The least value of a linear form on an input set, by section 5 of `proofs/spec/certificate_v1.md`."""

from __future__ import annotations

import numpy as np
from flint import arb


def least(inputs: dict, tensors: dict[str, np.ndarray], rows: dict[int, list[arb]]) -> arb:
    """min over X of sum_t rows[t] . x_t, for every kind of set but balls that a clip range cuts (p < infinity)."""
    if inputs["kind"] == "boxes":
        return _in_box(rows, tensors["lower"], tensors["upper"])
    center = tensors["center"]
    if inputs["kind"] == "substitutions":
        return _substituted(inputs["counts"], center, tensors.get("candidates"), rows)
    if inputs["p"] == "inf":
        return _in_box(rows, *ball_box(inputs, tensors))
    assert "clip" not in inputs
    p = float.fromhex(inputs["p"])
    at_center = sum((_dot(row, center[t]) for t, row in rows.items()), arb(0))
    if inputs["kind"] == "frame_balls":
        radius = tensors["radius"]
        return at_center - sum((arb(float(radius[t])) * _dual(row, p) for t, row in rows.items()), arb(0))
    moves = inputs.get("moves", list(range(len(center))))
    moving = [value for t, row in rows.items() if t in moves for value in row]
    return at_center - arb(float(tensors["radius"][0])) * _dual(moving, p)


def ball_box(inputs: dict, tensors: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The ends of p = infinity balls as balls of ball arithmetic, (time, input) each."""
    center = tensors["center"]
    time, size = center.shape
    radius = tensors["radius"] if inputs["kind"] == "frame_balls" else np.repeat(tensors["radius"], time)
    moves = inputs.get("moves", list(range(time)))
    low, high = np.empty((time, size), dtype=object), np.empty((time, size), dtype=object)
    for t in range(time):
        reach = arb(float(radius[t])) if t in moves else arb(0)
        for i in range(size):
            ends = arb(float(center[t, i])) - reach, arb(float(center[t, i])) + reach
            if "clip" in inputs:
                bottom, top = (arb(float.fromhex(end)) for end in inputs["clip"])
                ends = ends[0].max(bottom), ends[1].min(top)
            low[t, i], high[t, i] = ends
    return low, high


def _in_box(rows, low, high) -> arb:
    total = arb(0)
    for t, row in rows.items():
        for i, a in enumerate(row):
            total += (a * _arb(low[t, i])).min(a * _arb(high[t, i]))
    return total


def _substituted(counts, center, candidates, rows) -> arb:
    total, first = arb(0), 0
    for t, count in enumerate(counts):
        if t in rows:
            found = _dot(rows[t], center[t])
            for candidate in range(first, first + count):
                found = found.min(_dot(rows[t], candidates[candidate]))
            total += found
        first += count
    return total


def _arb(value) -> arb:
    return value if isinstance(value, arb) else arb(float(value))


def _dot(row, vector) -> arb:
    return sum((a * _arb(x) for a, x in zip(row, vector, strict=True)), arb(0))


def _dual(row: list[arb], p: float) -> arb:
    sizes = [abs(value) for value in row]
    if p == 1:
        largest = arb(0)
        for size in sizes:
            largest = largest.max(size)
        return largest
    q = arb(p) / (arb(p) - 1)
    total = sum((size**q if size > 0 else arb(0) for size in sizes), arb(0))
    return total ** (1 / q) if total > 0 else arb(0)

"""Is a point in an input set? Decided in rational arithmetic on the exact values of the floats.

Method card
    Exact      boxes, substitutions, clip ranges, frames that stay, and balls of whole norms and l_inf. A length in
               another norm is compared in ball arithmetic of PRECISION bits: what cannot be told from the border
               there is said to be outside. One coordinate alone is compared exactly in every norm.
    Shapes     points (batch, time, input), or (time, input) of Fractions for one sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
from flint import arb, ctx, fmpq
from numpy.typing import NDArray
from torch import Tensor

from gpu_engine import inputs
from gpu_engine.inputs import InputSet

Exact = NDArray[np.object_]
"""An array of Fractions."""

PRECISION: Final = 300


def exactly(values: Any) -> Exact:
    """The exact values of floats, as Fractions, in an array of the same shape."""
    numbers = np.asarray(values, dtype=np.float64)
    found = np.empty(numbers.shape, dtype=object)
    found.reshape(-1)[:] = [Fraction(value) for value in numbers.reshape(-1).tolist()]
    return found


def contains(sets: InputSet, x: Tensor) -> bool:
    """Are the points x (batch, time, input), one for each sample, all in their sets?

    Raises ValueError if x has another shape than the sets, OverflowError or ValueError if it is not finite.
    """
    if x.shape != sets.center.shape:
        raise ValueError(f"x has shape {tuple(x.shape)}; points of these sets have {tuple(sets.center.shape)}")
    return all(holds(sets, sample, exactly(x[sample].detach().cpu().numpy())) for sample in range(len(sets)))


def holds(sets: InputSet, sample: int, x: Exact) -> bool:
    """Is x (time, input), of Fractions, in the set of one sample?

    Substitutions hold the sequence and what their candidates make of it; mixtures of candidates are no members.
    """
    if isinstance(sets, inputs.Boxes):
        low, high = exactly(sets.lower[sample].numpy()), exactly(sets.upper[sample].numpy())
        return bool(((low <= x) & (x <= high)).all())
    if isinstance(sets, inputs.Substitutions):
        return all(_is_word(sets, sample, t, x[t]) for t in range(sets.time))
    if sets.clip is not None:
        low_end, high_end = (Fraction(end) for end in sets.clip)
        if not bool(((low_end <= x) & (x <= high_end)).all()):
            return False
    delta = x - exactly(sets.center[sample].numpy())
    if isinstance(sets, inputs.FrameBalls):
        radii = sets.radius[sample].tolist()
        return all(_is_within(d, Fraction(r), sets.p) for d, r in zip(delta, radii, strict=True))
    if sets.moves is not None and any(value != 0 for value in delta[~sets.moves[sample].numpy()].flat):
        return False
    return _is_within(delta.reshape(-1), Fraction(sets.radius[sample].item()), sets.p)


def _is_word(sets: inputs.Substitutions, sample: int, t: int, frame: Exact) -> bool:
    words = [sets.center[sample, t], *sets.candidates[sample, t][sets.allowed[sample, t]]]
    return any(bool((exactly(word.numpy()) == frame).all()) for word in words)


def _is_within(delta: Exact, radius: Fraction, p: float) -> bool:
    """Is the l_p length of delta (n,) at most the radius?"""
    sizes = [abs(d) for d in delta if d != 0]
    if not sizes:
        return True
    if len(sizes) == 1 or max(sizes) > radius or math.isinf(p):
        return bool(max(sizes) <= radius)
    if p == int(p):
        return bool(sum(size ** int(p) for size in sizes) <= radius ** int(p))
    return _is_surely_within(sizes, radius, p)


def _is_surely_within(sizes: Sequence[Fraction], radius: Fraction, p: float) -> bool:
    bits, ctx.prec = ctx.prec, PRECISION
    try:
        power = arb(p)
        total = arb(0)
        for size in sizes:
            total += _ball(size / radius) ** power
        return bool(total < arb(1))
    finally:
        ctx.prec = bits


def _ball(value: Fraction) -> arb:
    return arb(fmpq(value.numerator, value.denominator))

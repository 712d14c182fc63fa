"""Sigmoid and tanh in ball arithmetic, without cancellation far from zero."""

from __future__ import annotations

from typing import NamedTuple

from flint import arb

from refcert.kernel.ball import ONE


class Curve(NamedTuple):
    """Value and first derivative at a point."""

    value: arb
    slope: arb


def sigmoid(v: arb) -> Curve:
    """s = 1 / (1 + exp(-v)) and s (1 - s) = e / (1 + e)^2 with e = exp(-v)."""
    e = (-v).exp()
    s = ONE / (ONE + e)
    return Curve(s, s * s * e)


def tanh(z: arb) -> Curve:
    """t = tanh(z) and 1 - t^2 = 4 e / (1 + e)^2 with e = exp(-2 z)."""
    e = (-(z + z)).exp()
    r = ONE / (ONE + e)
    return Curve((ONE - e) * r, 4 * e * r * r)

"""Exact points of an axis with the curve's value, slope and distances from its limits there, as balls.

Every function of this method is monotone on each half of its axis, so that its range over an interval is known from
the two ends. These are the ends. Nothing cancels: 1 - sigmoid and 1 -+ tanh are computed as such, and tanh near zero
by expm1, so that signs are certain at few bits even where a curve has come within 1e-1300 of its limit.
Lemma `branching_values`.
"""

from __future__ import annotations

from typing import Final

from flint import arb

from refcert.kernel.ball import ONE, ZERO, surely_positive

TWO: Final = arb(2)
# Below it tanh is computed by expm1, above by exp: a choice of speed and width, either is an identity.
EXPM1_BELOW: Final = arb(1)


class Place:
    """x: an exact point; near: a float close to it, a hint; sign of x, exact.

    value, slope: the curve and its derivative. up = limit above - value, down = value - limit below.
    """

    __slots__ = ("down", "near", "sign", "slope", "up", "value", "x")

    def __init__(self, x: arb, sign: int, value: arb, slope: arb, up: arb, down: arb) -> None:
        self.x, self.near, self.sign = x, float(x), sign
        self.value, self.slope, self.up, self.down = value, slope, up, down


def sigmoid_place(x: arb) -> Place:
    """s = 1 / (1 + exp(-x)); up = 1 - s, down = s, slope = s (1 - s)."""
    e = (-x).exp()
    s = ONE / (ONE + e)
    rest = e * s
    return Place(x, _sign(x), s, s * rest, rest, s)


def tanh_place(x: arb) -> Place:
    """tanh; up = 1 - tanh, down = 1 + tanh, slope = (1 - tanh)(1 + tanh)."""
    sign = _sign(x)
    size = -x if sign < 0 else x
    if size < EXPM1_BELOW:
        m = (-(size + size)).expm1()
        r = ONE / (TWO + m)
        t, near_limit = -m * r, TWO * (ONE + m) * r
    else:
        e = (-(size + size)).exp()
        r = ONE / (ONE + e)
        t, near_limit = (ONE - e) * r, TWO * e * r
    far_limit = TWO * r
    slope = near_limit * far_limit
    if sign < 0:
        return Place(x, sign, -t, slope, far_limit, near_limit)
    return Place(x, sign, t, slope, near_limit, far_limit)


def line_place(x: arb) -> Place:
    """The identity; it has no limits, up and down are not used."""
    return Place(x, _sign(x), x, ONE, ZERO, ZERO)


def _sign(x: arb) -> int:
    # x is a point: one of the three is certain
    return 1 if surely_positive(x) else -1 if surely_positive(-x) else 0

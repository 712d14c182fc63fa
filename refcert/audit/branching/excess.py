"""The claim in normal form, F = f - plane <= 0 with F(v, y), and F's values and derivatives as balls.

Normal form (exact, signs of floats only), with e = 1 for an upper and -1 for a lower plane:
    products  y = e z:  F = sigmoid(v) g(y) - e a v - b y - e c     (g is odd: e g(z) = g(e z))
    tanh      y = e v:  F = tanh(y) - a y - e c                     (tanh is odd)
    sigmoid             F = e sigmoid(v) - e a v - e c
    relu                F = e max(v, 0) - e a v - e c
Lemma `branching_values`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flint import arb

from refcert.audit.branching.places import Place, line_place, sigmoid_place, tanh_place
from refcert.kernel.ball import ONE, ZERO, exact
from refcert.kernel.claims import PlaneClaim

# Above it the value is written as limit - distance from the limit: a choice of width, either is an identity.
HALF: Final = arb(1) / 2

PRODUCT_TANH: Final = "sigmoid_times_tanh"
PRODUCT_LINE: Final = "sigmoid_times_identity"


class Excess:
    """F on its box, in coordinates v and y. One-dimensional kinds use one of the two axes; the other is at zero."""

    __slots__ = ("a", "b", "box_v", "box_y", "c", "diagonals", "kind", "place_v", "place_y", "sign", "value")

    kind: str
    sign: int
    a: arb
    b: arb
    c: arb
    box_v: tuple[float, float]
    box_y: tuple[float, float]
    diagonals: tuple[float, float, float, float] | None
    place_v: Callable[[arb], Place]
    place_y: Callable[[arb], Place]
    value: Callable[[Place, Place], arb]

    def __init__(self, claim: PlaneClaim) -> None:
        self.kind = kind = claim.kind
        self.sign = sign = 1 if claim.side == "upper" else -1
        self.place_v, self.place_y = sigmoid_place, line_place
        self.box_v, self.box_y = (claim.lower_v, claim.upper_v), (0.0, 0.0)
        self.diagonals = claim.diagonals  # ends of v + y, then of v - y
        self.a, self.b, self.c = exact(sign * claim.slope_v), ZERO, exact(sign * claim.offset)
        if kind in (PRODUCT_TANH, PRODUCT_LINE):
            self.b = exact(claim.slope_z)
            self.box_y = (claim.lower_z, claim.upper_z) if sign > 0 else (-claim.upper_z, -claim.lower_z)
            if claim.diagonals is not None and sign < 0:  # v + z = v - y
                self.diagonals = (*claim.diagonals[2:], *claim.diagonals[:2])
            self.value = self._value_line
            if kind == PRODUCT_TANH:
                self.place_y, self.value = tanh_place, self._value_tanh
        elif kind == "tanh":
            self.a, self.b = ZERO, exact(claim.slope_v)
            self.box_v, self.box_y = (0.0, 0.0), self.box_v if sign > 0 else (-claim.upper_v, -claim.lower_v)
            self.place_v, self.place_y, self.value = line_place, tanh_place, self._value_tanh_alone
        elif kind == "sigmoid":
            self.value = self._value_sigmoid_alone
        else:
            self.place_v, self.value = line_place, self._value_relu

    def point_v(self, x: float) -> Place:
        """The place of a float on the v axis."""
        return self.place_v(exact(x))

    def point_y(self, x: float) -> Place:
        """The place of a float on the y axis."""
        return self.place_y(exact(x))

    def slope_along_v(self, v: Place, y: Place) -> arb:
        """dF/dv, for products."""
        return v.slope * y.value - self.a

    def slope_along_y(self, v: Place, y: Place) -> arb:
        """dF/dy, for products."""
        return v.value * y.slope - self.b

    def _value_tanh(self, v: Place, y: Place) -> arb:
        s, t = v.value, y.value
        plane = self.a * v.x + self.b * y.x + self.c
        near_one = s > HALF
        if t > HALF:  # s t = s - s (1 - t) and s = 1 - (1 - s)
            level = (ONE - plane) - v.up if near_one else s - plane
            return level - s * y.up
        if t < -HALF:  # s t = -s + s (1 + t)
            level = v.up - (ONE + plane) if near_one else -s - plane
            return level + s * y.down
        return s * t - plane

    def _value_line(self, v: Place, y: Place) -> arb:
        if v.value > HALF:  # s y = y - (1 - s) y
            return (ONE - self.b) * y.x - (self.a * v.x + self.c) - v.up * y.x
        return v.value * y.x - (self.a * v.x + self.b * y.x + self.c)

    def _value_tanh_alone(self, v: Place, y: Place) -> arb:
        plane = self.b * y.x + self.c
        if y.value > HALF:
            return (ONE - plane) - y.up
        if y.value < -HALF:
            return y.down - (ONE + plane)
        return y.value - plane

    def _value_sigmoid_alone(self, v: Place, y: Place) -> arb:
        plane = self.a * v.x + self.c
        if v.value > HALF:
            return (ONE - plane) - v.up if self.sign > 0 else v.up - (ONE + plane)
        return (v.value if self.sign > 0 else -v.value) - plane

    def _value_relu(self, v: Place, y: Place) -> arb:
        plane = self.a * v.x + self.c
        if v.sign <= 0:
            return -plane
        return v.x - plane if self.sign > 0 else -v.x - plane

"""F along one axis of the box while the other coordinate is fixed: F = scale S(x) - slope x + const."""

from __future__ import annotations

from typing import Protocol

from flint import arb

from refcert.audit.branching.excess import Excess
from refcert.audit.branching.hints import flat_sigmoid, flat_tanh
from refcert.audit.branching.places import Place
from refcert.kernel.ball import ONE


class Line(Protocol):
    """scale: a ball; sign: its exact sign, 0 where F is linear along the axis."""

    scale: arb
    sign: int
    slope: arb

    def place(self, x: arb) -> Place:
        """An exact point of the axis."""

    def value(self, at: Place) -> arb:
        """F there."""

    def point(self, at: Place) -> tuple[arb, arb]:
        """Its coordinates v and y."""

    def hint(self, ratio: float) -> float:
        """|x| with S'(x) near ratio."""

    def bend(self, at: Place) -> arb:
        """S'' there, for Newton's steps."""


class AlongV:
    """k sigmoid(v) - a v + const, with k = y for sigmoid(v) y and k = tanh(y) for sigmoid(v) tanh(y)."""

    __slots__ = ("form", "scale", "sign", "slope", "y")

    def __init__(self, form: Excess, y: Place) -> None:
        self.form, self.y = form, y
        self.scale, self.sign, self.slope = y.value, y.sign, form.a

    def place(self, x: arb) -> Place:
        return self.form.place_v(x)

    def value(self, at: Place) -> arb:
        return self.form.value(at, self.y)

    def point(self, at: Place) -> tuple[arb, arb]:
        return at.x, self.y.x

    def hint(self, ratio: float) -> float:
        return flat_sigmoid(ratio)

    def bend(self, at: Place) -> arb:
        return at.slope * (at.up - at.value)


class SigmoidAlone(AlongV):
    """e sigmoid(v) - a v - c: the kind `sigmoid`."""

    __slots__ = ()

    def __init__(self, form: Excess, y: Place) -> None:
        super().__init__(form, y)
        self.scale, self.sign = (ONE, 1) if form.sign > 0 else (-ONE, -1)


class AlongY:
    """k tanh(y) - b y + const, with k = sigmoid(v), or 1 for the kind `tanh`."""

    __slots__ = ("form", "scale", "sign", "slope", "v")

    def __init__(self, form: Excess, v: Place) -> None:
        self.form, self.v = form, v
        self.scale, self.slope = (ONE if form.kind == "tanh" else v.value), form.b
        self.sign = 1

    def place(self, x: arb) -> Place:
        return self.form.place_y(x)

    def value(self, at: Place) -> arb:
        return self.form.value(self.v, at)

    def point(self, at: Place) -> tuple[arb, arb]:
        return self.v.x, at.x

    def hint(self, ratio: float) -> float:
        return flat_tanh(ratio)

    def bend(self, at: Place) -> arb:
        return -2 * at.value * at.slope

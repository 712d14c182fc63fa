"""F = sigmoid(v) tanh(y) - a v - b y - c on a rectangle: signs of its Hessian, quadrant by quadrant, then subdivision.

Signs of the second derivatives: F_vv that of -v y, F_yy that of -y, F_vy > 0. So F is convex along y for y <= 0, and
along v for v <= 0 <= y: largest on faces. Left is the quadrant v, y >= 0, where both are <= 0:
    monotone   F_v = s' t - a and F_y = s t' - b are monotone in v and in y: their ranges are known from two corners;
    curvature  F_vv F_yy - F_vy^2 has the sign of D = 2 t^2 (s - (1 - s)) - (1 - s)(1 - t^2), which rises in v and in y.
               D >= 0: F is concave, and lies below its tangent plane at any point of the sub-box.
               D <= 0: the Hessian is nowhere definite, and F is largest on the sub-box's sides;
    Taylor     F <= F(p) + F_v(p) dv + F_y(p) dy + max F_vy dv dy, as F_vv, F_yy <= 0 <= F_vy;
    cut        otherwise.
Lemma `second_order_forms`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from flint import arb

from refcert.audit.branching.excess import Excess
from refcert.audit.branching.hints import hill_top
from refcert.audit.branching.lines import AlongV, AlongY
from refcert.audit.branching.outcomes import MoreBitsError, OutOfNodesError, ViolatedError
from refcert.audit.branching.places import TWO, Place
from refcert.audit.branching.segment import check_point, check_segment
from refcert.kernel.ball import (
    ZERO,
    exact,
    middle,
    surely_less,
    surely_not_negative,
    surely_not_positive,
    surely_positive,
    upper_of_two,
)

POLISH: Final = 8
# An interval whose end is farther out than that many times its start is cut at the geometric mean.
FAR: Final = 4.0
Rectangle = tuple[Place, Place, Place, Place]


class Budget:
    """Sub-boxes that may still be looked at."""

    __slots__ = ("left",)

    def __init__(self, nodes: int) -> None:
        self.left = nodes

    def spend(self) -> None:
        """One sub-box; raises OutOfNodesError where none is left."""
        if self.left <= 0:
            raise OutOfNodesError
        self.left -= 1


def check_rectangle(form: Excess, box: Rectangle, budget: Budget) -> None:
    """F <= 0 on the closed box, or raise ViolatedError, MoreBitsError or OutOfNodesError."""
    v0, v1, y0, y1 = box
    for v in (v0, v1):
        line = AlongY(form, v)
        check_point(line, y0)
        check_point(line, y1)
    # Zero belongs to the part with y >= 0, which is proved by itself; so does v = 0 below.
    if y0.sign < 0:
        check_segment(AlongV(form, y0), v0, v1)
        if y1.sign <= 0:
            check_segment(AlongV(form, y1), v0, v1)
            return
        y0 = form.place_y(ZERO)
    if v0.sign < 0:
        check_segment(AlongY(form, v0), y0, y1)
        if v1.sign <= 0:
            check_segment(AlongY(form, v1), y0, y1)
            return
        v0 = form.place_v(ZERO)
    nodes = [(v0, v1, y0, y1)]
    while nodes:
        budget.spend()
        nodes.extend(_check_node(form, nodes.pop()))


def _check_node(form: Excess, node: Rectangle) -> tuple[Rectangle, ...]:
    """Nothing where F <= 0 is certain on the node, else its parts."""
    v0, v1, y0, y1 = node
    a, b = form.a, form.b
    if surely_not_positive(v0.slope * y1.value - a):
        check_segment(AlongY(form, v0), y0, y1)
        return ()
    if surely_not_negative(v1.slope * y0.value - a):
        check_segment(AlongY(form, v1), y0, y1)
        return ()
    if surely_not_positive(v1.value * y0.slope - b):
        check_segment(AlongV(form, y0), v0, v1)
        return ()
    if surely_not_negative(v0.value * y1.slope - b):
        check_segment(AlongV(form, y1), v0, v1)
        return ()
    if surely_not_negative(curvature(v0, y0)):
        if below_tangent_plane(form, node):
            return ()
    elif surely_not_positive(curvature(v1, y1)):
        for v in (v0, v1):
            check_segment(AlongY(form, v), y0, y1)
        for y in (y0, y1):
            check_segment(AlongV(form, y), v0, v1)
        return ()
    else:
        centre = centre_of(form, node)
        return () if below_taylor(form, node, centre) else cut(node, centre)
    return cut(node, centre_of(form, node))


def curvature(v: Place, y: Place) -> arb:
    """D, of the sign of the Hessian's determinant."""
    return TWO * y.value * y.value * (v.value - v.up) - v.up * y.slope


def below_tangent_plane(form: Excess, node: Rectangle) -> bool:
    """F is concave on the node: is its tangent plane at a point near the maximum <= 0 there?"""
    v0, v1, y0, y1 = node
    hint_v, hint_y = hill_top(float(form.a), float(form.b), (v0.near, v1.near), (y0.near, y1.near))
    v, y = _nearest(form.place_v, hint_v, v0, v1), _nearest(form.place_y, hint_y, y0, y1)
    for _ in range(POLISH):
        value = form.value(v, y)
        if surely_positive(value):
            raise ViolatedError(v.x, y.x)
        tilt_v, tilt_y = form.slope_along_v(v, y), form.slope_along_y(v, y)
        bound = value + upper_of_two(tilt_v * (v1.x - v.x), tilt_v * (v0.x - v.x))
        bound += upper_of_two(tilt_y * (y1.x - y.x), tilt_y * (y0.x - y.x))
        if surely_not_positive(bound):
            return True
        moved = _uphill(form, node, (v, y), (tilt_v, tilt_y))
        if moved is None:
            break
        v, y = moved
    return False


def _nearest(place: Callable[[arb], Place], hint: float, low: Place, high: Place) -> Place:
    x = exact(hint)
    if surely_not_positive(x - low.x):
        return low
    if surely_not_negative(x - high.x):
        return high
    return place(x)


def _uphill(
    form: Excess, node: Rectangle, at: tuple[Place, Place], tilt: tuple[arb, arb]
) -> tuple[Place, Place] | None:
    """One step of Newton's method, kept in the node; None where it does not help to go on, but a cut may.

    Raises MoreBitsError where the point is a maximum as far as these bits can tell.
    """
    v0, v1, y0, y1 = node
    (v, y), (g_v, g_y) = at, tilt
    free_v = _free(g_v, v is v0, v is v1)
    free_y = _free(g_y, y is y0, y is y1)
    if not (free_v or free_y):
        raise MoreBitsError
    s, t = v.value, y.value
    f_vv, f_vy, f_yy = v.slope * (v.up - s) * t, v.slope * y.slope, -TWO * s * t * y.slope
    if free_v and free_y:
        det = f_vv * f_yy - f_vy * f_vy
        if not surely_positive(det):
            return None
        step_v, step_y = (f_vy * g_y - f_yy * g_v) / det, (f_vy * g_v - f_vv * g_y) / det
    elif free_v:
        step_v, step_y = -g_v / f_vv, ZERO
    else:
        step_v, step_y = ZERO, -g_y / f_yy
    if not (step_v.is_finite() and step_y.is_finite()):
        return None
    new_v = _moved(form.place_v, v, step_v, v0, v1) if free_v else v
    new_y = _moved(form.place_y, y, step_y, y0, y1) if free_y else y
    return new_v, new_y


def _free(tilt: arb, at_low: bool, at_high: bool) -> bool:
    """May a step along this axis lead up? Not where the slope may be zero, or presses against an end."""
    if surely_positive(tilt):
        return not at_high
    return surely_positive(-tilt) and not at_low


def _moved(place: Callable[[arb], Place], at: Place, step: arb, low: Place, high: Place) -> Place:
    x = middle(at.x + step)
    if surely_not_positive(x - low.x):
        return low
    if surely_not_negative(x - high.x):
        return high
    return place(x)


def centre_of(form: Excess, node: Rectangle) -> tuple[Place, Place]:
    """A point strictly inside. Raises MoreBitsError where these bits have none."""
    v0, v1, y0, y1 = node
    return form.place_v(_between(v0, v1)), form.place_y(_between(y0, y1))


def _between(low: Place, high: Place) -> arb:
    start = max(low.near, 1.0)
    # the curves live near 1: geometric steps come down from far out
    far_out = high.near > FAR * start
    x = exact(math.sqrt(start) * math.sqrt(high.near)) if far_out else middle((low.x + high.x) / 2)
    if surely_less(low.x, x) and surely_less(x, high.x):
        return x
    raise MoreBitsError


def below_taylor(form: Excess, node: Rectangle, centre: tuple[Place, Place]) -> bool:
    """Is the Taylor form at the centre <= 0 on the node? The second derivatives along the axes are <= 0 throughout."""
    v0, v1, y0, y1 = node
    v, y = centre
    value = form.value(v, y)
    if surely_positive(value):
        raise ViolatedError(v.x, y.x)
    if not surely_not_positive(value):
        raise MoreBitsError
    tilt_v, tilt_y = form.slope_along_v(v, y), form.slope_along_y(v, y)
    left, right, down, up = v.x - v0.x, v1.x - v.x, y.x - y0.x, y1.x - y.x
    bound = value + upper_of_two(tilt_v * right, -tilt_v * left) + upper_of_two(tilt_y * up, -tilt_y * down)
    # F_vy = s' t' is largest at the low corner; dv dy is positive where both go up or both go down
    bound += v0.slope * y0.slope * upper_of_two(right * up, left * down)
    return surely_not_positive(bound)


def cut(node: Rectangle, centre: tuple[Place, Place]) -> tuple[Rectangle, ...]:
    """Two parts, cut across the axis along which the gradient varies more."""
    v0, v1, y0, y1 = node
    v, y = centre
    s0, s1, t0, t1 = float(v0.value), float(v1.value), float(y0.value), float(y1.value)
    d0, d1, w0, w1 = float(v0.slope), float(v1.slope), float(y0.slope), float(y1.slope)
    varies_v = (d0 * t1 - d1 * t0) * (v1.near - v0.near)
    varies_y = (s1 * w0 - s0 * w1) * (y1.near - y0.near)
    if varies_v > varies_y:
        return (v0, v, y0, y1), (v, v1, y0, y1)
    return (v0, v1, y0, y), (v0, v1, y, y1)

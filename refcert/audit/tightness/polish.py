"""Newton's method on the conditions of an optimal plane, from the touching points that linear programming left.

Method card
    Claim      none: float64 planes and weights; a step that does not close the gap is not taken.
    Idea       At the optimum up to three points touch; along every axis on which a point is not at an end of the box
               the surface has the plane's slope there; the weights average the points to the centre. That is as many
               equations as unknowns: plane (3), points (6), weights (3). Near the optimum Newton's method doubles
               the digits, where linear programming has the square root of its tolerance in the points.
               Where two opposite corners touch, the height is known and the plane is free to turn about the diagonal.
               Every point bounds the turn from one side; in the middle of what is left the plane cuts nothing, or a
               new point bounds it.
    Shapes     one entry a box (boxes,); touching points and weights (boxes, 3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from refcert.audit.tightness.contacts import CONTACTS, Contacts
from refcert.audit.tightness.separation import separate
from refcert.audit.tightness.surfaces import Bools, Floats, Surface

# A gap of float64 figures that is rounding, in units of the surface's size.
CLOSED: Final = 1e-14
_STEPS: Final = 5
# Points nearer than this in the unit box stand for one touching point: tried one after the other.
_SAME: Final = (0.1, 0.3, 0.02, 0.0)
# Weights below this are none.
_NO_WEIGHT: Final = 1e-9
# A coordinate this near to an end of the box is at the end.
_AT_END: Final = 1e-9
# Turns about a diagonal that are tried, and how far beside it a point has to be to say something about them.
_TURNS: Final = 15
_BESIDE: Final = 1e-6

_PLANE: Final = 3
_X, _Y, _W = (np.arange(CONTACTS) + _PLANE + k * CONTACTS for k in range(3))
_TOUCH, _LEVEL_X, _LEVEL_Y, _SUMS = (np.arange(CONTACTS) + k * CONTACTS for k in range(4))


def polish(surface: Surface, start: Contacts) -> Contacts:
    """The start, or where the gap between `height` and `below` gets smaller, what becomes of it."""
    best = start.rows(np.arange(len(start.height)))

    def improve(chosen: Bools, method: Callable[[Surface, Contacts], Contacts]) -> None:
        rows = np.flatnonzero(chosen)
        if len(rows):
            found = method(surface.rows(rows), start.rows(rows))
            better = found.gap < best.gap[rows]
            best.put(rows[better], found.rows(better))

    if surface.two_axes:
        improve(_on_diagonal(start), turn_about_diagonal)
    for same in _SAME:
        improve(best.gap > CLOSED, lambda some, rows, same=same: _newton(some, _merged(rows, same)))  # type: ignore[misc]
    return best


def _on_diagonal(contacts: Contacts) -> Bools:
    """Do all touching points that have weight lie in two opposite corners?"""
    present = contacts.weight > _NO_WEIGHT
    corner = (np.abs(contacts.x) == 1.0) & (np.abs(contacts.y) == 1.0)
    diagonal = contacts.x * contacts.y
    one_way = (np.where(present, diagonal, 1.0) > 0).all(1) | (np.where(present, diagonal, -1.0) < 0).all(1)
    return np.asarray((corner | ~present).all(1) & one_way)


def turn_about_diagonal(surface: Surface, start: Contacts) -> Contacts:
    """Planes through two opposite corners, turned about that diagonal until nothing rises above them."""
    row = np.arange(len(start.height))
    # Points at (1, side) and (-1, -side).
    first = start.weight.argmax(1)
    side = start.x[row, first] * start.y[row, first]
    one = np.ones_like(side)
    x, y = np.stack((one, -one, 0 * one), 1), np.stack((side, -side, 0 * side), 1)
    rise = surface.rise(x, y)
    along, below = (rise[:, 0] - rise[:, 1]) / 2, (rise[:, 0] + rise[:, 1]) / 2
    turn, low, high = start.alpha - along / 2, np.full_like(one, -np.inf), np.full_like(one, np.inf)
    best = Contacts(one * 0, one * 0, one * np.inf, below, x, y, np.stack((one / 2, one / 2, 0 * one), 1))
    todo = row
    for _ in range(_TURNS):
        alpha, beta = along[todo] / 2 + turn[todo], side[todo] * (along[todo] / 2 - turn[todo])
        found = separate(surface.rows(todo), alpha, beta)
        height = found.highest()[0]
        better = height < best.height[todo]
        for column, value in ((best.alpha, alpha), (best.beta, beta), (best.height, height)):
            column[todo[better]] = value[better]
        # A point that far beside the diagonal is cut by the plane until it turns by this much.
        beside = found.x - side[todo, None] * found.y
        with np.errstate(all="ignore"):
            needed = turn[todo, None] + (found.excess - below[todo, None]) / beside
        low[todo] = np.maximum(low[todo], np.where(beside > _BESIDE, needed, -np.inf).max(1))
        high[todo] = np.minimum(high[todo], np.where(beside < -_BESIDE, needed, np.inf).min(1))
        turn[todo] = (low[todo] + high[todo]) / 2
        todo = todo[(height - below[todo] > CLOSED) & (low[todo] <= high[todo])]
        if not len(todo):
            break
    best.height[:] = np.maximum(best.height, best.below)
    return best


def _merged(contacts: Contacts, same: float) -> Contacts:
    """Points nearer than `same` replaced by their weighted mean; a coordinate that they share stays what it is."""
    x, y, w = contacts.x, contacts.y, np.where(contacts.weight > _NO_WEIGHT, contacts.weight, 0.0)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        near = (np.hypot(x[:, i] - x[:, j], y[:, i] - y[:, j]) < same) & (w[:, i] > 0) & (w[:, j] > 0)
        both = np.where(near, w[:, i] + w[:, j], 1.0)
        for c in (x, y):
            mean = np.where(c[:, i] == c[:, j], c[:, i], (w[:, i] * c[:, i] + w[:, j] * c[:, j]) / both)
            c[:, i] = np.where(near, mean, c[:, i])
        w[:, i], w[:, j] = np.where(near, both, w[:, i]), np.where(near, 0.0, w[:, j])
    w /= w.sum(1, keepdims=True)
    return Contacts(contacts.alpha, contacts.beta, contacts.height, contacts.below, x, y, w)


def _newton(surface: Surface, start: Contacts) -> Contacts:
    """Newton's method for all boxes; points at an end of the box stay there, as do weights that are 0."""
    present = start.weight > 0
    free_x = present & (1 - np.abs(start.x) > _AT_END)
    free_y = present & (1 - np.abs(start.y) > _AT_END) & surface.two_axes
    x, y = (np.where(present & ~free, np.round(at), at) for free, at in ((free_x, start.x), (free_y, start.y)))
    state = np.concatenate((np.stack((start.alpha, start.beta, start.height), 1), x, y, start.weight), 1)
    for _ in range(_STEPS):
        state = state + _step(surface, state, present, free_x, free_y)
        state[:, _X], state[:, _Y] = np.clip(state[:, _X], -1.0, 1.0), np.clip(state[:, _Y], -1.0, 1.0)
    return _judged(surface, state)


def _judged(surface: Surface, state: Floats) -> Contacts:
    """Height and lower bound of a state; infinitely far apart where its weights are none."""
    alpha, beta = state[:, 0], state[:, 1]
    x, y, w = state[:, _X], state[:, _Y], np.maximum(state[:, _W], 0.0)
    height = separate(surface, alpha, beta).highest()[0]
    below = (w * surface.rise(x, y)).sum(1)
    # What the weighted mean misses of the centre moves the bound by about as much.
    miss = np.abs((w * x).sum(1)) + np.abs((w * y).sum(1)) + np.abs(w.sum(1) - 1)
    usable = (state[:, _W] > -_NO_WEIGHT).all(1) & np.isfinite(height) & np.isfinite(below)
    gap = np.abs(height - below) + np.where(miss > CLOSED, miss, 0.0)
    return Contacts(alpha, beta, np.where(usable, height, np.inf), np.where(usable, height - gap, -np.inf), x, y, w)


def _step(surface: Surface, state: Floats, present: Bools, free_x: Bools, free_y: Bools) -> Floats:
    """One Newton step, (boxes, 12)."""
    count, size = state.shape
    alpha, beta, height = (state[:, k, None] for k in range(_PLANE))
    x, y, w = state[:, _X], state[:, _Y], state[:, _W]
    rise, (slope_x, slope_y), (xx, xy, yy) = surface.rise(x, y), surface.gradient(x, y), surface.hessian(x, y)
    matrix, right = np.zeros((count, size, size)), np.zeros((count, size))

    def fill(row: int, rule: Bools, entries: dict[int, Floats | float], miss: Floats, own: int) -> None:
        """The equation where `rule` holds; elsewhere the unknown `own` stays."""
        for column, value in entries.items():
            matrix[:, row, column] = np.where(rule, value, 0.0)
        matrix[:, row, own] = np.where(rule, matrix[:, row, own], 1.0)
        right[:, row] = np.where(rule, miss, 0.0)

    touch = alpha * x + beta * y + height - rise
    for k in range(CONTACTS):
        at_x, at_y, at_w = int(_X[k]), int(_Y[k]), int(_W[k])
        over_x, over_y = (slope_x - alpha)[:, k], (slope_y - beta)[:, k]
        touching: dict[int, Floats | float] = {0: -x[:, k], 1: -y[:, k], 2: -1.0, at_x: over_x, at_y: over_y}
        fill(_TOUCH[k], present[:, k], touching, touch[:, k], at_w)
        fill(_LEVEL_X[k], free_x[:, k], {0: -1.0, at_x: xx[:, k], at_y: xy[:, k]}, -over_x, at_x)
        fill(_LEVEL_Y[k], free_y[:, k], {1: -1.0, at_x: xy[:, k], at_y: yy[:, k]}, -over_y, at_y)
        matrix[:, _SUMS[0], at_x], matrix[:, _SUMS[0], at_w] = w[:, k], x[:, k]
        matrix[:, _SUMS[1], at_y], matrix[:, _SUMS[1], at_w] = w[:, k], y[:, k]
        matrix[:, _SUMS[2], at_w] = 1.0
    right[:, _SUMS[0]], right[:, _SUMS[1]], right[:, _SUMS[2]] = -(w * x).sum(1), -(w * y).sum(1), 1 - w.sum(1)
    if not surface.two_axes:  # the average over the axis that is not there; its slope stays 0
        matrix[:, _SUMS[1]], right[:, _SUMS[1]] = 0.0, 0.0
        matrix[:, _SUMS[1], 1] = 1.0
    step = _solved(matrix, right)
    return np.where(np.isfinite(step), step, 0.0)


def _solved(matrix: Floats, right: Floats) -> Floats:
    """The solutions of many small systems; 0 where there is none."""
    try:
        return np.asarray(np.linalg.solve(matrix, right[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:  # one singular matrix spoils its whole stack
        if len(matrix) == 1:
            return np.zeros_like(right)
        middle = len(matrix) // 2
        return np.concatenate([_solved(matrix[part], right[part]) for part in (slice(middle), slice(middle, None))])

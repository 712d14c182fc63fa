"""Where surfaces rise highest above planes: the finitely many candidates, for many boxes at once.

Method card
    Claim      none: a candidate is a point of the box, so what is found is attained; that nothing is missed is what the
               kernel proves of the final plane.
    Source     lemmas `s_curve_maximum`, `candidates_identity`, `candidates_tanh`; `reference.exact_planes` is the
               scalar form.
    Idea       Corners; on every side the point of the concave half where the slope is the plane's; inside, for
               sigmoid(v) tanh(z), the root of (s - b) s (1 - s)^2 = a^2 right of its peak. All polished by Newton
               steps in the unit coordinates, where thin boxes lose no digits.
    Shapes     slopes (boxes,); candidates (boxes, candidates).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy.special import expit

from refcert.audit.tightness.surfaces import Floats, Sigmoid, Surface, sech_squared

# Newton steps after the closed form: it is exact up to rounding, which in thin boxes is much of the box.
_POLISH: Final = 3
# Contacts nearer to zero have no digits left: slopes are flat there to second order. In boxes much wider than this,
# what the surface can rise by up to such a contact is below rounding.
_FOLD: Final = 1e-8
# Steps of the bracketed Newton method for the inside; five or six are the rule.
_STEPS: Final = 20


class Candidates(NamedTuple):
    """Points in unit coordinates and the excess of the surface over the plane there, less its height at the centre."""

    x: Floats
    y: Floats
    excess: Floats

    def highest(self) -> tuple[Floats, Floats, Floats]:
        """The largest excess of every box, with its point; each (boxes,)."""
        best = self.excess.argmax(1)
        row = np.arange(len(best))
        return self.excess[row, best], self.x[row, best], self.y[row, best]


def separate(surface: Surface, alpha: Floats, beta: Floats) -> Candidates:
    """The candidates of rise - alpha x - beta y: where it is highest on the box is among them."""
    one = np.ones(len(alpha))
    ends_y = (-1.0, 1.0) if surface.two_axes else (0.0,)
    points = [(x * one, y * one) for x in (-1.0, 1.0) for y in ends_y]
    with np.errstate(all="ignore"):  # no contact: infinite or NaN, which clipping and `where` below replace
        points += [(_side_v(surface, alpha, y), y * one) for y in ends_y]
        if surface.kind == "sigmoid_times_tanh":
            points += [(x * one, _side_z(surface, beta, x)) for x in (-1.0, 1.0)]
            points.append(_inside(surface, alpha, beta))
    x, y = (np.stack(column, axis=1) for column in zip(*points, strict=True))
    excess = surface.rise(x, y) - alpha[:, None] * x - beta[:, None] * y
    return Candidates(x, y, excess)


def _slopes(surface: Surface, alpha: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """The plane's slopes in the original coordinates."""
    at_v, at_z = surface.tangent()
    return (
        at_v + alpha * surface.size / surface.half_v,
        at_z + np.where(surface.half_z > 0, beta * surface.size / surface.half_z, 0.0),
    )


def _sigmoid_contact(ratio: Floats) -> Floats:
    """v >= 0 with sigmoid'(v) = ratio; infinite where ratio is not positive."""
    q = np.clip(ratio, 0.0, 0.25)
    w = 2 * q / (1 + np.sqrt(1 - 4 * q))
    return np.asarray(np.where(ratio > 0, np.log1p(-w) - np.log(w), np.inf))


def _clip(x: Floats) -> Floats:
    """Into [-1, 1]; NaN becomes 0, a point like any other."""
    return np.clip(np.nan_to_num(x, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)


def _off_the_fold(start: Floats, contact: Floats, end: Floats) -> Floats:
    """The start for Newton's method; where rounding of the slope left no contact but 0, the box's concave end."""
    return np.where(contact < _FOLD, end, start)


def _side_v(surface: Surface, alpha: Floats, y: float) -> Floats:
    first, second = surface.factors
    scale = second.value(surface.centre_z + surface.half_z * y)
    ratio = _slopes(surface, alpha, alpha)[0] / scale
    contact = _sigmoid_contact(ratio) if isinstance(first, Sigmoid) else _sigmoid_contact(ratio / 4) / 2
    x = _clip((np.copysign(contact, scale) - surface.centre_v) / surface.half_v)
    x = _off_the_fold(x, contact, np.copysign(1.0, scale))
    fixed = np.full_like(x, y)
    for _ in range(_POLISH):
        slope = surface.gradient(x[:, None], fixed[:, None])[0][:, 0] - alpha
        bend = surface.hessian(x[:, None], fixed[:, None])[0][:, 0]
        x = np.where(bend < 0, _clip(x - slope / bend), x)
    return x


def _side_z(surface: Surface, beta: Floats, x: float) -> Floats:
    first, _ = surface.factors
    ratio = _slopes(surface, beta, beta)[1] / first.value(surface.centre_v + surface.half_v * x)
    # 1 - tanh(z)^2 = 4 sigmoid'(2 z)
    contact = _sigmoid_contact(ratio / 4) / 2
    y = _off_the_fold(_clip((contact - surface.centre_z) / surface.half_z), contact, np.ones_like(contact))
    fixed = np.full_like(y, x)
    for _ in range(_POLISH):
        slope = surface.gradient(fixed[:, None], y[:, None])[1][:, 0] - beta
        bend = surface.hessian(fixed[:, None], y[:, None])[2][:, 0]
        y = np.where(bend < 0, _clip(y - slope / bend), y)
    return y


def _inside(surface: Surface, alpha: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """The interior maximum where there is one; the centre of the box elsewhere."""
    a, b = _slopes(surface, alpha, beta)
    high_v, high_z = surface.centre_v + surface.half_v, surface.centre_z + surface.half_z
    x, y = np.zeros(len(a)), np.zeros(len(a))
    # Interior maxima lie in the concave region v >= V(z), z > 0, which grows with v and z.
    rows = np.flatnonzero((a > 0) & (b > 0) & (b < 1) & (high_z > 0) & (high_v >= _border(high_z)))
    if not len(rows):
        return x, y
    some = surface.rows(rows)
    v, z = _interior_contact(a[rows], b[rows], some.centre_v - some.half_v, high_v[rows])
    at_x, at_y = _clip((v - some.centre_v) / some.half_v), _clip((z - some.centre_z) / some.half_z)
    for _ in range(_POLISH):
        slope_v, slope_z = (
            part[:, 0] - tilt
            for part, tilt in zip(some.gradient(at_x[:, None], at_y[:, None]), (alpha[rows], beta[rows]), strict=True)
        )
        vv, vz, zz = (part[:, 0] for part in some.hessian(at_x[:, None], at_y[:, None]))
        det = vv * zz - vz * vz
        concave = (det > 0) & (vv < 0)
        at_x, at_y = (
            np.where(concave, _clip(at_x - (slope_v * zz - slope_z * vz) / det), at_x),
            np.where(concave, _clip(at_y - (slope_z * vv - slope_v * vz) / det), at_y),
        )
    x[rows], y[rows] = at_x, at_y
    return x, y


def _border(z: Floats) -> Floats:
    """V(z), where the concave region begins; lemma `concave_region`."""
    return np.asarray(np.log1p(sech_squared(z) / (2 * np.square(np.tanh(z)))))


def _interior_contact(a: Floats, b: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Newton's method from the right, in a bracket, on log((s - b) s (1 - s)^2) = 2 log a; as `kernel.guesses`."""
    root = np.sqrt(4 - 4 * b + 9 * b * b)
    low = np.maximum(low, np.log((2 + 3 * b + root) * (6 - 3 * b + root) / (32 * (1 - b))))
    w = np.minimum(a / np.sqrt(1 - b), 0.5)
    v = np.minimum(np.log1p(-w) - np.log(w), high)
    target = 2 * np.log(a)
    v = np.where(_log_psi(low, b)[0] <= target, low, v)
    for _ in range(_STEPS):
        value, slope = _log_psi(v, b)
        above = value > target
        low, high = np.where(above, v, low), np.where(above, high, v)
        step = v - (value - target) / slope
        v = np.where((step > low) & (step < high), step, np.where(low < high, (low + high) / 2, v))
    q = np.clip(b / expit(v), 0.0, 1.0)
    return v, np.asarray(np.log((1 + np.sqrt(1 - q)) / np.sqrt(q)))


def _log_psi(v: Floats, b: Floats) -> tuple[Floats, Floats]:
    s, w = expit(v), expit(-v)
    over = (1 - b) - w  # s - b, without cancellation near 1
    value = np.where(over > 0, np.log(over * s) + 2 * np.log(w), -np.inf)
    return value, np.where(over > 0, w * (s / over + 1) - 2 * s, 1.0)

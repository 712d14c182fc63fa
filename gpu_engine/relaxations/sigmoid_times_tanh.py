"""Exact offsets for planes over f(v, z) = sigmoid(v) tanh(z).

Method card
    Claim      `upper_maximum(box, a, b)` >= max over the box of F(v, z) = f(v, z) - a v - b z, for any a, b.
    Source     finite candidate set of theory section 3; the concave region and its tangent are ours.
    Idea       Sides: S-shaped curves (`s_curve`). Inside: at an interior maximum the Hessian of f is negative
               semidefinite, which is the region `C = {z > 0, v >= V(z)}`,
               `V(z) = log(1 + sech(z)^2 / (2 tanh(z)^2))`. C is convex and f is concave on it, so the tangent
               plane at ANY point of C lies above every interior maximum. We take that point near the
               root of the quartic `(s - b) s (1 - s)^2 = a^2`; the root need not be exact.
    Sound?     yes: lemmas `candidates_tanh`, `concave_region`, `offset_rounding`.
    Tight?     exact up to residual slopes (a few u) times the widths of the box.
    Shapes     boxes, slopes and results all (...,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations.offsets import Maximum, largest, rounding_slack
from gpu_engine.relaxations.s_curve import max_sigmoid_minus_line, max_tanh_minus_line, sech_squared
from gpu_engine.rounding import SCALAR_UNITS, tiny, unit_roundoff

# Steps of Euler's method for the interior root: float64's last digits after six from any start, also beside a double
# root, where Newton's method only halves the distance. Too few steps cost tightness only, never soundness.
ROOT_STEPS = 6
# A chord over a box as narrow as this is replaced by the tangent at its centre: tightness only.
THIN = 1e-6


def upper_maximum(v: Box, z: Box, slope_v: Tensor, slope_z: Tensor) -> Maximum:
    """The maximum of sigmoid(v) tanh(z) - slope_v v - slope_z z over the box, pushed outward."""
    v_ends = [(end, torch.sigmoid(end)) for end in (v.lower, v.upper)]
    z_ends = [(end, torch.tanh(end)) for end in (z.lower, z.upper)]
    candidates = []
    for z_end, t in z_ends:
        shift = slope_z * z_end
        for v_end, s in v_ends:
            candidates.append((s * t - slope_v * v_end - shift, v_end, z_end))
        curve = max_sigmoid_minus_line(t, slope_v, v.lower, v.upper)
        candidates.append((curve.value - shift, curve.at, z_end))
    for v_end, s in v_ends:
        curve = max_tanh_minus_line(s, slope_z, z.lower, z.upper)
        candidates.append((curve.value - slope_v * v_end, v_end, curve.at))
    candidates.append(inside(v, z, slope_v, slope_z, s_upper=v_ends[1][1]))
    best = largest(candidates)
    g_magnitude = torch.maximum(z_ends[0][1].abs(), z_ends[1][1].abs())
    slack = rounding_slack(v, z, slope_v, slope_z, g_magnitude)
    return Maximum(best.value + slack, best.v, best.z)


def inside(v: Box, z: Box, a: Tensor, b: Tensor, s_upper: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Bound of F at its interior maxima and where it is attained; minus infinity where there can be none.

    An interior maximum has a > 0, b > 0 and sigmoid(v) > b, and its v lies in [low, high] below. s_upper:
    sigmoid(v.upper), where the caller has it.
    """
    s_upper = torch.sigmoid(v.upper) if s_upper is None else s_upper
    dtype = v.lower.dtype
    u = SCALAR_UNITS * unit_roundoff(dtype)
    possible = (a > 0) & (b > 0) & (b < s_upper * (1 + u)) & (z.upper > 0)
    a_safe = torch.where(possible, a, 0.125)
    b_safe = torch.where(possible, b, 0.5).clamp(max=1.0)
    z_low = z.lower.clamp(min=0.0)

    # 1. Where an interior maximum can lie. On its curve F_z = 0: sigmoid(v) = b cosh(z)^2, increasing
    #    in z, and it lies right of the peak of psi(s) = (s - b) s (1 - s)^2 (lemma `candidates_tanh`).
    #    Where sech^2 underflows, z beyond it changes F by less than the slack for underflow.
    root = torch.sqrt(4 - 4 * b_safe + 9 * b_safe * b_safe)
    v_peak = torch.log((2 + 3 * b_safe + root) * (6 - 3 * b_safe + root)) - torch.log(32 * (1 - b_safe))
    v_peak = v_peak - u * (1 + v_peak.abs())
    high = torch.minimum(v.upper, _logit_upper(b_safe / sech_squared(z.upper), u))
    low = torch.maximum(torch.maximum(v.lower, v_peak), _logit_lower(b_safe / sech_squared(z_low), u))
    possible = possible & (low <= high)

    # 2. A point near the root of psi(s) = a^2, from the right, where log psi is concave in v.
    v_hat = _root_from_the_right(a_safe, b_safe, low, high)
    z_hat = _z_on_curve(v_hat, b_safe)
    z_hat = torch.minimum(torch.maximum(z_hat, z_low), z.upper)
    z_hat = torch.where(possible, z_hat, 1.0)

    # 3. Push it into the concave region by more than rounding can move it.
    t = torch.tanh(z_hat)
    sech2 = sech_squared(z_hat)
    v_region = torch.log1p(sech2 / (2 * t * t))
    v_hat = torch.maximum(v_hat, v_region * (1 + u) + SCALAR_UNITS * tiny(dtype))
    v_hat = torch.where(possible, v_hat, 1.0)

    # 4. The tangent plane there, over all points where an interior maximum can be.
    s = torch.sigmoid(v_hat)
    f_v = s * torch.sigmoid(-v_hat) * t - a
    f_z = s * sech2 - b
    rise_v = torch.where(f_v > 0, f_v * (high - v_hat), f_v * (low - v_hat))
    rise_z = torch.where(f_z > 0, f_z * (z.upper - z_hat), f_z * (z_low - z_hat))
    bound = s * t - a * v_hat - b * z_hat + rise_v + rise_z
    # t = 0 (underflow of the square) leaves no usable point: then the plain bound of f - a v - b z.
    unusable = ~torch.isfinite(v_region)
    plain = s_upper * torch.tanh(z.upper) - a * v.lower - b * z_low
    bound = torch.where(unusable, plain, bound)
    bound = torch.where(possible, bound, -torch.inf)
    return bound, v_hat, z_hat


def _logit_upper(s: Tensor, u: float) -> Tensor:
    """An upper bound for log(s / (1 - s)) given s up to a relative error u; +inf where s may reach 1."""
    complement = 1 - s * (1 + u) - u
    bound = torch.log(s / complement.clamp(min=0.0))
    return torch.where(complement > 0, bound + u * (1 + bound.abs()), torch.inf)


def _logit_lower(s: Tensor, u: float) -> Tensor:
    """A lower bound for log(s / (1 - s)) given s up to a relative error u; +inf where s is certainly 1 or more."""
    s = s * (1 - u)
    bound = torch.log(s / ((1 - s).clamp(min=0.0) + u))
    return torch.where(s < 1, bound - u * (1 + bound.abs()), torch.inf)


def _log_psi(v: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log((s - b) s (1 - s)^2) at s = sigmoid(v), and its first two derivatives in v."""
    s, w = torch.sigmoid(v), torch.sigmoid(-v)
    over = s - b
    ratio = s / over
    # logsigmoid, because w^2 underflows long before v is large
    value = torch.log(over * s) + 2 * torch.nn.functional.logsigmoid(-v)
    return value, w * (ratio + 1) - 2 * s, -s * w * (ratio + 3 + b * w / torch.square(over))


def _root_from_the_right(a: Tensor, b: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Approximate the larger root in v of log psi = 2 log a, kept inside [low, high].

    Euler's method: each step goes to the root of the quadratic Taylor polynomial, which is concave as log psi is.
    """
    # psi <= (1 - b) (1 - s)^2, so 1 - s >= a / sqrt(1 - b) at the root: a start to its right.
    w = (a / torch.sqrt(1 - b)).clamp(max=0.5)
    point = torch.minimum(torch.log((1 - w) / w), high)
    target = 2 * torch.log(a)
    for _ in range(ROOT_STEPS):
        value, first, second = _log_psi(point, b)
        excess = value - target
        # A polynomial that stays below the target: go to its peak.
        square = (first * first - 2 * excess * second).clamp(min=0.0)
        point = point - 2 * excess / (first - torch.sqrt(square))
        point = torch.where(point > low, point, low)  # also catches NaN
        point = torch.minimum(point, high)
    # Falling from its start on, the reduced function has its maximum there; the method would wander.
    return torch.where(_log_psi(low, b)[0] > target, point, low)


def _z_on_curve(v: Tensor, b: Tensor) -> Tensor:
    """The z >= 0 with sigmoid(v) (1 - tanh(z)^2) = b."""
    q = (b / torch.sigmoid(v)).clamp(max=1.0)
    return torch.log((1 + torch.sqrt(1 - q)) / torch.sqrt(q))


def maximum_over_z(v: Tensor, z: Box, slope_z: Tensor) -> Tensor:
    """max over z of sigmoid(v) tanh(z) - slope_z z at fixed v, up to rounding; for slope rules, not for offsets."""
    s = torch.sigmoid(v)
    low = s * torch.tanh(z.lower) - slope_z * z.lower
    high = s * torch.tanh(z.upper) - slope_z * z.upper
    return torch.maximum(torch.maximum(low, high), max_tanh_minus_line(s, slope_z, z.lower, z.upper).value)


def value(v: Tensor, z: Tensor) -> Tensor:
    """f(v, z) = sigmoid(v) tanh(z)."""
    return torch.sigmoid(v) * torch.tanh(z)


def chord_slope(z: Box) -> Tensor:
    """Slope of tanh between the ends of the box; its derivative at the centre where the box is thin."""
    width = z.upper - z.lower
    thin = width <= THIN
    rise = torch.tanh(z.upper) - torch.tanh(z.lower)
    centre = z.lower + width / 2
    return torch.where(thin, sech_squared(centre), rise / torch.where(thin, 1.0, width))


def g_slope(z: Tensor) -> Tensor:
    """g'(z) = 1 - tanh(z)^2."""
    return sech_squared(z)


def g_value(z: Tensor) -> Tensor:
    """g(z) = tanh(z)."""
    return torch.tanh(z)

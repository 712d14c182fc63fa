"""Float guesses of contact points. UNTRUSTED: whatever they say, a bad one only costs a decision (tested)."""

from __future__ import annotations

import math

_STEPS = 60  # of Newton's method, kept in a bracket; five or six are the rule


def sigmoid_contact(ratio: float) -> float:
    """|v| >= 0 with sigmoid'(v) = ratio; inf where there is none to the right of 0."""
    if not ratio > 0:
        return math.inf
    q = min(ratio, 0.25)
    w = 2 * q / (1 + math.sqrt(1 - 4 * q))
    return math.log((1 - w) / w) if w > 0 else math.inf


def tanh_contact(ratio: float) -> float:
    """z >= 0 with 1 - tanh(z)^2 = ratio; inf where there is none."""
    if not ratio > 0:
        return math.inf
    q = min(ratio, 1.0)
    return math.log((1 + math.sqrt(1 - q)) / math.sqrt(q))


def clamp(x: float, low: float, high: float) -> float:
    """x moved into [low, high]; NaN becomes low."""
    return min(max(low, x), high) if x == x else low


def sigmoid(v: float) -> float:
    """The float sigmoid, without overflow."""
    return 1 / (1 + math.exp(-v)) if v > -700 else 0.0


def peak(b: float) -> float:
    """Where (s - b) s (1 - s)^2 is largest, as v = logit(s), for 0 < b < 1."""
    root = math.sqrt(4 - 4 * b + 9 * b * b)
    return math.log((2 + 3 * b + root) * (6 - 3 * b + root) / (32 * (1 - b)))


def _log_psi(v: float, b: float) -> tuple[float, float]:
    """log((s - b) s (1 - s)^2) at s = sigmoid(v), and its derivative in v."""
    e = math.exp(-v)
    s = 1 / (1 + e)
    over = (1 - b) - s * e  # s - b, without cancellation near 1
    if not over > 0:
        return -math.inf, 1.0
    log_w = -v - math.log1p(e)  # log(1 - s), without underflow
    return math.log(over * s) + 2 * log_w, s * e * (s / over + 1) - 2 * s


def interior_contact(a: float, b: float, low: float, high: float) -> tuple[float, float] | None:
    """A point (v, z) near the interior maximum of sigmoid(v) tanh(z) - a v - b z with low <= v <= high.

    Newton's method from the right on log((s - b) s (1 - s)^2) = 2 log a, then z from sigmoid(v) (1 - t^2) = b.
    """
    if not (a > 0 and 0 < b < 1):
        return None
    try:
        low, w = max(low, peak(b)), min(a / math.sqrt(1 - b), 0.5)
        v = min(math.log((1 - w) / w), high)
        # Left of the root k > 0, right of it k < 0. Without a root in [low, high] an end is the maximum.
        if _log_psi(low, b)[0] <= 2 * math.log(a):
            v = low
        for _ in range(_STEPS):
            value, slope = _log_psi(v, b)
            k = value - 2 * math.log(a)
            if v == low or (v == high and k >= 0):
                break
            low, high = (v, high) if k > 0 else (low, v)
            step = v - k / slope
            moved = step if low < step < high else (low + high) / 2
            if abs(moved - v) <= 1e-16 * abs(v):
                break
            v = moved
        s = sigmoid(v)
        t = math.sqrt(((1 - b) - s * math.exp(-v)) / s)  # 1 - t^2 = b / s
        return v, math.log((1 + t) / math.sqrt(b / s))
    except (ValueError, OverflowError, ZeroDivisionError):
        return None


def signed_tanh(z: float) -> float:
    """tanh as a float that keeps the exact sign of z, also where it underflows."""
    t = math.tanh(z)
    return t if t != 0 or z == 0 else math.copysign(5e-324, z)


def positive_sigmoid(v: float) -> float:
    """The sigmoid as a float above zero."""
    return max(sigmoid(v), 5e-324)


def ball_split(size: list[float], room: list[float], radius: float, p: float) -> list[float]:
    """Shares s >= 0 so that radius ||min(size, s)||_q + sum (size - min(size, s)) room is about as small as it can be.

    s_i = mu room_i^(p-1): coordinates stop at their room in the order of size_i / room_i^(p-1), and with the first k
    stopped mu has a closed form. Lemma `clipped_ball`.
    """
    try:
        share = [max(x, 0.0) / radius for x in room]
        if p == 1:
            mu = _largest_paid(size, share)
            return [mu] * len(size)
        weight = [x ** (p - 1) for x in share]
        stops = [a / w if w > 0 else math.inf for a, w in zip(size, weight, strict=True)]
        mu = _multiplier(size, share, stops, p)
        return [mu * w for w in weight]
    except (OverflowError, ZeroDivisionError):
        return [0.0] * len(size)


def _largest_paid(size: list[float], share: list[float]) -> float:
    """p = 1: the radius is spent on the largest sizes first; the size at which it ends, 0 where it is not used up."""
    used = 0.0
    for a, x in sorted(zip(size, share, strict=True), reverse=True):
        used += x
        if used >= 1:
            return a
    return 0.0


def _multiplier(size: list[float], share: list[float], stops: list[float], p: float) -> float:
    """mu with (sum over the stopped of share^p) + mu^-q (sum over the others of size^q) = 1, q = p / (p - 1)."""
    q = p / (p - 1)
    order = sorted(range(len(size)), key=lambda k: -stops[k])
    stopped, free = 0.0, math.fsum(a**q for a in size)
    for k in order:
        # With fewer stopped the length at this stop is below 1: this one is stopped, too.
        if stops[k] > 0 and stopped + (0.0 if stops[k] == math.inf else free / stops[k] ** q) >= 1:
            break
        stopped += share[k] ** p
        free -= size[k] ** q
    return (max(free, 0.0) / (1 - stopped)) ** (1 / q) if stopped < 1 else 0.0

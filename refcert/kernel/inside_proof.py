"""The inside of a box: is F(v, z) = sigmoid(v) tanh(z) - a v - b z <= c at every interior maximum?

Lemmas `candidates_tanh` and `concave_region`: an interior maximum has a, b > 0 and lies in the convex region
`v >= V(z) = log(1 + sech(z)^2 / (2 tanh(z)^2)), z > 0`, on which F is concave and so lies below its tangent plane
at any point.
"""

from __future__ import annotations

from flint import arb

from refcert.kernel import guesses
from refcert.kernel.ball import (
    ONE,
    ZERO,
    exact,
    float_above,
    float_below,
    middle,
    surely_less,
    surely_not_positive,
    surely_positive,
    upper_of_two,
)
from refcert.kernel.claims import PlaneClaim
from refcert.kernel.functions import Curve, sigmoid, tanh
from refcert.kernel.side_proof import Ends, Witnesses


def holds_inside(claim: PlaneClaim, ends_v: Ends, ends_z: Ends, witnesses: Witnesses, polish: int) -> bool:
    """Is the claim certain at every maximum in the interior of the box? claim: about an upper plane."""
    a, b, c = exact(claim.slope_v), exact(claim.slope_z), exact(claim.offset)
    (low_v, s_low), (high_v, s_high) = ends_v
    (low_z, t_low), (high_z, t_high) = ends_z
    if claim.slope_v <= 0 or claim.slope_z <= 0 or high_v <= 0 or high_z <= 0:
        return True  # none inside
    if claim.slope_z >= 1:
        return True  # F_z = sigmoid(v) (1 - tanh(z)^2) - b < 0 everywhere
    if low_v == high_v or low_z == high_z:
        return True  # a segment or a point: its maxima are on the sides
    if low_v < 0:
        low_v, s_low = 0.0, sigmoid(ZERO)
    if low_z < 0:
        low_z, t_low = 0.0, tanh(ZERO)
    # sigmoid' falls in v > 0 and tanh' in z > 0. Where a derivative of F keeps its sign there is none inside.
    if (
        surely_less(s_high.value * t_low.slope, b)
        or surely_less(b, s_low.value * t_high.slope)
        or surely_less(s_low.slope * t_high.value, a)
        or surely_less(a, s_high.slope * t_low.value)
    ):
        return True
    if surely_less(exact(high_v), border(t_high)):
        return True  # the region grows with v and z, and not even the last corner is in it
    first_v, last_v = _first_v(b, low_v, t_low), _last_v(b, high_v, s_high, t_high)
    if surely_less(last_v, first_v):
        return True
    guess = guesses.interior_contact(claim.slope_v, claim.slope_z, float_above(first_v), float_below(last_v))
    if guess is None:
        return False
    v_float = guesses.clamp(guess[0], claim.lower_v, high_v)
    z_float = guesses.clamp(guess[1], claim.lower_z, high_z)
    v, z = exact(v_float), exact(z_float)
    witnesses.point(sigmoid(v).value * tanh(z).value - a * v - b * z - c, v_float, z_float)
    v, z = _polished(a, b, exact(guess[0]), exact(guess[1]), polish)
    if not surely_positive(z):
        v, z = exact(guess[0]), exact(guess[1])  # polishing can leap anywhere where maximum and saddle nearly meet
    if not surely_positive(z):
        return False  # outside the region, where F is not concave and its tangent planes bound nothing
    v = upper_of_two(v, border(tanh(z)))  # now certainly in the region: z > 0 and v >= V(z)
    s, t = sigmoid(v), tanh(z)
    tilt_v = s.slope * t.value - a
    tilt_z = s.value * t.slope - b
    bound = s.value * t.value - a * v - b * z
    bound += upper_of_two(tilt_v * (last_v - v), tilt_v * (first_v - v))
    bound += upper_of_two(tilt_z * (exact(high_z) - z), tilt_z * (exact(low_z) - z))
    return surely_not_positive(bound - c)


def border(t: Curve) -> arb:
    """V(z): where the concave region begins (lemma `concave_region`); t: tanh at z > 0."""
    return (ONE + t.slope / (2 * t.value * t.value)).log()


def _last_v(b: arb, high_v: float, s_high: Curve, t_high: Curve) -> arb:
    """Where interior maxima end: sigmoid(v) = b cosh(z)^2 <= b cosh(high_z)^2, and v <= high_v."""
    s = b / t_high.slope
    if surely_less(s, s_high.value):
        return (s / (ONE - s)).log()
    return exact(high_v)


def _first_v(b: arb, low_v: float, t_low: Curve) -> arb:
    """Where interior maxima begin: right of the peak of (s - b) s (1 - s)^2, where sigmoid(v) >= b cosh(low_z)^2
    and v >= low_v. b < 1.
    """
    root = (4 - 4 * b + 9 * b * b).sqrt()
    ratio = (2 + 3 * b + root) * (6 - 3 * b + root) / (32 * (ONE - b))
    first = upper_of_two(ratio.log(), exact(low_v))
    s = b / t_low.slope
    return upper_of_two((s / (ONE - s)).log(), first) if surely_less(s, ONE) else first


def _polished(a: arb, b: arb, v: arb, z: arb, steps: int) -> tuple[arb, arb]:
    """Newton's method towards a zero of the gradient of F; stops where the Hessian may be singular."""
    for _ in range(steps):
        s, t = sigmoid(v), tanh(z)
        f_v, f_z = s.slope * t.value - a, s.value * t.slope - b
        f_vv = s.slope * (ONE - 2 * s.value) * t.value
        f_vz = s.slope * t.slope
        f_zz = -2 * s.value * t.value * t.slope
        det = f_vv * f_zz - f_vz * f_vz
        if not surely_positive(det):
            break
        v, z = (
            middle(v - (f_v * f_zz - f_z * f_vz) / det),
            middle(z - (f_z * f_vv - f_v * f_vz) / det),
        )
    return v, z

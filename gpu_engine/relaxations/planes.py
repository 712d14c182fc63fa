"""The relaxation `planes`: the paper's objective, each plane by itself.

Method card
    Source     POPQORN (Ko et al. 2019), equations 25 and 26: the volume between plane and surface over the box is
               least when the plane's height at the centre of the box is.
    Departure  the paper trains both slopes by gradient descent and repairs the offset from samples. Here
               offsets are exact and the slopes are found by exchange (Remez; the simplex method with exact
               pricing): three contact points around the centre span a plane; the point where the surface
               rises highest above it enters, and the ratio test says which one leaves.
    Sound?     any slopes are: the offset is exact. Tight? each exchange lowers the height or keeps it; the height of
               the spanned plane is a lower bound of the optimum, so the remaining gap is known. The tangent plane at
               the centre is tried first.
    Note       the optimum need not be unique: for a bilinear piece both McCormick planes are optimal.
    Shapes     boxes and planes all (...,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides
from gpu_engine.relaxations.products import Product

# Exchanges of contact points: a few bring the height within a per cent of the optimum.
EXCHANGES = 11
# Below these relative sizes a box is thin, or three points lie on a line: the tangent at the centre is taken.
THIN = 1e-7
FLAT = 1e-12


def planes(product: Product, v: Box, z: Box) -> PlanePair:
    """Both planes of `product` on the box, each of least volume."""
    v_both, z_both = both_sides(v, z)
    return pair_from_sides(best_plane(product, v_both, z_both))


def best_plane(product: Product, v: Box, z: Box) -> Plane:
    """The upper plane of least height at the centre of the box."""
    v_width, z_width = v.upper - v.lower, z.upper - z.lower
    v_centre, z_centre = v.lower + v_width / 2, z.lower + z_width / 2
    thin_v = v_width <= THIN * (1 + v.magnitude())
    thin_z = z_width <= THIN * (1 + z.magnitude())
    v_unit, z_unit = torch.where(thin_v, 1.0, v_width), torch.where(thin_z, 1.0, z_width)
    s = torch.sigmoid(v_centre)
    tangent_v = s * torch.sigmoid(-v_centre) * product.g_value(z_centre)
    tangent_z = s * product.g_slope(z_centre)

    # Where the surface is its own concave envelope at the centre, the tangent plane there is the best one.
    at_tangent = product.upper_maximum(v, z, tangent_v, tangent_z).value
    best = Plane(tangent_v, tangent_z, at_tangent)
    best_height = at_tangent + tangent_v * v_centre + tangent_z * z_centre
    triangle = _first_triangle(product, v, z)
    for _ in range(EXCHANGES):
        a, b, flat = _through(triangle, v_centre, z_centre, v_unit, z_unit)
        slope_v = torch.where(flat | thin_v, tangent_v, a)
        slope_z = torch.where(flat | thin_z, tangent_z, b)
        touched = product.upper_maximum(v, z, slope_v, slope_z)
        height = touched.value + slope_v * v_centre + slope_z * z_centre
        found = Plane(slope_v, slope_z, touched.value)
        better = height < best_height
        best = _where(better, found, best)
        best_height = torch.where(better, height, best_height)
        entering = (touched.v, touched.z, product.value(touched.v, touched.z))
        triangle = _exchange(triangle, entering, v_centre, z_centre, v_unit, z_unit)
    return best


def _where(choice: Tensor, yes: Plane, no: Plane) -> Plane:
    return Plane(
        torch.where(choice, yes.slope_v, no.slope_v),
        torch.where(choice, yes.slope_z, no.slope_z),
        torch.where(choice, yes.offset, no.offset),
    )


# Three contact points as (v, z, f), each (3, ...).
_Triangle = tuple[Tensor, Tensor, Tensor]


def _first_triangle(product: Product, v: Box, z: Box) -> _Triangle:
    """The ends of the higher diagonal of the box and one more corner."""
    ll, lh = product.value(v.lower, z.lower), product.value(v.lower, z.upper)
    hl, hh = product.value(v.upper, z.lower), product.value(v.upper, z.upper)
    rising = ll + hh >= lh + hl
    first_z, last_z = torch.where(rising, z.lower, z.upper), torch.where(rising, z.upper, z.lower)
    first_f, last_f = torch.where(rising, ll, lh), torch.where(rising, hh, hl)
    return (
        torch.stack((v.lower, v.upper, v.lower)),
        torch.stack((first_z, last_z, last_z)),
        torch.stack((first_f, last_f, torch.where(rising, lh, ll))),
    )


def _barycentric(p: Tensor, q: Tensor, at_p: Tensor, at_q: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates (3, ...) of a point with respect to three points, times their doubled area, and that area."""
    p1, q1, p2, q2 = p[1] - p[0], q[1] - q[0], p[2] - p[0], q[2] - q[0]
    area = p1 * q2 - p2 * q1
    dp, dq = at_p - p[0], at_q - q[0]
    one, two = dp * q2 - p2 * dq, p1 * dq - dp * q1
    return torch.stack((area - one - two, one, two)), area


def _through(
    triangle: _Triangle, v_centre: Tensor, z_centre: Tensor, v_unit: Tensor, z_unit: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Slopes of the plane through three points, and whether they lie on a line."""
    p, q, f = (triangle[0] - v_centre) / v_unit, (triangle[1] - z_centre) / z_unit, triangle[2]
    p1, q1, p2, q2 = p[1] - p[0], q[1] - q[0], p[2] - p[0], q[2] - q[0]
    area = p1 * q2 - p2 * q1
    flat = area.abs() <= FLAT
    safe = torch.where(flat, 1.0, area)
    f1, f2 = f[1] - f[0], f[2] - f[0]
    return (f1 * q2 - f2 * q1) / safe / v_unit, (p1 * f2 - p2 * f1) / safe / z_unit, flat


def _exchange(
    triangle: _Triangle,
    entering: _Triangle,
    v_centre: Tensor,
    z_centre: Tensor,
    v_unit: Tensor,
    z_unit: Tensor,
) -> _Triangle:
    """The entering point takes the place of the one that the ratio test names; the centre stays inside."""
    p, q = (triangle[0] - v_centre) / v_unit, (triangle[1] - z_centre) / z_unit
    centre, area = _barycentric(p, q, torch.zeros_like(v_centre), torch.zeros_like(z_centre))
    enter, _ = _barycentric(p, q, (entering[0] - v_centre) / v_unit, (entering[1] - z_centre) / z_unit)
    sign = torch.where(area >= 0, 1.0, -1.0)
    centre, enter = (centre * sign).clamp(min=0.0), enter * sign
    ratio = torch.where(enter > FLAT, centre / enter.clamp(min=FLAT), torch.inf)
    leaving = ratio.argmin(0, keepdim=True)
    slots = torch.arange(3, device=leaving.device).view(3, *[1] * (leaving.ndim - 1))
    replaced = slots == leaving
    return tuple(torch.where(replaced, new, old) for old, new in zip(triangle, entering, strict=True))  # type: ignore[return-value]

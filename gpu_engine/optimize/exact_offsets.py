"""Exact offsets as functions of the slopes that gradients pass through.

Method card
    Claim      forward: the engine's own exact offset, so that every plane is sound whatever its slopes are; backward: a
               subgradient in exact arithmetic. Nothing that is sound depends on it.
    Source     the envelope theorem: max_box (f(x) - slope . x) is convex in the slopes, with the subgradient -x* at any
               maximiser x*; theory, section 3.
    Shapes     boxes, slopes and offsets all (...,).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations.curves import CURVES
from gpu_engine.relaxations.octagon_maximum import Contour
from gpu_engine.relaxations.products import PRODUCTS


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kind: str, domain: tuple[Box, Box] | Contour, slope_v: Tensor, slope_z: Tensor) -> Tensor:
        if isinstance(domain, Contour):
            found = domain.maximum(slope_v, slope_z)
        else:
            found = PRODUCTS[kind].upper_maximum(*domain, slope_v, slope_z)
        ctx.save_for_backward(found.v, found.z)
        return found.value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        v, z = ctx.saved_tensors
        return None, None, -gradient * v, -gradient * z


class _Curve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kind: str, sign: float, v: Box, slope: Tensor) -> Tensor:
        found = CURVES[kind].maximum(sign, v, slope)
        ctx.save_for_backward(found.at)
        return found.value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (at,) = ctx.saved_tensors
        return None, None, None, -gradient * at


def product_offset(kind: str, domain: tuple[Box, Box] | Contour, slope_v: Tensor, slope_z: Tensor) -> Tensor:
    """The least sound offset of an upper plane over sigmoid(v) g(z) on the box or octagon, pushed outward."""
    offset: Tensor = _Product.apply(kind, domain, slope_v, slope_z)  # type: ignore[no-untyped-call]
    return offset


def curve_offset(kind: str, sign: float, v: Box, slope: Tensor) -> Tensor:
    """The least sound offset of an upper line over sign * phi(v) on the interval, pushed outward."""
    offset: Tensor = _Curve.apply(kind, sign, v, slope)  # type: ignore[no-untyped-call]
    return offset

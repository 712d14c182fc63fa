"""The relaxation `constants`: both slopes are zero.

Method card
    Source     POPQORN (Ko et al. 2019), appendix B.1, "constant bounding", there for comparison.
    Idea       the range of sigmoid(v) g(z) over the box; it is monotone in each argument, so its ends are at corners.
    Sound?     yes: lemma `constant_planes`; the offset is the exact one for slopes 0.
    Tight?     the best planes with zero slopes; loose otherwise.
    Shapes     boxes and planes all (...,).
"""

from __future__ import annotations

import torch

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides
from gpu_engine.relaxations.products import Product


def constants(product: Product, v: Box, z: Box) -> PlanePair:
    """Both planes of `product` on the box, with zero slopes."""
    v_both, z_both = both_sides(v, z)
    zero = torch.zeros_like(v_both.lower)
    return pair_from_sides(Plane(zero, zero, product.upper_maximum(v_both, z_both, zero, zero).value))

"""The engine's planes on octagons as claims, and octagons for its functions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gpu_engine.bounds import Box, Diagonals, Plane, PlanePair
from gpu_engine.relaxations.octagon_edges import both_octagons, octagon_of
from gpu_engine.relaxations.octagon_maximum import octagon_maximum
from gpu_engine.relaxations.offsets import pair_from_sides
from gpu_engine.relaxations.products import PRODUCTS
from refcert.audit.branching.search import check_plane_by_branching
from refcert.audit.families.octagons import draw_octagons
from refcert.kernel.claims import PlaneClaim, Status
from tests.engine.plane_claims import claims


def drawn_diagonals(v: Box, z: Box, rng: np.random.Generator) -> Diagonals:
    """Diagonals of octagons that are not empty, in the dtype of the boxes."""
    boxes = torch.stack((v.lower, v.upper, z.lower, z.upper), 1).double().numpy()
    ends = torch.tensor(draw_octagons(boxes, rng))
    limit = float(torch.finfo(v.lower.dtype).max)
    low, high = (ends[:, k::2].clamp(-limit, limit).to(v.lower.dtype) for k in (0, 1))
    return Diagonals(*(Box(low[:, k], torch.maximum(low[:, k], high[:, k])) for k in (0, 1)))


def exact_pair(kind: str, v: Box, z: Box, diagonals: Diagonals, slope_v: Tensor, slope_z: Tensor) -> PlanePair:
    """Planes with these slopes and with the engine's offsets: those of the lower ones are minus them in v."""
    a, b = torch.stack((slope_v, -slope_v)), torch.stack((slope_z, slope_z))
    shape = both_octagons(octagon_of(v, z, diagonals))
    return pair_from_sides(Plane(a, b, octagon_maximum(PRODUCTS[kind], shape, a, b).value))


def octagon_claims(kind: str, v: Box, z: Box, diagonals: Diagonals, pair: PlanePair) -> list[PlaneClaim]:
    """Both planes of every element as claims about its octagon."""
    ends = (diagonals.plus.lower, diagonals.plus.upper, diagonals.minus.lower, diagonals.minus.upper)
    rows = list(zip(*(end.double().reshape(-1).tolist() for end in ends), strict=True))
    return [
        PlaneClaim(
            *(claim.kind, claim.side, claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z),
            *(claim.slope_v, claim.slope_z, claim.offset),
            diagonals=diagonals_,
        )
        for claim, diagonals_ in zip(claims(kind, v, z, pair), rows * 2, strict=True)
    ]


def not_proved(rows: list[PlaneClaim]) -> list[tuple[PlaneClaim, object]]:
    """The claims that the audit's second method, which decides thin octagons, too, does not prove."""
    verdicts = ((claim, check_plane_by_branching(claim)) for claim in rows)
    return [(claim, verdict) for claim, verdict in verdicts if verdict.status is not Status.PROVED]

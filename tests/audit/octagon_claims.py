"""Planes on octagons whose truth is known: offsets by the reference, then moved by shares of the plane's scale."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from refcert.audit.families.boxes import draw_boxes
from refcert.audit.families.octagons import draw_octagons
from refcert.audit.families.planted import moved_inward
from refcert.audit.families.slopes import SLOPE_RULES
from refcert.kernel.claims import SIDES, PlaneClaim
from refcert.reference.equations import PRODUCTS
from refcert.strategies.drawn_planes import touching_offset

# The reference's offsets are good to some 1e-14 of the scale.
SOUND = 1e-13


@cache
def octagon_claims(count: int, seed: int, family: str = "random", rule: str = "two contacts") -> tuple[PlaneClaim, ...]:
    """`count` planes for each product and side that hold on their octagons, to SOUND of their scale."""
    rng = np.random.default_rng(seed)
    claims = []
    for kind in PRODUCTS:
        for side in SIDES:
            boxes = draw_boxes(family, kind, count, rng)
            octagons = draw_octagons(boxes, rng)
            slopes = SLOPE_RULES[rule](kind, boxes[:, :2], boxes[:, 2:], rng)
            for box, ends, (a, b) in zip(boxes.tolist(), octagons.tolist(), slopes.tolist(), strict=True):
                v, z, diagonals = (box[0], box[1]), (box[2], box[3]), tuple(ends)
                offset = touching_offset(kind, side, v, z, a, b, diagonals)
                touching = PlaneClaim(kind, side, *box, a, b, offset, diagonals=diagonals)
                claims.append(moved_inward(touching, -SOUND))
    return tuple(claims)


def on_its_box(claim: PlaneClaim) -> PlaneClaim:
    """The same plane, claimed of the whole box."""
    return replace(claim, diagonals=None)

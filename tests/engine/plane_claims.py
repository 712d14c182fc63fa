"""Planes of the engine as claims for the kernel."""

from __future__ import annotations

from hypothesis.strategies import SearchStrategy

from gpu_engine.bounds import Box, Plane, PlanePair
from refcert.kernel.claims import PlaneClaim, Status, Verdict
from refcert.kernel.plane_proof import check_plane
from refcert.strategies import PlaneBoxes, boxes


def engine_boxes(size: int = 40) -> SearchStrategy[tuple[Box, Box]]:
    """So many boxes of v and z at once; most come from one seed, so that shrinking stays quick."""
    return boxes(("sigmoid_times_tanh",), count=2, bulk=size - 2).map(PlaneBoxes.engine)


def claims(kind: str, v: Box, z: Box, pair: PlanePair) -> list[PlaneClaim]:
    """Both planes of every element of the boxes."""
    rows = []
    for side, plane in (("lower", pair.lower), ("upper", pair.upper)):
        values = (v.lower, v.upper, z.lower, z.upper, plane.slope_v, plane.slope_z, plane.offset)
        columns = [value.double().reshape(-1).tolist() for value in values]
        rows += [PlaneClaim(kind, side, *row) for row in zip(*columns, strict=True)]
    return rows


def not_proved(rows: list[PlaneClaim]) -> list[tuple[PlaneClaim, Verdict]]:
    """The claims that the kernel does not prove, with its verdict."""
    verdicts = ((claim, check_plane(claim)) for claim in rows)
    return [(claim, verdict) for claim, verdict in verdicts if verdict.status is not Status.PROVED]


def moved_inward(pair: PlanePair, v: Box, z: Box, share: float) -> PlanePair:
    """Both planes moved towards each other by this share of their gap at the centre of the box."""
    middle_v, middle_z = (v.lower + v.upper) / 2, (z.lower + z.upper) / 2
    upper, lower = pair.upper, pair.lower
    gap = (upper.slope_v - lower.slope_v) * middle_v + (upper.slope_z - lower.slope_z) * middle_z
    step = share * (gap + upper.offset - lower.offset)
    return PlanePair(
        Plane(lower.slope_v, lower.slope_z, lower.offset + step),
        Plane(upper.slope_v, upper.slope_z, upper.offset - step),
    )


def height(plane: Plane, v: Box, z: Box):
    """The plane's height at the centre of the box."""
    centre_v, centre_z = v.lower + (v.upper - v.lower) / 2, z.lower + (z.upper - z.lower) / 2
    return plane.slope_v * centre_v + plane.slope_z * centre_z + plane.offset

"""How tight bounding planes are: the volume between plane and surface against the least of any sound plane.

Method card
    Claim      for every box and side an interval that holds the least volume, both ends proved, no wider than `gap` of
               it; so every ratio is within that gap, and below 1 only for planes that cut the surface.
    Source     POPQORN (Ko et al. 2019), equations 25 and 26: the volume between plane and surface over the box.
    Idea       Linear programming with constraint generation (`tightness.program`), polished by Newton's method
               (`tightness.polish`), finds where the best plane touches. What is claimed does not rest on them: the
               lower end is weak duality at these points in exact arithmetic (`tightness.certificate`), the upper end
               is a plane that the audit proves (`tightness.heights`), and the mean of the surface is a closed form in
               ball arithmetic (`tightness.means`).
    Gap        relative to the least volume itself, which is of second order in the widths of the box: relative to f,
               any plane over a thin box would look optimal.
    Left out   boxes without area, straight surfaces, optima that are not resolved, planes that are refuted, ratios
               above every float64, and planes on octagons: they need not hold on the box, so that the least volume over
               the box says nothing about them. Each is counted with its reason.
    Shapes     one entry a plane (planes,).
    Test       tests/audit/test_tightness*.py; lemmas `least_volume_plane`, `least_volume_gap`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refcert.audit.domain import cut
from refcert.audit.plane_table import PlaneTable
from refcert.audit.tightness.contacts import CONTACTS, Contacts
from refcert.audit.tightness.heights import FloatPlane
from refcert.audit.tightness.optimum import Guess, Optimum, Why, certify
from refcert.audit.tightness.program import BATCH, least_height
from refcert.audit.tightness.surfaces import Surface, surface_of
from refcert.kernel.claims import KINDS
from refcert.reference.equations import PRODUCTS

__all__ = ["GAP", "NEAR", "FloatPlane", "Optimum", "VolumeRatios", "Why", "least_volumes", "volume_ratios"]

# Both ends of the least volume differ by at most this share of it.
GAP: Final = 1e-9
# Planes with at most this volume ratio count as near the optimum in summaries.
NEAR: Final = 1.03
QUANTILES: Final = {
    "least": 0.0,
    "5%": 0.05,
    "25%": 0.25,
    "median": 0.5,
    "75%": 0.75,
    "95%": 0.95,
    "largest": 1.0,
}

Floats = NDArray[np.float64]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class VolumeRatios:
    """One entry a plane, in the table's order; numbers are NaN where `why` says that there is none.

    ratio: volume between plane and surface over the least one, rounded up: at least 1 for every sound plane.
    volume: the plane's, per unit area of the box, in units of f. least: the certified lower end of the least volume;
    gap: how far its upper end is above, as a share of it. slope_v, slope_z, offset: a proved float64 plane at the
    optimum; where float64 cannot express the optimum to the gap, `expressible` is False and it is the nearest one
    found. points (planes, 3, 2) and weights (planes, 3): where the optimum touches; weights are 0 where fewer than
    three points do.
    """

    kind: NDArray[np.str_]
    ratio: Floats
    why: NDArray[np.str_]
    volume: Floats
    least: Floats
    gap: Floats
    slope_v: Floats
    slope_z: Floats
    offset: Floats
    expressible: NDArray[np.bool_]
    points: Floats
    weights: Floats

    def summary(self) -> dict[str, object]:
        """Counts by reason and the distribution of the ratio, over all and by kind; plain numbers for JSON."""
        kinds = [kind for kind in KINDS if (self.kind == kind).any()]
        everything = self._summary(np.ones(len(self.kind), dtype=bool))
        return everything | {"by_kind": {kind: self._summary(self.kind == kind) for kind in kinds}}

    def _summary(self, chosen: NDArray[np.bool_]) -> dict[str, object]:
        used = chosen & (self.why == "")
        reasons = Counter(self.why[chosen].tolist())
        found: dict[str, object] = {"planes": int(chosen.sum()), "used": int(used.sum())}
        found |= {why.value: reasons[why.value] for why in Why}
        if not used.any():
            return found
        ratio = self.ratio[used]
        return found | {
            "ratio": dict(zip(QUANTILES, np.quantile(ratio, list(QUANTILES.values())).tolist(), strict=True)),
            "geometric_mean": float(np.exp(np.log(ratio).mean())),
            "near": float((ratio <= NEAR).mean()),
            "largest_gap": float(self.gap[used].max()),
            "not_expressible": int((~self.expressible[used]).sum()),
        }


def volume_ratios(
    table: PlaneTable,
    gap: float = GAP,
    sound: NDArray[np.bool_] | None = None,
    progress: Progress | None = None,
) -> VolumeRatios:
    """The volume of every plane over the least volume on its box and side.

    gap: how well the least volume is to be known, as a share of it. sound (planes,): False for planes that the audit
    refuted, whose volume means nothing; None where that is not known, then REFUTED are only those with less than the
    least volume. progress is called with the number of planes that finished. Raises ValueError for a gap that is no
    number in (0, 1) and for `sound` of another length.
    """
    count = len(table)
    if sound is not None and sound.shape != (count,):
        raise ValueError(f"sound has shape {sound.shape}; give one entry for each of the {count} planes")
    columns = table.columns
    box = np.stack([columns[name] for name in ("lower_v", "upper_v", "lower_z", "upper_z")], axis=1)
    result = _empty(columns["kind"])
    octagons = np.array([cut(claim) for claim in table.claims()], dtype=bool).reshape(count)
    result.why[octagons] = Why.OCTAGON.value
    if progress is not None and octagons.any():
        progress(int(octagons.sum()))
    asked = np.flatnonzero(~octagons)
    for some, optimum in _solve_all(columns["kind"][asked], columns["side"][asked], box[asked], gap):
        rows = asked[some]
        for row in rows.tolist():
            if isinstance(optimum, Why):
                result.why[row] = optimum.value
            else:
                _write(result, row, optimum, FloatPlane(*(float(columns[name][row]) for name in FloatPlane._fields)))
                if result.ratio[row] < 1 or (sound is not None and not sound[row]):
                    result.why[row], result.ratio[row] = Why.REFUTED.value, math.nan
                elif not math.isfinite(result.ratio[row]):
                    result.why[row], result.ratio[row] = Why.OVERFLOW.value, math.nan
        if progress is not None:
            progress(len(rows))
    return result


def least_volumes(
    kind: NDArray[np.str_], side: NDArray[np.str_], box: Floats, gap: float = GAP, progress: Progress | None = None
) -> list[Optimum | Why]:
    """The certified optimum of every (kind, side, box), or why there is none.

    kind, side (boxes,); box (boxes, 4): lower_v, upper_v, lower_z, upper_z, finite and not reversed; z is ignored for
    kinds of one argument.
    """
    found: list[Optimum | Why] = [Why.UNRESOLVED] * len(kind)
    for rows, optimum in _solve_all(kind, side, box, gap):
        for row in rows.tolist():
            found[row] = optimum
        if progress is not None:
            progress(len(rows))
    return found


def _solve_all(
    kind: NDArray[np.str_], side: NDArray[np.str_], box: Floats, gap: float
) -> Iterator[tuple[NDArray[np.int64], Optimum | Why]]:
    """The rows that ask the same question, and its answer; every question once."""
    if not 0 < gap < 1:
        raise ValueError(f"gap is {gap}; give a share of the least volume in (0, 1), such as {GAP:g}")
    for name in KINDS:
        for one_side in ("lower", "upper"):
            rows = np.flatnonzero((kind == name) & (side == one_side))
            if not len(rows):
                continue
            # 0.0 and -0.0 are the same end
            asked = box[rows] + 0.0 if name in PRODUCTS else np.pad(box[rows, :2] + 0.0, ((0, 0), (0, 2)))
            boxes, same = np.unique(asked, axis=0, return_inverse=True)
            groups = np.split(rows[np.argsort(same, kind="stable")], np.cumsum(np.bincount(same))[:-1])
            for start in range(0, len(boxes), BATCH):
                part = slice(start, start + BATCH)
                yield from zip(groups[part], _solve_boxes(name, one_side, boxes[part], gap), strict=True)


def _solve_boxes(kind: str, side: str, boxes: Floats, gap: float) -> Iterator[Optimum | Why]:
    """The answers for boxes of one kind and side."""
    solvable = (boxes[:, ::2] < boxes[:, 1::2])[:, : 2 if kind in PRODUCTS else 1].all(axis=1)
    guesses = iter(_guesses(kind, side, boxes[solvable]))
    for box, usable in zip(boxes.tolist(), np.asarray(solvable).tolist(), strict=True):
        if not usable:
            yield Why.NO_AREA
        elif kind == "relu" and not box[0] < 0 < box[1]:
            next(guesses)
            yield Why.FLAT
        else:
            yield certify(kind, side, tuple(box), next(guesses), gap)


def _guesses(kind: str, side: str, boxes: Floats) -> list[Guess]:
    """Touching points and slopes of the best planes."""
    if kind == "relu":
        return [_relu_guess(side, low, high) for low, high in boxes[:, :2].tolist()]
    mirror = 1.0 if side == "upper" else -1.0
    if side == "lower":  # as `kernel.claims.as_upper`
        low_v, high_v, low_z, high_z = boxes.T
        boxes = np.stack(
            (low_v, high_v, -high_z, -low_z) if kind in PRODUCTS else (-high_v, -low_v, low_z, high_z), axis=1
        )
    with np.errstate(all="ignore"):  # boxes beyond float64 end as UNRESOLVED
        surface = surface_of(kind, boxes)
        found = least_height(surface)
        tilt, slopes = _slopes(surface, found)
    if kind in PRODUCTS:
        x, y, turned = found.x, mirror * found.y, np.array([mirror, 1.0])
    else:
        x, y, turned = mirror * found.x, found.y, np.ones(2)
    rows = zip(*(array.tolist() for array in (x, y, found.weight, slopes * turned, tilt * turned)), strict=True)
    return [Guess(at_x, at_y, weight, tuple(slope), tuple(part)) for at_x, at_y, weight, slope, part in rows]


def _slopes(surface: Surface, found: Contacts) -> tuple[Floats, Floats]:
    """Slopes in the original units, less those at the centre and as they are; each (boxes, 2)."""
    tilt = np.stack((found.alpha * surface.size / surface.half_v, np.zeros(len(found.alpha))), axis=1)
    if surface.two_axes:
        tilt[:, 1] = found.beta * surface.size / surface.half_z
    return tilt, tilt + np.stack(surface.tangent(), axis=1)


def _relu_guess(side: str, low: float, high: float) -> Guess:
    """Above: the chord, touching at both ends. Below: the half line that is relu at the centre, touching there."""
    if side == "upper":
        slope = max(high, 0.0) / (high - low)
        return Guess((-1.0, 1.0), (0.0, 0.0), (0.5, 0.5), (slope, 0.0), (0.0, 0.0))
    slope = 1.0 if low / 2 + high / 2 >= 0 else 0.0
    return Guess((0.0,), (0.0,), (1.0,), (slope, 0.0), (0.0, 0.0))


def _empty(kind: NDArray[np.str_]) -> VolumeRatios:
    count = len(kind)
    longest = max(len(why.value) for why in Why)
    unknown = [np.full(count, math.nan) for _ in range(7)]
    ratio, volume, least, gap, slope_v, slope_z, offset = unknown
    return VolumeRatios(
        *(kind, ratio, np.full(count, "", dtype=f"U{longest}"), volume, least, gap, slope_v, slope_z, offset),
        *(np.zeros(count, dtype=bool), np.full((count, CONTACTS, 2), math.nan), np.zeros((count, CONTACTS))),
    )


def _write(result: VolumeRatios, row: int, optimum: Optimum, plane: FloatPlane) -> None:
    """The entries of one plane with a known optimum."""
    if optimum.support.kind not in PRODUCTS:
        plane = plane._replace(slope_z=0.0)
    result.volume[row], result.ratio[row] = optimum.measure(plane)
    result.least[row], result.gap[row], result.expressible[row] = optimum.least, optimum.gap, optimum.expressible
    if optimum.plane is not None:
        result.slope_v[row], result.slope_z[row], result.offset[row] = optimum.plane
    for k, (point, weight) in enumerate(zip(optimum.support.points, optimum.support.weights, strict=True)):
        result.points[row, k] = [int(part.p) / int(part.q) for part in point]
        result.weights[row, k] = int(weight.p) / int(weight.q)

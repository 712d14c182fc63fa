"""Planes trained by gradient descent, as in the original POPQORN paper, under refcert's audit.

    refcert audit popqorn_gradient_planes:planes --kinds sigmoid_times_tanh       in this folder
    python popqorn_gradient_planes.py                                             500 random boxes: how many fail

Method card
    Source     Ko, Lyu, Weng, Daniel, Wong, Lin, "POPQORN: Quantifying Robustness of Recurrent Neural Networks", ICML
               2019, appendix A.4; written from the description, no code of the authors is in it.
    Claim      None that would hold: a plane is valid on the points that were looked at. That is what refcert shows.
    Idea       slopes and offset of a plane are trained by gradient descent (Adam) so that the volume between plane
               and surface falls; points of a random sample on the wrong side are penalised. At last the offset is
               repaired: the plane moves until it is on the right side of a grid of 20 x 20 points.
    Shapes     boxes (count,); the work is done for all boxes together, in coordinates -1 .. 1 of each box.
"""

from __future__ import annotations

from typing import Final

import numpy as np

Array = np.ndarray
Plane = tuple[Array, Array, Array]  # slope_v, slope_z, offset

KINDS: Final = ("sigmoid_times_tanh", "sigmoid_times_identity")
STEPS: Final = 300
SAMPLE: Final = 64
"""Points of each box in each step."""
GRID: Final = 20
RATE: Final = 0.05
"""Adam's step, as a share of the surface's range on the box; it falls to a hundredth."""
PENALTY: Final = 20.0
"""What the mean violation weighs against the volume."""
ROUNDING: Final = 64 * np.finfo(np.float64).eps


def sigmoid(x: Array) -> Array:
    """Without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def surface(kind: str, v: Array, z: Array) -> Array:
    """sigmoid(v) tanh(z), or sigmoid(v) z."""
    return sigmoid(v) * (np.tanh(z) if kind == "sigmoid_times_tanh" else z)


def trained(kind: str, box: tuple[Array, ...], side: str, seed: int = 0) -> Plane:
    """Slopes and offset by gradient descent alone, before the repair."""
    sign = 1.0 if side == "upper" else -1.0
    generator = np.random.default_rng(seed)
    middle_v, half_v, middle_z, half_z = _middles(box)
    corners = np.stack([surface(kind, v, z) for v in box[:2] for z in box[2:]])
    size = np.maximum(np.ptp(corners, axis=0), 1e-300)
    # plane = a s + b t + c in coordinates s, t of the box; its mean, and so the volume, is c alone
    plane = np.stack([np.zeros_like(size), np.zeros_like(size), (sign * corners).max(0) * sign])
    first, second = np.zeros_like(plane), np.zeros_like(plane)
    for step in range(1, STEPS + 1):
        s, t = generator.uniform(-1.0, 1.0, (2, len(size), SAMPLE))
        values = surface(kind, middle_v[:, None] + half_v[:, None] * s, middle_z[:, None] + half_z[:, None] * t)
        above = plane[0][:, None] * s + plane[1][:, None] * t + plane[2][:, None]
        wrong = sign * (values - above) > 0
        gradient = -sign * PENALTY * np.stack([(wrong * s).mean(1), (wrong * t).mean(1), wrong.mean(1)])
        gradient[2] += sign
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        rate = RATE * 0.01 ** (step / STEPS) * size
        plane -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-12)
    slope_v = np.divide(plane[0], half_v, out=np.zeros_like(half_v), where=half_v > 0)
    slope_z = np.divide(plane[1], half_z, out=np.zeros_like(half_z), where=half_z > 0)
    return slope_v, slope_z, plane[2] - slope_v * middle_v - slope_z * middle_z


def repaired(kind: str, box: tuple[Array, ...], side: str, plane: Plane) -> Plane:
    """The same slopes, the offset from GRID x GRID points, rounded to nearest."""
    share = np.linspace(0.0, 1.0, GRID)
    v, z = (low[:, None] * (1 - share) + high[:, None] * share for low, high in (box[:2], box[2:]))
    slope_v, slope_z, _ = plane
    rest = surface(kind, v[:, :, None], z[:, None, :]) - slope_v[:, None, None] * v[:, :, None]
    rest -= slope_z[:, None, None] * z[:, None, :]
    return slope_v, slope_z, rest.max((1, 2)) if side == "upper" else rest.min((1, 2))


def planes(kind: str, *sides: Array) -> tuple[Plane, Plane]:
    """As the paper has it: trained, then repaired on the grid."""
    box = _checked(kind, sides)
    lower, upper = (repaired(kind, box, side, trained(kind, box, side)) for side in ("lower", "upper"))
    return lower, upper


def planes_rounded_outward(kind: str, *sides: Array) -> tuple[Plane, Plane]:
    """The same, moved outward by more than all rounding: what is wrong now is wrong between the grid's points."""
    box = _checked(kind, sides)
    v, z = (np.maximum(np.abs(low), np.abs(high)) for low, high in (box[:2], box[2:]))
    moved = []
    for (slope_v, slope_z, offset), sign in zip(planes(kind, *sides), (-1.0, 1.0), strict=True):
        size = 1.0 + z + np.abs(offset) + np.abs(slope_v) * v + np.abs(slope_z) * z
        moved.append((slope_v, slope_z, offset + sign * ROUNDING * size))
    return moved[0], moved[1]


def random_boxes(count: int = 500, seed: int = 0, widest: float = 1.0) -> tuple[Array, ...]:
    """Boxes as the units of a small LSTM have them: centers normal with deviation 1, half widths up to `widest`."""
    generator = np.random.default_rng(seed)
    centers, halves = generator.normal(0.0, 1.0, (2, count)), generator.uniform(0.0, widest, (2, count))
    return centers[0] - halves[0], centers[0] + halves[0], centers[1] - halves[1], centers[1] + halves[1]


def _middles(box: tuple[Array, ...]) -> tuple[Array, Array, Array, Array]:
    low_v, high_v, low_z, high_z = box
    return low_v / 2 + high_v / 2, high_v / 2 - low_v / 2, low_z / 2 + high_z / 2, high_z / 2 - low_z / 2


def _checked(kind: str, sides: tuple[Array, ...]) -> tuple[Array, ...]:
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not trained; the paper trains {' and '.join(KINDS)}, so ask for these kinds")
    return tuple(np.asarray(side, dtype=np.float64) for side in sides)


def main() -> None:
    """Audit the planes of the random boxes, with and without rounding outward; print the shares that fail."""
    from refcert.audit.examine import Questions, examine
    from refcert.kernel.claims import PlaneClaim, Status

    boxes = random_boxes()
    for kind in KINDS:
        for function in (planes, planes_rounded_outward):
            for side, plane in zip(("lower", "upper"), function(kind, *boxes), strict=True):
                rows = zip(*(column.tolist() for column in (*boxes, *plane)), strict=True)
                answers = examine([PlaneClaim(kind, side, *row) for row in rows], Questions(falsify="undecided"), 0)
                sizes = [a.judgement.violation or 0.0 for a in answers if a.judgement.status is Status.REFUTED]
                open_ = sum(a.judgement.status is Status.UNDECIDED for a in answers)
                large = sum(size > 1e-12 for size in sizes)
                print(
                    f"{kind} {side}, {function.__name__}: {len(sizes)} of {len(answers)} REFUTED, "
                    f"{large} by more than 1e-12, largest {max(sizes, default=0.0):.2e}; {open_} UNDECIDED"
                )


if __name__ == "__main__":
    main()

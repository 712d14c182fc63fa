"""What each way of hunting for a violating point finds, how fast, with the rigorous methods beside it; protocol P4.

    python -m benchmarks.falsifiers [--planes 3] [--budget 200] [--seed 0]

Faults: least-volume planes of the reference with exact offsets (five nonlinearities, both sides, random and wide
boxes), moved inward by a share of the plane's largest term. A way finds a fault if it comes back with a point at which
ball arithmetic confirms the violation. Times are CPU times per plane.

P4: violations above 1e-6 on a grid of 301 x 301 points, of 600 planes on random boxes (centres in +-5, widths to 5) and
400 on wide ones (centres in +-15, widths to 20), both products, for every relaxation of the engine; and how many of the
planes the kernel proves.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.common import header, table
from gpu_engine.bounds import Box
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.registry import RELAXATIONS
from refcert.audit.branching.search import check_plane_by_branching
from refcert.audit.falsify import DEFAULT_BUDGET, WAYS, falsify_plane
from refcert.audit.families.boxes import draw_boxes
from refcert.audit.families.planted import moved_inward, touching_planes
from refcert.audit.hunting.excess import Excess, confirm
from refcert.audit.hunting.hunt import Hunt
from refcert.kernel.claims import SIDES, PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane

SHARES = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
GRID = 301
VISIBLE = 1e-6
# Boxes per product: with two products and two sides, 600 and 400 planes.
P4_BOXES = {"random": 150, "wide": 100}
PEERS = (
    ("POPQORN's code, planes", "3 / 0"),
    ("lines (POPQORN, appendix A.6)", "0 / 10, worst 6.2e-03"),
    ("PROVER's code", "0 / 1, worst 1e-05"),
    ("composed lines, float32 (general tool)", "0 / 8, worst 1.7e-06"),
)

Way = Callable[[PlaneClaim], bool]


def on_a_grid(claim: PlaneClaim) -> bool:
    """Is the worst of 301 x 301 points, evenly spaced, certainly beyond the plane?"""
    hunt = Hunt(Excess(claim), 1, 0)
    v, z = np.meshgrid(*(np.unique(axis.clip(np.linspace(axis.low, axis.high, GRID))) for axis in hunt.axes))
    excess = hunt.excess(v, z)
    worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
    return confirm(claim, float(v[worst]), float(z[worst])) is not None


def ways(seed: int, budget: int) -> dict[str, Way]:
    """Everything that is compared: True where a point was found."""

    def hunting(name: str) -> Way:
        return lambda claim: falsify_plane(claim, seed, (name,), budget) is not None

    return {
        "candidates (kernel)": lambda claim: check_plane(claim).status is Status.REFUTED,
        "branching": lambda claim: check_plane_by_branching(claim).status is Status.REFUTED,
        **{name: hunting(name) for name in WAYS},
        f"{GRID} x {GRID} points": on_a_grid,
    }


def shares_found(planes: list[PlaneClaim], compared: dict[str, Way]) -> tuple[list[list[str]], list[int]]:
    """A row for each way: found of each size, CPU milliseconds per plane; and the number of faults of each size."""
    faults = {}
    for share in SHARES:
        moved = [moved_inward(claim, share) for claim in planes]
        faults[share] = [claim for claim in moved if check_plane(claim).status is Status.REFUTED]
    rows = []
    for name, way in compared.items():
        cells, seconds, asked = [], 0.0, 0
        for claims in faults.values():
            began = time.process_time()
            found = sum(map(way, claims))
            seconds += time.process_time() - began
            asked += len(claims)
            cells.append(f"{found} ({100 * found / len(claims):.0f} %)" if claims else "-")
        rows.append([name, *cells, f"{1e3 * seconds / asked:.3g}"])
    return rows, [len(claims) for claims in faults.values()]


def p4_planes(relaxation: str, family: str, rng: np.random.Generator) -> list[PlaneClaim]:
    """Both planes of both products on drawn boxes, as the engine makes them."""
    claims = []
    for kind, product in PRODUCTS.items():
        boxes = draw_boxes(family, kind, P4_BOXES[family], rng)
        v, z = (Box(torch.tensor(boxes[:, k]), torch.tensor(boxes[:, k + 1])) for k in (0, 2))
        pair = RELAXATIONS[relaxation].product(product, v, z)
        for side, plane in zip(SIDES, (pair.lower, pair.upper), strict=True):
            numbers = [x.expand(len(boxes)).tolist() for x in (plane.slope_v, plane.slope_z, plane.offset)]
            rows = zip(*boxes.T.tolist(), *numbers, strict=True)
            claims += [PlaneClaim(kind, side, *row) for row in rows]
    return claims


def largest_on_grid(claim: PlaneClaim) -> float:
    """The largest excess on the grid, in plain float64."""
    v, z = np.linspace(claim.lower_v, claim.upper_v, GRID), np.linspace(claim.lower_z, claim.upper_z, GRID)
    g = np.tanh(z) if claim.kind == "sigmoid_times_tanh" else z
    surface = np.outer(0.5 + 0.5 * np.tanh(0.5 * v), g)
    excess = surface - claim.slope_v * v[:, None] - claim.slope_z * z[None, :] - claim.offset
    return float(excess.max() if claim.side == "upper" else -excess.min())


def p4_rows(seed: int) -> list[list[str]]:
    rows = []
    for relaxation in RELAXATIONS:
        cells: list[str] = []
        proved = total = 0
        for family in P4_BOXES:
            claims = p4_planes(relaxation, family, np.random.default_rng(seed))
            excess = np.array([largest_on_grid(claim) for claim in claims])
            cells.append(f"{int((excess > VISIBLE).sum())} of {len(claims)}")
            proved += sum(check_plane(claim).status is Status.PROVED for claim in claims)
            total += len(claims)
        rows.append([relaxation, *cells, f"{proved} of {total}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planes", type=int, default=3, help="per nonlinearity, side and family")
    parser.add_argument("--budget", type=int, default=DEFAULT_BUDGET, help="evaluations or examples for each way")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    planes = touching_planes(arguments.planes, np.random.default_rng(arguments.seed))
    rows, counts = shares_found(planes, ways(arguments.seed, arguments.budget))
    columns = [f"{share:.0e} ({count})" for share, count in zip(SHARES, counts, strict=True)]
    page = [
        header("Hunts for a violating point", f"Seed {arguments.seed}.", ("scipy", "hypothesis")),
        f"{len(planes)} least-volume planes with exact offsets, moved inward by a share of their largest term; in "
        "brackets how many are\nfalse then (a plane of zeros alone does not move). A point counts if ball arithmetic "
        f"confirms it.\nBudget of each hunt: {arguments.budget} evaluations, for hypothesis as many examples of 49 "
        "points each. Time: CPU milliseconds per plane.\n",
        table(["way", *columns, "ms"], rows),
        "## Protocol P4: violations above 1e-6 on a grid of 301 x 301 points\n",
        table(["relaxation", "random boxes", "wide boxes", "proved by the kernel"], p4_rows(arguments.seed)),
        "Earlier tools, of 600 random / 400 wide planes, measured once on boxes drawn in the same way:\n",
        table(["planes", "violations"], PEERS),
    ]
    print("\n".join(page))


if __name__ == "__main__":
    main()

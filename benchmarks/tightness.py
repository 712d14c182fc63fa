"""Volumes between planes and surfaces against the certified least volume, for every relaxation.

    python -m benchmarks.tightness [--models a,b] [--count 100] [--planes 4000] [--boxes 2000] [--seed 0]

On boxes of real runs (l_inf, clip [0, 1], relaxation `parallel`; planes drawn at random from all of the run),
and on the random boxes of protocol P4: centres in [-5, 5], widths to 5. All relaxations are measured on the same boxes.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.common import P1_MODELS, header, samples, shared_model, table
from gpu_engine.bounds import Box
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, untargeted
from refcert.app.plane_export import PlaneCollector
from refcert.audit.tightness_lp import GAP, NEAR, FloatPlane, Optimum, least_volumes
from refcert.kernel.claims import SIDES

QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
# Mean distance of upper and lower plane at the centre, protocol P4, as measured for the peers' code.
PEERS = {
    "PROVER": {"sigmoid_times_tanh": 0.1474, "sigmoid_times_identity": 0.337},
    "POPQORN": {"sigmoid_times_tanh": 0.1474, "sigmoid_times_identity": 0.369},
    "composed lines of a general tool": {"sigmoid_times_tanh": 0.156, "sigmoid_times_identity": 0.409},
    "lines of POPQORN": {"sigmoid_times_tanh": 0.306, "sigmoid_times_identity": 1.36},
}


@dataclass(frozen=True)
class Boxes:
    """Questions (planes,): kind and side, box (planes, 4) as lower_v, upper_v, lower_z, upper_z."""

    name: str
    kind: np.ndarray
    side: np.ndarray
    box: np.ndarray


@dataclass(frozen=True)
class Measured:
    """What is known of one set of boxes: optima in order, and every relaxation's planes there, (planes, 3)."""

    boxes: Boxes
    optima: list[Any]
    seconds: float
    planes: Mapping[str, np.ndarray]

    @property
    def known(self) -> np.ndarray:
        return np.array([isinstance(optimum, Optimum) for optimum in self.optima])

    def ratios(self, relaxation: str) -> np.ndarray:
        """Volume over least volume, NaN where there is none."""
        rows = zip(self.optima, self.planes[relaxation].tolist(), strict=True)
        return np.array([o.measure(FloatPlane(*p))[1] if isinstance(o, Optimum) else np.nan for o, p in rows])


def run_boxes(name: str, arguments: argparse.Namespace) -> Boxes:
    """A sample of the planes of a run on a shared model."""
    model = shared_model(name)
    x, labels = samples(name, model, arguments.count)
    balls = FrameBalls(x, torch.full(x.shape[:2], arguments.radius, dtype=torch.float64), clip=(0.0, 1.0))
    collector = PlaneCollector(0)
    certify(model, balls, untargeted(labels, model.classes), Options("parallel"), collector.add)
    planes = collector.table()
    assert planes is not None
    rng = np.random.default_rng(arguments.seed)
    rows = np.sort(rng.choice(len(planes), min(arguments.planes, len(planes)), replace=False))
    columns = {name: column[rows] for name, column in planes.columns.items()}
    box = np.stack([columns[end] for end in ("lower_v", "upper_v", "lower_z", "upper_z")], axis=1)
    return Boxes(name, columns["kind"], columns["side"], box)


def random_boxes(kind: str, arguments: argparse.Namespace) -> Boxes:
    """Protocol P4: both sides of every box, first all lower ones."""
    rng = np.random.default_rng(arguments.seed)
    centre = rng.uniform(-5, 5, (arguments.boxes, 2))
    half = rng.uniform(0, 5, (arguments.boxes, 2)) / 2
    box = np.stack((centre - half, centre + half), axis=2).reshape(arguments.boxes, 4)
    return Boxes(f"P4, {kind}", np.full(2 * len(box), kind), np.repeat(SIDES, len(box)), np.concatenate((box, box)))


def engine_planes(boxes: Boxes, relaxation: str) -> np.ndarray:
    """The relaxation's planes, (planes, 3)."""
    result = np.zeros((len(boxes.kind), 3))
    for kind, product in PRODUCTS.items():
        rows = np.flatnonzero(boxes.kind == kind)
        ends = [torch.from_numpy(boxes.box[rows, k].copy()) for k in range(4)]
        pair = RELAXATIONS[relaxation].product(product, Box(*ends[:2]), Box(*ends[2:]))
        lower, upper = (torch.stack((p.slope_v, p.slope_z, p.offset), 1).numpy() for p in (pair.lower, pair.upper))
        result[rows] = np.where((boxes.side[rows] == "upper")[:, None], upper, lower)
    return result


def measure(boxes: Boxes) -> Measured:
    began = time.process_time()
    optima = least_volumes(boxes.kind, boxes.side, boxes.box)
    seconds = time.process_time() - began
    return Measured(boxes, optima, seconds, {name: engine_planes(boxes, name) for name in RELAXATIONS})


def gaps_at_centre(measured: Measured) -> dict[str, tuple[float, float]]:
    """Mean distance of upper and lower plane at the centre and its standard error, with the optimum's own."""
    half = len(measured.boxes.kind) // 2
    centre = measured.boxes.box.reshape(-1, 2, 2).mean(2)
    optimal = np.array([o.plane if isinstance(o, Optimum) else (np.nan,) * 3 for o in measured.optima])
    found = {}
    for name, planes in {"optimum": optimal, **measured.planes}.items():
        height = (planes[:, :2] * centre).sum(1) + planes[:, 2]
        gap = height[half:] - height[:half]
        gap = gap[~np.isnan(gap)]
        found[name] = float(gap.mean()), float(gap.std() / np.sqrt(len(gap)))
    return found


def distribution(ratios: np.ndarray) -> list[str]:
    known = ratios[~np.isnan(ratios)]
    return [*map(shown, np.quantile(known, QUANTILES)), f"{(known <= NEAR).mean():.1%}"]


def shown(ratio: float) -> str:
    """A ratio, or how far it is above 1 where that would not be seen."""
    return f"1 + {ratio - 1:.0e}" if ratio < 1.001 else f"{ratio:.4g}"


def worst_boxes(measured: Measured, count: int) -> list[list[str]]:
    """Where the rule `planes` is furthest from the optimum."""
    ratios = measured.ratios("planes")
    rows = np.argsort(np.where(np.isnan(ratios), -np.inf, ratios))[::-1][:count]
    lines = []
    for row in rows:
        low_v, high_v, low_z, high_z = measured.boxes.box[row]
        lines.append(
            [
                *(measured.boxes.name, str(measured.boxes.kind[row]), str(measured.boxes.side[row])),
                *(f"[{low_v:.4g}, {high_v:.4g}]", f"[{low_z:.4g}, {high_z:.4g}]", shown(ratios[row])),
            ]
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(P1_MODELS))
    parser.add_argument("--count", type=int, default=100, help="samples of a run")
    parser.add_argument("--radius", type=float, default=0.01)
    parser.add_argument("--planes", type=int, default=4000, help="planes drawn from a run")
    parser.add_argument("--boxes", type=int, default=2000, help="random boxes of each kind")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sets = [measure(run_boxes(name, arguments)) for name in arguments.models.split(",") if name]
    drawn = [measure(random_boxes(kind, arguments)) for kind in PRODUCTS]
    optima, ratios, by_kind, worst = [], [], [], []
    for found in (*sets, *drawn):
        name, known = found.boxes.name, [o for o in found.optima if isinstance(o, Optimum)]
        reasons = Counter(str(o) for o in found.optima if not isinstance(o, Optimum))
        left_out = ", ".join(f"{why} {number:,}" for why, number in sorted(reasons.items())) or "none"
        rate = f"{len(found.optima) / found.seconds:,.0f}"
        gap, coarse = max(o.gap for o in known), sum(not o.expressible for o in known)
        optima.append([name, f"{len(found.optima):,}", left_out, f"{gap:.1e}", f"{coarse:,}", rate])
        for relaxation in RELAXATIONS:
            ratio = found.ratios(relaxation)
            ratios.append([name, relaxation, *distribution(ratio)])
            if relaxation == "planes" and found in sets:
                for kind in PRODUCTS:
                    by_kind.append([name, kind, *distribution(ratio[found.boxes.kind == kind])])
        worst += worst_boxes(found, 2)
    print(header("Tightness: volumes against the certified optimum", f"Seed {arguments.seed}.", ("cvxpy", "highspy")))
    print(
        f"Runs: first {arguments.count} test samples, l_inf radius {arguments.radius:g}, clip [0, 1], boxes of "
        f"`parallel`, {arguments.planes:,} planes drawn. P4: {arguments.boxes:,} boxes of each kind, both sides.\n"
        "Volume ratio: volume between plane and surface over the least one of any sound plane; 1 is optimal.\n\n"
        f"The optima. Asked for a gap of {GAP:g} of the least volume, both ends proved; in planes that float64 cannot\n"
        "express to that gap the optimum itself is known, with more digits. Speed by CPU time, one process:\n"
    )
    head = ["boxes", "planes", "left out", "largest gap", "not expressible in float64", "planes/s"]
    print(table(head, optima))
    quantiles = ["least", "5 %", "median", "95 %", "largest", "within 3 %"]
    print("Volume ratios:\n")
    print(table(["boxes", "relaxation", *quantiles], ratios))
    if by_kind:
        print("The rule `planes` by kind, on boxes of runs:\n")
        print(table(["boxes", "kind", *quantiles], by_kind))
    print("Where the rule `planes` is furthest from the optimum:\n")
    print(table(["boxes", "kind", "side", "v", "z", "ratio"], worst))
    print(
        "P4: mean distance of upper and lower plane at the centre, with its standard error over the boxes; peers as\n"
        "measured on other boxes, drawn alike:\n"
    )
    centre = [gaps_at_centre(found) for found in drawn]
    rows = [[name, *("{:.4f} +- {:.4f}".format(*gap[name]) for gap in centre)] for name in centre[0]]
    rows += [[name, *(f"{gaps[kind]:.4g}" for kind in PRODUCTS)] for name, gaps in PEERS.items()]
    print(table(["planes", *PRODUCTS], rows))


if __name__ == "__main__":
    main()

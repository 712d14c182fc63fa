"""Planes proved per second and core, on all planes of real runs, and planted faults that must be found.

    python -m benchmarks.audit_speed [--models a,b] [--count 100] [--planted 3]

Planted: both planes of every nonlinearity of the first samples are moved towards each other by 1e-9 of their distance
at the centre of the box. Offsets are exact, so every moved plane cuts its function off somewhere, and has to be refuted
with a point. Where the distance is zero or the move is lost in the rounding of the offset, nothing was planted.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
import torch

from benchmarks.common import P1_MODELS, header, samples, shared_model, table
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, untargeted
from refcert.app.plane_export import PlaneCollector
from refcert.audit.plane_audit import AuditResult, audit_planes
from refcert.audit.plane_table import PlaneTable
from refcert.kernel.claims import Status

MOVE = 1e-9


def planted(planes: PlaneTable, samples: int) -> PlaneTable:
    """The planes of the first samples, moved inward; those that did not move in floating point are left out."""
    some = planes.origin["sample"] < samples
    columns = {name: column[some] for name, column in planes.columns.items()}
    origin = {name: column[some] for name, column in planes.origin.items()}
    height = columns["offset"].copy()
    for axis in ("v", "z"):
        middle = columns[f"lower_{axis}"] / 2 + columns[f"upper_{axis}"] / 2
        height += np.nan_to_num(columns[f"slope_{axis}"] * middle)
    # Lower and upper planes of one nonlinearity have the same origin.
    key = np.stack([origin[name] for name in ("sample", "layer", "t", "unit")])
    order = np.lexsort((columns["side"], origin["product"], columns["kind"], *key))
    low, high = order[0::2], order[1::2]
    if set(columns["side"][low]) != {"lower"} or set(columns["side"][high]) != {"upper"}:
        raise SystemExit("the planes do not come in pairs; no fault can be planted")
    move = MOVE * (height[high] - height[low])
    moved = columns["offset"].copy()
    moved[low] += move
    moved[high] -= move
    changed = moved != columns["offset"]
    columns["offset"] = moved
    return PlaneTable({name: column[changed] for name, column in columns.items()})


def refuted_with_point(result: AuditResult) -> int:
    return sum(verdict.status == Status.REFUTED and verdict.point is not None for verdict in result.verdicts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(P1_MODELS))
    parser.add_argument("--relaxations", default="parallel,planes")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--planted", type=int, default=3, help="samples whose planes are moved inward")
    parser.add_argument("--radius", type=float, default=0.01)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models.split(","):
        model = shared_model(name)
        x, labels = samples(name, model, arguments.count)
        balls = FrameBalls(x, torch.full(x.shape[:2], arguments.radius, dtype=torch.float64), clip=(0.0, 1.0))
        for relaxation in arguments.relaxations.split(","):
            collector = PlaneCollector(0)
            certify(model, balls, untargeted(labels, model.classes), Options(relaxation), collector.add)
            planes = collector.table()
            assert planes is not None
            began = time.process_time()
            result = audit_planes(planes)
            seconds = time.process_time() - began
            counts = result.summary
            bits = Counter(verdict.precision for verdict in result.verdicts)
            faults = planted(planes, arguments.planted)
            found = refuted_with_point(audit_planes(faults))
            rows.append(
                [
                    name,
                    relaxation,
                    *(f"{counts[key]:,}" for key in ("proved", "refuted", "undecided")),
                    f"{len(planes) / seconds:,.0f}",
                    ", ".join(f"{b}: {n:,}" for b, n in sorted(bits.items())),
                    f"{found:,} of {len(faults):,}",
                ]
            )
    print(header("Audit speed: ball-arithmetic proofs of all planes of a run, one process"))
    print(
        f"First {arguments.count} test samples, l_inf radius {arguments.radius:g}, clip [0, 1]; speed by CPU time.\n"
        f"Planted faults: planes of the first {arguments.planted} samples, moved inward by {MOVE:g} of their distance "
        "at the centre.\n"
    )
    head = ["model", "relaxation", "proved", "refuted", "undecided", "planes/s on one core", "planes by bits"]
    print(table([*head, "planted faults refuted with a point"], rows))


if __name__ == "__main__":
    main()

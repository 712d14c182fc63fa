"""Planes proved per second and core, on all planes of real runs.

python -m benchmarks.audit_speed [--models a,b] [--count 100]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import torch

from benchmarks.common import P1_MODELS, header, samples, shared_model, table
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, untargeted
from refcert.app.plane_export import PlaneCollector
from refcert.audit.plane_audit import audit_planes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(P1_MODELS))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--radius", type=float, default=0.01)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models.split(","):
        model = shared_model(name)
        x, labels = samples(name, model, arguments.count)
        balls = FrameBalls(x, torch.full(x.shape[:2], arguments.radius, dtype=torch.float64), clip=(0.0, 1.0))
        for relaxation in ("parallel", "least_volume"):
            collector = PlaneCollector(0)
            everyone = torch.arange(len(x))
            certify(
                model,
                balls,
                untargeted(labels, model.classes),
                Options(relaxation),
                lambda part, products, c=collector, e=everyone: c.add(e[part], products),
            )
            planes = collector.table()
            assert planes is not None
            began = time.perf_counter()
            result = audit_planes(planes)
            seconds = time.perf_counter() - began
            counts = result.summary
            bits = Counter(verdict.precision for verdict in result.verdicts)
            rows.append(
                [
                    name,
                    relaxation,
                    *(f"{counts[key]:,}" for key in ("proved", "refuted", "undecided")),
                    f"{len(planes) / seconds:,.0f}",
                    ", ".join(f"{b}: {n:,}" for b, n in sorted(bits.items())),
                ]
            )
    print(header("Audit speed: ball-arithmetic proofs of all planes of a run, one process"))
    print(f"First {arguments.count} test samples, l_inf radius {arguments.radius:g}, clip [0, 1].\n")
    print(
        table(["model", "relaxation", "proved", "refuted", "undecided", "planes/s on one core", "planes by bits"], rows)
    )


if __name__ == "__main__":
    main()

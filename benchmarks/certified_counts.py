"""Protocol P1: certified counts and certified radii on the shared MNIST LSTMs.

    python -m benchmarks.certified_counts [--models a,b] [--radius 0.01] [--first 0]

l_inf, the same radius on every frame, clip [0, 1], untargeted, only correctly classified samples count.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.common import P1_MODELS, header, samples, shared_model, table
from gpu_engine.search.certify import Options, certify
from gpu_engine.search.radius import certified_radius
from gpu_engine.spec import FrameBalls, untargeted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(P1_MODELS))
    parser.add_argument("--radius", type=float, default=0.01)
    parser.add_argument("--first", type=int, default=0, help="first test image; the table has 100")
    parser.add_argument("--relaxations", default="best,parallel,planes")
    parser.add_argument("--dtypes", default="float64,float32")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models.split(","):
        model = shared_model(name)
        x, labels = samples(name, model, arguments.first + 100)
        x, labels = x[arguments.first :], labels[arguments.first :]
        correct = model.logits(x).argmax(1) == labels
        spec = untargeted(labels, model.classes)
        balls = FrameBalls(x, torch.full(x.shape[:2], arguments.radius, dtype=torch.float64), clip=(0.0, 1.0))
        for relaxation in arguments.relaxations.split(","):
            for dtype in arguments.dtypes.split(","):
                options = Options(relaxation, dtype)
                result = certify(model, balls, spec, options)
                radii = certified_radius(
                    model, x, torch.ones(x.shape[:2]).double(), spec, clip=(0.0, 1.0), options=options
                )
                proved = radii.proved[correct]
                rows.append(
                    [
                        name,
                        relaxation,
                        dtype,
                        str(int(correct.sum())),
                        str(int((result.proved & correct).sum())),
                        f"{float(result.margin[correct].mean()):.3f}",
                        f"{float(proved.mean()):.4f}",
                        f"{float(proved.median()):.4f}",
                        f"{radii.evaluations / len(x):.1f}",
                    ]
                )
    print(header("Protocol P1: certified counts and radii"))
    print(f"Test images {arguments.first} to {arguments.first + 99}, radius {arguments.radius:g}, tolerance 0.001.\n")
    head = ["model", "relaxation", "dtype", "correct", f"certified at {arguments.radius:g}", "mean margin"]
    print(table([*head, "mean radius", "median radius", "evaluations per search"], rows))


if __name__ == "__main__":
    main()

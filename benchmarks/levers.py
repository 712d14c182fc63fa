"""What each lever of tightness gains and costs: certified counts against seconds a sample, protocol P1.

    python -m benchmarks.levers [--models a,b] [--radius 0.01] [--first 0] [--steps 0,20,60]

l_inf, the same radius on every frame, clip [0, 1], untargeted, only correctly classified samples count. `--first 5000`
has images that nothing was chosen by.
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmarks.common import P1_MODELS, header, samples, shared_model, table
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, untargeted

COUNT = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(P1_MODELS))
    parser.add_argument("--radius", type=float, default=0.01)
    parser.add_argument("--first", type=int, default=0, help="first test image; the table has 100")
    parser.add_argument("--steps", default="0,20,60", help="of --optimize")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models.split(","):
        model = shared_model(name)
        x, labels = samples(name, model, arguments.first + COUNT)
        x, labels = x[arguments.first :], labels[arguments.first :]
        correct = model.logits(x).argmax(1) == labels
        x, labels = x[correct], labels[correct]
        spec = untargeted(labels, model.classes)
        balls = FrameBalls(x, torch.full(x.shape[:2], arguments.radius, dtype=torch.float64), clip=(0.0, 1.0))
        broken = PGD().until_success().worst(Question(model, spec), balls, torch.Generator().manual_seed(0)).found
        opened = 0
        for steps in map(int, arguments.steps.split(",")):
            began = time.process_time()
            found = certify(model, balls, spec, Options(optimize=steps))
            seconds = time.process_time() - began
            if bool((found.proved & broken).any()):
                raise AssertionError(f"{name}: a sample is proved that PGD breaks")
            proved = int(found.proved.sum())
            opened = opened or len(x) - proved
            rows.append(
                [
                    name,
                    str(steps),
                    str(proved),
                    f"{int((~broken).sum())} of {len(x)}",
                    f"{seconds / len(x):.3f}",
                    f"{seconds / opened:.2f}",
                    f"{float(found.margin.mean()):.3f}",
                ]
            )
    print(header("Levers of tightness", "PGD: seed 0; nothing else is random."))
    print(f"Test images {arguments.first} to {arguments.first + COUNT - 1}, radius {arguments.radius:g}, `parallel`.\n")
    head = ["model", "steps of --optimize", "certified", "PGD leaves, of correct"]
    print(table([*head, "CPU s a sample", "CPU s an open sample", "mean margin"], rows))


if __name__ == "__main__":
    main()

"""Fine-tuning of the digits LSTM: what training on one algorithm does to the metrics of all of them.

    python -m benchmarks.finetuning [--methods fgsm,pgd,cw,lbfgs,interval,backsubstituted] [--count 100]

Attacks: rounds of adversarial inputs at one radius (Bastani et al. 2016, section 5). Bounds: the radius grows from zero
to that of the certification (Gowal et al. 2018). The training images of `digits`; metrics on its test images, which no
setting was chosen on except those of the bounds. l_inf, every frame moves, clip [0, 1].
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from typing import Any, Final

import torch

from benchmarks.common import header, samples, shared_model, table
from gpu_engine.model import RecurrentClassifier
from gpu_engine.training.finetune import Trainer
from gpu_engine.training.losses import Labelled
from gpu_engine.training.recipe import CERTIFIED, Recipe
from gpu_engine.training.trainable import Trainable
from refcert.app.datasets import digits_training_part
from refcert.app.finetuning.data import labelled
from refcert.app.finetuning.measuring import Asked, measure

CLIP: Final = (0.0, 1.0)
ATTACKS: Final = ("pgd", "cw", "fgsm", "lbfgs")
ROUNDS: Final = {"rounds": 3, "epochs": 8, "rate": 1e-3}
# A few steps are enough in training; attacks that search the smallest perturbation take longer, so fewer samples.
OWN: Final[dict[str, dict[str, Any]]] = {
    "fgsm": ROUNDS,
    "pgd": {**ROUNDS, "steps": 10, "restarts": 1},
    "cw": {**ROUNDS, "attacked": 300},
    "lbfgs": {**ROUNDS, "attacked": 300},
    "interval": {"rounds": 5, "epochs": 20, "rate": 5e-3, "natural": 0.25},
    "backsubstituted": {"rounds": 5, "epochs": 12, "rate": 3e-3, "natural": 0.5},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default=",".join(OWN))
    parser.add_argument("--model", default="digits_lstm")
    parser.add_argument("--radius", type=float, default=0.05, help="of the certification, and of training on bounds")
    parser.add_argument("--attacked", type=float, default=0.1, help="radius of the attacks, in training and in metrics")
    parser.add_argument("--count", type=int, default=100, help="test samples to attack; all are certified")
    parser.add_argument("--attacks", default=",".join(ATTACKS), help="to measure with")
    arguments = parser.parse_args()
    model = shared_model(arguments.model)
    x, labels = samples(arguments.model, model, None)
    test, training = Labelled(x, labels), labelled(digits_training_part())
    rows = [_row("before", model, test, arguments, None)]
    for name in arguments.methods.split(","):
        network, start = Trainable(model), time.perf_counter()
        bounds = name in CERTIFIED
        recipe = Recipe(
            method=None if bounds else name,
            certified=name if bounds else None,
            radius=arguments.radius if bounds else arguments.attacked,
            clip=CLIP,
            **OWN[name],
        )
        Trainer(network, training, recipe).run()
        minutes = (time.perf_counter() - start) / 60
        rows.append(_row(name, network.frozen(), test, arguments, minutes))
    print(header(f"Fine-tuning of {arguments.model}", "Seed 0."))
    print(
        f"Accuracy and certified accuracy on all {len(test)} test images; adversarial frequency, a lower bound, on "
        f"the first {arguments.count}, with a misclassified image counted. Minutes: training alone.\n"
    )
    heads = [f"frequency at {arguments.attacked:g} by {name}" for name in arguments.attacks.split(",")]
    print(table(["trained on", "accuracy", *heads, f"certified at {arguments.radius:g}", "minutes"], rows))


def _row(
    name: str, model: RecurrentClassifier, test: Labelled, arguments: argparse.Namespace, minutes: float | None
) -> list[str]:
    names = arguments.attacks.split(",")
    whole = measure(model, test, Asked(arguments.radius, math.inf, CLIP, (), 0))
    first = test.select(torch.arange(arguments.count))
    attacks = measure(model, first, Asked(arguments.attacked, math.inf, CLIP, names, 0))["attacks"]
    shown = [f"{attacks[a]['frequency']:.0%}" if "frequency" in attacks[a] else "-" for a in names]
    taken = "-" if minutes is None else f"{minutes:.1f}"
    row = [name, f"{whole['accuracy']:.1%}", *shown, f"{whole['certified_accuracy']:.1%}", taken]
    print(" | ".join(row), file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    main()

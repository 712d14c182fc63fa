"""Fine-tuning of LSTMs for digits: what training on one algorithm does to the metrics of all of them.

    python -m benchmarks.finetuning [--runs plain:pgd,plain:lbfgs,digits_lstm:interval] [--count 100]

Two networks begin: the shipped digits_lstm, which was trained with noise and FGSM, and a plain one of the same shape,
trained here on the images as they are. Each run goes on with what `refcert finetune` recommends for its way of
training; attacks at the larger radius, bounds at the smaller one. l_inf, every frame moves, clip [0, 1], training
images of `digits`; metrics on its test images. The settings for bounds were chosen with the test images in view, and
so was the factor 1.5 of attacks.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Final

import torch
from torch import nn

from benchmarks.common import header, samples, shared_model, table
from examples.train_digits import BATCH, DigitsClassifier
from gpu_engine.attacks.registry import attack_entry
from gpu_engine.loading import from_state_dict
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.training.finetune import Trainer, family_of, question_of
from gpu_engine.training.losses import Labelled
from gpu_engine.training.recipe import CERTIFIED, Recipe, recommended
from gpu_engine.training.trainable import Trainable
from refcert.app.datasets import digits_training_part
from refcert.app.finetuning.data import labelled
from refcert.app.finetuning.measuring import RELAXATION, Asked, measure
from refcert.app.metrics.estimates import adversarial_frequency, adversarial_severity, median_robustness
from refcert.app.sandwich.check import check_sandwich

CLIP: Final = (0.0, 1.0)
SMALL, LARGE = 0.05, 0.1
ATTACKS: Final = ("pgd", "cw", "fgsm", "lbfgs")
PLAIN: Final = "plain"
RUNS: Final = (
    *("plain:pgd", "plain:fgsm", "plain:lbfgs"),
    *("digits_lstm:pgd", "digits_lstm:interval", "digits_lstm:backsubstituted"),
)
PLAIN_EPOCHS: Final = 60
PLAIN_RATE: Final = 5e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", default=",".join(RUNS), help="START:WAY of each, start: plain or a shipped model")
    parser.add_argument("--count", type=int, default=100, help="test samples to attack; all are certified")
    arguments = parser.parse_args()
    training, begun, rows = labelled(digits_training_part()), dict[str, RecurrentClassifier](), []
    for run in arguments.runs.split(","):
        start, _, way = run.partition(":")
        if start not in begun:
            begun[start] = plain(training) if start == PLAIN else shared_model(start)
            rows += _rows(start, "before", begun[start], arguments.count, None)
        network, began = Trainable(begun[start]), time.perf_counter()
        certified, method = (way, None) if way in CERTIFIED else (None, way)
        radius = LARGE if certified is None else SMALL
        Trainer(network, training, Recipe(method, certified, radius, clip=CLIP, **recommended(method, certified))).run()
        minutes = (time.perf_counter() - began) / 60
        rows += _rows(start, way, network.frozen(), arguments.count, minutes)
    print(header("Fine-tuning of LSTMs for digits", "Seed 0."))
    print(
        "Accuracy and certified accuracy (`best`, a lower bound) on all 360 test images, attacks on the first "
        f"{arguments.count}. f: adversarial frequency, a lower bound, with a misclassified image counted; s: its "
        "severity, an estimate; median: of the smallest perturbations found, an upper bound of the true one. Minutes: "
        "training alone.\n"
    )
    marks = [f"{what} {radius:g}" for radius in (SMALL, LARGE) for what in ("f", "s")]
    heads = ["start", "trained on", "accuracy", f"certified {SMALL:g}", "minutes", "attack", *marks, "median"]
    print(table(heads, rows))


def plain(training: Labelled, seed: int = 0) -> RecurrentClassifier:
    """An LSTM trained on the images as they are."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the layers' own initialisation knows no other generator
        network = DigitsClassifier("lstm")
    optimizer, x = torch.optim.Adam(network.parameters(), lr=PLAIN_RATE), training.x.to(torch.float32)
    for _ in range(PLAIN_EPOCHS):
        for index in torch.split(torch.randperm(len(x), generator=generator), BATCH):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(network(x[index]), training.labels[index]))
            optimizer.step()
    return from_state_dict(network.state_dict(), PLAIN)


def _rows(start: str, way: str, model: RecurrentClassifier, count: int, minutes: float | None) -> list[list[str]]:
    """A row for each attack; what does not depend on it stands in the first one."""
    x, labels = samples("digits", model, None)
    test = Labelled(x, labels)
    whole = measure(model, test, Asked(SMALL, math.inf, CLIP, (), 0))
    first = test.select(torch.arange(count))
    question, family = question_of(model, first), family_of(first, math.inf, CLIP)
    small = torch.full((count,), SMALL, dtype=torch.float64)
    proved = certify(model, family.at(small), question.specification, Options(RELAXATION)).proved
    certified, rows = torch.where(proved, small, 0.0), []
    for k, name in enumerate(ATTACKS):
        generator = torch.Generator().manual_seed(0)
        found = attack_entry(name).builder(None, None).smallest(question, family, generator)
        checked = check_sandwich(question, family, certified, found, folder=Path(), about=lambda k: {"sample": k})
        radii = checked.found.radius.numpy()
        shown = []
        for radius in (SMALL, LARGE):
            severity = float(adversarial_severity(radii, radius))
            shown += [f"{float(adversarial_frequency(radii, radius)):.0%}", f"{severity:.3f}"]
        taken = "-" if minutes is None else f"{minutes:.1f}"
        once = [start, way, f"{whole['accuracy']:.1%}", f"{whole['certified_accuracy']:.1%}", taken]
        rows.append([*(once if k == 0 else [""] * len(once)), name, *shown, f"{float(median_robustness(radii)):.3f}"])
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()

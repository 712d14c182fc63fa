"""What is measured before and after training: accuracy, each attack's frequency and severity, certified accuracy.

An attack's frequency is a lower bound of the true adversarial frequency, certified accuracy a lower bound of the true
robust accuracy; severity is an estimate. All are of the samples measured on, at one radius.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from gpu_engine.attacks.registry import attack_entry
from gpu_engine.errors import EngineError, NumericalError
from gpu_engine.inputs import Clip
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.training.finetune import family_of, question_of
from gpu_engine.training.losses import Labelled
from refcert.app.metrics.estimates import (
    ESTIMATE,
    LOWER,
    UPPER,
    adversarial_frequency,
    adversarial_severity,
    median_robustness,
)
from refcert.app.sandwich.check import check_sandwich

RELAXATION: Final = "best"
NATURE: Final = {"frequency": LOWER, "severity": ESTIMATE, "median_radius": UPPER, "certified_accuracy": LOWER}


@dataclass(frozen=True)
class Asked:
    """radius, p, clip: the balls. attacks: names, each with its own default steps and restarts."""

    radius: float
    p: float
    clip: Clip | None
    attacks: Sequence[str]
    seed: int


def measure(
    model: RecurrentClassifier,
    data: Labelled,
    asked: Asked,
    tick: Callable[[int], None] = lambda _: None,
    folder: Path = Path(),
) -> dict[str, Any]:
    """All metrics. An attack that cannot be used on this network is named with its reason, nothing else is lost.

    tick is called with 1 behind each attack and behind the certification. Raises SoundnessFault where an attack broke
    what is certified, with the evidence in `folder`.
    """
    question, family = question_of(model, data), family_of(data, asked.p, asked.clip)
    correct = question.plain_margins(family.center) > 0
    radius = torch.full((len(data),), asked.radius, dtype=torch.float64)
    proved = certify(model, family.at(radius), question.specification, Options(RELAXATION), lengths=data.lengths).proved
    certified = torch.where(proved, radius, 0.0)
    tick(1)
    attacks: dict[str, Any] = {}
    for name in asked.attacks:
        generator = torch.Generator().manual_seed(asked.seed)
        try:
            found = attack_entry(name).builder(None, None).smallest(question, family, generator)
        except (EngineError, NumericalError, ImportError) as error:
            attacks[name] = {"error": str(error)}
        else:
            checked = check_sandwich(question, family, certified, found, folder=folder, about=_about(model, name))
            attacks[name] = _metrics(checked.found.radius, asked.radius)
        tick(1)
    return {
        "count": len(data),
        "accuracy": float(correct.double().mean()),
        "certified_accuracy": float(proved.double().mean()),
        "relaxation": RELAXATION,
        "attacks": attacks,
    }


def _about(model: RecurrentClassifier, name: str) -> Callable[[int], dict[str, Any]]:
    return lambda k: {"sample": k, "method": name, "model": model.digest()}


def _metrics(radii: Tensor, threshold: float) -> dict[str, Any]:
    severity = float(adversarial_severity(radii.numpy(), threshold))
    median = float(median_robustness(radii.numpy()))
    return {
        "frequency": float(adversarial_frequency(radii.numpy(), threshold)),
        "severity": None if severity != severity else severity,  # not defined where nothing was found
        # Of smallest perturbations found, 0 for a misclassified sample; None where for half of them nothing was found.
        "median_radius": None if median == math.inf else median,
    }

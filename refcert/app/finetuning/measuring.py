"""What is measured before and after training: accuracy, each attack's frequency and severity, certified accuracy.

An attack's frequency is a lower bound of the true adversarial frequency, certified accuracy a lower bound of the true
robust accuracy; severity is an estimate. All are of the samples measured on, at one radius.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from gpu_engine.attacks.registry import attack_entry
from gpu_engine.errors import EngineError, NumericalError, SoundnessFault
from gpu_engine.inputs import Clip
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.training.finetune import family_of, question_of
from gpu_engine.training.losses import Labelled
from refcert.app.metrics.estimates import ESTIMATE, LOWER, adversarial_frequency, adversarial_severity

RELAXATION: Final = "best"
NATURE: Final = {"frequency": LOWER, "severity": ESTIMATE, "certified_accuracy": LOWER}


@dataclass(frozen=True)
class Asked:
    """radius, p, clip: the balls. attacks: names, each with its own default steps and restarts."""

    radius: float
    p: float
    clip: Clip | None
    attacks: Sequence[str]
    seed: int


def measure(
    model: RecurrentClassifier, data: Labelled, asked: Asked, tick: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """All metrics. An attack that cannot be used on this network is named with its reason, nothing else is lost.

    tick is called with 1 behind each attack and behind the certification. Raises SoundnessFault where an attack broke
    what is certified.
    """
    question, family = question_of(model, data), family_of(data, asked.p, asked.clip)
    correct = question.plain_margins(family.center) > 0
    radius = torch.full((len(data),), asked.radius, dtype=torch.float64)
    proved = certify(model, family.at(radius), question.specification, Options(RELAXATION), lengths=data.lengths).proved
    tick(1)
    attacks: dict[str, Any] = {}
    for name in asked.attacks:
        generator = torch.Generator().manual_seed(asked.seed)
        try:
            found = attack_entry(name).builder(None, None).smallest(question, family, generator).radius
        except (EngineError, NumericalError, ImportError) as error:
            attacks[name] = {"error": str(error)}
        else:
            _check(name, proved, found, asked.radius)
            attacks[name] = _metrics(found, asked.radius)
        tick(1)
    return {
        "count": len(data),
        "accuracy": float(correct.double().mean()),
        "certified_accuracy": float(proved.double().mean()),
        "relaxation": RELAXATION,
        "attacks": attacks,
    }


def _metrics(radii: Tensor, threshold: float) -> dict[str, Any]:
    severity = float(adversarial_severity(radii.numpy(), threshold))
    return {
        "frequency": float(adversarial_frequency(radii.numpy(), threshold)),
        "severity": None if severity != severity else severity,  # not defined where nothing was found
    }


def _check(name: str, proved: Tensor, radii: Tensor, radius: float) -> None:
    """Raise SoundnessFault where both sides claim the same sample."""
    both = (proved & (radii <= radius)).nonzero()[:, 0]
    if len(both):
        k = int(both[0])
        raise SoundnessFault(
            f"sample {k} is certified at {radius!r}, and {name} found an adversarial input at {float(radii[k])!r}"
        )

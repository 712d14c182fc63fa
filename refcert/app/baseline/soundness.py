"""Attacks on a subject: never a certified radius above a found attack, and counter-examples for what dropped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from gpu_engine.attacks.found import Smallest
from refcert.app.attacked import ball_family, point_question
from refcert.app.attacking.method import Method
from refcert.app.attacking.work import Part, attack_all
from refcert.app.baseline.comparing import Attacked
from refcert.app.baseline.entries import MARGIN, Baseline, Sample
from refcert.app.baseline.subject import Subject
from refcert.app.input_sets import fixed_radius
from refcert.app.options import BALLS
from refcert.app.progress import Progress
from refcert.app.sandwich.check import check_sandwich

STEPS: Final = 20
RESTARTS: Final = 2
"""Of PGD: a guard that runs with every build is short; `refcert attack` is there for more."""

NO_ATTACK: Final = "none"


def method_of(name: str) -> Method:
    """The attack of this name, short where it can be. Raises InputError."""
    entry = Method(name).entry
    return Method(name, STEPS if entry.uses_steps else None, RESTARTS if entry.uses_restarts else None)


def attack(
    subject: Subject, samples: Sequence[Sample], baseline: Baseline, method: Method, *, evidence: Path
) -> dict[int, Attacked]:
    """The nearest adversarial input of every sample by its index; empty for sets that the data holds, without a radius.

    Raises SoundnessFault where it lies in a ball that the engine certified; its evidence is saved in that folder.
    """
    request = subject.request
    if request.input_set not in BALLS:
        return {}
    proved = {sample.index: sample for sample in samples}
    found: dict[int, Attacked] = {}
    for part in attack_all(subject.opened, method, Progress(None)):
        first = subject.first + part.first
        places = part.questions.sample.tolist()
        if not places:
            continue
        certified = _certified(subject, part, [proved[first + k] for k in places], baseline)
        radius = part.radius if request.search else torch.where(part.broken, part.radius, math.inf)
        checked = check_sandwich(
            point_question(subject.model, part.questions),
            ball_family(request, part.samples, part.questions),
            certified,
            Smallest(part.x, part.margin, radius),
            folder=evidence,
            about=lambda q, part=part, first=first: _about(subject, method, part, first, q),  # type: ignore[misc]
        )
        for q, (k, size) in enumerate(zip(places, checked.found.radius.tolist(), strict=True)):
            outputs = part.outputs[q]
            guess = int(outputs.argmax()) if outputs.ndim == 1 and math.isfinite(size) else None
            if first + k not in found or size < found[first + k].radius:
                found[first + k] = Attacked(size, guess)
    return found


def _certified(subject: Subject, part: Part, samples: Sequence[Sample], baseline: Baseline) -> torch.Tensor:
    """Of every question the radius that was certified, 0 for none; the least of a sample for all its questions."""
    values = [0.0 if sample.value is None else float(sample.value) for sample in samples]
    radii = torch.tensor(values, dtype=torch.float64)
    if baseline.measure != MARGIN:
        return radii
    right = torch.tensor([sample.correct or not subject.request.about_label for sample in samples])
    fixed = fixed_radius(subject.request, part.samples)[part.questions.sample]
    return torch.where((radii > 0) & right, fixed, 0.0)


def _about(subject: Subject, method: Method, part: Part, first: int, q: int) -> Mapping[str, Any]:
    sample = first + int(part.questions.sample[q])
    return {"method": method.name, "sample": sample, **subject.opened.identity}

"""The check of every sandwich: never a certified radius that reaches a found attack.

A certified ball is closed and holds no input that breaks the specification; an attack's radius is rounded up, so its
input lies in the closed ball of that radius. A certified radius that is not below an attack's is therefore a
contradiction, unless rounding of the forward pass made the attack: `judge` decides that in ball arithmetic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.found import Smallest
from gpu_engine.attacks.question import Question
from gpu_engine.errors import SoundnessFault
from refcert.app.request import norm_name
from refcert.app.sandwich.judge import Judgement, judge
from refcert.app.storage import json_bytes, write_file

NAME: Final = "soundness_fault"

About = Callable[[int], Mapping[str, Any]]
"""Position of a question -> what evidence says of it: the sample, its label, the attack, the model, the request."""


@dataclass(frozen=True)
class Checked:
    """The attack's finds that stand, and positions of those that ball arithmetic took back, with its judgement."""

    found: Smallest
    withdrawn: Mapping[int, Judgement]


def check_sandwich(
    question: Question, family: BallFamily, certified: Tensor, found: Smallest, *, folder: Path, about: About
) -> Checked:
    """Every question's certified radius, (batch,), is below the radius of what an attack found.

    What breaks nothing in exact arithmetic is taken back: its radius becomes infinite. A true violation is saved in
    `folder`, with the adversarial input, and raises SoundnessFault. A certified radius of 0 claims only the center.
    """
    if certified.shape != found.radius.shape or bool((~(certified >= 0) | torch.isinf(certified)).any()):
        raise ValueError(f"certified radii have shape {tuple(certified.shape)}; give one finite number >= 0 a question")
    if not bool((found.radius >= 0).all()):  # what is no number would pass every comparison
        raise ValueError("an attack's radius is negative or no number; give infinity where nothing was found")
    certified = certified.to(found.radius)
    withdrawn: dict[int, Judgement] = {}
    for k in ((certified > 0) & (certified >= found.radius)).nonzero()[:, 0].tolist():
        at = slice(k, k + 1)
        judgement = judge(question.select(at), family.select(at), certified[at], found.x[at])
        if not judgement.excused:
            evidence = _evidence(question, family, certified, found, judgement, k) | dict(about(k))
            _stop(evidence, folder)
        withdrawn[k] = judgement
    if not withdrawn:
        return Checked(found, withdrawn)
    x, margin, radius = found.x.clone(), found.margin.clone(), found.radius.clone()
    taken = torch.tensor(sorted(withdrawn))
    x[taken], radius[taken] = family.center[taken], math.inf
    margin[taken] = question.plain_margins(family.center)[taken]
    return Checked(replace(found, x=x, margin=margin, radius=radius), withdrawn)


def _evidence(
    question: Question, family: BallFamily, certified: Tensor, found: Smallest, judgement: Judgement, k: int
) -> dict[str, Any]:
    """All that it takes to see the contradiction again: network, rows, ball and input."""
    return {
        "certified_radius": float(certified[k]),
        "attack_radius": float(found.radius[k]),
        "norm": norm_name(family.p),
        "ball": "sequence" if family.shared else "frames",
        "clip": None if family.clip is None else list(family.clip),
        "weight": family.weight[k].tolist(),
        "judgement": asdict(judgement),
        "margin_forward_pass": float(found.margin[k]),
        "center": family.center[k].tolist(),
        "adversarial": found.x[k].tolist(),
        "frames": int(found.x.shape[1] if question.lengths is None else question.lengths[k]),
        "reading": repr(question.specification.reading),
        "C": question.specification.C[k].tolist(),
        "d": question.specification.d[k].tolist(),
        "network_digest": question.model.digest(),
    }


def _stop(evidence: dict[str, Any], folder: Path) -> None:
    said = (
        f"sample {evidence.get('sample', '?')} is certified at radius {evidence['certified_radius']!r}, but "
        f"{evidence.get('method', 'an attack')} found an input at {evidence['attack_radius']!r} that breaks the "
        f"question ({evidence['judgement']['verdict']} in ball arithmetic)"
    )
    path = _free(folder)
    try:
        write_file(path, json_bytes(_plain(evidence)))
    except OSError as error:
        raise SoundnessFault(
            f"{said}; the evidence could not be saved ({error}): {json.dumps(_plain(evidence))}; please report it"
        ) from error
    raise SoundnessFault(f"{said}; no radius of this engine can be relied on. Evidence: {path}; please report it")


def _free(folder: Path) -> Path:
    """The first name that is not taken: evidence never replaces evidence."""
    number = 1
    while (path := folder / f"{NAME}_{number}.json").exists():
        number += 1
    return path.resolve()


def _plain(value: Any) -> Any:
    """JSON has no infinity: as text."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value

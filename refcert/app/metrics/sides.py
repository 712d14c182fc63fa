"""Both sides of every sample's sandwich, and scores beside them: certified radii, attacks, and the check between."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpu_engine.attacks.found import Smallest
from gpu_engine.errors import EngineError, NumericalError
from refcert.app import certify_run
from refcert.app.attacked import OVERFLOWS, ball_family, overflowing, point_question
from refcert.app.attacking.method import Method
from refcert.app.attacking.records import list_name, listed
from refcert.app.attacking.work import Part, attack_all
from refcert.app.errors import InputError
from refcert.app.metrics.estimates import ESTIMATE, LOWER, UPPER, Array
from refcert.app.metrics.options import Scored
from refcert.app.opening import Opened
from refcert.app.progress import Progress
from refcert.app.questions import ask
from refcert.app.request import Request
from refcert.app.sandwich.check import check_sandwich

Row = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One estimator's radius of every sample, (samples,): infinity where it found none.

    nature: LOWER, UPPER or ESTIMATE. withdrawn: finds that ball arithmetic took back, as the JSON names them.
    ended: how many of its searches ended how, of an attack that says so.
    """

    name: str
    nature: str
    what: str
    radii: Array
    seconds: float
    withdrawn: tuple[Row, ...] = ()
    ended: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sides:
    """rows: index, label, predicted, correct and certified radius of every sample; kept: those that have a question.

    certified, attacks and score over the kept ones. failed: attacks, and the score, that could not be carried out.
    compared: how many pairs of a positive certified radius and a find were held against each other; nothing_found: how
    many questions an attack found nothing for, each attack by itself.
    """

    rows: Sequence[Row]
    kept: Sequence[int]
    certified: Side
    attacks: Sequence[Side]
    score: Side | None
    failed: Sequence[Row]
    compared: int
    nothing_found: int

    def least_attack(self) -> Side:
        """The least radius that any attack found; a misclassified sample has 0 also where none could be carried out."""
        name = ", ".join(side.name for side in self.attacks) or "no attack"
        radii = np.full(len(self.kept), math.inf)
        for side in self.attacks:
            radii = np.minimum(radii, side.radii)
        radii[[not self.rows[k]["correct"] and self.rows[k]["certified"] == 0 for k in self.kept]] = 0.0
        label = name if len(self.attacks) < 2 else f"least of {name}"
        return Side(label, UPPER, "the least radius of the attacks", radii, sum(side.seconds for side in self.attacks))


@dataclass
class _Attacked:
    radii: dict[int, float] = field(default_factory=dict)
    withdrawn: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    compared: int = 0
    nothing_found: int = 0
    ended: Counter[str] = field(default_factory=Counter)


def gather(
    opened: Opened, methods: Sequence[Method], score: Scored | None, *, evidence: Path, progress: Progress
) -> Sides:
    """Certify, attack and check. Raises SoundnessFault, its evidence saved in the folder `evidence`.

    An attack or a score that does not fit the model, or whose numbers overflow, is named in `failed`; the others go on.
    Raises NumericalError where the network's outputs overflow at a sample, before the work: no metric is of the others
    alone.
    """
    request = opened.request
    _require_outputs(opened)
    summary = certify_run.run(
        request, out=None, resume=False, audit=False, keep_planes=False, workers=None, progress=progress
    )
    found = summary["samples"]
    rows = [{name: row[name] for name in ("index", "label", "predicted", "correct")} for row in found]
    for row, source in zip(rows, found, strict=True):
        row["certified"] = source["radius"]
    kept = [k for k, row in enumerate(rows) if row["certified"] is not None]
    if request.about_label is False:
        # The user's own rows: the center decides, not the label; the certified margin is a bound, too low for that.
        for row, holds in zip(rows, _hold(opened), strict=True):
            row["correct"] = holds
    certified = Side(
        f"certified ({request.relaxation})",
        LOWER,
        "largest radius at which the engine proved the question",
        np.array([rows[k]["certified"] for k in kept], dtype=np.float64),
        summary["seconds"],
    )
    sides, failed, compared, nothing_found = [], [], 0, 0
    for method in methods:
        try:
            parts = attack_all(opened, method, progress)
        except (EngineError, NumericalError, InputError) as error:
            failed.append({"name": method.name, "reason": str(error)})
            continue
        attacked = _checked(opened, method, parts, found, evidence)
        compared += attacked.compared
        nothing_found += attacked.nothing_found
        sides.append(
            Side(
                method.name,
                UPPER,
                method.entry.summary,
                np.array([attacked.radii[k] for k in kept]),
                attacked.seconds,
                tuple(attacked.withdrawn),
                dict(attacked.ended),
            )
        )
    scored = None
    if score is not None:
        try:
            scored = _scored(request, score, kept, progress)
        except (EngineError, NumericalError, InputError) as error:
            failed.append({"name": "CLEVER-RNN", "reason": str(error)})
    return Sides(rows, kept, certified, sides, scored, failed, compared, nothing_found)


def _require_outputs(opened: Opened) -> None:
    """Raise NumericalError that names the first sample at which outputs overflow."""
    size = opened.request.batch_size
    for first in range(0, len(opened.samples), size):
        samples = opened.samples.part(first, first + size)
        questions = ask(opened.request, opened.model, samples)
        lost = overflowing(opened.model, samples, questions, samples.logits(opened.model)).nonzero()[:, 0]
        if len(lost):
            raise NumericalError(f"sample {first + int(lost[0])}: {OVERFLOWS}")


def _hold(opened: Opened) -> list[bool]:
    """Whether every question about a sample holds at the sample itself, by the forward pass."""
    holds, size = [True] * len(opened.samples), opened.request.batch_size
    for first in range(0, len(opened.samples), size):
        samples = opened.samples.part(first, first + size)
        questions = ask(opened.request, opened.model, samples)
        if not len(questions.sample):
            continue
        margins = point_question(opened.model, questions).plain_margins(samples.x[questions.sample])
        for k, margin in zip(questions.sample.tolist(), margins.tolist(), strict=True):
            holds[first + k] = holds[first + k] and margin > 0
    return holds


def _checked(
    opened: Opened, method: Method, parts: Sequence[Part], certified: Sequence[Row], evidence: Path
) -> _Attacked:
    request, result = opened.request, _Attacked()
    for part in parts:
        result.seconds += part.seconds
        result.ended.update(part.status)
        if not len(part.questions.sample):
            continue
        radii, there = certified_of_questions(request, part, certified), torch.isfinite(part.radius)
        result.compared += int(((radii > 0) & there).sum())  # a radius of 0 claims only the center
        result.nothing_found += int((~there).sum())
        checked = check_sandwich(
            point_question(opened.model, part.questions),
            ball_family(request, part.samples, part.questions),
            radii,
            Smallest(part.x, part.margin, part.radius),
            folder=evidence,
            about=lambda k, part=part: _about(opened, method, part, k),  # type: ignore[misc]
        )
        for k, radius in zip(part.questions.sample.tolist(), checked.found.radius.tolist(), strict=True):
            place = part.first + k
            result.radii[place] = min(result.radii.get(place, math.inf), radius)
        for k, judgement in checked.withdrawn.items():
            result.withdrawn.append(_question_words(part, k) | {"reason": str(judgement.verdict)})
    return result


def certified_of_questions(request: Request, part: Part, rows: Sequence[Mapping[str, Any]]) -> Tensor:
    """The certified radius of every question of a part, (questions,), from the records of all samples."""
    asked, radii = part.questions.asked, []
    seen: dict[int, int] = {}
    for q, k in enumerate(asked.sample.tolist()):
        row = rows[part.first + k]
        place = seen.get(k, 0)
        seen[k] = place + 1
        if not listed(request):
            radii.append(row["radius"])
        else:
            radii.append(row[list_name(request)][place if asked.frame is None else int(asked.frame[q])])
    return torch.tensor(radii, dtype=torch.float64)


def _question_words(part: Part, k: int) -> Row:
    asked = part.questions.asked
    return {
        "sample": part.first + int(asked.sample[k]),
        "frame": None if asked.frame is None else int(asked.frame[k]),
        "target": None if asked.target is None else int(asked.target[k]),
    }


def _about(opened: Opened, method: Method, part: Part, k: int) -> Row:
    decided = part.decided[int(part.questions.sample[k])]
    return {"method": method.name, **_question_words(part, k), "decided": dict(decided), **opened.identity}


def _scored(request: Request, score: Scored, kept: Sequence[int], progress: Progress) -> Side:
    from refcert.app.scoring import Scoring, run_score

    result = run_score(Scoring(request, score.samples, score.batches), out=None, progress=progress)
    scores = [result["samples"][k] for k in kept]
    for row in scores:
        if row["radius"] is None:  # a metric is of all samples
            raise NumericalError(f"sample {row['index']}: {row['reason']}")
    radii = np.array([row["radius"] for row in scores], dtype=np.float64)
    return Side(
        str(result["estimator"]),
        ESTIMATE,
        "score from sampled gradients; an estimate, no guarantee",
        radii,
        float(result["seconds"]),
    )

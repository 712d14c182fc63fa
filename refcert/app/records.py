"""The engine's answers as one record per sample."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from refcert.app.questions import Answers, Questions
from refcert.app.request import Request
from refcert.app.samples import Samples


def records(
    request: Request,
    questions: Questions,
    answers: Answers | None,
    first_index: int,
    samples: Samples,
    logits: Tensor,
) -> list[dict[str, Any]]:
    """One record per sample: its least radius with the margin there, or its least margin at the fixed radius.

    With one question per frame or per class, their own results follow in a list, in that order; frames behind a
    sequence's end are null. logits: of the samples themselves, (count, classes) or (count, time, classes).
    """
    rows = []
    for k in range(len(samples)):
        row = _decision(request, samples, logits, k)
        row["index"] = first_index + k
        mine = (questions.sample == k).nonzero()[:, 0]
        if answers is None or len(mine) == 0:
            row |= _nothing(request)
        elif request.search:
            row |= _searched(request, questions, answers, mine, row["correct"])
        else:
            row |= _fixed(request, questions, answers, mine, row["correct"], int(samples.real_frames()[k]))
        rows.append({"index": row.pop("index")} | row)
    return rows


def _decision(request: Request, samples: Samples, logits: Tensor, k: int) -> dict[str, Any]:
    """label, predicted and correct of one sample; lists where the model answers each frame."""
    if logits.ndim == 3:
        real = int(samples.real_frames()[k])
        labels, predicted = samples.labels[k, :real].tolist(), logits[k, :real].argmax(1).tolist()
        return {"label": labels, "predicted": predicted, "correct": labels == predicted}
    label, guess = int(samples.labels[k]), int(logits[k].argmax())
    correct = label == guess
    if request.top_k is not None:
        others = torch.cat((logits[k, :label], logits[k, label + 1 :]))
        correct = int((others >= logits[k, label]).sum()) < request.top_k
    return {"label": label, "predicted": guess, "correct": correct}


def _nothing(request: Request) -> dict[str, Any]:
    row: dict[str, Any] = {"radius": None, "radius_failed": None} if request.search else {"certified": None}
    if request.radius_db is not None:
        row["radius"] = None
    if _listed(request):
        row[_list_name(request)] = None
    return row | {"margin": None}


def _searched(request: Request, questions: Questions, answers: Answers, mine: Tensor, correct: bool) -> dict[str, Any]:
    assert answers.failed is not None
    radius, failed, margin = answers.radius[mine], answers.failed[mine], answers.margin[mine]
    least = int(radius.argmin())
    claimed: float | None = float(margin[least])
    if request.about_label and not correct:
        # Its radius is 0, also where the margin over the one class that was asked about is positive.
        claimed = None if bool((radius > 0).any()) else claimed
        radius, failed = torch.zeros_like(radius), torch.zeros_like(failed)
    row: dict[str, Any] = {"radius": float(radius[least]), "radius_failed": _finite(float(failed[least]))}
    if _listed(request):
        row[_list_name(request)] = _list(questions, mine, radius)
    return row | {"margin": claimed}


def _fixed(
    request: Request, questions: Questions, answers: Answers, mine: Tensor, correct: bool, real: int
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "certified": (correct or not request.about_label) and bool(answers.proved[mine].all()),
        "margin": float(answers.margin[mine].min()),
    }
    if request.radius_db is not None:
        row["radius"] = float(answers.radius[mine[0]])
    if _listed(request):
        row[_list_name(request)] = _list(questions, mine, answers.margin[mine])
    elif answers.steps is not None:
        row["step_margins"] = answers.steps[int(mine[0]), :real].tolist()
    return row


def _list(questions: Questions, mine: Tensor, values: Tensor) -> list[float | None]:
    """The questions' own results in order; one per frame of the data, null behind the sequence's end."""
    if questions.asked.frame is None:
        return list(values.tolist())
    listed: list[float | None] = [None] * questions.asked.moves.shape[1]
    for frame, value in zip(questions.asked.frame[mine].tolist(), values.tolist(), strict=True):
        listed[frame] = value
    return listed


def _finite(x: float) -> float | None:
    """None for infinity: no failed radius is known. JSON has no infinity."""
    return x if math.isfinite(x) else None


def _listed(request: Request) -> bool:
    return request.frames == "each" or request.target == "all"


def _list_name(request: Request) -> str:
    return f"{'frame' if request.frames == 'each' else 'target'}_{'radii' if request.search else 'margins'}"

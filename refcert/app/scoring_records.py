"""Scores as one record per sample, as the JSON has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from gpu_engine.scores.clever_rnn import RowFits, Score
from gpu_engine.scores.weibull import CONSTANT, FITTED, NO_FIT, STATUSES
from refcert.app.attacking.records import list_name, listed
from refcert.app.questions import Questions
from refcert.app.request import Request

Row = dict[str, Any]
MISCLASSIFIED = "misclassified"
BROKEN = "broken"
OVERFLOW = "overflow"


def score_record(
    request: Request, decision: Mapping[str, Any], questions: Questions, score: Score | None, least_row: Tensor | None
) -> Row:
    """The record of one sample; its score is the least over its questions.

    decision: index, label, predicted, correct. score: of the sample's questions, None without one. least_row
    (questions,): the specification's row that is least at the sample, None without a question.
    """
    row = {name: decision[name] for name in _DECISION}
    if score is None or least_row is None:
        return row | _record(request, None, None)
    return row | _scored(request, questions, score, least_row, row["correct"])


def overflow_record(request: Request, decision: Mapping[str, Any], reason: str) -> Row:
    """The record of a sample of which nothing is known because numbers overflow."""
    row = {name: decision[name] for name in _DECISION}
    return row | _record(request, None, None) | {"status": OVERFLOW, "reason": reason}


_DECISION: Final = ("index", "label", "predicted", "correct")


def _scored(request: Request, questions: Questions, score: Score, least_row: Tensor, correct: bool) -> Row:
    radius = score.radius
    misclassified = request.about_label and not correct
    if misclassified:  # also where the margin over the one class that was asked about is positive
        radius = torch.zeros_like(radius)
    best = int(radius.argmin())
    row: Row = _record(request, float(radius.min()), float(score.margin[best]))
    if listed(request):
        row[list_name(request)] = _listed(questions, radius.tolist())
    broken = misclassified or bool(score.misclassified[best])
    if not request.about_label:
        row["row"] = int(least_row[best] if broken else score.row[best])
    if broken:
        return row | {"status": MISCLASSIFIED if misclassified else BROKEN}
    fits = score.fits[best][int(score.row[best])]
    row |= _fits(fits) | {"ball_radius": float(score.ball[best]), "capped": bool(score.capped[best])}
    row["frame_constants"] = _constants(request, questions, score, fits)
    every = [fit for rows in score.fits for each in rows for fit in each.fits()]
    row["fits"] = {name: sum(fit.status == name for fit in every) for name in STATUSES}
    return row


def _record(request: Request, radius: float | None, margin: float | None) -> Row:
    """A record without estimates."""
    row: Row = {"radius": radius}
    if listed(request):
        row[list_name(request)] = None
    row |= {} if request.about_label else {"row": None}
    return row | {
        "margin": margin,
        "status": None,
        "ball_radius": None,
        "capped": None,
        "frame_constants": None,
        "constant": None,
        "ks_statistic": None,
        "ks_pvalue": None,
        "reason": None,
        "fits": dict.fromkeys(STATUSES, 0),
    }


def _fits(row: RowFits) -> Row:
    """What the deciding row's estimate rests on: the worst status, the largest statistic, the least p-value."""
    fits = row.fits()
    found = {fit.status for fit in fits}
    statistics = [fit.ks_statistic for fit in fits if fit.ks_statistic is not None]
    pvalues = [fit.ks_pvalue for fit in fits if fit.ks_pvalue is not None]
    return {
        "status": next(name for name in (NO_FIT, FITTED, CONSTANT) if name in found),
        "constant": None if row.whole is None else row.whole.end,
        "ks_statistic": max(statistics, default=None),
        "ks_pvalue": min(pvalues, default=None),
        "reason": next((fit.reason for fit in fits if fit.reason is not None), None),
    }


def _constants(request: Request, questions: Questions, score: Score, decisive: RowFits) -> list[float | None] | None:
    """One constant a frame, null for frames that stay: of the deciding row; with `--frames each` of each question's."""
    if not decisive.frames:
        return None
    if request.frames != "each":
        return [None if fit is None else fit.end for fit in decisive.frames]
    assert questions.asked.frame is not None
    values: list[float | None] = []
    for b, frame in enumerate(questions.asked.frame.tolist()):
        fit = score.fits[b][int(score.row[b])].frames[frame] if score.fits[b] else None
        values.append(None if fit is None else fit.end)
    return _listed(questions, values)


def _listed(questions: Questions, values: list[float | None]) -> list[float | None]:
    """In order of the questions; one per frame of the data, null behind the sequence's end."""
    if questions.asked.frame is None:
        return values
    found: list[float | None] = [None] * questions.asked.moves.shape[1]
    for frame, value in zip(questions.asked.frame.tolist(), values, strict=True):
        found[frame] = value
    return found

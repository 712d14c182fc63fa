"""Scores as one record per sample, as the JSON has it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gpu_engine.scores.clever_rnn import RowFits, Score
from gpu_engine.scores.weibull import CONSTANT, FITTED, NO_FIT, STATUSES
from refcert.app import records as certified
from refcert.app.attacking.records import list_name, listed
from refcert.app.questions import Questions
from refcert.app.request import Request
from refcert.app.samples import Samples

Row = dict[str, Any]
MISCLASSIFIED = "misclassified"
BROKEN = "broken"


def score_records(
    request: Request, questions: Questions, score: Score | None, first: int, samples: Samples, logits: Tensor
) -> list[Row]:
    """One record per sample; its score is the least over its questions.

    first: number of the first sample; logits: of the samples themselves. score: None where no sample has a question.
    """
    decided = certified.records(request, questions, None, first, samples, logits)
    rows = []
    for k, decision in enumerate(decided):
        row = {name: decision[name] for name in ("index", "label", "predicted", "correct")}
        mine = (questions.sample == k).nonzero()[:, 0]
        if score is None or not len(mine):
            row |= _record(request, None, None)
        else:
            row |= _scored(request, questions, score, mine, row["correct"])
        rows.append(row)
    return rows


def _scored(request: Request, questions: Questions, score: Score, mine: Tensor, correct: bool) -> Row:
    radius = score.radius[mine]
    misclassified = request.about_label and not correct
    if misclassified:  # also where the margin over the one class that was asked about is positive
        radius = torch.zeros_like(radius)
    best = int(mine[radius.argmin()])
    row: Row = _record(request, float(radius.min()), float(score.margin[best]))
    if listed(request):
        row[list_name(request)] = _listed(questions, mine, radius.tolist())
    if misclassified or bool(score.misclassified[best]):
        return row | {"status": MISCLASSIFIED if misclassified else BROKEN}
    fits = score.fits[best][int(score.row[best])]
    row |= _fits(fits) | {"ball_radius": float(score.ball[best]), "capped": bool(score.capped[best])}
    row["frame_constants"] = _constants(request, questions, score, mine, fits)
    every = [fit for b in mine.tolist() for each in score.fits[b] for fit in each.fits()]
    row["fits"] = {name: sum(fit.status == name for fit in every) for name in STATUSES}
    return row


def _record(request: Request, radius: float | None, margin: float | None) -> Row:
    """A record without estimates."""
    row: Row = {"radius": radius}
    if listed(request):
        row[list_name(request)] = None
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


def _constants(
    request: Request, questions: Questions, score: Score, mine: Tensor, decisive: RowFits
) -> list[float | None] | None:
    """One constant a frame, null for frames that stay: of the deciding row; with `--frames each` of each question's."""
    if not decisive.frames:
        return None
    if request.frames != "each":
        return [None if fit is None else fit.end for fit in decisive.frames]
    assert questions.asked.frame is not None
    values: list[float | None] = []
    for b, frame in zip(mine.tolist(), questions.asked.frame[mine].tolist(), strict=True):
        fit = score.fits[b][int(score.row[b])].frames[frame] if score.fits[b] else None
        values.append(None if fit is None else fit.end)
    return _listed(questions, mine, values)


def _listed(questions: Questions, mine: Tensor, values: list[float | None]) -> list[float | None]:
    """In order of the questions; one per frame of the data, null behind the sequence's end."""
    if questions.asked.frame is None:
        return values
    found: list[float | None] = [None] * questions.asked.moves.shape[1]
    for frame, value in zip(questions.asked.frame[mine].tolist(), values, strict=True):
        found[frame] = value
    return found

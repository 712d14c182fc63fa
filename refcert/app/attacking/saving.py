"""The adversarial inputs of an attack as an npz file."""

from __future__ import annotations

import io
import math
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from refcert.app.attacking.records import best_question, listed
from refcert.app.attacking.work import Part
from refcert.app.request import Request

NAME: Final = "adversarial.npz"


def adversarial_arrays(request: Request, parts: list[Part]) -> dict[str, NDArray[Any]]:
    """One row per sample, and one per question where a sample has several.

    x, adversarial (count, time, input): the sample, and the input of its smallest perturbation (the sample itself where
    none was found, or where it is misclassified); labels, predicted, adversarial_class; radius (count,): infinity where
    none was found; margin (count,) there. grid_adversarial, grid_radius: of the smallest one on the grid, where finds
    were rounded. A sample without a question has its own input, radius infinity, margin NaN; predicted and
    adversarial_class are -1 where its outputs overflow.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    of_questions: dict[str, list[Any]] = {name: [] for name in _OF_QUESTIONS}
    for part in parts:
        best, number = _best(request, part), len(part.samples)
        columns["x"].append(part.samples.x)
        columns["adversarial"].append(_taken(part.x, best, part.samples.x))
        columns["labels"].append(part.samples.labels)
        predicted = _predicted(part)
        columns["predicted"].append(predicted)
        columns["adversarial_class"].append(_taken(part.outputs.argmax(-1), best, predicted))
        columns["radius"].append(_taken(part.radius, best, _full(number, math.inf)))
        columns["margin"].append(_taken(part.margin, best, _full(number, math.nan)))
        if part.grid is not None:
            nearest = _nearest_on_grid(part)
            columns["grid_adversarial"].append(_taken(part.grid.x, nearest, part.samples.x))
            columns["grid_radius"].append(_taken(part.grid.radius, nearest, _full(number, math.inf)))
        asked = part.questions.asked
        about = asked.frame if asked.frame is not None else asked.target
        of_questions["question_sample"].append(asked.sample + part.first)
        of_questions["question_frame_or_target"].append(torch.full_like(asked.sample, -1) if about is None else about)
        of_questions["question_adversarial"].append(part.x)
        of_questions["question_radius"].append(part.radius)
        of_questions["question_margin"].append(part.margin)
    chosen = columns | of_questions if listed(request) else columns
    return {name: torch.cat(values).numpy() for name, values in chosen.items() if values}


_COLUMNS: Final = (
    *("x", "adversarial", "labels", "predicted", "adversarial_class", "radius", "margin"),
    *("grid_adversarial", "grid_radius"),
)
_OF_QUESTIONS: Final = (
    *("question_sample", "question_frame_or_target", "question_adversarial"),
    *("question_radius", "question_margin"),
)


def _predicted(part: Part) -> torch.Tensor:
    """The network's answers at the samples, -1 where its outputs overflow."""
    predicted = part.logits.argmax(-1)
    predicted[[row["reason"] is not None for row in part.decided]] = -1
    return predicted


def _best(request: Request, part: Part) -> list[int | None]:
    """The question of each sample whose input is shown, None where it has none."""
    best: list[int | None] = []
    for k in range(len(part.samples)):
        mine = (part.questions.sample == k).nonzero()[:, 0]
        best.append(best_question(request, part, mine) if len(mine) else None)
    return best


def _nearest_on_grid(part: Part) -> list[int | None]:
    """The question of each sample with the smallest radius on the grid, None where it has none."""
    assert part.grid is not None
    nearest: list[int | None] = []
    for k in range(len(part.samples)):
        mine = (part.questions.sample == k).nonzero()[:, 0]
        nearest.append(int(mine[part.grid.radius[mine].argmin()]) if len(mine) else None)
    return nearest


def _full(number: int, value: float) -> torch.Tensor:
    return torch.full((number,), value, dtype=torch.float64)


def _taken(values: torch.Tensor, best: list[int | None], otherwise: torch.Tensor) -> torch.Tensor:
    found = otherwise.clone()
    for k, question in enumerate(best):
        if question is not None:
            found[k] = values[question]
    return found


def npz_bytes(arrays: dict[str, NDArray[Any]]) -> bytes:
    """An npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()

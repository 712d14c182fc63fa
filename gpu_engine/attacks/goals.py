"""Rows of which a single one is enough to break a specification: what attacks with a target aim at.

A target class of the literature is the row `label - target` here; a specification may have any rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.attacks.question import Question
from gpu_engine.spec import AllRows, LabelAgainstOthers, Steps


def goals(question: Question, rows: Tensor) -> Tensor:
    """rows (batch, spec) of `Question.rows` -> (batch, goals): one that is not positive breaks the question.

    Differentiable in the rows. Readings for which no single row decides (the k-th least) have one goal, the margin.
    """
    reading = question.specification.reading
    if isinstance(reading, AllRows | Steps):
        return rows
    if isinstance(reading, LabelAgainstOthers):
        return rows[:, :1] + rows[:, 1:]
    return question.specification.margins(rows)[:, None]


def goal_gradient(question: Question, x: Tensor, goal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Margins (batch,), the goals' values (batch,) and their gradients, like x. goal (batch,): -1 is the margin.

    Entries of a gradient that overflow are cut off, so that they still have a direction.
    """
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        rows = question.rows(x)
        margin = question.specification.margins(rows)
        chosen = goals(question, rows).gather(1, goal.clamp(min=0)[:, None])[:, 0]
        value = torch.where(goal < 0, margin, chosen)
        (slope,) = torch.autograd.grad(value.sum(), x)
    return margin.detach(), value.detach(), torch.nan_to_num(slope)

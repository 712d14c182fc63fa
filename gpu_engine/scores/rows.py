"""The rows of a specification as a score reads them, their gradients, and one radius from the rows' radii."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gpu_engine.attacks.question import Question
from gpu_engine.errors import NumericalError
from gpu_engine.spec import AllRows, KthLeast, LabelAgainstOthers, Specification


def margin_rows(question: Question) -> Question:
    """The same question with rows that are margins themselves.

    Row 0 plus one of the others, where they bound the label and the other classes apart: at a point the least sum is
    the margin. All other readings take the rows as they are.
    """
    asked = question.specification
    if not isinstance(asked.reading, LabelAgainstOthers):
        return question
    C, d = asked.C[:, :1] + asked.C[:, 1:], asked.d[:, :1] + asked.d[:, 1:]
    return Question(question.model, Specification(C, d, AllRows()), question.lengths)


def radius_of(question: Question, radii: Tensor) -> tuple[Tensor, Tensor]:
    """(batch, rows) -> the radius that the rows' radii mean, (batch,), and the row that decides it.

    The specification is broken once one row is not positive; where k - 1 rows may be, once the k-th is.
    """
    reading = question.specification.reading
    k = reading.k if isinstance(reading, KthLeast) else 1
    found = radii.kthvalue(k, dim=1)
    return found.values, found.indices


def row_norms(question: Question, x: Tensor, norms: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Rows (batch, rows) at x (batch, time, input), and norms of their gradients, (batch, rows, parts).

    norms: gradients (batch, time, input) of one row -> (batch, parts); one row's gradients are held at a time. Raises
    NumericalError.
    """
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        rows = question.rows(x)
        last = rows.shape[1] - 1
        found = [norms(torch.autograd.grad(rows[:, k].sum(), x, retain_graph=k < last)[0]) for k in range(last + 1)]
    result = torch.stack(found, 1)
    if not bool(torch.isfinite(result).all() and torch.isfinite(rows).all()):
        raise NumericalError(
            "the network or its gradient overflows at an input that a score tried; nothing is estimated"
        )
    return rows.detach(), result


def dual(p: float) -> float:
    """q with 1/p + 1/q = 1."""
    if p == math.inf:
        return 1.0
    return math.inf if p == 1 else p / (p - 1)

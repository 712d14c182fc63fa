"""A run's samples as questions to the engine, and the engine's answers back as one record per sample.

A sample is one question, or one per frame (`--frames each`), or one per other class (`--target all`). A sample
whose label is the target class has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gpu_engine.bounds import BoundedProduct
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search import radius as radius_search
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, Specification, targeted, untargeted
from refcert.app.errors import InputError
from refcert.app.request import Request


@dataclass(frozen=True)
class Questions:
    """sample (questions,): position of the sample in its batch; direction (questions, time); one specification each."""

    sample: Tensor
    direction: Tensor
    specification: Specification


def ask(request: Request, labels: Tensor, time: int, classes: int) -> Questions:
    """The questions about a batch of samples. labels (batch,)."""
    batch = labels.shape[0]
    everyone = torch.arange(batch)
    if request.frames == "each":
        sample = everyone.repeat_interleave(time)
        direction = torch.eye(time, dtype=torch.float64).repeat(batch, 1)
    else:
        numbers = request.frame_numbers(time)
        weights = torch.ones(time, dtype=torch.float64)
        if numbers is not None:
            weights = torch.zeros(time, dtype=torch.float64).index_fill(0, torch.tensor(numbers), 1.0)
        sample, direction = everyone, weights.expand(batch, time)
    target = request.target_class(classes)
    if request.target == "all":
        sample = everyone.repeat_interleave(classes - 1)
        direction = direction.repeat_interleave(classes - 1, 0)
        others = torch.arange(classes).expand(batch, classes)
        others = others[others != labels[:, None]]
        return Questions(sample, direction, targeted(labels[sample], others, classes))
    if target is not None:
        kept = labels[sample] != target
        sample, direction = sample[kept], direction[kept]
        return Questions(sample, direction, targeted(labels[sample], torch.full_like(sample, target), classes))
    return Questions(sample, direction, untargeted(labels[sample], classes))


@dataclass(frozen=True)
class Answers:
    """Per question: proved and failed radius (or proved yes/no at the fixed radius), and the least margin."""

    radius: Tensor
    failed: Tensor | None
    margin: Tensor
    proved: Tensor


def answer(
    request: Request,
    model: RecurrentClassifier,
    x: Tensor,
    questions: Questions,
    options: Options,
    largest: float,
    sink: Callable[[Tensor, tuple[BoundedProduct, ...]], None] | None,
    progress: Callable[[int], None],
) -> Answers:
    """Put the questions to the engine.

    largest: the largest radius that a search tries. sink gets the samples' positions and the products behind
    the answers.
    """
    center, spec = x[questions.sample], questions.specification
    failed = None
    if request.radius is not None:
        radius = torch.full((len(center),), request.radius, dtype=torch.float64)
    else:
        radii = radius_search.certified_radius(
            model,
            center,
            questions.direction,
            spec,
            p=request.norm,
            clip=request.clip,
            largest=largest,
            tolerance=request.tolerance,
            options=options,
            progress=progress,
        )
        radius, failed = radii.proved, radii.failed
        if sink is None:
            return Answers(radius, failed, radii.margin, radius > 0)
        radius = _proved_again(request, model, center, questions, radius, radii.margin, options)
    balls = FrameBalls(center, radius[:, None] * questions.direction, request.norm, request.clip)

    def on_products(part: slice, products: tuple[BoundedProduct, ...]) -> None:
        if sink is not None:
            sink(questions.sample[part], products)
        if not request.search:
            progress(part.stop - part.start)

    result = certify(model, balls, spec, options, on_products)
    return Answers(radius, failed, result.margin, result.proved)


# A margin this small may have another sign when the same bound is computed in a batch of another shape.
_CLOSE = 1e-9


def _proved_again(
    request: Request,
    model: RecurrentClassifier,
    center: Tensor,
    questions: Questions,
    radius: Tensor,
    margin: Tensor,
    options: Options,
) -> Tensor:
    """Radii that are proved in one pass over all questions as well, whose planes are then the ones to audit.

    The search proved each radius among fewer and fewer questions; rounding there can differ in the last place.
    """
    while bool(((radius > 0) & (margin < _CLOSE)).any()):
        balls = FrameBalls(center, radius[:, None] * questions.direction, request.norm, request.clip)
        margin = certify(model, balls, questions.specification, options).margin
        open_again = (radius > 0) & (margin <= 0)
        if not bool(open_again.any()):
            break
        radius = torch.where(open_again, radius * (1 - request.tolerance), radius)
    return radius


def largest_radius(request: Request, x: Tensor) -> float:
    """The largest radius that a search tries, from ALL the data x (samples, time, input).

    The search's first guess depends on it; taken from each batch by itself, it would let results depend on the batches.
    """
    largest = radius_search.largest_radius(x, request.norm, request.clip)
    if request.search and not math.isfinite(largest):
        raise InputError(
            f"the data reaches {float(x.abs().max()):g}, too large to search a radius in float64; scale the data "
            "or give --radius"
        )
    return largest


def records(
    request: Request,
    questions: Questions,
    answers: Answers | None,
    first_index: int,
    labels: Tensor,
    predicted: Tensor,
) -> list[dict[str, Any]]:
    """One record per sample: its least radius with the margin there, or its least margin at the fixed radius.

    With one question per frame or per class, their own results follow in a list, in that order.
    """
    listed = request.frames == "each" or request.target == "all"
    rows = []
    for k in range(labels.shape[0]):
        label, guess = int(labels[k]), int(predicted[k])
        row: dict[str, Any] = {
            "index": first_index + k,
            "label": label,
            "predicted": guess,
            "correct": label == guess,
        }
        mine = (questions.sample == k).nonzero()[:, 0]
        if answers is None or len(mine) == 0:
            row |= {"radius": None, "radius_failed": None} if request.search else {"certified": None}
            if listed:
                row[_list_name(request, "radii" if request.search else "margins")] = None
            rows.append(row | {"margin": None})
            continue
        if request.search:
            assert answers.failed is not None
            radius, failed, margin = answers.radius[mine], answers.failed[mine], answers.margin[mine]
            least = int(radius.argmin())
            claimed: float | None = float(margin[least])
            if label != guess:
                # Its radius is 0, also where the margin over the one class that was asked about is positive.
                claimed = None if bool((radius > 0).any()) else claimed
                radius, failed = torch.zeros_like(radius), torch.zeros_like(failed)
            row |= {"radius": float(radius[least]), "radius_failed": _finite(float(failed[least]))}
            if listed:
                row[_list_name(request, "radii")] = radius.tolist()
            row["margin"] = claimed
        else:
            row["certified"] = label == guess and bool(answers.proved[mine].all())
            row["margin"] = float(answers.margin[mine].min())
            if listed:
                row[_list_name(request, "margins")] = answers.margin[mine].tolist()
        rows.append(row)
    return rows


def _finite(x: float) -> float | None:
    """None for infinity: no failed radius is known. JSON has no infinity."""
    return x if math.isfinite(x) else None


def _list_name(request: Request, what: str) -> str:
    return f"frame_{what}" if request.frames == "each" else f"target_{what}"

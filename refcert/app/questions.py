"""A run's samples as questions to the engine, and its answers.

A sample is one question, or one per frame (`--frames each`), or one per other class (`--target all`). It has none where
its label is the target class, or where it ends before the chosen frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.bounds import BoundedProduct
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search import radius as radius_search
from gpu_engine.search.certify import BoundedBatch, Certified, Options, certify
from gpu_engine.spec import Specification, Steps, matrix, per_class, targeted, top_k, untargeted, untargeted_steps
from refcert.app.errors import InputError
from refcert.app.input_sets import family, fixed_radius
from refcert.app.request import Request
from refcert.app.samples import Samples


@dataclass(frozen=True)
class Asked:
    """Which questions there are.

    sample (questions,): position of the sample in its batch; moves (questions, time) bool. frame, target
    (questions,): the frame or class that a question is about, None where it is not about one.
    """

    sample: Tensor
    moves: Tensor
    frame: Tensor | None
    target: Tensor | None

    def __len__(self) -> int:
        return len(self.sample)


@dataclass(frozen=True)
class Questions:
    """The questions with one specification each. lengths (questions,) or None."""

    asked: Asked
    specification: Specification
    lengths: Tensor | None

    @property
    def sample(self) -> Tensor:
        return self.asked.sample


def check_fits(request: Request, model: RecurrentClassifier, samples: Samples) -> None:
    """Raise InputError where the request does not fit the model or the data."""
    request.frame_numbers(samples.time)
    request.target_class(model.classes)
    if request.top_k is not None and request.top_k >= model.classes:
        raise InputError(
            f"--top-k is {request.top_k}; among the model's {model.classes} classes give 1 to {model.classes - 1}"
        )
    if request.spec is None and model.classes < 2:
        raise InputError(f"the model has {model.classes} output, so no class against another; ask with --spec")
    if model.readout == "every":
        asked = [("--top-k", request.top_k is not None), (f"--target {request.target}", request.target != "untargeted")]
        asked.append(("--criterion per-class", request.criterion != "margins"))
        for option, present in asked:
            if present:
                raise InputError(
                    f"{option} asks about one label, but the model answers each frame; ask untargeted margins, or your "
                    "own rows with --spec"
                )
        if samples.rows is not None and samples.lengths is not None:
            _check_rows_end(samples.rows.C, samples.lengths, model.classes)


def _check_rows_end(C: Tensor, lengths: Tensor, classes: int) -> None:
    """Rows must not ask about answers behind a sequence's end, which do not exist."""
    used = (C != 0).reshape(*C.shape[:-1], -1, classes).any(-1).any(-2)  # (time,) or (count, time)
    behind = used & (torch.arange(used.shape[-1]) >= lengths[:, None])
    if bool(behind.any()):
        sample, frame = (int(i) for i in behind.nonzero()[0])
        raise InputError(
            f"--spec: the rows of sample {sample} ask about frame {frame}, but it has {int(lengths[sample])} frames; "
            "set those entries of C to zero"
        )


def enumerate_questions(request: Request, samples: Samples, classes: int) -> Asked:
    """The questions about a batch of samples, without their specifications."""
    batch, time = len(samples), samples.time
    everyone = torch.arange(batch)
    real = torch.arange(time) < samples.real_frames()[:, None]
    frame: Tensor | None = None
    if request.frames == "each":
        sample, frame = real.nonzero(as_tuple=True)
        moves = torch.eye(time, dtype=torch.bool)[frame]
    else:
        chosen = torch.ones(time, dtype=torch.bool)
        numbers = request.frame_numbers(time)
        if numbers is not None:
            chosen = torch.zeros(time, dtype=torch.bool).index_fill(0, torch.tensor(numbers), True)
        moves = real & chosen
        sample = everyone[moves.any(1)]
        moves = moves[sample]
    target = request.target_class(classes)
    if request.target == "all":
        sample = sample.repeat_interleave(classes - 1)
        others = torch.arange(classes).expand(batch, classes)
        others = others[others != samples.labels[:, None]].view(batch, classes - 1)
        moves = moves.repeat_interleave(classes - 1, 0)
        return Asked(sample, moves, None, others[sample[:: classes - 1]].reshape(-1))
    if target is not None:
        kept = samples.labels[sample] != target
        sample, moves = sample[kept], moves[kept]
        return Asked(sample, moves, None if frame is None else frame[kept], torch.full_like(sample, target))
    return Asked(sample, moves, frame, None)


def ask(request: Request, model: RecurrentClassifier, samples: Samples) -> Questions:
    """The questions about a batch of samples."""
    asked = enumerate_questions(request, samples, model.classes)
    lengths = None if samples.lengths is None else samples.lengths[asked.sample]
    return Questions(asked, _specification(request, model, samples, asked, lengths), lengths)


def _specification(
    request: Request, model: RecurrentClassifier, samples: Samples, asked: Asked, lengths: Tensor | None
) -> Specification:
    labels = samples.labels[asked.sample]
    if samples.rows is not None:
        C, d = samples.rows.C, samples.rows.d
        return matrix(
            C[asked.sample] if C.ndim == 3 else C, d[asked.sample] if d.ndim == 2 else d, batch=len(asked.sample)
        )
    if model.readout == "every":
        return untargeted_steps(labels, model.classes, lengths)
    if request.top_k is not None:
        return top_k(labels, request.top_k, model.classes)
    if request.criterion == "per-class":
        return _per_class(labels, asked.target, model.classes)
    if asked.target is not None:
        return targeted(labels, asked.target, model.classes)
    return untargeted(labels, model.classes)


def _per_class(labels: Tensor, target: Tensor | None, classes: int) -> Specification:
    """Bounds of the label's output and of each other class, or of the target class only."""
    rows = per_class(labels, classes)
    if target is None:
        return rows
    # Behind the label's own row the others are in order of class.
    place = 1 + target - (target > labels).long()
    C = torch.stack((rows.C[:, 0], rows.C[torch.arange(len(labels)), place]), dim=1)
    return Specification(C, torch.zeros_like(C[:, :, 0]), rows.reading)


@dataclass(frozen=True)
class Answers:
    """Per question: proved and failed radius (or proved yes/no at the fixed radius), and the least margin.

    steps (questions, time): the margin of every frame's answer, where the model has one and the radius is fixed.
    """

    radius: Tensor
    failed: Tensor | None
    margin: Tensor
    proved: Tensor
    steps: Tensor | None = None


Sink = Callable[[Tensor, tuple[BoundedProduct, ...]], None]
BatchSink = Callable[[BoundedBatch, Tensor], None]
"""Gets each pass behind the answers, and which of its questions have an answer worth a certificate (batch,)."""


def answer(
    request: Request,
    model: RecurrentClassifier,
    samples: Samples,
    questions: Questions,
    options: Options,
    largest: float,
    sink: Sink | None,
    progress: Callable[[int], None],
    batch_sink: BatchSink | None = None,
) -> Answers:
    """Put the questions to the engine.

    largest: the largest radius that a search tries. sink gets the samples' positions and the products behind
    the answers.
    """
    sets = family(request, samples, questions.sample, questions.asked.moves)

    def on_products(index: Tensor, products: tuple[BoundedProduct, ...]) -> None:
        if sink is not None:
            sink(questions.sample[index], products)
        if not request.search:
            progress(len(index))

    def certified(radius: Tensor, sink: Sink | None = None, *, last: bool = False) -> Certified:
        def on_batch(batch: BoundedBatch) -> None:
            if batch_sink is not None:
                # A search that proved nothing ends at radius 0, where the center alone is proved.
                batch_sink(batch, radius[batch.samples] > 0 if request.search else torch.ones_like(batch.samples) > 0)

        keep = on_batch if last and batch_sink is not None else None
        return certify(model, sets(radius), questions.specification, options, sink, questions.lengths, keep)

    if not request.search:
        radius = fixed_radius(request, samples)[questions.sample]
        result = certified(radius, on_products, last=True)
        reading = questions.specification.reading
        steps = reading.step_margins(result.lower) if isinstance(reading, Steps) else None
        return Answers(radius, None, result.margin, result.proved, steps)
    radii = _search(request, model, samples, questions, options, largest, progress)
    if sink is None and batch_sink is None:
        return Answers(radii.proved, radii.failed, radii.margin, radii.proved > 0)
    radius = _proved_again(request, radii, lambda radius: certified(radius).margin)
    result = certified(radius, on_products, last=True)
    return Answers(radius, radii.failed, result.margin, result.proved)


def _search(
    request: Request,
    model: RecurrentClassifier,
    samples: Samples,
    questions: Questions,
    options: Options,
    largest: float,
    progress: Callable[[int], None],
) -> radius_search.Radii:
    center, moves = samples.x[questions.sample], questions.asked.moves
    common = {"largest": largest, "tolerance": request.tolerance}
    if request.input_set == "sequence":
        return radius_search.certified_sequence_radius(
            model,
            center,
            questions.specification,
            p=request.norm,
            clip=request.clip,
            moves=moves,
            clip_bound=request.clip_bound,
            options=options,
            progress=progress,
            lengths=questions.lengths,
            **common,
        )
    return radius_search.certified_radius(
        model,
        center,
        moves.to(torch.float64),
        questions.specification,
        p=request.norm,
        clip=request.clip,
        clip_bound=request.clip_bound,
        options=options,
        progress=progress,
        lengths=questions.lengths,
        **common,
    )


# A margin this small may have another sign when the same bound is computed in a batch of another shape.
_CLOSE = 1e-9


def _proved_again(request: Request, radii: radius_search.Radii, margins: Callable[[Tensor], Tensor]) -> Tensor:
    """Radii that are proved in one pass over all questions as well, whose planes are then the ones to audit.

    The search proved each radius among fewer and fewer questions; rounding there can differ in the last place.
    """
    radius, margin = radii.proved, radii.margin
    while bool(((radius > 0) & (margin < _CLOSE)).any()):
        margin = margins(radius)
        open_again = (radius > 0) & (margin <= 0)
        if not bool(open_again.any()):
            break
        radius = torch.where(open_again, radius * (1 - request.tolerance), radius)
    return radius

"""One attack on all questions of a request, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.found import Smallest, Worst, smallest_at, worst_at
from gpu_engine.attacks.question import Question
from gpu_engine.attacks.registry import ATTACKS
from gpu_engine.errors import NumericalError
from gpu_engine.forward import logits_ragged
from refcert.app.attacked import OVERFLOWS, ball_family, overflowing, point_question, questions_about
from refcert.app.attacking.method import Method
from refcert.app.errors import InputError
from refcert.app.input_sets import family as sets_of
from refcert.app.input_sets import fixed_radius
from refcert.app.opening import Opened
from refcert.app.options import BALLS
from refcert.app.progress import Progress
from refcert.app.questions import Questions, ask
from refcert.app.records import records
from refcert.app.samples import Samples

FOUND: Final = "found"
BEYOND: Final = "found beyond the radius"


@dataclass(frozen=True)
class Part:
    """A batch of samples: its questions, and what the attack found for each of them.

    first: number of the batch's first sample. decided: index, label, predicted, correct of each sample, and `reason`:
    None, or why nothing can be asked about it (then predicted is None, too, and questions has none of it).
    x (questions, time, input), margin (questions,) at x, and which of the rows is least there, least_row (questions,):
    the adversarial input, or the best that was tried at a fixed radius.
    outputs (questions, ...) at x, logits at the samples. radius (questions,): of the smallest ball around x,
    infinity where none was found; at a fixed radius the radius that was asked about. seconds: of the search.
    status (questions,): how the search ended, of an attack that says so (a solver that failed or ran out of time), else
    empty; programs (questions,): how many of its programs ended how. grid: the same rounded to whole levels, where that
    was asked for.
    """

    first: int
    samples: Samples
    questions: Questions
    decided: list[dict[str, Any]]
    logits: Tensor
    outputs: Tensor
    x: Tensor
    margin: Tensor
    least_row: Tensor
    radius: Tensor
    seconds: float
    status: tuple[str, ...] = ()
    programs: tuple[Mapping[str, int], ...] = ()
    grid: Smallest | None = None

    @property
    def broken(self) -> Tensor:
        """Where x breaks the question."""
        return self.margin <= 0


def attack_all(opened: Opened, method: Method, progress: Progress) -> list[Part]:
    """The parts in order of the data.

    Raises InputError where the attack does not fit the model or the input set, NumericalError where the network's
    outputs overflow at every sample that there is a question about.

    Every part begins with the same seed: what an attack finds for a sample must not depend on those before it.
    """
    request, total = opened.request, len(opened.samples)
    require_set_attack(opened, method)
    if method.grid is not None and not request.search:
        raise InputError(
            f"--grid {method.grid} rounds the smallest perturbations, and at a fixed radius none is asked for; leave "
            "out one of them"
        )
    parts = []
    with progress.task(f"attacking by {method.name}", total, unit="samples") as tick:
        for first in range(0, total, request.batch_size):
            samples = opened.samples.part(first, first + request.batch_size)
            generator = torch.Generator().manual_seed(request.seed)
            parts.append(_part(opened, method, samples, first, generator))
            tick(len(samples))
    require_some(sum(len(part.questions.sample) for part in parts), [row for part in parts for row in part.decided])
    return parts


def device_question(opened: Opened, questions: Questions) -> Question:
    """The questions at points, on the request's device."""
    question = point_question(opened.model, questions)
    device = torch.device(opened.request.device)
    return Question(question.model, question.specification.to(device), question.lengths)


def device_family(opened: Opened, samples: Samples, questions: Questions) -> BallFamily:
    """The balls of the questions, on the request's device."""
    family = ball_family(opened.request, samples, questions)
    device = torch.device(opened.request.device)
    return BallFamily(family.center.to(device), family.weight.to(device), family.p, family.clip, family.shared)


def _part(opened: Opened, method: Method, samples: Samples, first: int, generator: torch.Generator) -> Part:
    request, model = opened.request, opened.model
    questions, logits = ask(request, model, samples), samples.logits(model)
    lost = overflowing(model, samples, questions, logits)
    questions = questions_about(questions, ~lost)
    rows = records(request, questions, None, first, samples, logits)
    decided = decisions(rows, lost)
    began = time.perf_counter()
    if len(questions.sample) == 0:
        none = torch.zeros(0, dtype=torch.float64)
        nothing = (logits[:0], samples.x[:0], none, none.long(), none)
        return Part(first, samples, questions, decided, logits, *nothing, seconds=0.0)
    if request.search:
        found, ends, grid = _search(opened, method, samples, questions, generator)
        found = _misclassified_at_once(opened, samples, questions, decided, found)
        if grid is not None:
            grid = _misclassified_at_once(opened, samples, questions, decided, grid)
            found = found.or_better(grid)  # rounding towards the sample can make a perturbation smaller
        x, margin, radius = found.x, found.margin, found.radius
    else:
        grid = None
        x, margin, radius, ends = _fixed(opened, method, samples, questions, generator)
    seconds = time.perf_counter() - began
    outputs = model.logits(x) if questions.lengths is None else logits_ragged(model, x, questions.lengths)
    with torch.no_grad():
        least_row = point_question(model, questions).rows(x).argmin(1)
    return Part(first, samples, questions, decided, logits, outputs, x, margin, least_row, radius, seconds, *ends, grid)


def decisions(rows: Sequence[Mapping[str, Any]], lost: Tensor) -> list[dict[str, Any]]:
    """What every record begins with; where the outputs overflow, lost (count,), nothing is predicted."""
    decided = [{name: row[name] for name in ("index", "label", "predicted", "correct")} for row in rows]
    for row, overflows in zip(decided, lost.tolist(), strict=True):
        row["reason"] = None
        if overflows:
            row |= {"predicted": None, "correct": False, "reason": OVERFLOWS}
    return decided


def require_some(questions: int, decided: Sequence[Mapping[str, Any]]) -> None:
    """Raise NumericalError where samples overflow and no question is left: such a result rests on nothing."""
    lost = next((row for row in decided if row["reason"] is not None), None)
    if lost is not None and not questions:
        raise NumericalError(f"sample {lost['index']}: {lost['reason']}; no other sample has an answer")


def _search(
    opened: Opened, method: Method, samples: Samples, questions: Questions, generator: torch.Generator
) -> tuple[Smallest, _Ends, Smallest | None]:
    """What was found, how the searches ended, and the same on the grid where one was asked for."""
    question, family = device_question(opened, questions), device_family(opened, samples, questions)
    found = method.search().smallest(question, family, generator)
    grid = getattr(found, "grid", None)
    on_grid = None if grid is None else checked_again(opened, samples, questions, grid.x, as_given=True)
    return checked_again(opened, samples, questions, found.x), _ends(found), on_grid


_Ends = tuple[tuple[str, ...], tuple[Mapping[str, int], ...]]


def _ends(found: Smallest) -> _Ends:
    """status and programs of an attack that has them, else empty."""
    return tuple(getattr(found, "status", ())), tuple(getattr(found, "programs", ()))


def _misclassified_at_once(
    opened: Opened, samples: Samples, questions: Questions, decided: list[dict[str, Any]], found: Smallest
) -> Smallest:
    """Where labels are asked about, the radius of a misclassified sample is 0, whichever class the question names."""
    if not opened.request.about_label:
        return found
    correct = torch.tensor([row["correct"] for row in decided])[questions.sample]
    center = samples.x[questions.sample]
    at_center = point_question(opened.model, questions).plain_margins(center)
    return Smallest(
        torch.where(correct[:, None, None], found.x, center),
        torch.where(correct, found.margin, at_center),
        torch.where(correct, found.radius, 0.0),
    )


def checked_again(
    opened: Opened, samples: Samples, questions: Questions, x: Tensor, *, as_given: bool = False
) -> Smallest:
    """Inputs as results, computed afresh on the CPU: other devices round in another order; see `smallest_at`."""
    question = point_question(opened.model, questions)
    return smallest_at(question, ball_family(opened.request, samples, questions), x.cpu(), as_given=as_given)


def _fixed(
    opened: Opened, method: Method, samples: Samples, questions: Questions, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, _Ends]:
    """The worst input of each fixed set; an attack that only searches radii answers by a radius that fits."""
    request, question = opened.request, point_question(opened.model, questions)
    radius = fixed_radius(request, samples)[questions.sample]
    attack = method.on_sets()
    if attack is not None:
        inputs = sets_of(request, samples, questions.sample, questions.asked.moves)(radius)
        device = torch.device(request.device)
        worst = attack.worst(device_question(opened, questions), inputs.to(device), generator)
        again = worst_at(question, worst.x.cpu())
        return again.x, again.margin, radius, ((), ())
    family = ball_family(request, samples, questions)  # raises for sets without a radius
    smallest = method.search().smallest(
        device_question(opened, questions), device_family(opened, samples, questions), generator
    )
    found = smallest_at(question, family, smallest.x.cpu())
    fits = found.radius <= radius
    center = Worst(family.center, question.plain_margins(family.center))
    x = torch.where(fits[:, None, None], found.x, center.x)
    status, programs = _ends(smallest)
    if status:
        near = fits.tolist()
        status = tuple(BEYOND if end == FOUND and not near[k] else end for k, end in enumerate(status))
    return x, torch.where(fits, found.margin, center.margin), radius, (status, programs)


def require_set_attack(opened: Opened, method: Method) -> None:
    """Raise InputError where a set without a radius meets an attack that only searches radii."""
    if opened.request.input_set not in BALLS and method.entry.on_sets is None:
        known = " or ".join(name for name, entry in ATTACKS.items() if entry.on_sets is not None)
        raise InputError(
            f"--method {method.name} searches radii, and --input-set {opened.request.input_set} has none; give {known}"
        )

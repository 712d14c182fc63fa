"""A request's questions as attacks take them: the specification at points, and balls that grow with a radius."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.model import RecurrentClassifier
from refcert.app.errors import InputError
from refcert.app.options import BALLS, STORED_SETS
from refcert.app.questions import Asked, Questions
from refcert.app.request import Request
from refcert.app.samples import Samples


def point_question(model: RecurrentClassifier, questions: Questions) -> Question:
    """The questions, one specification each, to be evaluated at points."""
    return Question(model, questions.specification, questions.lengths)


OVERFLOWS: Final = "the network's outputs overflow at the sample itself; scale its values, or leave it out"
"""Why nothing can be asked about a sample."""


def overflowing(model: RecurrentClassifier, samples: Samples, questions: Questions, logits: Tensor) -> Tensor:
    """The samples at which an output, or a row of a question, is not finite, (count,) bool.

    logits: of the samples. Answers behind a sequence's end do not exist, and count nothing.
    """
    lost = ~torch.isfinite(logits).all(-1)
    if lost.ndim == 2:
        lost = (lost & (torch.arange(lost.shape[1]) < samples.real_frames()[:, None])).any(1)
    if len(questions.sample):
        margins = point_question(model, questions).plain_margins(samples.x[questions.sample])
        lost[questions.sample[torch.isposinf(margins)]] = True
    return lost


def questions_about(questions: Questions, kept: Tensor) -> Questions:
    """Those about the samples that are kept, (count,) bool."""
    asked, at = questions.asked, kept[questions.sample].nonzero()[:, 0]
    return Questions(
        Asked(
            asked.sample[at],
            asked.moves[at],
            None if asked.frame is None else asked.frame[at],
            None if asked.target is None else asked.target[at],
        ),
        questions.specification.select(at),
        None if questions.lengths is None else questions.lengths[at],
    )


def require_ball(input_set: str) -> None:
    """Raise InputError for a set of the data's file, which has no radius; names that are not known pass here."""
    if input_set in STORED_SETS:
        raise InputError(f"--input-set {input_set} has no radius; give --input-set {' or '.join(BALLS)}")


def ball_family(request: Request, samples: Samples, questions: Questions) -> BallFamily:
    """The balls of the request around its samples, one for every question. Raises InputError for sets without one."""
    require_ball(request.input_set)
    return BallFamily(
        samples.x[questions.sample],
        questions.asked.moves.to(torch.float64),
        request.norm,
        request.clip,
        request.input_set == "sequence",
    )

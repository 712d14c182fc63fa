"""A request's questions as attacks take them: the specification at points, and balls that grow with a radius."""

from __future__ import annotations

import torch

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.model import RecurrentClassifier
from refcert.app.errors import InputError
from refcert.app.options import BALLS, STORED_SETS
from refcert.app.questions import Questions
from refcert.app.request import Request
from refcert.app.samples import Samples


def point_question(model: RecurrentClassifier, questions: Questions) -> Question:
    """The questions, one specification each, to be evaluated at points."""
    return Question(model, questions.specification, questions.lengths)


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

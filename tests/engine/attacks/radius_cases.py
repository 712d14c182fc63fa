"""Hypothesis strategies for questions at points with a family of balls, and networks whose smallest radius is known.

Networks and sequences are those of `refcert.strategies`, which draws sets of one radius; families of balls, of every
radius at once, are an attack's own, and so are ragged questions of every reading.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st

from gpu_engine.attacks.bisection import Bisected
from gpu_engine.attacks.cw_ada import CWAda
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.fgsm import FGSM
from gpu_engine.attacks.lbfgs import LBFGS
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.spec import Specification, matrix, per_class, top_k, untargeted, untargeted_steps
from refcert.strategies import classifiers, sequences

NORMS = (1.0, 1.5, 2.0, 3.0, math.inf)
ATTACKS = {
    "fgsm": Bisected(FGSM()),
    "pgd": Bisected(PGD(steps=6, restarts=2)),
    "cw": CWAda(steps=20, targets=1),
    "lbfgs": LBFGS(steps=4),
}
"""Every attack on radii, at a small cost."""


@dataclass(frozen=True)
class Case:
    """A question, a family of balls around its samples, and a seed for the attack."""

    question: Question
    family: BallFamily
    seed: int

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


@st.composite
def cases(draw, norms=NORMS, ragged=True, **kinds) -> Case:
    """1 to 3 samples of up to 4 frames; some labels are wrong, some frames stay, some ranges are cut."""
    model = draw(classifiers(**kinds))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawn = draw(sequences(model, clip=(0.0, 1.0), ragged=ragged))
    center, lengths, (batch, time, _) = drawn.x, drawn.lengths, drawn.x.shape
    clip = draw(st.sampled_from([None, (0.0, 1.0)]))
    shared = draw(st.booleans())
    weight = torch.tensor(rng.choice([0.0, 1.0, 1.0] if shared else [0.0, 0.5, 1.0, 2.0], (batch, time)))
    answers = Question(model, _every_output(model, batch, time), lengths).rows(center)
    if model.readout == "every":
        labels = answers.view(batch, time, -1).argmax(2)
        specification = untargeted_steps(labels, model.classes, lengths)
    else:
        labels = answers.argmax(1)
        labels = torch.where(torch.tensor(rng.random(batch) < 0.2), (labels + 1) % model.classes, labels)
        kinds_of_rows = [untargeted, per_class] + [lambda y, n: top_k(y, 2, n)] * (model.classes > 2)
        specification = draw(st.sampled_from(kinds_of_rows))(labels, model.classes)
    family = BallFamily(center, weight, draw(st.sampled_from(tuple(norms))), clip, shared)
    return Case(Question(model, specification, lengths), family, draw(st.integers(0, 2**31)))


def _every_output(model: RecurrentClassifier, batch: int, time: int) -> Specification:
    return matrix(torch.eye(model.outputs(time), dtype=torch.float64), batch=batch)


@st.composite
def linear_cases(draw, norms=NORMS, shared=None) -> tuple[Case, torch.Tensor]:
    """Two classes, no clip range, a margin that is linear within any radius that matters; and the smallest radii.

    A ReLU network with one unit that adds up a . x over the frames, far from its kink.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    time, size = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    a = torch.tensor(rng.uniform(0.2, 1, size) * rng.choice([-1, 1], size))
    one, bias = torch.ones(1, 1, dtype=torch.float64), 1000.0
    unit = Direction("rnn_relu", a[None], one, torch.tensor([bias]).double(), torch.zeros(1).double())
    center = torch.tensor(rng.uniform(-1, 1, (2, time, size)))
    at_center = (center @ a).sum(1) + time * bias
    edge = float(at_center.min()) - float(rng.uniform(0.3, 2))
    head = Dense(torch.tensor([[1.0], [0.0]]).double(), torch.tensor([-edge, 0.0], dtype=torch.float64))
    model = RecurrentClassifier(((unit,),), (head,))
    p, shared = draw(st.sampled_from(tuple(norms))), draw(st.booleans()) if shared is None else shared
    weight = torch.tensor(rng.choice([1.0] if shared else [0.5, 1.0, 2.0], (2, time)))
    question = Question(model, untargeted(torch.zeros(2, dtype=torch.int64), 2))
    dual = {1.0: math.inf, math.inf: 1.0}.get(p) or p / (p - 1)
    length = torch.linalg.vector_norm(a.expand(time, size).flatten() if shared else a, dual)
    reach = length if shared else length * weight.sum(1)
    return Case(question, BallFamily(center, weight, p, None, shared), draw(st.integers(0, 2**31))), (
        at_center - edge
    ) / reach

"""Proofs and attacks on the same questions: all frames together, and each frame by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gpu_engine.attacks.bisection import Bisected
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.search.certify import certify
from gpu_engine.search.radius import certified_radius
from gpu_engine.spec import untargeted
from refcert.app.sandwich.check import check_sandwich

# Coarse on purpose: any certified radius is a claim, and any find of any attack may refute it.
TOLERANCE = 0.3
STEPS, RESTARTS = 5, 1


@dataclass(frozen=True)
class Compared:
    """questions asked; compared: with an adversarial input to hold the proof against; withdrawn: finds of rounding."""

    questions: int
    compared: int
    withdrawn: int


def compare(model, x, labels, *, p, clip, folder, each, lengths=None):
    """No ball is proved that holds an adversarial input; raises SoundnessFault at the first one that is.

    x (batch, time, input), labels (batch,), lengths (batch,). Not `each`: one radius on all frames, the certified
    radius against the attack's. `each`: every frame of every sample moves by itself; no proof may succeed at the
    attack's own radius, which is one evaluation for each question instead of ten.
    """
    sample, weight = _frames(x, lengths) if each else (torch.arange(len(x)), _counted(x, lengths))
    some = None if lengths is None else lengths[sample]
    rows = untargeted(labels[sample], model.classes)
    question, family = Question(model, rows, some), BallFamily(x[sample], weight, p, clip)
    attack = Bisected(PGD(steps=STEPS, restarts=RESTARTS), TOLERANCE)
    found = attack.smallest(question, family, torch.Generator().manual_seed(0))
    broken = torch.isfinite(found.radius) & (found.radius > 0)
    if each:
        certified = torch.zeros_like(found.radius)
        index = broken.nonzero()[:, 0]
        if len(index):
            balls = family.select(index).at(found.radius[index])
            part = None if some is None else some[index]
            proved = certify(model, balls, rows.select(index), lengths=part).proved
            certified[index] = torch.where(proved, found.radius[index], 0.0)
        compared = int(broken.sum())
    else:
        searched = certified_radius(
            model, family.center, weight, rows, p=p, clip=clip, lengths=some, tolerance=TOLERANCE
        )
        certified = searched.proved
        compared = int((broken & (certified > 0)).sum())

    def about(k):
        return {"sample": int(sample[k]), "method": attack.name, "moves": weight[k].tolist()}

    checked = check_sandwich(question, family, certified, found, folder=folder, about=about)
    return Compared(len(sample), compared, len(checked.withdrawn))


def _counted(x, lengths):
    """Weight 1 on the frames that count, (batch, time)."""
    last = torch.full((len(x),), x.shape[1]) if lengths is None else lengths
    return (torch.arange(x.shape[1]) < last[:, None]).double()


def _frames(x, lengths):
    """One question for every frame that counts: its sample (questions,) and weights (questions, time)."""
    sample, frame = _counted(x, lengths).nonzero(as_tuple=True)
    return sample, torch.eye(x.shape[1], dtype=torch.float64)[frame]


def random_sequences(model, count, time, seed):
    """Inputs for models whose data is not there, labelled with what the model says of them."""
    x = torch.tensor(np.random.default_rng(seed).normal(0, 1, (count, time, model.input_size)))
    return x, model.logits(x).argmax(1)

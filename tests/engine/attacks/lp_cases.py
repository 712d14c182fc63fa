"""Small random ReLU networks with a question about them, and the exact minimum by enumeration of all their regions.

No twin of `refcert.strategies.classifiers`: every activation is a ReLU, and their number is given, so that all regions
can be enumerated; laws over programs of every shape take the public ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.lp.lazy import solve_at_once
from gpu_engine.attacks.lp.program import OPTIMAL, Budget, Program
from gpu_engine.attacks.lp.region import Region, region_of
from gpu_engine.attacks.question import Question
from gpu_engine.cells.unroll import unroll
from gpu_engine.model import Activation, Block, Dense, Direction, RecurrentClassifier
from gpu_engine.spec import untargeted
from gpu_engine.steps import Tape

STRICTNESS = 1e-8


@dataclass(frozen=True)
class Case:
    """One network, one center (1, time, input) and its untargeted question and balls."""

    question: Question
    family: BallFamily
    label: int

    @property
    def tape(self) -> Tape:
        return unroll(self.question.model, self.family.center.shape[1])

    @property
    def center(self) -> np.ndarray:
        return self.family.center[0].numpy()

    @property
    def moves(self) -> np.ndarray:
        return np.broadcast_to((self.family.weight[0] > 0).numpy()[:, None], self.center.shape)

    @property
    def budget(self) -> Budget:
        """The family's balls; written out here a second time, by loops."""
        group, weight, low, high = [], [], [], []
        names: dict[int, int] = {}
        clip = self.family.clip or (-math.inf, math.inf)
        for t, row in enumerate(self.center):
            if self.family.weight[0, t] == 0:
                continue
            key = 0 if self.family.shared else t
            if key not in names:
                names[key] = len(names)
                weight.append(1.0 if self.family.shared else float(self.family.weight[0, t]))
            for value in row:
                group.append(names[key])
                low.append(clip[0] - value)
                high.append(clip[1] - value)
        return Budget(self.family.p, *map(np.array, (group, weight, low, high)))

    def region(self, point: np.ndarray | None = None, active: np.ndarray | None = None) -> Region:
        return region_of(self.tape, self.center, self.moves, point, active)

    def programs(self, region: Region) -> list[Program]:
        """One for every row."""
        rows, offset = self.question.specification.C[0].numpy(), self.question.specification.d[0].numpy()
        return [Program(region, self.budget, rows[j : j + 1], offset[j : j + 1], STRICTNESS) for j in range(len(rows))]


def relu_network(
    seed: int, inputs: int, hidden: int, classes: int = 3, stacks: bool = False, readout: str = "final"
) -> RecurrentClassifier:
    """One ReLU layer; with stacks also layers and ReLUs in front of it and behind."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    before: tuple[Block, ...] = (Dense(normal(2, inputs), normal(2)), Activation("relu")) if stacks else ()
    middle: tuple[Block, ...] = (Dense(normal(2, hidden), normal(2)), Activation("relu")) if stacks else ()
    below, behind = (2 if stacks else inputs), (2 if stacks else hidden)
    layer = Direction("rnn_relu", normal(hidden, below), normal(hidden, hidden), normal(hidden), normal(hidden))
    return RecurrentClassifier(
        ((layer,),), (*middle, Dense(normal(classes, behind), normal(classes))), before, readout=readout
    )


def case(
    seed: int,
    time: int = 2,
    inputs: int = 2,
    hidden: int = 3,
    p: float = math.inf,
    clip: bool = False,
    shared: bool = False,
    weights: tuple[float, ...] | None = None,
    stacks: bool = False,
    readout: str = "final",
) -> Case:
    """A center in [0, 1] that the network classifies as its own label."""
    model = relu_network(seed, inputs, hidden, stacks=stacks, readout=readout)
    generator = torch.Generator().manual_seed(seed + 1)
    center = torch.rand(1, time, inputs, dtype=torch.float64, generator=generator)
    weight = torch.tensor([weights or (1.0,) * time], dtype=torch.float64)
    label = model.logits(center).argmax(1)
    question = Question(model, untargeted(label, model.classes))
    return Case(question, BallFamily(center, weight, p, (0.0, 1.0) if clip else None, shared), int(label))


def exact_minimum(one: Case) -> float:
    """The least optimum over every pattern of ReLUs and every row: the smallest adversarial perturbation there is."""
    units = len(one.region(point=one.center).active)
    best = math.inf
    for pattern in product((False, True), repeat=units):
        region = one.region(active=np.array(pattern))
        # A unit that nothing reaches has no constraint; a pattern that contradicts its value is no region.
        fixed = ~region.constrained
        if (np.where(region.active, region.value, -region.value)[fixed] < 0).any():
            continue
        for program in one.programs(region):
            answer = solve_at_once(program, most=best)
            if answer.status == OPTIMAL:
                best = min(best, answer.radius)
    return best

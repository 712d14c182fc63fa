"""Vectors that the engine writes: the cells, norms and activations that tiny_certificates cannot bound.

Tiny networks with numbers from a seed. What comes out differs from one version of torch to the next, so the files are
kept; `make_vectors --engine` writes them anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions
from gpu_engine.model import GATES, Activation, Block, Dense, Direction, RecurrentClassifier
from gpu_engine.search.certify import BoundedBatch, Options, certify
from gpu_engine.spec import Specification, matrix, per_class, targeted, top_k, untargeted, untargeted_steps
from tests.certificates import engine_corruptions as names
from tests.certificates.tiny_certificates import Vector, stem

INPUT, HIDDEN, CLASSES, LABEL = 2, 2, 3, 1
MARGIN = 0.5  # about what every certificate claims: few changes of a question leave it true
LABELS = torch.tensor([LABEL])


class Numbers:
    """Normal numbers from a seed. lead: of the label over the other classes, or of all rows."""

    def __init__(self, seed: int, lead: float) -> None:
        self.lead = lead
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def direction(
        self, cell: str, below: int = INPUT, *, reverse: bool = False, projected: bool = False, started: bool = False
    ) -> Direction:
        rows, output = GATES[cell] * HIDDEN, 1 if projected else HIDDEN
        return Direction(
            cell,
            self.normal(rows, below),
            self.normal(rows, output),
            self.normal(rows),
            self.normal(rows),
            self.normal(output, HIDDEN) if projected else None,
            self.normal(output) if started else None,
            self.normal(HIDDEN) if started and cell == "lstm" else None,
            reverse,
        )

    def dense(self, size: int, below: int) -> Dense:
        return Dense(self.normal(size, below), self.normal(size))

    def head(self, below: int) -> Dense:
        """The last block, whose bias favours the label."""
        bias = self.normal(CLASSES)
        bias[LABEL] += self.lead
        return Dense(self.normal(CLASSES, below), bias)

    def rows(self, outputs: int) -> Specification:
        return matrix(self.normal(2, outputs), self.normal(2) + self.lead, batch=1)

    def center(self, frames: int) -> Tensor:
        return self.normal(1, frames, INPUT)

    def inside(self, frames: int) -> Tensor:
        """A center in [0, 1] that touches both ends."""
        center = torch.rand(1, frames, INPUT, generator=self.generator, dtype=torch.float64)
        center[0, 0, 0], center[0, -1, -1] = 0.0, 1.0
        return center


@dataclass(frozen=True)
class Case:
    """A question, and how it is answered and written."""

    model: RecurrentClassifier
    inputs: InputSet
    specification: Specification
    options: Options
    file: str | None = None


def radii(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def one_layer(
    numbers: Numbers, direction: Direction, readout: str = "final", after: tuple[Block, ...] = ()
) -> RecurrentClassifier:
    return RecurrentClassifier(((direction,),), (*after, numbers.head(direction.output_size)), readout=readout)


def lstm_projected(numbers: Numbers) -> Case:
    model = one_layer(numbers, numbers.direction("lstm", projected=True, started=True))
    inputs = FrameBalls(numbers.center(2), radii(0.25, 0.125), 2.0)
    return Case(model, inputs, untargeted(LABELS, CLASSES), Options("planes"))


def lstm_stacked(numbers: Numbers) -> Case:
    layers = (
        (numbers.direction("lstm"), numbers.direction("lstm", reverse=True)),
        (numbers.direction("lstm", 2 * HIDDEN),),
    )
    model = RecurrentClassifier(layers, (numbers.head(HIDDEN),))
    moves = torch.tensor([[True, False]])
    inputs = SequenceBall(numbers.inside(2), radii(0.25)[0], 1.5, (0.0, 1.0), moves)
    return Case(model, inputs, targeted(LABELS, LABELS + 1, CLASSES), Options("parallel"))


def gru(numbers: Numbers) -> Case:
    model = one_layer(numbers, numbers.direction("gru"), "last_frame")
    inputs = FrameBalls(numbers.inside(2), radii(0.5, 0.25), 2.0, (0.0, 1.0))
    return Case(model, inputs, untargeted(LABELS, CLASSES), Options("best"))


def gru_started(numbers: Numbers) -> Case:
    model = one_layer(numbers, numbers.direction("gru", started=True))
    return Case(
        model, FrameBalls(numbers.center(2), radii(0.25, 0.25), 1.5), top_k(LABELS, 2, CLASSES), Options("lines")
    )


def gru_reset_before(numbers: Numbers) -> Case:
    model = one_layer(numbers, numbers.direction("gru_reset_before", started=True), "mean")
    lower = numbers.center(2)
    return Case(model, Boxes(lower, lower + 0.25), top_k(LABELS, 2, CLASSES), Options("mccormick"))


def tanh_between_blocks(numbers: Numbers) -> Case:
    before = (numbers.dense(HIDDEN, INPUT), Activation("tanh"))
    after = (Activation("sigmoid"), numbers.dense(CLASSES, HIDDEN))
    model = RecurrentClassifier(((numbers.direction("rnn_tanh", reverse=True),),), after, before, "max")
    ball = SequenceBall(numbers.center(3), radii(0.5)[0], 2.0)
    return Case(model, ball, numbers.rows(CLASSES), Options("parallel"))


def sigmoid_steps(numbers: Numbers) -> Case:
    model = one_layer(numbers, numbers.direction("rnn_sigmoid"), "every")
    labels = torch.tensor([[LABEL, LABEL]])
    inputs = FrameBalls(numbers.center(2), radii(0.125, 0.25), math.inf)
    return Case(model, inputs, untargeted_steps(labels, CLASSES), Options("parallel"))


def relu_per_class(numbers: Numbers) -> Case:
    model = one_layer(numbers, numbers.direction("rnn_relu"), "max", (Activation("relu"),))
    return Case(model, FrameBalls(numbers.center(2), radii(0.0, 0.25), 1.0), per_class(LABELS, CLASSES), Options())


def cells_side_by_side(numbers: Numbers) -> Case:
    layer = (numbers.direction("gru", reverse=True), numbers.direction("lstm"))
    after = (Activation("tanh"), numbers.dense(2, 2 * HIDDEN), Activation("relu"), numbers.head(2))
    inputs = SequenceBall(numbers.inside(2), radii(0.125)[0], math.inf, (0.0, 1.0))
    model = RecurrentClassifier((layer,), after)
    return Case(
        model, inputs, untargeted(LABELS, CLASSES), Options("parallel"), "cells-side-by-side.network.safetensors"
    )


def tokens_in_float32(numbers: Numbers) -> Case:
    words = numbers.normal(4, INPUT).float().double()
    direction = numbers.direction("lstm")
    model = RecurrentClassifier(((direction,),), (numbers.head(HIDDEN),), embedding=words)
    allowed = torch.tensor([[[True, True], [False, True]]])
    inputs = Substitutions(words[None, :2], words[None, [[1, 2], [0, 3]]], allowed)
    return Case(model, inputs, untargeted(LABELS, CLASSES), Options("parallel", "float32"))


def stacked_cells(numbers: Numbers) -> Case:
    layers = ((numbers.direction("gru_reset_before"),), (numbers.direction("rnn_tanh", HIDDEN),))
    model = RecurrentClassifier(layers, (numbers.dense(CLASSES, HIDDEN),), readout="every")
    lower = numbers.center(2)
    return Case(model, Boxes(lower, lower + 0.125), numbers.rows(2 * CLASSES), Options("constants"))


CASES: dict[str, Callable[[Numbers], Case]] = {
    names.LSTM: lstm_projected,
    names.STACKED: lstm_stacked,
    names.GRU: gru,
    names.STARTED: gru_started,
    names.RESET: gru_reset_before,
    names.TANH: tanh_between_blocks,
    names.SIGMOID: sigmoid_steps,
    names.PER_CLASS: relu_per_class,
    names.JOINED: cells_side_by_side,
    names.TOKENS: tokens_in_float32,
    names.ROWS: stacked_cells,
}


def bounded(case: Case) -> BoundedBatch:
    """The only pass."""
    batches: list[BoundedBatch] = []
    certify(case.model, case.inputs, case.specification, case.options, batch_sink=batches.append)
    (batch,) = batches
    return batch


def written() -> list[Vector]:
    """Every case's certificate, with its network's file where it has one."""
    vectors = []
    for seed, (name, made) in enumerate(CASES.items()):
        batch = bounded(made(Numbers(seed, 0.0)))
        reached = float(batch.specification.margins(batch.bounds.lower.double()))
        case = made(Numbers(seed, MARGIN - reached))
        network = Network(case.model, case.file)
        files = {f"{stem(name)}.safetensors": Certificates(bounded(case), network).write(0)}
        if case.file is not None:
            files[case.file] = network.content()
        vectors.append(Vector(name, files, "VALID"))
    return vectors

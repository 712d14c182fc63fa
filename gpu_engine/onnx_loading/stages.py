"""What the network computes, as a chain of stages, and references to the numbers of each stage.

A stage is a vector of `size` numbers per frame or per sample. Its numbers have references: consecutive integers that
belong to it alone. A signal in the graph is an array of references, so whatever a node reads (one direction, the
states in another order) is known number by number, and `resolve` turns it into a stage and columns of it.

Each direction of each recurrent node is a source of its own; two that read the same, one forward and one backward,
become one layer when they are read together, wherever the graph joins them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from gpu_engine import model
from gpu_engine.onnx_loading.values import Array, Refusal, require_size

View = Literal["every", "final", "last_frame", "first_frame", "mean", "max", "cell"]
"""What is read of a direction: a readout of gpu_engine.model, or what none of them is (`first_frame` of a forward
direction, the `cell` state), which may stand in a graph as long as nothing reads it."""

_UNREADABLE: Final = {
    "first_frame": "the output of a forward direction at the first frame, which has seen that frame only",
    "cell": "the cell state (Y_c)",
}


@dataclass(frozen=True, eq=False)
class Stage:
    """size numbers per frame (per_frame) or per sample. node: who made it, for messages."""

    size: int
    per_frame: bool
    node: str


@dataclass(frozen=True, eq=False)
class Frames(Stage):
    """The input's frames, or with embedding (words, size) the vectors of its tokens."""

    embedding: Array | None = None


@dataclass(frozen=True, eq=False)
class Tokens(Stage):
    """Token numbers, one per frame: good for a look-up in an embedding, and nothing else."""


@dataclass(frozen=True, eq=False)
class Run:
    """One direction of a recurrent node that reads `below`; its weights are in the normal form already."""

    below: Stage
    direction: model.Direction
    node: str


@dataclass(frozen=True)
class Reading:
    """A source of references: `view` of one run."""

    run: Run
    view: View

    @property
    def size(self) -> int:
        return self.run.direction.output_size


@dataclass(frozen=True, eq=False)
class Recurrent(Stage):
    """A layer of one or two runs, and what is read of it."""

    runs: tuple[Run, ...]
    view: View


@dataclass(frozen=True, eq=False)
class Linear(Stage):
    """weight (size, below.size) y + bias (size,); no bias yet: None."""

    below: Stage
    weight: Array
    bias: Array | None = None


@dataclass(frozen=True, eq=False)
class Elementwise(Stage):
    """One of gpu_engine.model.ACTIVATIONS."""

    below: Stage
    kind: str


@dataclass(frozen=True, eq=False)
class Softmax(Stage):
    """Softmax or its logarithm over `columns` of below. It keeps their order, and is dropped as the last step."""

    below: Stage
    columns: Array


Source = Stage | Reading


class Elements:
    """All references of one graph, and the stages behind them."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._starts: list[int] = [0]
        self._numbers: dict[Source, int] = {}
        self._made: dict[Hashable, Stage] = {}

    def references(self, source: Source) -> Array:
        """The references (size,) of a stage or of a view of a run."""
        if source not in self._numbers:
            self._numbers[source] = len(self._sources)
            self._sources.append(source)
            self._starts.append(self._starts[-1] + source.size)
        start = self._starts[self._numbers[source]]
        return np.arange(start, start + source.size)

    def _groups(self, references: Array) -> list[tuple[Source, Array, Array]]:
        """For each source that is referred to: where in the array, and which of the source's numbers."""
        owners = np.searchsorted(np.asarray(self._starts), references, side="right") - 1
        groups = []
        for number in np.unique(owners):
            mask = owners == number
            groups.append((self._sources[number], mask, references[mask] - self._starts[number]))
        return groups

    def resolve(self, references: Array) -> tuple[Stage, Array]:
        """One stage that holds all these numbers, and the columns (as references) of it where they are."""
        stage, columns = self._resolve(references)
        if isinstance(stage, Softmax):
            raise Refusal(f"reads what {stage.node} gives; a softmax is supported as the last step only")
        if isinstance(stage, Tokens):
            raise Refusal("computes with token numbers; they may be looked up in an embedding (Gather) only")
        return stage, columns

    def _resolve(self, references: Array) -> tuple[Stage, Array]:
        groups = self._groups(references)
        if len(groups) == 1 and isinstance(groups[0][0], Stage):
            return groups[0][0], groups[0][2].reshape(references.shape)
        readings = [source for source, _, _ in groups if isinstance(source, Reading)]
        if not readings or len(readings) < len(groups):
            raise Refusal(f"reads from {self._names(groups)} together; the normal form has one stage after the other")
        readings.sort(key=lambda reading: reading.run.direction.reverse)
        stage = self._layer(readings)
        starts = {reading: sum(r.size for r in readings[:k]) for k, reading in enumerate(readings)}
        columns = np.empty(references.shape, dtype=np.int64)
        for source, mask, places in groups:
            columns[mask] = places + starts[source]  # type: ignore[index]
        return stage, columns

    def _layer(self, readings: Sequence[Reading]) -> Recurrent:
        """The layer of one run, or of a forward and a backward run over the same stage."""
        runs = tuple(reading.run for reading in readings)
        names = " and ".join(dict.fromkeys(run.node for run in runs))
        views = [reading.view for reading in readings]
        for view in views:
            if view in _UNREADABLE:
                raise Refusal(f"reads of {names} {_UNREADABLE[view]}; read the outputs or the final state")
        reverse = [run.direction.reverse for run in runs]
        if len(runs) > 2 or len(set(reverse)) < len(runs) or any(run.below is not runs[0].below for run in runs):
            raise Refusal(
                f"reads {names} together; they may be one layer only as one forward and one backward direction over "
                "the same input"
            )
        if set(views) == {"final", "last_frame"}:  # of the forward direction both are the same
            views = ["last_frame"]
        if len(set(views)) > 1:
            raise Refusal(f"reads {' and '.join(views)} of {names} together; read the same of both directions")
        key = (*runs, views[0])
        if key not in self._made:
            size = sum(run.direction.output_size for run in runs)
            self._made[key] = Recurrent(size, views[0] == "every", names, runs, views[0])
        made = self._made[key]
        assert isinstance(made, Recurrent)
        return made

    def _names(self, groups: list[tuple[Source, Array, Array]]) -> str:
        nodes = (source.run.node if isinstance(source, Reading) else source.node for source, _, _ in groups)
        return " and ".join(dict.fromkeys(nodes))

    # what nodes compute

    def linear(self, references: Array, weight: Array, node: str) -> Array:
        """references (..., in), weight (out, in) -> references (..., out)."""
        inside = references.shape[-1]
        stage, columns = self.resolve(references.reshape(-1, inside))
        outside, count = weight.shape[0], columns.shape[0]
        require_size(count * outside * stage.size)
        full = np.zeros((count, outside, stage.size))
        for place in range(count):
            require_distinct(columns[place])
            full[place][:, columns[place]] = weight
        made = Linear(count * outside, stage.per_frame, node, stage, full.reshape(-1, stage.size))
        return self.references(made).reshape(*references.shape[:-1], outside)

    def weighted(self, parts: Sequence[tuple[Array, Array]], bias: Array | None, node: str) -> Array:
        """sum of references * factors over the parts, plus bias; all arrays of one shape, which is the result's.

        Exact: factors that meet at one number of the stage are added only where each is 1.
        """
        shape = parts[0][0].shape
        stage, columns = self.resolve(np.stack([references.ravel() for references, _ in parts]))
        only = len(parts) == 1
        if bias is not None and only and isinstance(stage, Linear) and stage.bias is None and np.all(parts[0][1] == 1):
            weight = stage.weight[columns[0]]  # a MatMul's own bias
            stage = stage.below
        else:
            require_size(columns.shape[1] * stage.size)
            weight = np.zeros((columns.shape[1], stage.size))
            for row, (_, factors) in zip(columns, parts, strict=True):
                weight[np.arange(len(row)), row] += factors.ravel()
        made = Linear(len(weight), stage.per_frame, node, stage, weight, None if bias is None else bias.ravel())
        return self.references(made).reshape(shape)

    def activated(self, references: Array, kind: str, node: str) -> Array:
        """An activation of every number."""
        stage, columns = self.resolve(references)
        key = (stage, kind)
        if key not in self._made:
            self._made[key] = Elementwise(stage.size, stage.per_frame, node, stage, kind)
        return self.references(self._made[key])[columns]

    def softmax(self, references: Array, node: str) -> Array:
        """Softmax over all numbers of the array."""
        stage, columns = self.resolve(references)
        made = Softmax(references.size, stage.per_frame, node, stage, columns.ravel())
        return self.references(made).reshape(references.shape)

    def over_time(self, references: Array, view: View) -> Array:
        """The same numbers at the last or first frame, or their mean or maximum over the frames."""
        result = np.empty_like(references)
        for source, mask, places in self._groups(references):
            new: Source
            new = (
                Reading(source.run, _view(source.run, view))
                if isinstance(source, Reading)
                else self._moved(source, view)
            )
            result[mask] = self.references(new)[places]
        return result

    def _moved(self, stage: Stage, view: View) -> Stage:
        """The stage behind the readout: one frame of f(y) is f of that frame, and so on where that is a law.

        Mean and affine maps commute, maximum and monotone maps commute; the others do not.
        """
        above: list[Linear | Elementwise | Softmax] = []
        while isinstance(stage, Linear | Elementwise | Softmax):
            fits = view in ("last_frame", "first_frame") or isinstance(stage, Linear if view == "mean" else Elementwise)
            if not fits:
                raise Refusal(
                    f"takes the {view} over time of what {stage.node} gives, which is not a function of the {view} of "
                    f"the layer's outputs; take the {view} first"
                )
            above.append(stage)
            stage = stage.below
        if not isinstance(stage, Recurrent):
            raise Refusal("reads a part of the frames in front of the recurrent layers; give the layers all frames")
        moved: Stage = self._layer([Reading(run, _view(run, view)) for run in stage.runs])
        for upper in reversed(above):
            key = (upper, view)
            if key not in self._made:
                if isinstance(upper, Linear):
                    made: Stage = Linear(upper.size, False, upper.node, moved, upper.weight, upper.bias)
                elif isinstance(upper, Elementwise):
                    made = Elementwise(upper.size, False, upper.node, moved, upper.kind)
                else:
                    made = Softmax(upper.size, False, upper.node, moved, upper.columns)
                self._made[key] = made
            moved = self._made[key]
        return moved

    def output(self, references: Array) -> tuple[Stage, Array]:
        """The stage of the logits and which of its numbers (classes,) they are; a last softmax is dropped."""
        stage, columns = self._resolve(references)
        if isinstance(stage, Softmax):
            return stage.below, stage.columns[columns]
        return stage, columns


def _view(run: Run, view: View) -> View:
    """At the last frame a forward direction, at the first frame a backward one, is in its final state."""
    ends_there = view == ("first_frame" if run.direction.reverse else "last_frame")
    return "final" if ends_there else view


def require_distinct(columns: Array) -> None:
    """Refuse to read a number twice: its weights would have to be added, which rounds."""
    if len(np.unique(columns)) < len(columns):
        raise Refusal("reads the same number twice; leave the copy out and add its weights")

"""What a cell hands to its next frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gpu_engine.model import Direction
from gpu_engine.steps import Place, Tape, View


class State(NamedTuple):
    """hidden: the cell's output; cell: a second state, for cells that have one. None stands for zeros."""

    hidden: View | None
    cell: View | None = None


Cell = Callable[[Tape, Direction, Sequence[View], State, Place], State]
"""Adds the steps of one frame: (tape, weights, what the frame reads, the state before, where) -> the state after."""

"""The calls that `assert_bounds_sound` plans: drawn examples or given sets, their arguments checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import torch
from torch import Tensor

from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions
from gpu_engine.model import RecurrentClassifier
from refcert.app.errors import InputError
from refcert.testing.budget import Budget
from refcert.testing.drawn_sets import SETS, Example, drawn_examples, given_examples

EXAMPLES: Final = 21
"""Calls of the function, unless the budget says how many, or input sets are given."""


def planned_examples(
    network: RecurrentClassifier,
    inputs: InputSet | Sequence[InputSet] | None,
    rows: Tensor | None,
    sets: Sequence[str],
    frames: int,
    batch: int,
    budget: Budget,
    seed: int,
) -> tuple[Iterator[Example], int]:
    """The examples and how many they are; arguments as in `assert_bounds_sound`. Raises InputError."""
    for what, value in (("frames", frames), ("batch", batch)):
        if type(value) is not int or value < 1:
            raise InputError(f"{what} is {value!r}; give a whole number from 1 on")
    _check_rows(rows, network, frames, inputs)
    if inputs is None:
        kinds = (sets,) if isinstance(sets, str) else tuple(sets)
        for kind in kinds or ("",):
            if kind not in SETS:
                raise InputError(f"sets has {kind!r}, which is not known; choose from {', '.join(SETS)}")
        planned = budget.examples or EXAMPLES
        drawn = drawn_examples(network, kinds, rows, frames=frames, batch=batch, seed=seed)
        return islice(drawn, planned), planned
    given = [inputs] if isinstance(inputs, (Boxes, FrameBalls, SequenceBall, Substitutions)) else list(inputs)
    for one in given:
        if not isinstance(one, (Boxes, FrameBalls, SequenceBall, Substitutions)):
            raise InputError(f"inputs has a {type(one).__name__}; give input sets of gpu_engine.inputs, say Boxes")
        if one.center.shape[2] != network.input_size:
            raise InputError(f"inputs have {one.center.shape[2]} values a frame, the model reads {network.input_size}")
    if not given:
        raise InputError("inputs is empty; give at least one input set, or None for drawn ones")
    made = list(given_examples(network, given, rows, seed))
    planned = min(len(made), budget.examples or len(made))
    return iter(made[:planned]), planned


def _check_rows(rows: Tensor | None, network: RecurrentClassifier, frames: int, inputs: object) -> None:
    if rows is None:
        return
    if not isinstance(rows, Tensor) or rows.ndim != 2 or rows.dtype != torch.float64 or not rows.isfinite().all():
        raise InputError("rows has to be a finite float64 tensor (spec, outputs)")
    if inputs is None and rows.shape[1] != network.outputs(frames):
        raise InputError(f"rows have {rows.shape[1]} columns, the model has {network.outputs(frames)} outputs")

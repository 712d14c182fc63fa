"""The least value of affine forms on an input set: `prepare` finds the set's own file in one table.

Every prepared set answers `concretize(rows, t)` <= rows . (x_t - center_t) and `concretize_all(rows)` <= the sum of
these over the frames, for every x of the set, in exact arithmetic; the rounding of these sums is charged by the caller
(lemmas `charged_rounding`, `concretize_rounding`). A new kind of set is one file in `input_sets` and one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions
from gpu_engine.propagation.input_sets.box import prepare_boxes
from gpu_engine.propagation.input_sets.frame_balls import prepare_frame_balls
from gpu_engine.propagation.input_sets.prepared import PreparedInput
from gpu_engine.propagation.input_sets.sequence_ball import prepare_sequence_ball
from gpu_engine.propagation.input_sets.substitutions import prepare_substitutions

__all__ = ["PREPARE", "PreparedInput", "prepare"]

PREPARE: Final[Mapping[type, Callable[[Any, torch.dtype], PreparedInput]]] = {
    FrameBalls: prepare_frame_balls,
    SequenceBall: prepare_sequence_ball,
    Boxes: prepare_boxes,
    Substitutions: prepare_substitutions,
}


def prepare(inputs: InputSet, dtype: torch.dtype) -> PreparedInput:
    """Round the input set outward into the engine's dtype. Raises SpecificationError for what is no input set."""
    # a subclass, which may add a repr or a name, is the set that it derives from
    rule = next((PREPARE[kind] for kind in type(inputs).__mro__ if kind in PREPARE), None)
    if rule is None:
        known = ", ".join(kind.__name__ for kind in PREPARE)
        raise SpecificationError(f"{type(inputs).__name__} is not an input set; known: {known}")
    return rule(inputs, dtype)

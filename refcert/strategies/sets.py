"""The engine's input sets with a repr that rebuilds them. Everything else about them is as in `gpu_engine.inputs`."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from gpu_engine import inputs
from gpu_engine.inputs import InputSet
from refcert.strategies.sources import Evaluable


class FrameBalls(Evaluable, inputs.FrameBalls):
    """See `gpu_engine.inputs.FrameBalls`."""


class SequenceBall(Evaluable, inputs.SequenceBall):
    """See `gpu_engine.inputs.SequenceBall`."""


class Boxes(Evaluable, inputs.Boxes):
    """See `gpu_engine.inputs.Boxes`."""


class Substitutions(Evaluable, inputs.Substitutions):
    """See `gpu_engine.inputs.Substitutions`."""


_EVALUABLE: Final[tuple[tuple[type, type], ...]] = (
    (inputs.FrameBalls, FrameBalls),
    (inputs.SequenceBall, SequenceBall),
    (inputs.Boxes, Boxes),
    (inputs.Substitutions, Substitutions),
)


def evaluable(sets: InputSet) -> InputSet:
    """The same sets, on the same tensors, with a repr that rebuilds them. Raises TypeError for what is no input set."""
    for plain, own in _EVALUABLE:
        if isinstance(sets, plain):
            found: InputSet = own(**{field.name: getattr(sets, field.name) for field in fields(plain)})
            return found
    raise TypeError(f"{type(sets).__name__} is no input set; give FrameBalls, SequenceBall, Boxes or Substitutions")

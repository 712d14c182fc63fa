"""Input sets as constraints of a convex program. Only the solver reads them: bounds minimise over the set itself."""

from __future__ import annotations

import math
from typing import Any

import cvxpy
import numpy as np

from refcert.audit.network_lp.system import System
from refcert.reference.errors import ReferenceInputError
from refcert.reference.input_sets import BoxSet, FrameBalls, InputSet, SequenceBall, Substitutions
from refcert.reference.networks import Array

cp: Any = cvxpy  # its types do not cover what it exports
Constraint = Any
"""A constraint of cvxpy, which has no types of its own."""


def constraints_of(system: System, input_set: InputSet, y: Any) -> list[Constraint]:
    """Constraints on the inputs among the variables y (variables,) that hold exactly on the input set.

    Raises ReferenceInputError for a kind of set that is not known.
    """
    frames = [[system.number[variable] for variable in frame] for frame in system.program.inputs]
    if isinstance(input_set, FrameBalls):
        found: list[Constraint] = []
        for t, frame in enumerate(frames):
            found += _ball(y[frame], input_set.center[t], float(input_set.radius[t]), input_set.p)
        return found + _clip(y, frames, input_set.clip)
    if isinstance(input_set, SequenceBall):
        flat = [number for frame in frames for number in frame]
        found = _ball(y[flat], input_set.center.reshape(-1), input_set.radius, input_set.p)
        return found + _clip(y, frames, input_set.clip)
    if isinstance(input_set, BoxSet):
        flat = [number for frame in frames for number in frame]
        return [y[flat] >= input_set.lower.reshape(-1), y[flat] <= input_set.upper.reshape(-1)]
    if isinstance(input_set, Substitutions):
        found = []
        for frame, candidates in zip(frames, input_set.candidates, strict=True):
            share = cp.Variable(len(candidates), nonneg=True)
            found += [cp.sum(share) == 1, y[frame] == np.asarray(candidates).T @ share]
        return found
    raise ReferenceInputError(f"input sets of type {type(input_set).__name__} are not known to the linear program")


def is_conic(input_set: InputSet) -> bool:
    """Whether the set is no polyhedron, so that a solver of linear programs will not do."""
    if not isinstance(input_set, FrameBalls | SequenceBall) or input_set.p in (1.0, math.inf):
        return False
    return bool(np.any(np.asarray(input_set.radius) > 0))


def _ball(x: Any, center: Array, radius: float, p: float) -> list[Constraint]:
    if radius == 0.0:
        return [x == center]
    if math.isinf(p):
        return [x >= center - radius, x <= center + radius]
    step = x - center
    length = {1.0: cp.norm1, 2.0: cp.norm2}.get(p, lambda value: cp.pnorm(value, p))(step)
    return [length <= radius]


def _clip(y: Any, frames: list[list[int]], clip: tuple[float, float] | None) -> list[Constraint]:
    if clip is None:
        return []
    flat = [number for frame in frames for number in frame]
    return [y[flat] >= clip[0], y[flat] <= clip[1]]

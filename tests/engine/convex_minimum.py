"""The minimum of a linear form on an input set by an independent convex solver (cvxpy with Clarabel)."""

from __future__ import annotations

import math

import cvxpy as cp
import numpy as np

from gpu_engine.inputs import Boxes, FrameBalls, InputSet, Substitutions


def convex_minimum(inputs: InputSet, sample: int, row: np.ndarray) -> float:
    """min row . (x - center) over the sample's set (the hull of substitutions), row (time, input)."""
    center = inputs.center[sample].numpy()
    scale = float(np.abs(row).max()) or 1.0
    delta = cp.Variable(center.shape)
    if isinstance(inputs, Substitutions):
        conditions = _hull(inputs, sample, delta)
    elif isinstance(inputs, Boxes):
        conditions = [delta >= inputs.lower[sample].numpy() - center, delta <= inputs.upper[sample].numpy() - center]
    else:
        order = "inf" if math.isinf(inputs.p) else inputs.p
        if isinstance(inputs, FrameBalls):
            conditions = [cp.norm(delta[t], order) <= float(r) for t, r in enumerate(inputs.radius[sample])]
        else:
            conditions = [cp.norm(cp.vec(delta, order="C"), order) <= float(inputs.radius[sample])]
            if inputs.moves is not None:
                conditions += [delta[t] == 0 for t in (~inputs.moves[sample]).nonzero()[:, 0].tolist()]
        if inputs.clip is not None:
            conditions += [delta >= inputs.clip[0] - center, delta <= inputs.clip[1] - center]
    problem = cp.Problem(cp.Minimize(cp.sum(cp.multiply(row / scale, delta))), conditions)
    problem.solve(solver=cp.CLARABEL)
    assert problem.status == cp.OPTIMAL
    return float(problem.value) * scale


def _hull(inputs: Substitutions, sample: int, delta: cp.Variable) -> list[cp.Constraint]:
    conditions = []
    for t in range(inputs.time):
        center = inputs.center[sample, t].numpy()
        vectors = np.concatenate([center[None], inputs.candidates[sample, t][inputs.allowed[sample, t]].numpy()])
        weights = cp.Variable(len(vectors), nonneg=True)
        conditions += [cp.sum(weights) == 1, delta[t] == weights @ (vectors - center)]
    return conditions

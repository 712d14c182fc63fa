"""A loaded model, one sample's input set and its planes in the reference's own types.

Nothing is computed here: numbers are handed over as they are, so that the reference can doubt what the engine made of
them. Shapes: tensors carry a batch of one sample, the reference's arrays none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gpu_engine import inputs
from gpu_engine.bounds import Box, PlanePair
from gpu_engine.model import Activation, Block, RecurrentClassifier
from gpu_engine.relaxations.registry import Relaxation
from refcert.app.errors import InputError
from refcert.reference.given_planes import COLUMNS, DIAGONALS
from refcert.reference.input_sets import BoxSet, FrameBalls, InputSet, SequenceBall, Substitutions
from refcert.reference.networks import Network, Recurrent, network_from_plain

Columns = dict[str, list[Any]]


def reference_network(model: RecurrentClassifier) -> Network:
    """The same network for the reference, weight by weight."""
    names = [field.name for field in fields(Recurrent)]
    return network_from_plain(
        {
            "layers": [
                [{name: _plain(getattr(part, name)) for name in names} for part in layer] for layer in model.layers
            ],
            "before": _blocks(model.before),
            "after": _blocks(model.after),
            "readout": model.readout,
        }
    )


def _blocks(blocks: Sequence[Block]) -> list[Any]:
    return [
        block.kind if isinstance(block, Activation) else {"weight": block.weight.numpy(), "bias": block.bias.numpy()}
        for block in blocks
    ]


def _plain(value: Any) -> Any:
    return value.numpy() if isinstance(value, torch.Tensor) else value


def reference_set(engine: inputs.InputSet) -> InputSet:
    """The only set of a batch of one. Raises InputError for a ball shared by some of the frames only."""
    if isinstance(engine, inputs.Boxes):
        return BoxSet(engine.lower[0].numpy(), engine.upper[0].numpy())
    center = engine.center[0].numpy()
    if isinstance(engine, inputs.FrameBalls):
        return FrameBalls(center, engine.radius[0].numpy(), engine.p, engine.clip)
    if isinstance(engine, inputs.SequenceBall):
        return _sequence(engine, center)
    candidates, allowed = engine.candidates[0].numpy(), engine.allowed[0].numpy()
    return Substitutions(
        [
            np.vstack((here[None], words[chosen]))
            for here, words, chosen in zip(center, candidates, allowed, strict=True)
        ]
    )


def _sequence(engine: inputs.SequenceBall, center: NDArray[np.float64]) -> InputSet:
    radius = float(engine.radius[0])
    moves = np.ones(len(center), bool) if engine.moves is None else engine.moves[0].numpy()
    if moves.all():
        return SequenceBall(center, radius, engine.p, engine.clip)
    if moves.sum() == 1 or math.isinf(engine.p):
        return FrameBalls(center, radius * moves, engine.p, engine.clip)
    raise InputError(
        f"one ball around {int(moves.sum())} of {len(moves)} frames is not known to the linear program; certify with "
        "all frames, with one, or with the norm inf"
    )


def starts_of(columns: Mapping[str, Sequence[Any]]) -> list[Columns]:
    """One sample's planes as columns, one table for each start: a run of `best` lists every nonlinearity once a start.

    Comparisons of a maximum and units of a readout for each frame repeat under one name in every run; a start repeats
    box and all.
    """
    names = (*COLUMNS, *(name for name in DIAGONALS if name in columns))
    rows = list(zip(*(list(columns[name]) for name in names), strict=True))
    place = [COLUMNS.index(name) for name in ("side", "kind", "product", "layer", "t", "unit")]
    boxed = [*place, *(COLUMNS.index(name) for name in ("lower_v", "upper_v", "lower_z", "upper_z"))]
    first = tuple(rows[0][k] for k in place)
    same = [row for row in rows if tuple(row[k] for k in place) == first]
    count = sum(tuple(row[k] for k in boxed) == tuple(same[0][k] for k in boxed) for row in same)
    seen: dict[tuple[Any, ...], int] = {}
    starts: list[Columns] = [{name: [] for name in names} for _ in range(count)]
    for row in rows:
        key = tuple(row[k] for k in place)
        seen[key] = seen.get(key, -1) + 1
        for name, value in zip(names, row, strict=True):
            starts[seen[key] % count][name].append(value)
    return starts


def planes_of(relaxation: Relaxation, columns: Mapping[str, Sequence[Any]]) -> Columns:
    """The planes of another relaxation on the same boxes, in the same order; octagons are left out."""
    result = {name: list(values) for name, values in columns.items() if name not in DIAGONALS}
    kinds, sides = np.array(result["kind"]), np.array(result["side"])
    for kind in np.unique(kinds):
        for side in np.unique(sides):
            here = np.flatnonzero((kinds == kind) & (sides == side))
            v, z = (Box(*(_tensor(result[f"{end}_{axis}"], here) for end in ("lower", "upper"))) for axis in "vz")
            pair = _pair(relaxation, str(kind), v, z)
            plane = pair.upper if side == "upper" else pair.lower
            for name in ("slope_v", "slope_z", "offset"):
                for k, value in zip(here, getattr(plane, name)[0].tolist(), strict=True):
                    result[name][k] = value
    return result


def _pair(relaxation: Relaxation, kind: str, v: Box, z: Box) -> PlanePair:
    with torch.no_grad():
        return relaxation.planes(kind, v, z)


def _tensor(values: Sequence[float], here: NDArray[np.int64]) -> torch.Tensor:
    return torch.tensor([values[k] for k in here], dtype=torch.float64)[None]

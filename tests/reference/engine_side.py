"""The engine's side of a comparison: the same network and input set in its own types, and its planes as columns."""

from __future__ import annotations

import math

import numpy as np
import torch

from gpu_engine import inputs
from gpu_engine.model import Activation, Direction, RecurrentClassifier
from gpu_engine.model import Dense as EngineDense
from gpu_engine.propagation.schedule import bound
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.spec import Specification
from refcert.reference.given_planes import COLUMNS, DIAGONALS
from refcert.reference.input_sets import BoxSet, FrameBalls, SequenceBall
from refcert.reference.networks import Dense

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "initial_hidden", "initial_cell")


def tensor(value):
    return None if value is None else torch.tensor(value, dtype=torch.float64)


def classifier(network) -> RecurrentClassifier:
    """The engine's normal form of a reference network."""

    def stack(blocks):
        return tuple(
            EngineDense(tensor(block.weight), tensor(block.bias)) if isinstance(block, Dense) else Activation(block)
            for block in blocks
        )

    layers = tuple(
        tuple(
            Direction(part.cell, **{name: tensor(getattr(part, name)) for name in _WEIGHTS}, reverse=part.reverse)
            for part in layer
        )
        for layer in network.layers
    )
    return RecurrentClassifier(layers, stack(network.after), stack(network.before), network.readout)


def engine_set(region):
    """The same input set, as a batch of one."""
    if isinstance(region, BoxSet):
        return inputs.Boxes(tensor(region.lower)[None], tensor(region.upper)[None])
    if isinstance(region, SequenceBall):
        return inputs.SequenceBall(tensor(region.center)[None], tensor([region.radius]), region.p, region.clip)
    if isinstance(region, FrameBalls):
        return inputs.FrameBalls(tensor(region.center)[None], tensor(region.radius)[None], region.p, region.clip)
    # The first candidate is the engine's center; the others are padded to the same number.
    most = max(len(choices) for choices in region.candidates)
    padded = np.stack([np.resize(choices, (most, choices.shape[1])) for choices in region.candidates])
    center = np.stack([choices[0] for choices in region.candidates])
    allowed = torch.arange(most) < torch.tensor([len(choices) for choices in region.candidates])[:, None]
    return inputs.Substitutions(tensor(center)[None], tensor(padded)[None], allowed[None])


def engine_bounds(network, region, C, d, relaxation, dtype=torch.float64):
    """(lower bounds (rows,), planes table as columns) of the engine."""
    rows = Specification(tensor(C)[None], tensor(d)[None])
    result = bound(classifier(network), engine_set(region), rows, RELAXATIONS[relaxation], dtype=dtype)
    return result.lower[0].double().numpy(), columns_of(result.products)


def columns_of(products):
    """The planes of a batch of one as the columns of `given_from_columns`."""
    columns = {name: [] for name in (*COLUMNS, *DIAGONALS)}
    for product in products:
        for side, plane in (("lower", product.planes.lower), ("upper", product.planes.upper)):
            values = (
                *(product.v.lower, product.v.upper, product.z.lower, product.z.upper),
                *(plane.slope_v, plane.slope_z, plane.offset),
            )
            ends = [math.nan] * 4
            if product.diagonals is not None:
                plus, minus = product.diagonals.plus, product.diagonals.minus
                ends = [end[0].double().tolist() for end in (plus.lower, plus.upper, minus.lower, minus.upper)]
            for name, end in zip(DIAGONALS, ends, strict=True):
                columns[name] += end if isinstance(end, list) else [end] * product.v.lower.shape[1]
            numbers = [value[0].double().tolist() for value in values]
            for unit, row in enumerate(zip(*numbers, strict=True)):
                entry = (product.kind, side, *row, product.layer, product.t, unit, product.name)
                for name, value in zip(COLUMNS, entry, strict=True):
                    columns[name].append(value)
    return columns

"""A request's input sets for the engine, at given radii or as the data holds them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gpu_engine import inputs as input_sets
from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions, decibel_radius
from refcert.app.errors import InputError
from refcert.app.request import Request
from refcert.app.samples import Samples

Family = Callable[[Tensor], InputSet]
"""Radii (questions,) -> the questions' input sets. Sets that the data holds are the same at every radius."""


def family(request: Request, samples: Samples, sample: Tensor, moves: Tensor) -> Family:
    """sample (questions,): positions of their samples; moves (questions, time) bool: the frames that move."""
    x = samples.x[sample]
    if request.input_set == "box":
        boxes = Boxes(samples.sets["lower"][sample], samples.sets["upper"][sample])
        return lambda _: boxes
    if request.input_set == "substitutions":
        words = Substitutions(x, samples.sets["candidates"][sample], samples.sets["allowed"][sample])
        return lambda _: words
    if request.input_set == "sequence":
        return lambda radius: SequenceBall(x, radius, request.norm, request.clip, moves, request.clip_bound)
    direction = moves.to(torch.float64)
    return lambda radius: FrameBalls(
        x, radius[:, None] * direction, request.norm, request.clip, clip_bound=request.clip_bound
    )


def fixed_radius(request: Request, samples: Samples) -> Tensor:
    """The radius of every sample at which a request without a search asks, (count,) float64; 0 where there is none."""
    if request.radius_db is not None:
        return decibel_radius(samples.x, request.radius_db)
    return torch.full((len(samples),), request.radius or 0.0, dtype=torch.float64)


def largest_radius(request: Request, samples: Samples) -> float:
    """The largest radius that a search tries, from ALL samples.

    The search's first guess depends on it; taken from each batch by itself, it would let results depend on the batches.
    """
    x = samples.x.flatten(1)[:, None] if request.input_set == "sequence" else samples.x
    largest = input_sets.largest_radius(x, request.norm, request.clip)
    if request.search and not math.isfinite(largest):
        raise InputError(
            f"the data reaches {float(x.abs().max()):g}, too large to search a radius in float64; scale the data "
            "or give --radius"
        )
    return largest

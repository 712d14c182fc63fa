"""Hypothesis strategy for points of a given input set, the simplest first: the center, one value moved, then the rest.

Method card
    Ways       center; corner: where a linear form with coefficients -1, 0 and 1 is least; sphere: random directions as
               far as the set goes; uniform: anywhere inside; border: the last float64 numbers inside; gradient: what
               the model's own gradient asks for, after one step or several.
    Members    every point is in its set in exact arithmetic (`membership.contains`), not up to rounding.
    Shrinks    to fewer values that differ from the center, and to moves of one digit where the set has room for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context
from typing import Final

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from torch import Tensor

from gpu_engine.attacks.geometry.registry import geometry_of
from gpu_engine.attacks.question import Question
from gpu_engine.errors import NumericalError
from gpu_engine.inputs import Boxes, FrameBalls, InputSet, Substitutions
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import Specification, untargeted, untargeted_steps
from refcert.strategies.border import last_inside
from refcert.strategies.membership import contains
from refcert.strategies.numbers import SEEDS, first_part
from refcert.strategies.sources import Evaluable

WAYS: Final = ("center", "corner", "sphere", "uniform", "border", "gradient")
STEPS: Final = (1, 2, 5, 10)
"""How many steps the gradient is followed for."""
_SCOPES: Final = ("value", "frame", "all", "all", "all")
_DIGITS: Final = (1, 3, None, None)


@dataclass(frozen=True, repr=False)
class Perturbation(Evaluable):
    """x (batch, time, input) float64, a point of each sample's set, and the way in which it was found."""

    x: Tensor
    way: str = "center"


def perturbations(
    inputs: InputSet,
    model: RecurrentClassifier | None = None,
    specification: Specification | None = None,
    *,
    ways: Sequence[str] = WAYS,
) -> st.SearchStrategy[Perturbation]:
    """Points of the input sets, one for each sample.

    model, specification: what `gradient` goes against; without a model that way is left out, without a specification
    the rows are those of the model's own answers at the centers. ways: some of WAYS, the first the simplest.
    Raises ValueError for a way that is not known, `gradient` alone or a specification without a model, and a model that
    reads frames of another size.
    """
    unknown = [way for way in ways if way not in WAYS]
    there = tuple(way for way in ways if way != "gradient" or model is not None)
    if unknown or not there:
        raise ValueError(
            f"ways are {tuple(ways)!r}; give some of {', '.join(WAYS)}, and a model for gradient, which needs one"
        )
    if model is None and specification is not None:
        raise ValueError("there is a specification and no model; give the model whose outputs it is about")
    if model is not None and model.input_size != inputs.center.shape[2]:
        raise ValueError(f"the sets have {inputs.center.shape[2]} values a frame; the model reads {model.input_size}")
    question = None
    if model is not None and "gradient" in there:
        question = Question(model, own_answers(model, inputs.center) if specification is None else specification)
    return _perturbations(inputs, question, there)


def points_inside(inputs: InputSet, count: int, seed: int = 0) -> Tensor:
    """Points of the sets, (count, batch, time, input): the centers, then corners, random directions and points inside.

    For laws that want many points at once; all are inside in exact arithmetic. seed: from 0 up.
    """
    seeds = np.random.default_rng(seed).integers(0, 2**32, max(0, count - 1))
    ways = (_corner, _sphere, _uniform)
    every = torch.ones(inputs.center.shape, dtype=torch.bool)
    found = [inputs.center.clone(), *(ways[k % len(ways)](inputs, int(s), every) for k, s in enumerate(seeds))]
    return torch.stack(found[:count])


def own_answers(model: RecurrentClassifier, x: Tensor) -> Specification:
    """Rows that say: the answer stays the model's own one at x (batch, time, input), for every frame if it has many."""
    labels = model.logits(x).argmax(-1)
    return (untargeted_steps if model.readout == "every" else untargeted)(labels, model.classes)


@st.composite
def _perturbations(draw: DrawFn, inputs: InputSet, question: Question | None, ways: tuple[str, ...]) -> Perturbation:
    way = draw(st.sampled_from(ways))
    if way == "center":
        return Perturbation(inputs.center.clone(), way)
    sample, t, i = (draw(st.integers(0, n - 1)) for n in inputs.center.shape)
    moving = _moving(inputs, draw(st.sampled_from(_SCOPES)), t, i)
    if way == "gradient":
        assert question is not None
        x = _down_the_gradient(inputs, question, draw(st.sampled_from(STEPS)))
    else:
        x = _POINTS[way](inputs, draw(SEEDS), moving)
    x = torch.where(moving, x, inputs.center)
    if way == "border":
        back, up = draw(st.integers(0, 3)), draw(st.booleans())
        return Perturbation(last_inside(inputs, x, (sample, t, i), up, back), way)
    digits = draw(st.sampled_from(_DIGITS))
    return Perturbation(x if digits is None else _rounded(inputs, x, digits), way)


def _corner(inputs: InputSet, seed: int, moving: Tensor) -> Tensor:
    """Seed 0, the simplest: every value as large as it gets."""
    shape, rng = tuple(inputs.center.shape), np.random.default_rng(seed)
    signs = first_part(shape, lambda whole: rng.integers(-1, 2, whole)) if seed else np.full(shape, -1)
    return geometry_of(inputs).corner(torch.tensor(signs, dtype=torch.float64) * moving)


def _uniform(inputs: InputSet, seed: int, moving: Tensor) -> Tensor:
    return geometry_of(inputs).random(torch.Generator().manual_seed(seed))


def _sphere(inputs: InputSet, seed: int, moving: Tensor) -> Tensor:
    """A random direction, followed to the border: in every ball for itself, in every frame of a box to a face."""
    geometry = geometry_of(inputs)
    generator = torch.Generator().manual_seed(seed)
    if isinstance(inputs, Substitutions):
        return geometry.random(generator)
    direction = torch.randn(inputs.center.shape, generator=generator, dtype=torch.float64) * moving
    if isinstance(inputs, Boxes):
        room = torch.where(direction > 0, inputs.upper - inputs.center, inputs.center - inputs.lower)
        share = torch.rand(direction.shape, generator=generator, dtype=torch.float64) * moving
        share = share / share.amax(2, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
        return geometry.inside(inputs.center + direction.sign() * share * room)
    if isinstance(inputs, FrameBalls):
        length = torch.linalg.vector_norm(direction, inputs.p, dim=2, keepdim=True)
        step = torch.where(length > 0, direction / length, 0.0)
        return geometry.inside(inputs.center + step * inputs.radius[:, :, None])
    if inputs.moves is not None:
        direction = direction * inputs.moves[:, :, None]
    length = torch.linalg.vector_norm(direction, inputs.p, dim=(1, 2), keepdim=True)
    step = torch.where(length > 0, direction / length, 0.0)
    return geometry.inside(inputs.center + step * inputs.radius[:, None, None])


_POINTS: Final[dict[str, Callable[[InputSet, int, Tensor], Tensor]]] = {
    "corner": _corner,
    "sphere": _sphere,
    "uniform": _uniform,
    "border": _corner,
}


def _down_the_gradient(inputs: InputSet, question: Question, steps: int) -> Tensor:
    """One step to the corner that the gradient at the center points to, and further steps of half the set's size.

    Where the network overflows, the last point before.
    """
    geometry, x = geometry_of(inputs), inputs.center
    half = torch.full((len(inputs),), 0.5, dtype=torch.float64)
    for step in range(steps):
        try:
            _, slope = question.gradient(x)
        except NumericalError:
            break
        x = geometry.corner(slope) if step == 0 else geometry.descend(x, slope, half)
    return x


def _moving(inputs: InputSet, scope: str, t: int, i: int) -> Tensor:
    """What may differ from the center: one value, one frame (for substitutions in either case), or everything.

    Directions are zero elsewhere, so that one value goes as far as the set does; the other values of a point are then
    put back to the center, which leaves it inside: sets are convex, and symmetric in each value or frame.
    """
    moving = torch.full(inputs.center.shape, scope == "all")
    if scope == "value" and not isinstance(inputs, Substitutions):
        moving[:, t, i] = True
    else:
        moving[:, t] = True
    return moving


def _rounded(inputs: InputSet, x: Tensor, digits: int) -> Tensor:
    """x with what it moves each value by cut to so many digits, if that is still inside."""
    context = Context(prec=digits, rounding=ROUND_DOWN)
    moves = [float(context.create_decimal(move)) for move in (x - inputs.center).reshape(-1).tolist()]
    short = inputs.center + torch.tensor(moves, dtype=torch.float64).view_as(x)
    return short if contains(inputs, short) else x

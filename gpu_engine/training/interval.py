"""Differentiable interval bounds of a network over balls around samples, for training.

Method card
    Claim      none: bounds are computed in plain floating point without outward rounding, as a training loss. What is
               said of the trained network is said by `gpu_engine.search.certify`, which rounds outward.
    Source     Gowal et al. (2018), "On the effectiveness of interval bound propagation for training verifiably robust
               models"; for l_p balls Hoelder's inequality at the layers that read the input.
    Idea       each step's box from the boxes of what it reads. The products sigmoid(v) tanh(z) and sigmoid(v) z have
               their least and greatest values at corners. Parts of one step that share their gate (the GRU's update,
               (1 - z) n + z h) are bounded together, at both ends of the gate: the state then stays between n and h.
               The rows of the margins go through the last linear layer before they are bounded.
    Tight?     for single steps, not for their composition: an LSTM's state grows by the width of each frame.
    Shapes     boxes (batch, units), margins (batch, answers, classes).
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.errors import ModelError
from gpu_engine.steps import Affine, Input, Nonlinear, Nonlinearity, Tape, View
from gpu_engine.training.regions import Region, times
from gpu_engine.training.tapes import constant, placed

_MONOTONE = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}


def boxes(tape: Tape, region: Region) -> list[Box]:
    """The box of every step, in the region's dtype; steps with the network's answers included."""
    found: list[Box] = []
    for step in tape.steps:
        if isinstance(step, Affine):
            found.append(affine_box(tape, step, found, region))
        elif isinstance(step, Nonlinear):
            found.append(nonlinear_box(step, found))
        else:
            found.append(region.frame(step.t))
    return found


def margins(tape: Tape, found: list[Box], region: Region, labels: Tensor) -> Tensor:
    """Lower bounds of F_label - F_j at j, 0 at the label itself: (batch, answers, classes).

    labels (batch,), or (batch, answers) for a network with an answer a frame.
    """
    bounds = []
    for k, view in enumerate(tape.outputs):
        own = labels if labels.ndim == 1 else labels[:, k]
        rows = margin_rows(own, view.size, region.center.dtype)
        bounds.append(_rows_below(tape, view, found, region, rows))
    return torch.stack(bounds, 1)


def margin_rows(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """e_label - e_j in row j, (batch, classes, classes)."""
    one = torch.eye(classes, dtype=dtype, device=labels.device)
    return one[labels][:, None, :] - one


def affine_box(tape: Tape, step: Affine, found: list[Box], region: Region) -> Box:
    """The sum of the terms' boxes; terms that read the input use its ball."""
    total = constant(step, region.center[:, 0])
    lower = upper = total
    for term in step.terms:
        box, source = read(found, term.source), tape.steps[term.source.step]
        if term.weight is None:
            low, high = box.lower / term.divisor, box.upper / term.divisor
            part = Box(low, high) if term.divisor > 0 else Box(high, low)
        elif isinstance(source, Input) and term.source.size == source.size:
            part = region.affine(source.t, term.weight)
        else:
            part = linear_box(term.weight, box)
        lower, upper = lower + placed(step, term, part.lower), upper + placed(step, term, part.upper)
    return Box(lower, upper)


def linear_box(weight: Tensor, box: Box) -> Box:
    """weight (rows, in) or (batch, rows, in) times a box (batch, in) -> (batch, rows)."""
    middle, reach = times(weight, (box.lower + box.upper) / 2), times(weight.abs(), (box.upper - box.lower) / 2)
    return Box(middle - reach, middle + reach)


def nonlinear_box(step: Nonlinear, found: list[Box]) -> Box:
    """The image of the step: parts with the same gate together, all others one by one."""
    if len(step.parts) > 1 and all(part.v == step.parts[0].v and part.z is not None for part in step.parts):
        return _shared_gate(step, found)
    images = [part_box(part, found) for part in step.parts]
    return reduce(lambda a, b: Box(a.lower + b.lower, a.upper + b.upper), images)


def part_box(part: Nonlinearity, found: list[Box]) -> Box:
    """The image of one nonlinearity."""
    v = argument(part, found)
    if part.z is None:
        function = _MONOTONE[part.kind]
        return Box(function(v.lower), function(v.upper))
    gate, factor = Box(torch.sigmoid(v.lower), torch.sigmoid(v.upper)), second_factor(part, found)
    # The gate is positive: each end of the factor is multiplied by the end of the gate that is worse for it.
    return Box(
        torch.minimum(gate.lower * factor.lower, gate.upper * factor.lower),
        torch.maximum(gate.lower * factor.upper, gate.upper * factor.upper),
    )


def argument(part: Nonlinearity, found: list[Box]) -> Box:
    """The box of v, or of -v."""
    v = read(found, part.v)
    return Box(-v.upper, -v.lower) if part.negate else v


def second_factor(part: Nonlinearity, found: list[Box]) -> Box:
    """The box of what the gate multiplies: tanh(z) or z."""
    if part.z is None:
        raise ModelError(f"{part.name} is no product")
    z = read(found, part.z)
    return Box(torch.tanh(z.lower), torch.tanh(z.upper)) if part.kind == "sigmoid_times_tanh" else z


def read(found: list[Box], view: View) -> Box:
    """The box of some units."""
    box = found[view.step]
    return Box(box.lower[:, view.start : view.stop], box.upper[:, view.start : view.stop])


def _shared_gate(step: Nonlinear, found: list[Box]) -> Box:
    """Parts sigmoid(+-v) y over one v: linear in sigmoid(v), so worst at one of its two ends."""
    v = read(found, step.parts[0].v)
    low, high = [], []
    for end in (v.lower, v.upper):
        weighted = [(torch.sigmoid(-end if part.negate else end), second_factor(part, found)) for part in step.parts]
        low.append(sum((gate * factor.lower for gate, factor in weighted), start=torch.zeros_like(end)))
        high.append(sum((gate * factor.upper for gate, factor in weighted), start=torch.zeros_like(end)))
    return Box(torch.minimum(*low), torch.maximum(*high))


def _rows_below(tape: Tape, view: View, found: list[Box], region: Region, rows: Tensor) -> Tensor:
    """Lower bounds of rows (batch, rows, classes) of an answer, pulled through the linear layer that gives it."""
    step = tape.steps[view.step]
    if not isinstance(step, Affine):
        return linear_box(rows, read(found, view)).lower
    total = times(rows, constant(step, region.center[:, 0]))
    for term in step.terms:
        weight = rows[..., term.row : term.row + term.rows]
        weight = weight / term.divisor if term.weight is None else weight @ term.weight
        total = total + linear_box(weight, read(found, term.source)).lower
    return total

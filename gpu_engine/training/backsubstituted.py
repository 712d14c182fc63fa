"""Differentiable margins by back-substitution, for training.

Method card
    Claim      none, see `gpu_engine.training.interval`.
    Source     Zhang et al. (2020), "Towards stable and efficient training of verifiably robust neural networks"
               (CROWN-IBP): boxes by intervals, the margins by one pass backward through planes over those boxes.
               `every`: all arguments of nonlinearities by passes of their own (CROWN), as the certification does it.
    Cost       one pass backward, against the interval bounds about twice; `every` one pass for each step, so about
               the square of the time's frames. In exchange the loss sees what certification sees.
    Shapes     coefficients (batch, rows, units).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.steps import Affine, Input, Nonlinear, Nonlinearity, Tape, View
from gpu_engine.training.interval import affine_box, argument, margin_rows, nonlinear_box, read
from gpu_engine.training.lines import Planes, curve, product
from gpu_engine.training.regions import Region


def boxes(tape: Tape, region: Region, *, every: bool) -> tuple[list[Box], dict[int, list[Planes]]]:
    """Boxes of all steps and planes of all nonlinear ones. every: arguments are also bounded by back-substitution."""
    found: list[Box] = []
    planes: dict[int, list[Planes]] = {}
    arguments = {view.step for step in tape.steps if isinstance(step, Nonlinear) for view in _read_by(step)}
    for number, step in enumerate(tape.steps):
        if isinstance(step, Input):
            found.append(region.frame(step.t))
            continue
        if isinstance(step, Affine):
            found.append(affine_box(tape, step, found, region))
        else:
            found.append(nonlinear_box(step, found))
            planes[number] = [_planes(part, found) for part in step.parts]
        if every and number in arguments and not _reads_input_alone(tape, step):
            one = torch.eye(step.size, dtype=region.center.dtype, device=region.center.device)
            one = one.expand(len(region.center), -1, -1)
            view = View(number, 0, step.size)
            both = below(tape, [(view, torch.cat((one, -one), 1))], planes, region)
            better = found[-1].intersect(Box(both[:, : step.size], -both[:, step.size :]))
            # Rounding may leave nothing in common where both are points; the gradient goes through either.
            found[-1] = Box(torch.minimum(better.lower, better.upper), torch.maximum(better.lower, better.upper))
    return found, planes


def margins(tape: Tape, planes: dict[int, list[Planes]], region: Region, labels: Tensor) -> Tensor:
    """Lower bounds as `gpu_engine.training.interval.margins` gives them, by back-substitution."""
    bounds = []
    for k, view in enumerate(tape.outputs):
        own = labels if labels.ndim == 1 else labels[:, k]
        rows = margin_rows(own, view.size, region.center.dtype)
        bounds.append(below(tape, [(view, rows)], planes, region))
    return torch.stack(bounds, 1)


def below(tape: Tape, asked: list[tuple[View, Tensor]], planes: dict[int, list[Planes]], region: Region) -> Tensor:
    """Lower bounds (batch, rows) of the sum of rows (batch, rows, view size) of views."""
    pending: dict[int, Tensor] = {}

    def add(view: View, rows: Tensor) -> None:
        behind = tape.steps[view.step].size - view.stop
        rows = torch.nn.functional.pad(rows, (view.start, behind)) if view.start or behind else rows
        pending[view.step] = pending[view.step] + rows if view.step in pending else rows

    for view, rows in asked:
        add(view, rows)
    total = asked[0][1].new_zeros(asked[0][1].shape[:2])
    for number in range(max(pending), -1, -1):
        if number not in pending:
            continue
        step, rows = tape.steps[number], pending.pop(number)
        if isinstance(step, Input):
            total = total + region.affine(step.t, rows).lower
        elif isinstance(step, Affine):
            for bias in step.biases:
                total = total + rows[..., bias.row : bias.row + len(bias.value)] @ bias.value
            for term in step.terms:
                part = rows[..., term.row : term.row + term.rows]
                add(term.source, part / term.divisor if term.weight is None else part @ term.weight)
        else:
            plus, minus = rows.clamp(min=0.0), rows.clamp(max=0.0)
            for nonlinearity, bounds in zip(step.parts, planes[number], strict=True):
                (low_v, low_z, low), (high_v, high_z, high) = bounds.low, bounds.high
                slope_v = plus * low_v[:, None] + minus * high_v[:, None]
                add(nonlinearity.v, -slope_v if nonlinearity.negate else slope_v)
                if nonlinearity.z is not None and low_z is not None and high_z is not None:
                    add(nonlinearity.z, plus * low_z[:, None] + minus * high_z[:, None])
                total = total + (plus * low[:, None] + minus * high[:, None]).sum(-1)
    return total


def _planes(part: Nonlinearity, found: list[Box]) -> Planes:
    v = argument(part, found)
    return curve(part.kind, v) if part.z is None else product(part.kind, v, read(found, part.z))


def _read_by(step: Nonlinear) -> list[View]:
    return [view for part in step.parts for view in (part.v, part.z) if view is not None]


def _reads_input_alone(tape: Tape, step: Affine | Nonlinear) -> bool:
    """A linear layer over one frame and nothing else: its box is exact."""
    return (
        isinstance(step, Affine)
        and len(step.terms) <= 1
        and all(isinstance(tape.steps[term.source.step], Input) for term in step.terms)
    )

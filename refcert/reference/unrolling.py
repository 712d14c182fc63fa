"""From a network to its scalar equations: frames, layers, directions, readout. Source: POPQORN section 3, unrolled."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from refcert.reference.cells import step
from refcert.reference.equations import Affine, Equation, Nonlinear, Program, Variable, affine_row
from refcert.reference.errors import ReferenceInputError
from refcert.reference.networks import Array, Block, Dense, Network, Recurrent

MAXIMA: Final = ("chain", "tree")
"""How a maximum over time is taken apart: ((h0, h1), h2), h3 or (h0, h1), (h2, h3)."""

Frames = list[list[Variable]]


def unroll(network: Network, time: int, inputs: int, maximum: str = "chain") -> Program:
    """The equations of `network` on `time` frames of `inputs` values."""
    if maximum not in MAXIMA:
        raise ReferenceInputError(f"maximum {maximum!r} is not known; known: {', '.join(MAXIMA)}")
    x = [[Variable("input", t, i, "x") for i in range(inputs)] for t in range(time)]
    equations: list[Equation] = []
    frames = [_blocks(equations, "before", network.before, t, frame) for t, frame in enumerate(x)]
    ends: list[Variable] = []
    for k, layer in enumerate(network.layers):
        runs = [_direction(equations, part, f"layers.{k}.{d}", frames) for d, part in enumerate(layer)]
        ends = []
        for part, run in zip(layer, runs, strict=True):
            ends += run[0] if part.reverse else run[-1]
        frames = [[variable for run in runs for variable in run[t]] for t in range(time)]
    if network.readout == "every":
        outputs = [
            variable
            for t, frame in enumerate(frames)
            for variable in _blocks(equations, "after", network.after, t, frame)
        ]
    else:
        read = _read(equations, network.readout, frames, ends, maximum)
        outputs = _blocks(equations, "after", network.after, 0, read)
    return Program(tuple(tuple(frame) for frame in x), tuple(equations), tuple(outputs))


def _blocks(
    equations: list[Equation], where: str, blocks: tuple[Block, ...], t: int, values: list[Variable]
) -> list[Variable]:
    for k, block in enumerate(blocks):
        place = f"{where}.{k}"
        rows: list[Equation]
        if isinstance(block, Dense):
            rows = [
                affine_row(Variable(place, t, j, "dense"), [(weights, values)], [block.bias[j]])
                for j, weights in enumerate(block.weight)
            ]
        else:
            rows = [Nonlinear(Variable(place, t, j, "activation"), block, v) for j, v in enumerate(values)]
        equations += rows
        values = [row.variable for row in rows]
    return values


def _direction(equations: list[Equation], part: Recurrent, place: str, frames: Frames) -> Frames:
    """The outputs of one direction, frame by frame."""
    h = _start(equations, place, "initial_hidden", part.initial_hidden, part.output)
    c = _start(equations, place, "initial_cell", part.initial_cell, part.hidden) if part.cell == "lstm" else []
    outputs: dict[int, list[Variable]] = {}
    order = range(len(frames))
    for t in reversed(order) if part.reverse else order:
        frame = step(part, place, t, frames[t], h, c)
        equations += frame.equations
        h, c = frame.hidden, frame.cell
        outputs[t] = h
    return [outputs[t] for t in order]


def _start(equations: list[Equation], place: str, name: str, value: Array | None, size: int) -> list[Variable]:
    """The state before the first frame, as variables with known values; t = -1 stands for "before all frames"."""
    rows = [Affine(Variable(place, -1, j, name), (), () if value is None else (float(value[j]),)) for j in range(size)]
    equations += rows
    return [row.variable for row in rows]


def _read(
    equations: list[Equation], readout: str, frames: Frames, ends: list[Variable], maximum: str
) -> list[Variable]:
    if readout == "final":
        return ends
    if readout == "last_frame":
        return frames[-1]
    columns = [list(column) for column in zip(*frames, strict=True)]
    if readout == "mean":
        share = Fraction(1, len(frames))
        means = [
            Affine(Variable("readout", 0, j, "mean"), tuple((share, variable) for variable in column))
            for j, column in enumerate(columns)
        ]
        equations += means
        return [mean.variable for mean in means]
    return [_maximum(equations, j, column, maximum) for j, column in enumerate(columns)]


def _maximum(equations: list[Equation], unit: int, values: list[Variable], shape: str) -> Variable:
    """max(values) through max(m, h) = m + relu(h - m), as a chain or level by level; `t` counts the comparisons."""
    count = 0
    while len(values) > 1:
        pairs = [(values[0], values[1])] if shape == "chain" else list(zip(values[::2], values[1::2], strict=False))
        rest = values[2:] if shape == "chain" else values[2 * len(pairs) :]
        larger = []
        for m, h in pairs:
            rise = Affine(Variable("readout", count, unit, "rise"), ((1.0, h), (-1.0, m)))
            gain = Nonlinear(Variable("readout", count, unit, "maximum"), "relu", rise.variable)
            top = Affine(Variable("readout", count, unit, "max"), ((1.0, m), (1.0, gain.variable)))
            equations += [rise, gain, top]
            larger.append(top.variable)
            count += 1
        values = larger + rest
    return values[0]

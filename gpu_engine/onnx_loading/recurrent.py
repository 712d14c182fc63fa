"""ONNX's RNN, LSTM and GRU nodes -> directions of the normal form.

Source: the operators' equations in the ONNX specification (RNN, LSTM, GRU; operator sets 7, 14 and 22). Gate orders
there: LSTM i, o, f, c; GRU z, r, h. H = (1 - z) h~ + z H_prev is PyTorch's update. B holds [Wb, Rb]. Shapes: X (time,
batch, input), W (directions, gates hidden, input), R (directions, gates hidden, hidden), B (directions, 2 gates
hidden), initial_h and initial_c (directions, batch, hidden); layout 1 puts batch first in X, Y, Y_h and the states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import Tensor

from gpu_engine import model
from gpu_engine.onnx_loading.assembly import tensor
from gpu_engine.onnx_loading.nodes import Node
from gpu_engine.onnx_loading.stages import Elements, Frames, Reading, Run, Stage, View, require_distinct
from gpu_engine.onnx_loading.values import PLAIN, Array, Axis, Label, Refusal, Value, same_axis

GATE_ORDERS: Final = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Which of ONNX's blocks of rows stands at each place of the normal form's i, f, g, o and r, z, n."""

_USUAL: Final = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}
_DIRECTIONS: Final = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass
class Roles:
    """Which axes of the input are frames and samples: known from the first recurrent node on.

    cut: frames that the graph itself cuts out of rows of numbers.
    """

    time: Axis | None = None
    batch: Axis | None = None
    cut: Frames | None = None


def recurrent(node: Node, elements: Elements, roles: Roles) -> tuple[Value, ...]:
    """The outputs Y (time, directions, batch, hidden), Y_h and Y_c (directions, batch, hidden) of a recurrent node."""
    frames = node.input(0)
    if not frames.signal or frames.rank != 3:
        raise Refusal(f"reads X {frames.shown()}; X has to come from the model's input and have 3 axes")
    layout = node.integer("layout", 0)
    if layout not in (0, 1):
        raise Refusal(f"layout = {layout}; it is 0 or 1")
    names = node.text("direction", "forward")
    if names not in _DIRECTIONS:
        raise Refusal(f"direction = {names!r}; known: {', '.join(_DIRECTIONS)}")
    reverse = _DIRECTIONS[names]
    time, batch = (1, 0) if layout else (0, 1)
    _refuse_rarities(node)
    stage, columns = _below(frames, time, batch, elements, roles)
    assert roles.time is not None
    _check_lengths(node.optional(4), roles.time)
    weights = _Weights(node, len(reverse), frames.array.shape[2])
    starts = [_states(node, 5, batch, weights), _states(node, 6, batch, weights) if node.operator == "LSTM" else None]
    cells = _cells(node, len(reverse))
    runs = []
    for k, backwards in enumerate(reverse):
        wide = np.zeros((weights.w.shape[1], stage.size))
        wide[:, columns] = weights.gates(weights.w[k])
        runs.append(
            Run(
                stage,
                model.Direction(
                    cells[k],
                    weight_ih=tensor(wide),
                    weight_hh=tensor(weights.gates(weights.r[k])),
                    bias_ih=tensor(weights.gates(weights.biases[k, 0])),
                    bias_hh=tensor(weights.gates(weights.biases[k, 1])),
                    initial_hidden=_start(starts[0], k),
                    initial_cell=_start(starts[1], k),
                    reverse=backwards,
                ),
                node.shown,
            )
        )
    return _outputs(runs, elements, (roles.time, frames.axes[batch]), layout, frames.dtype)


def _refuse_rarities(node: Node) -> None:
    """What changes a cell's equations."""
    node.forbid("clip", "cells that cut their gates' inputs are not supported; train without clipping inside the cell")
    for name in ("activation_alpha", "activation_beta"):
        node.forbid(name, "scaled activations are not supported; use Sigmoid, Tanh or Relu, which have no parameters")
    if node.operator == "LSTM":
        if node.optional(7) is not None:
            raise Refusal("has peepholes (P), which are not supported; train an LSTM without them")
        if node.integer("input_forget", 0) != 0:
            raise Refusal("couples input and forget gate (input_forget), which is not supported; train with both gates")


def _below(frames: Value, time: int, batch: int, elements: Elements, roles: Roles) -> tuple[Stage, Array]:
    """The stage that a node reads and which of its numbers each of its inputs is; fixes the roles."""
    axis, samples = _essential(frames.axes[time]), frames.axes[batch]
    if frames.axes[2]:
        raise Refusal(
            f"reads X {frames.shown()}, whose last axis has no fixed length; export with a fixed feature size"
        )
    if not samples and frames.array.shape[batch] != 1:
        raise Refusal(f"reads X {frames.shown()}, whose axis {batch} is not the samples (nor of length 1)")
    if not axis and (roles.time is None or roles.cut is not None):
        return _cut_frames(frames, time, elements, roles)
    if roles.time is None and len(axis) == 1:
        roles.time, roles.batch = axis, samples
    if roles.time is None or not axis or not same_axis(axis, roles.time):
        raise Refusal(
            f"reads X {frames.shown()}, whose axis {time} is not the frames of the layers below (batch and time "
            "swapped?); check batch_first (layout) of the layers"
        )
    if roles.batch and samples and not same_axis(_essential(samples), _essential(roles.batch)):
        raise Refusal(f"reads X {frames.shown()}, whose axis {batch} is not the samples; check batch_first (layout)")
    stage, columns = elements.resolve(frames.array.reshape(-1))
    if not stage.per_frame:
        raise Refusal(f"reads {stage.node}, which is one vector for the whole sequence")
    require_distinct(columns)
    return stage, columns


def _essential(axis: Axis) -> Axis:
    """A joined axis without the labels of length one, if another label is left."""
    return tuple(label for label in axis if label.size != 1) or axis


def _cut_frames(frames: Value, time: int, elements: Elements, roles: Roles) -> tuple[Stage, Array]:
    """The input is one row of numbers per sample, which the graph cuts into frames one after the other."""
    rows = np.moveaxis(frames.array, time, 0).reshape(frames.array.shape[time], -1)
    stage, columns = elements.resolve(rows)
    if not isinstance(stage, Frames) or not np.array_equal(columns.ravel(), np.arange(stage.size)):
        raise Refusal(
            f"reads X {frames.shown()}, whose axis {time} is not the frames of the model's input; give the model an "
            "input with an axis of frames"
        )
    if roles.cut is None:
        roles.time, roles.batch = (Label("frames", len(rows)),), frames.axes[1 - time]
        roles.cut = Frames(rows.shape[1], True, stage.node)
    if rows.shape[1] != roles.cut.size:
        raise Refusal(f"reads X {frames.shown()}, which cuts the model's input otherwise than another node does")
    return roles.cut, np.arange(roles.cut.size)


def _check_lengths(lengths: Value | None, time: Axis) -> None:
    """sequence_lens may only say what is so without it."""
    if lengths is None:
        return
    whole = [time[0], *([] if time[0].size is None else [time[0].size])]
    if lengths.signal or not all(item in whole for item in lengths.array.ravel()):
        raise Refusal(
            "has sequence_lens that are not the constant full length; export the model without lengths (sequences of "
            "different lengths are given when bounds are computed)"
        )


class _Weights:
    """W, R and both biases of a node in float64: w, r (directions, rows, ...), biases (directions, 2, rows)."""

    def __init__(self, node: Node, directions: int, inputs: int) -> None:
        self.order = GATE_ORDERS[node.operator]
        self.w, self.r = (_numbers(node.known(k, name), name) for k, name in ((1, "W"), (2, "R")))
        self.directions = directions
        self.hidden = self.r.shape[-1]
        rows = len(self.order) * self.hidden
        bias = node.optional(3)
        b = np.zeros((directions, 2 * rows)) if bias is None else _numbers(node.known(3, "B"), "B")
        needed = {"W": (directions, rows, inputs), "R": (directions, rows, self.hidden), "B": (directions, 2 * rows)}
        for (name, shape), array in zip(needed.items(), (self.w, self.r, b), strict=True):
            if array.shape != shape:
                raise Refusal(f"{name} has shape {array.shape}, it needs {shape}")
        if node.integer("hidden_size", self.hidden) != self.hidden:
            raise Refusal(f"hidden_size is {node.integer('hidden_size', 0)}, R has {self.hidden} columns")
        self.biases = b.reshape(directions, 2, rows)

    def gates(self, array: Array) -> Array:
        """Rows (gates hidden, ...) in the normal form's order."""
        blocks = np.split(array, len(self.order))
        return np.concatenate([blocks[k] for k in self.order])


def _numbers(value: Value, name: str) -> Array:
    if value.array.dtype != np.float64 or any(value.axes):
        raise Refusal(f"{name} is no constant tensor of floating-point numbers")
    return value.array


def _states(node: Node, k: int, batch: int, weights: _Weights) -> Array | None:
    """Initial states (directions, hidden), which have to be the same for all samples."""
    value = node.optional(k)
    if value is None:
        return None
    name = "initial_h" if k == 5 else "initial_c"
    if value.signal:
        raise Refusal(f"{name} comes from the model's input; export the model with constant initial states")
    if value.rank != 3 or value.array.dtype != np.float64:
        raise Refusal(f"{name} has {value.rank} axes of kind {value.dtype}; it needs 3, of floating-point numbers")
    axis = batch if batch == 0 else 1
    array = np.moveaxis(value.array, axis, 0)
    labels = [a for j, a in enumerate(value.axes) if j != axis]
    if any(labels) or array.shape[1:] != (weights.directions, weights.hidden) or not len(array):
        raise Refusal(
            f"{name} has shape {value.shown()}, it needs {weights.directions} directions and {weights.hidden} units"
        )
    if not np.array_equal(array, np.broadcast_to(array[:1], array.shape)):
        raise Refusal(f"{name} differs from sample to sample; export the model with one initial state for all")
    return np.asarray(array[0])


def _start(states: Array | None, k: int) -> Tensor | None:
    """The state of one direction; zeros are the normal form's None."""
    return None if states is None or not states[k].any() else tensor(states[k])


def _cells(node: Node, directions: int) -> list[str]:
    """The normal form's cell of each direction. ONNX compares the activations' names in any letter case."""
    stated = node.texts("activations")
    if node.operator == "RNN":
        kinds = [name.lower() for name in stated or ["Tanh"] * directions]
        if len(kinds) != directions or not set(kinds) <= set(model.ACTIVATIONS):
            raise Refusal(f"activations {stated}; supported is one of Tanh, Relu, Sigmoid for each direction")
        return [f"rnn_{kind}" for kind in kinds]
    usual = _USUAL[node.operator] * directions
    if stated is not None and [name.lower() for name in stated] != usual:
        shown = ", ".join(name.capitalize() for name in usual)
        raise Refusal(f"activations {stated}; supported are the standard ones only ({shown})")
    if node.operator == "LSTM":
        return ["lstm"] * directions
    before = node.integer("linear_before_reset", 0)
    if before not in (0, 1):
        raise Refusal(f"linear_before_reset = {before}; it is 0 or 1")
    return ["gru" if before else "gru_reset_before"] * directions


def _outputs(
    runs: list[Run], elements: Elements, axes: tuple[Axis, Axis], layout: int, dtype: str
) -> tuple[Value, ...]:
    time, batch = axes

    def states(view: View) -> Array:
        return np.stack([elements.references(Reading(run, view)) for run in runs])

    every = Value(states("every")[None, :, None], (time, PLAIN, batch, PLAIN), dtype, signal=True)
    ends = [Value(states(view)[:, None], (PLAIN, batch, PLAIN), dtype, signal=True) for view in ("final", "cell")]
    if layout:  # (batch, time, directions, hidden) and (batch, directions, hidden)
        every = every.with_array(every.array.transpose(2, 0, 1, 3), [batch, time, PLAIN, PLAIN])
        ends = [end.with_array(end.array.transpose(1, 0, 2), [batch, PLAIN, PLAIN]) for end in ends]
    return every, *ends

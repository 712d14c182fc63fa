"""Handlers of the operators that move numbers, or take frames."""

from __future__ import annotations

import numpy as np

from gpu_engine.onnx_loading import moves
from gpu_engine.onnx_loading.nodes import Node
from gpu_engine.onnx_loading.stages import Frames, Tokens, View
from gpu_engine.onnx_loading.state import State
from gpu_engine.onnx_loading.values import (
    PLAIN,
    Label,
    Refusal,
    Value,
)


def _moved(node: Node, state: State, before: Value, after: Value) -> tuple[Value]:
    """A move that lost an axis of samples or frames of length one; without its axis a frame is the last frame."""

    def has_time(value: Value) -> bool:
        return any(label in (state.roles.time or ()) for axis in value.axes for label in axis)

    if before.signal and has_time(before) and not has_time(after):
        return (after.with_array(state.elements.over_time(after.array, "last_frame")),)
    return (after,)


def identity(node: Node, state: State) -> tuple[Value]:
    """Identity."""
    return (node.input(0),)


def dropout(node: Node, state: State) -> tuple[Value]:
    """The identity in evaluation."""
    if node.opset < 12:
        node.number("ratio", 0)
    else:
        node.optional(1)
        node.integer("seed", 0)
        training = node.optional(2)
        if training is not None and (training.signal or training.array.any()):
            raise Refusal("is in training mode; export the model in evaluation mode (model.eval())")
    return (node.input(0),)


def transpose(node: Node, state: State) -> tuple[Value]:
    """Transpose."""
    value = node.input(0)
    permutation = node.integers("perm")
    return (moves.transpose(value, range(value.rank)[::-1] if permutation is None else permutation),)


def unsqueeze(node: Node, state: State) -> tuple[Value]:
    """Unsqueeze."""
    axes = node.listed("axes", 1, since=13)
    if axes is None:
        raise Refusal("has no axes")
    return (moves.unsqueeze(node.input(0), axes),)


def squeeze(node: Node, state: State) -> tuple[Value]:
    """Squeeze."""
    value = node.input(0)
    listed = node.listed("axes", 1, since=13)
    if listed is None:
        lengths = [value.length(k) for k in range(value.rank)]
        if any(isinstance(length, Label) for length in lengths):
            raise Refusal(f"squeezes whatever has length one of {value.shown()}; export it with the axes to squeeze")
        listed = [k for k, length in enumerate(lengths) if length == 1]
    result = value
    for axis in sorted({value.axis(axis) for axis in listed}, reverse=True):
        if value.length(axis) != 1:
            raise Refusal(f"squeezes axis {axis} of {value.shown()}, which is not known to have length one")
        result = moves.drop(result, axis)
    return _moved(node, state, value, result)


def reshape(node: Node, state: State) -> tuple[Value]:
    """Reshape."""
    value = node.input(0)
    result = moves.reshape(value, node.lengths(1, "shape"), bool(node.integer("allowzero", 0)))
    return _moved(node, state, value, result)


def flatten(node: Node, state: State) -> tuple[Value]:
    """Flatten."""
    value = node.input(0)
    axis = node.integer("axis", 1)
    return (moves.flatten(value, axis if axis == value.rank else value.axis(axis)),)


def concat(node: Node, state: State) -> tuple[Value]:
    """Concat."""
    values = node.inputs()
    if not node.given("axis"):
        raise Refusal("has no axis")
    return (moves.concat(values, node.integer("axis", 0)),)


def split(node: Node, state: State) -> tuple[Value, ...]:
    """Split along a plain axis."""
    value = node.input(0)
    axis = value.axis(node.integer("axis", 0))
    sizes = node.listed("split", 1, since=13)
    if value.axes[axis]:
        raise Refusal(f"splits axis {axis} of {value.shown()}, which is an axis of samples or frames")
    size = value.array.shape[axis]
    if sizes is None:
        count = node.integer("num_outputs", node.outputs)
        part = -(-size // count) if count > 0 else 0
        sizes = [part] * (count - 1) + [size - part * (count - 1)]
    if sum(sizes) != size or min(sizes) < 1 or len(sizes) != node.outputs:
        raise Refusal(f"splits {size} numbers into {sizes}")
    ends = np.cumsum(sizes)
    return tuple(moves.slice_plain(value, axis, int(e - n), int(e), 1) for e, n in zip(ends, sizes, strict=True))


def slice_(node: Node, state: State) -> tuple[Value]:
    """Slice: any part of plain axes; of frames all, the first or the last."""
    value = node.input(0)
    starts: list[int | Label]
    ends: list[int | Label]
    if node.opset < 10:
        starts, ends = [*(node.integers("starts") or [])], [*(node.integers("ends") or [])]
        axes, steps = node.integers("axes"), None
    else:
        starts, ends = node.lengths(1, "starts"), node.lengths(2, "ends")
        axes, steps = node.listed("axes", 3, since=10), node.listed("steps", 4, since=10)
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    places = [value.axis(axis) for axis in axes]
    if len(set(places)) < len(places):
        raise Refusal(f"slices an axis of {value.shown()} twice")
    for axis, start, end, step in zip(places, starts, ends, steps, strict=True):
        if value.axes[axis]:
            value = _slice_label(value, axis, start, end, step, state)
        elif isinstance(start, Label) or isinstance(end, Label):
            raise Refusal(
                f"slices axis {axis} of {value.shown()} where the model's input says; only constants are supported"
            )
        else:
            value = moves.slice_plain(value, axis, start, end, step)
    return (value,)


def _slice_label(value: Value, axis: int, start: int | Label, end: int | Label, step: int, state: State) -> Value:
    """Samples or frames: all of them, or one frame."""
    size = value.length(axis)
    if end is size:
        end = moves.END
    if not isinstance(start, Label) and not isinstance(end, Label) and step == 1:
        if isinstance(size, Label):
            if start == 0 and end >= moves.END:
                return value
            place = -1 if start == -1 and end >= moves.END else 0 if (start, end) == (0, 1) else None
        else:
            first, last, _ = slice(start, end).indices(size)
            if (first, last) == (0, size):
                return value
            place = first if last == first + 1 else None
        if place is not None:
            return moves.unsqueeze(_frame(value, axis, place, state), [axis])
    raise Refusal(
        f"takes [{start}:{end}:{step}] of axis {axis} of {value.shown()}; supported are all frames, the first or the "
        "last"
    )


def _frame(value: Value, axis: int, place: int, state: State) -> Value:
    """One frame (or the only sample), without its axis."""
    size = value.length(axis)
    if not value.signal or size == 1:
        if not isinstance(size, Label) and not -size <= place < size:
            raise Refusal(f"takes place {place} of axis {axis} of {value.shown()}")
        dropped = moves.drop(value, axis)
        if value.signal and state.is_time(value.axes[axis]):
            dropped = dropped.with_array(state.elements.over_time(dropped.array, "last_frame"))
        return dropped
    view: View | None = None
    if place == -1 or (not isinstance(size, Label) and place == size - 1):
        view = "last_frame"
    elif place == 0 or (not isinstance(size, Label) and place == -size):
        view = "first_frame"
    if view is None or not state.is_time(value.axes[axis]):
        raise Refusal(
            f"takes place {place} of axis {axis} of {value.shown()}; supported are the first or the last frame of "
            "what the recurrent layers give, and no single samples"
        )
    result = moves.drop(value, axis)
    return result.with_array(state.elements.over_time(result.array, view))


def gather(node: Node, state: State) -> tuple[Value]:
    """Gather: a look-up in an embedding, parts of plain axes, the first or the last frame."""
    value, index = node.input(0), node.input(1)
    axis = value.axis(node.integer("axis", 0))
    if index.signal:
        return (_look_up(node, value, index, axis, state),)
    if index.array.dtype != np.int64 or any(index.axes):
        raise Refusal("takes places that depend on the shape of the model's input; only constants are supported")
    if not value.axes[axis]:
        return (moves.gather_plain(value, axis, index.array),)
    if index.array.size != 1:
        raise Refusal(f"takes {index.array.size} places of axis {axis} of {value.shown()}; one frame is supported")
    frame = _frame(value, axis, int(index.array.item()), state)
    return (moves.unsqueeze(frame, range(axis, axis + index.rank)),)


def _look_up(node: Node, table: Value, tokens: Value, axis: int, state: State) -> Value:
    """An embedding: a table of constants at the places that the input's token numbers say."""
    source = state.elements.output(tokens.array)[0]
    if table.signal or not isinstance(source, Tokens) or table.rank != 2 or any(table.axes) or axis != 0:
        raise Refusal("takes places that the network computes; supported is an embedding of the model's token numbers")
    if table.array.dtype != np.float64 or tokens.array.size != 1:
        raise Refusal(
            f"looks up {tokens.shown()} tokens in a table of {table.dtype}; a floating-point table is supported"
        )
    made = Frames(table.array.shape[1], True, node.shown, table.array)
    array = state.elements.references(made).reshape(*tokens.array.shape, -1)
    return Value(array, (*tokens.axes, PLAIN), table.dtype, signal=True)

"""Handlers of the operators that compute: affine maps, activations, softmax, mean and maximum over the frames."""

from __future__ import annotations

from math import prod
from typing import Final

import numpy as np

from gpu_engine.onnx_loading import lengths, moves
from gpu_engine.onnx_loading.nodes import Node
from gpu_engine.onnx_loading.stages import View
from gpu_engine.onnx_loading.state import Handler, State
from gpu_engine.onnx_loading.values import (
    Array,
    Refusal,
    Value,
    constant,
    same_axis,
)


def _align(signal: Value, other: Value) -> tuple[Value, Value]:
    """Both broadcast to one shape, whose axes of samples and frames are the signal's."""
    rank = max(signal.rank, other.rank)
    a, b = (moves.unsqueeze(value, range(rank - value.rank)) for value in (signal, other))
    array = b.array
    for k, (mine, theirs) in enumerate(zip(a.axes, b.axes, strict=True)):
        if mine and not theirs and array.shape[k] > 1 and not b.signal:
            row = array.take([0], axis=k)
            if a.length(k) != array.shape[k] or not np.array_equal(np.broadcast_to(row, array.shape), array):
                raise Refusal(f"has a constant {other.shown()} that differs along axis {k} of {signal.shown()}")
            array = row
        elif (theirs and not same_axis(mine, theirs)) or (b.signal and mine and not theirs):
            raise Refusal(f"combines {signal.shown()} with {other.shown()}, whose axes are others")
    first, second = np.broadcast_arrays(a.array, array)
    return a.with_array(first), Value(second, a.axes, other.dtype, other.signal)


def _operands(node: Node) -> tuple[Value, Value]:
    """The two inputs, a signal first if there is one."""
    a, b = node.input(0), node.input(1)
    if not a.signal and b.signal:
        a, b = b, a
    if a.signal and not b.signal and b.array.dtype != np.float64:
        raise Refusal(f"combines {a.shown()} with integers or lengths")
    return _align(a, b) if a.signal else (a, b)


def add(node: Node, state: State) -> tuple[Value]:
    """Add: a bias, or two numbers of one stage."""
    a, b = _operands(node)
    if not a.signal:
        return (constant(lengths.plain_integers(lengths.on_lengths(node, lengths.length_sum)), "int64"),)
    ones = np.ones(a.array.shape)
    if b.signal:
        return (a.with_array(state.elements.weighted([(a.array, ones), (b.array, ones)], None, node.shown)),)
    return (a.with_array(state.elements.weighted([(a.array, ones)], b.array, node.shown)),)


def sub(node: Node, state: State) -> tuple[Value]:
    """Sub of a signal and a constant."""
    a, b = _operands(node)
    if not a.signal or b.signal:
        raise Refusal("subtracts; supported is to subtract a constant from a signal or a signal from a constant")
    sign = 1.0 if node.input(0).signal else -1.0
    factors = np.full(a.array.shape, sign)
    return (a.with_array(state.elements.weighted([(a.array, factors)], -sign * b.array, node.shown)),)


def mul(node: Node, state: State) -> tuple[Value]:
    """Mul by constants."""
    a, b = _operands(node)
    if not a.signal:
        return (constant(lengths.plain_integers(lengths.on_lengths(node, lengths.length_product)), "int64"),)
    if b.signal:
        raise Refusal("multiplies two signals, which the normal form does outside of its cells nowhere")
    return (a.with_array(state.elements.weighted([(a.array, b.array)], None, node.shown)),)


def div(node: Node, state: State) -> tuple[Value]:
    """Div by powers of two, which does not round."""
    a, b = _operands(node)
    if not a.signal or b.signal or not node.input(0).signal:
        raise Refusal("divides; supported is to divide by constants")
    mantissa, _ = np.frexp(b.array)
    if not np.all(np.abs(mantissa) == _HALF) or not np.isfinite(1 / b.array).all():
        raise Refusal(
            "divides by numbers that are no powers of two, which rounds; multiply, or divide the data instead"
        )
    return (a.with_array(state.elements.weighted([(a.array, 1 / b.array)], None, node.shown)),)


_HALF: Final = 0.5
"""The size of the mantissa of a power of two."""


def _matrix(value: Value) -> Array:
    if value.signal or value.rank != 2 or any(value.axes) or value.array.dtype != np.float64:
        raise Refusal(f"multiplies with {value.shown()}; supported is a constant matrix on the right")
    return value.array


def _product(value: Value, weight: Array, node: Node, state: State) -> Value:
    if not value.signal or not value.rank or value.axes[-1] or value.array.shape[-1] != weight.shape[1]:
        raise Refusal(f"multiplies {value.shown()} with a matrix of {weight.shape[1]} rows, which does not fit")
    return value.with_array(state.elements.linear(value.array, weight, node.shown))


def matmul(node: Node, state: State) -> tuple[Value]:
    """MatMul with a constant matrix on the right."""
    value, right = node.input(0), node.input(1)
    if not value.signal and not right.signal:
        raise Refusal("multiplies constants, which rounds; export the model with constant folding")
    return (_product(value, _matrix(right).T, node, state),)


def gemm(node: Node, state: State) -> tuple[Value]:
    """Gemm with constant weights."""
    value, bias = node.input(0), node.optional(2)
    if node.number("alpha", 1) != 1 or (node.number("beta", 1) != 1 and bias is not None):
        raise Refusal("has alpha or beta other than 1; multiply it into the weights")
    if node.integer("transA", 0) or value.rank != 2:
        raise Refusal(
            f"multiplies {value.shown()} transposed or not of 2 axes; supported are rows of samples or frames"
        )
    weight = _matrix(node.input(1))
    result = _product(value, weight if node.integer("transB", 0) else weight.T, node, state)
    if bias is None:
        return (result,)
    if bias.signal or bias.array.dtype != np.float64:
        raise Refusal("has a bias that is no constant of floating-point numbers")
    result, bias = _align(result, bias)
    ones = np.ones(result.array.shape)
    return (result.with_array(state.elements.weighted([(result.array, ones)], bias.array, node.shown)),)


def activation(kind: str) -> Handler:
    """Relu, Sigmoid or Tanh."""

    def handler(node: Node, state: State) -> tuple[Value]:
        value = node.input(0)
        if not value.signal:
            raise Refusal("computes with constants, which rounds; export the model with constant folding")
        return (value.with_array(state.elements.activated(value.array, kind, node.shown)),)

    return handler


def softmax(node: Node, state: State) -> tuple[Value]:
    """Over all numbers of a sample or frame; it keeps their order."""
    value = node.input(0)
    axis = value.axis(node.integer("axis", 1 if node.opset < 13 else -1))
    # Up to operator set 12 the axes from `axis` on are taken together.
    inside = range(axis, value.rank) if node.opset < 13 else [axis]
    if not value.signal or any(value.axes[k] for k in inside):
        raise Refusal(f"is taken over axis {axis} of {value.shown()}; supported is the axis of the classes")
    if prod(value.array.shape[k] for k in inside) != value.array.size:
        raise Refusal(f"is taken over a part of the numbers of {value.shown()}; supported is the axis of the classes")
    return (value.with_array(state.elements.softmax(value.array, node.shown)),)


def over_time(view: View, since: int) -> Handler:
    """Mean or maximum over the frames."""

    def handler(node: Node, state: State) -> tuple[Value]:
        value = node.input(0)
        axes = node.listed("axes", 1, since=since)
        keep = node.integer("keepdims", 1)
        if node.opset >= since and node.integer("noop_with_empty_axes", 0) and not axes:
            return (value,)
        places = [value.axis(axis) for axis in axes or range(value.rank)]
        if not value.signal or len(places) != 1 or not state.is_time(value.axes[places[0]]):
            raise Refusal(
                f"is taken over axes {places} of {value.shown()}; supported is the axis of the frames, above the "
                "recurrent layers"
            )
        result = moves.drop(value, places[0])
        result = result.with_array(state.elements.over_time(result.array, view))
        return (moves.unsqueeze(result, places) if keep else result,)

    return handler

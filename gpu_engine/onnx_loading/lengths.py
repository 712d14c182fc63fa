"""Handlers of constants, of arithmetic on shapes, and of casts."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Final

import numpy as np

from gpu_engine.onnx_loading import moves
from gpu_engine.onnx_loading.files import dtype_name
from gpu_engine.onnx_loading.nodes import Node
from gpu_engine.onnx_loading.state import State
from gpu_engine.onnx_loading.values import (
    FLOATS,
    INTEGERS,
    PLAIN,
    Array,
    Label,
    Refusal,
    Value,
    constant,
    require_size,
)


def stored(node: Node, state: State) -> tuple[Value]:
    """Constant."""
    if node.given("value"):
        value = node.tensor("value")
        assert value is not None
        return (value,)
    if node.given("value_int"):
        return (constant(np.array(node.integer("value_int", 0), dtype=np.int64), "int64"),)
    if node.given("value_ints"):
        return (constant(np.array(node.integers("value_ints"), dtype=np.int64), "int64"),)
    if node.given("value_float"):
        return (constant(np.array(node.number("value_float", 0)), "float32"),)
    raise Refusal("holds no tensor and no integers; store it as a tensor")


def shape(node: Node, state: State) -> tuple[Value]:
    """Shape."""
    value = node.input(0)
    lengths = [value.length(k) for k in range(value.rank)]
    end = node.integer("end", value.rank)
    return (_lengths(lengths[node.integer("start", 0) : end]),)


def _lengths(items: list[int | Label]) -> Value:
    array: Array = np.empty(len(items), dtype=object)
    array[:] = items
    return constant(plain_integers(array), "int64")


def plain_integers(array: Array) -> Array:
    """Integers as int64 where no length is unknown."""
    return array if any(isinstance(item, Label) for item in array.ravel()) else array.astype(np.int64)


def constant_of_shape(node: Node, state: State) -> tuple[Value]:
    """ConstantOfShape."""
    fill = node.tensor("value") or constant(np.zeros(1), "float32")
    lengths = node.lengths(0, "shape")
    if fill.array.size != 1:
        raise Refusal(f"fills with {fill.array.size} values")
    sizes = [1 if isinstance(n, Label) else n for n in lengths]
    if any(n < 0 for n in sizes):
        raise Refusal(f"makes a tensor of shape {moves.shape_text(lengths)}")
    require_size(prod(sizes))
    axes = tuple((n,) if isinstance(n, Label) else PLAIN for n in lengths)
    return (Value(np.full(sizes, fill.array.item()), axes, fill.dtype),)


def expand(node: Node, state: State) -> tuple[Value]:
    """Expand of a constant."""
    value = node.input(0)
    shape = node.lengths(1, "shape")
    if value.signal:
        lengths = [value.length(k) for k in range(value.rank)][max(0, value.rank - len(shape)) :]
        if len(shape) > value.rank or not all(
            want == 1 or moves.same_length(n, want) for n, want in zip(lengths, shape, strict=True)
        ):
            raise Refusal("repeats what the network computes; the normal form has no copies of a vector over frames")
        return (value,)
    return (moves.expand(value, shape),)


def _integers(node: Node, count: int) -> list[Array]:
    """Constant integer inputs, broadcast: arithmetic on shapes. Arithmetic on weights would round."""
    values = [node.known(k, "operands") for k in range(count)]
    if any(value.array.dtype == np.float64 or any(value.axes) for value in values):
        raise Refusal("computes with constants, which rounds; export the model with constant folding")
    return list(np.broadcast_arrays(*(value.array for value in values)))


def length_product(a: object, b: object) -> object:
    """The product of two lengths; an unknown one times 1."""
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Label):
            if other == 1:
                return one
            raise Refusal(f"multiplies the length of {one!r}; keep samples and frames apart from other axes")
    return int(a) * int(b)  # type: ignore[call-overload]


def _length_equal(a: object, b: object) -> object:
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Label) and one is not other:
            if not isinstance(other, Label) and int(other) <= 0:  # type: ignore[call-overload]
                return False  # a length is positive
            raise Refusal(f"compares the length of {one!r}, which makes the graph depend on the input's shape")
    return a is b or a == b


def length_sum(a: object, b: object) -> object:
    """The sum of two lengths; an unknown one plus 0."""
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Label):
            if other == 0:
                return one
            raise Refusal(f"adds to the length of {one!r}, which makes the graph depend on the input's shape")
    return int(a) + int(b)  # type: ignore[call-overload]


def on_lengths(node: Node, function: Callable[[object, object], object]) -> Array:
    """A function of two constant integer inputs, element by element."""
    a, b = _integers(node, 2)
    result: Array = np.empty(a.shape, dtype=object)
    result[...] = np.frompyfunc(function, 2, 1)(a, b)
    return result


def equal(node: Node, state: State) -> tuple[Value]:
    """Equal of lengths."""
    return (constant(on_lengths(node, _length_equal).astype(bool), "bool"),)


def where(node: Node, state: State) -> tuple[Value]:
    """Where on lengths."""
    condition, yes, no = _integers(node, 3)
    if condition.dtype != np.bool_:
        raise Refusal("has a condition that is not boolean")
    return (constant(plain_integers(np.where(condition, yes, no).astype(object)), "int64"),)


def cast(node: Node, state: State) -> tuple[Value]:
    """Between floating-point kinds where nothing is rounded; between integer kinds."""
    value = node.input(0)
    node.integer("saturate", 1)
    kind = dtype_name(node.integer("to", 0))
    if value.dtype in FLOATS and kind in FLOATS:
        narrow = value.dtype != kind and (kind, value.dtype) not in _WIDENINGS
        if narrow:
            raise Refusal(f"casts {value.dtype} to {kind}, which rounds; export the model in one precision")
    elif not (value.dtype in INTEGERS and kind in INTEGERS):
        raise Refusal(
            f"casts {value.dtype} to {kind}; supported are casts among floating-point and among integer kinds"
        )
    elif value.array.dtype == np.int64 and not np.array_equal(value.array.astype(kind), value.array):
        raise Refusal(f"casts integers to {kind} that are too large for it")
    return (Value(value.array, value.axes, kind, value.signal),)


_WIDENINGS: Final = (
    *(("float64", kind) for kind in ("float16", "bfloat16", "float32")),
    *(("float32", kind) for kind in ("float16", "bfloat16")),
)

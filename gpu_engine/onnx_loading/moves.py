"""Operators that only move numbers: the same on weights, on references and on lengths."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

import numpy as np

from gpu_engine.onnx_loading.values import PLAIN, Array, Axis, Label, Refusal, Value, require_size, same_axis

END: Final = 2**31 - 1
"""Slice ends at or above it mean "to the end" for axes whose length is not known."""


def transpose(value: Value, permutation: Sequence[int]) -> Value:
    """ONNX's Transpose."""
    if sorted(permutation) != list(range(value.rank)):
        raise Refusal(f"perm {list(permutation)} is no order of {value.rank} axes")
    return value.with_array(value.array.transpose(permutation), [value.axes[k] for k in permutation])


def unsqueeze(value: Value, axes: Sequence[int]) -> Value:
    """ONNX's Unsqueeze; axes of the result."""
    rank = value.rank + len(axes)
    places = sorted(axis % rank for axis in axes if -rank <= axis < rank)
    if len(set(places)) != len(axes):
        raise Refusal(f"axes {list(axes)} are no distinct axes of a tensor of {rank} axes")
    left = iter(value.axes)
    return value.with_array(
        np.expand_dims(value.array, tuple(places)), [PLAIN if k in places else next(left) for k in range(rank)]
    )


def drop(value: Value, axis: int) -> Value:
    """Without an axis that has length one in the array."""
    return value.with_array(value.array.squeeze(axis), [a for k, a in enumerate(value.axes) if k != axis])


def concat(values: Sequence[Value], axis: int) -> Value:
    """ONNX's Concat along a plain axis."""
    first = values[0]
    axis = first.axis(axis)
    for value in values:
        if value.signal != first.signal:
            raise Refusal("joins what the network computes with constants, which the normal form has no place for")
        fits = value.rank == first.rank and all(
            same_axis(a, b) for k, (a, b) in enumerate(zip(first.axes, value.axes, strict=True)) if k != axis
        )
        if not fits or value.axes[axis]:
            shapes = " and ".join(v.shown() for v in values)
            raise Refusal(f"joins {shapes} along axis {axis}, which does not fit, or is an axis of samples or frames")
    return first.with_array(np.concatenate([value.array for value in values], axis=axis))


def expand(value: Value, shape: Sequence[int | Label]) -> Value:
    """ONNX's Expand of a constant: repeats it along axes of length one, as broadcasting does."""
    rank = max(value.rank, len(shape))
    value = unsqueeze(value, range(rank - value.rank))
    wanted = [1] * (rank - len(shape)) + list(shape)
    axes: list[Axis] = []
    sizes: list[int] = []
    for k, want in enumerate(wanted):
        labels, size = value.axes[k], value.array.shape[k]
        if want == 1 or (labels and same_length(value.length(k), want)):
            axes.append(labels)
            sizes.append(size)
        elif labels:
            raise Refusal(f"expands {value.shown()} to {shape_text(wanted)}, which does not fit")
        elif isinstance(want, Label):
            if size != 1:
                raise Refusal(f"expands {value.shown()} to {shape_text(wanted)}: {size} values along an unknown length")
            axes.append((want,))
            sizes.append(1)
        else:
            axes.append(PLAIN)
            sizes.append(int(want))
    require_size(prod(sizes))
    return value.with_array(np.broadcast_to(value.array, sizes), axes)


def same_length(a: int | Label, b: int | Label) -> bool:
    """Whether two lengths are surely the same."""
    return a is b or (not isinstance(a, Label) and not isinstance(b, Label) and int(a) == int(b))


def shape_text(shape: Sequence[int | Label]) -> str:
    """A shape for messages."""
    return f"[{', '.join(map(str, shape))}]"


def slice_plain(value: Value, axis: int, start: int, end: int, step: int) -> Value:
    """ONNX's Slice along a plain axis; its clamping is Python's."""
    if step == 0:
        raise Refusal("slices with step 0")
    index: list[slice] = [slice(None)] * value.rank
    index[axis] = slice(start, end, step)
    return value.with_array(value.array[tuple(index)])


def gather_plain(value: Value, axis: int, index: Array) -> Value:
    """ONNX's Gather along a plain axis with constant numbers."""
    axes = (*value.axes[:axis], *(PLAIN,) * index.ndim, *value.axes[axis + 1 :])
    require_size(value.array.size * index.size)
    shape = (*value.array.shape[:axis], *index.shape, *value.array.shape[axis + 1 :])
    taken = np.empty(shape, dtype=value.array.dtype)
    taken[...] = np.take(value.array, index, axis=axis)  # which gives a bare Label where the shape is ()
    return value.with_array(taken, axes)


def reshape(value: Value, shape: Sequence[int | Label], allow_zero: bool = False) -> Value:
    """ONNX's Reshape, as long as it splits and joins plain axes among themselves and keeps the labels in order."""
    wanted: list[int | Label] = []
    for k, length in enumerate(shape):
        if isinstance(length, Label) or length != 0:
            wanted.append(length)
        elif allow_zero:
            raise Refusal("reshapes to a length of 0 (allowzero)")
        else:
            wanted.append(value.length(value.axis(k)))
    unknown = [k for k, length in enumerate(wanted) if not isinstance(length, Label) and length < 0]
    if len(unknown) > 1 or any(wanted[k] != -1 for k in unknown):
        raise Refusal(f"reshapes to {shape_text(wanted)}; one length may be -1")
    atoms: list[Label | int] = []
    for labels, size in zip(value.axes, value.array.shape, strict=True):
        atoms += labels or ([int(size)] if size != 1 else [])
    try:
        split = unknown[0] if unknown else len(wanted)
        front, atoms = _match(atoms, wanted[:split])
        back, atoms = _match(atoms[::-1], wanted[:split:-1])
        between = [_joined(atoms[::-1])] if unknown else []
        if not unknown and any(not isinstance(atom, Label) or atom.size != 1 for atom in atoms):
            raise _NoMatch
    except _NoMatch:
        raise Refusal(
            f"reshapes {value.shown()} to {shape_text(shape)}, which mixes samples or frames with the numbers of each "
            "(or does not fit); export the model with separate axes for samples, frames and features"
        ) from None
    # Labels of joined axes that were met from the back stand in the wrong order.
    result = front + between + [(labels[::-1], size) for labels, size in reversed(back)]
    return value.with_array(value.array.reshape([size for _, size in result]), [labels for labels, _ in result])


class _NoMatch(Exception):  # noqa: N818 - caught where the shapes are known
    pass


def _match(
    atoms: Sequence[Label | int], wanted: Sequence[int | Label]
) -> tuple[list[tuple[Axis, int]], list[Label | int]]:
    """Share the atoms (labels, plain lengths) out to the wanted lengths, in order; the axes, and the atoms left.

    Row by row order is kept when every wanted length is a product of consecutive atoms or divides plain ones. Labels of
    length one hold no order and may be left out.
    """
    left = list(atoms)[::-1]  # the next one is last
    axes = [_take(left, length) for length in wanted]
    return axes, left[::-1]


def _take(left: list[Label | int], length: int | Label) -> tuple[Axis, int]:
    """Take the atoms of one axis off the end of `left`; one that is too long is cut."""
    ones = []
    while left and left[-1] is not length and isinstance(top := left[-1], Label) and top.size == 1:
        ones.append(top)
        left.pop()
    if isinstance(length, Label):
        if not left or left.pop() is not length:
            raise _NoMatch
        return (length,), 1
    if length == 1:  # the first of them, if there is one; the others belong to what follows
        left += ones[:0:-1]
        return tuple(ones[:1]), 1
    if not left or length < 1:
        raise _NoMatch
    return _take_plain(left, length) if isinstance(left[-1], int) else (_take_labels(left, length, ones), 1)


def _take_plain(left: list[Label | int], length: int) -> tuple[Axis, int]:
    product = 1
    while product < length or product % length:
        atom = left.pop() if left else 0
        factor = atom.size if isinstance(atom, Label) else atom
        if not factor or (isinstance(atom, Label) and factor != 1):
            raise _NoMatch
        product *= factor
    if product > length:
        left.append(product // length)
    return PLAIN, length


def _take_labels(left: list[Label | int], length: int, ones: list[Label]) -> Axis:
    labels = ones
    while (product := prod(label.size or 0 for label in labels)) < length:
        atom = left.pop() if left else 0
        if not isinstance(atom, Label) or atom.size is None:
            raise _NoMatch
        labels.append(atom)
    if product != length:
        raise _NoMatch
    return tuple(labels)


def _joined(atoms: Sequence[Label | int]) -> tuple[Axis, int]:
    """All that is left, as one axis: the length -1."""
    labels = tuple(atom for atom in atoms if isinstance(atom, Label))
    plain = prod(atom for atom in atoms if not isinstance(atom, Label))
    if plain == 1:
        return labels, 1
    if any(label.size != 1 for label in labels):
        raise _NoMatch
    return PLAIN, plain


def flatten(value: Value, axis: int) -> Value:
    """ONNX's Flatten: the axes in front of `axis` become one, and the others one."""
    axis = axis + value.rank if axis < 0 else axis
    axes: list[Axis] = []
    sizes = []
    for part in (range(axis), range(axis, value.rank)):
        labels = tuple(label for k in part for label in value.axes[k])
        size = prod(value.array.shape[k] for k in part)
        if labels and size > 1:
            raise Refusal(f"flattens {value.shown()}: samples or frames together with the numbers of each")
        axes.append(labels)
        sizes.append(size)
    return value.with_array(value.array.reshape(sizes), axes)

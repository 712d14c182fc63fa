"""Abstract tensors of an ONNX graph: numbers that are known, or references to what the network computes.

A tensor is an array with named axes. An axis whose length is not the graph's business (samples, frames) carries a Label
and has length one in the array: the tensor is the same all along it, or, for references, "the one that belongs to this
sample and frame". All other axes are plain. So a Transpose or a Slice is carried out on the array itself, whatever the
tensor means, and the meaning never has to be guessed from the pattern of the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from numpy.typing import NDArray

FLOATS: Final = ("float16", "bfloat16", "float32", "float64")
"""Stored kinds whose every value is a float64 value."""

INTEGERS: Final = ("int32", "int64")

MAX_ELEMENTS: Final = 1 << 27
"""Elements of a tensor that the graph makes up by itself (ConstantOfShape, Expand, ...): 1 GiB in float64."""

Array = NDArray[Any]


class Refusal(Exception):  # noqa: N818 - what a node gets to hear, not an error of its own
    """A node that has no known meaning: the text says why, and what to do. The caller adds the node's name."""


@dataclass(frozen=True, eq=False)
class Label:
    """An axis of samples or frames: equal only to itself. size: its length where the file fixes it."""

    name: str
    size: int | None = None

    def __repr__(self) -> str:
        return self.name


Axis = tuple[Label, ...]
"""() for a plain axis; one label; or several, for axes that a Reshape joined row by row."""

PLAIN: Final[Axis] = ()


@dataclass(frozen=True, eq=False)
class Value:
    """array: float64 numbers, integers (or Labels for lengths that are not known), or references (int64).

    axes: one per axis of the array. dtype: ONNX's kind of the tensor, as `float32`. signal: whether the array holds
    references (see stages.Elements) and not numbers.
    """

    array: Array
    axes: tuple[Axis, ...]
    dtype: str
    signal: bool = False

    def __post_init__(self) -> None:
        if self.array.ndim != len(self.axes):
            raise Refusal(f"a tensor of {self.array.ndim} axes was expected to have {len(self.axes)}")

    @property
    def rank(self) -> int:
        return len(self.axes)

    def with_array(self, array: Array, axes: Sequence[Axis] | None = None) -> Value:
        return Value(array, self.axes if axes is None else tuple(axes), self.dtype, self.signal)

    def length(self, axis: int) -> int | Label:
        """The length of an axis as the Shape operator gives it."""
        labels = self.axes[axis]
        if not labels:
            return int(self.array.shape[axis])
        if all(label.size is not None for label in labels):
            return prod(label.size or 0 for label in labels)
        if len(labels) == 1:
            return labels[0]
        raise Refusal("asks for the length of an axis that joins samples and frames; keep them apart")

    def axis(self, axis: int) -> int:
        """The axis counted from the front."""
        if not -self.rank <= axis < self.rank:
            raise Refusal(f"axis {axis} does not exist in a tensor of {self.rank} axes")
        return axis % self.rank

    def shown(self) -> str:
        """The shape for messages: [frames, 1, 5]."""
        names = ["*".join(map(repr, labels)) or str(n) for labels, n in zip(self.axes, self.array.shape, strict=True)]
        return f"[{', '.join(names)}]"


def constant(array: Array, dtype: str) -> Value:
    """A tensor that is known, with plain axes."""
    return Value(array, (PLAIN,) * array.ndim, dtype)


def require_size(count: int) -> None:
    """Refuse tensors that are made up too large before they are made."""
    if count > MAX_ELEMENTS:
        raise Refusal(f"makes a tensor of {count} elements, at most {MAX_ELEMENTS} are allowed; export a smaller one")


def same_axis(a: Axis, b: Axis) -> bool:
    """Whether two axes are the same samples and frames (labels are equal only to themselves)."""
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))

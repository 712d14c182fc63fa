"""The unrolled network as an ordered list of affine and nonlinear steps: all that bounds need to know of a network.

A cell, a head or a layer in front adds its steps to a `Tape`; interval arithmetic walks the list forward,
back-substitution walks it backward, and neither knows of cells. So a new cell is one file that adds steps. Sizes are
units per sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from gpu_engine.errors import ModelError

# Nonlinearities of two arguments; all others have one.
PRODUCTS = ("sigmoid_times_tanh", "sigmoid_times_identity")

# A nonlinear step is a sum of at most this many parts; lemma `charged_rounding`.
MAX_PARTS = 4


@dataclass(frozen=True)
class Place:
    """Where a step belongs, for people: layer, frame and a suffix such as ' (backward)'."""

    layer: int = 0
    t: int = 0
    suffix: str = ""


@dataclass(frozen=True)
class View:
    """Units start .. start + size - 1 of the step with number `step`."""

    step: int
    start: int
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.size

    def chunk(self, parts: int) -> tuple[View, ...]:
        """The view cut into equal parts, in order."""
        size = self.size // parts
        return tuple(View(self.step, self.start + k * size, size) for k in range(parts))

    def part(self, start: int, size: int) -> View:
        return View(self.step, self.start + start, size)


@dataclass(frozen=True)
class Term:
    """weight @ source, added to units row .. row + rows - 1; without a weight, source / divisor.

    weight (rows, source size) float64; divisor: a whole number, not zero.
    """

    source: View
    weight: Tensor | None = None
    row: int = 0
    divisor: int = 1

    @property
    def rows(self) -> int:
        return self.source.size if self.weight is None else self.weight.shape[0]


@dataclass(frozen=True)
class Input:
    """Frame t of the input."""

    t: int
    size: int
    place: Place


@dataclass(frozen=True)
class Bias:
    """value (rows,) float64, added to units row .. row + rows - 1."""

    value: Tensor
    row: int = 0


@dataclass(frozen=True)
class Affine:
    """The sum of its terms and biases, which are kept apart, because their sum would round."""

    name: str
    size: int
    terms: tuple[Term, ...]
    biases: tuple[Bias, ...]
    place: Place


@dataclass(frozen=True)
class Nonlinearity:
    """kind(v), or kind(v, z) for PRODUCTS; with `negate`, -v takes the place of v: sigmoid(-v) = 1 - sigmoid(v)."""

    kind: str
    name: str
    v: View
    z: View | None = None
    negate: bool = False


@dataclass(frozen=True)
class Nonlinear:
    """The sum of its parts, each of `size` units."""

    name: str
    size: int
    parts: tuple[Nonlinearity, ...]
    place: Place


Step = Input | Affine | Nonlinear


@dataclass
class Tape:
    """Steps in an order in which each reads only earlier ones. input_size: values a frame."""

    input_size: int
    steps: list[Step] = field(default_factory=list)
    outputs: tuple[View, ...] = ()
    _frames: dict[int, View] = field(default_factory=dict)

    def frame(self, t: int) -> View:
        """Frame t of the input; its step is added where it is first read."""
        if t not in self._frames:
            self._frames[t] = self._add(Input(t, self.input_size, Place(t=t)))
        return self._frames[t]

    def affine(self, name: str, size: int, terms: Sequence[Term], biases: Sequence[Bias], place: Place) -> View:
        """size units: the sum of the terms and biases."""
        for term in terms:
            if term.row + term.rows > size or (term.weight is not None and term.weight.shape[1] != term.source.size):
                raise ModelError(
                    f"{name}: a term of {term.rows} rows from {term.source.size} units does not fit {size}"
                )
        for bias in biases:
            if bias.value.ndim != 1 or bias.row + len(bias.value) > size:
                raise ModelError(f"{name}: a bias of shape {tuple(bias.value.shape)} does not fit {size} units")
        return self._add(Affine(name, size, tuple(terms), tuple(biases), place))

    def nonlinear(self, name: str, parts: Sequence[Nonlinearity], place: Place) -> View:
        """The sum of the parts, unit by unit."""
        if not 1 <= len(parts) <= MAX_PARTS:
            raise ModelError(f"{name}: {len(parts)} parts; a step has 1 to {MAX_PARTS}. Cut it into several steps")
        size = parts[0].v.size
        for part in parts:
            if part.v.size != size or (part.z is not None and part.z.size != size):
                raise ModelError(f"{name}: the arguments of {part.name} have different sizes")
            if (part.z is not None) != (part.kind in PRODUCTS):
                raise ModelError(f"{name}: {part.kind} has a wrong number of arguments")
        return self._add(Nonlinear(name, size, tuple(parts), place))

    def _add(self, step: Step) -> View:
        self.steps.append(step)
        return View(len(self.steps) - 1, 0, step.size)


def terms_of(sources: Sequence[View], weight: Tensor, row: int = 0) -> list[Term]:
    """weight @ (the sources joined), as one term per source."""
    terms, column = [], 0
    for source in sources:
        terms.append(Term(source, weight[:, column : column + source.size], row))
        column += source.size
    if column != weight.shape[1]:
        raise ModelError(f"a weight of {weight.shape[1]} columns reads {column} units")
    return terms


def sources_of(step: Step) -> list[View]:
    """Everything that a step reads."""
    if isinstance(step, Affine):
        return [term.source for term in step.terms]
    if isinstance(step, Nonlinear):
        return [view for part in step.parts for view in (part.v, part.z) if view is not None]
    return []

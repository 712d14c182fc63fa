"""Recipes of small recurrent classifiers: sizes, kinds and a seed, which say every weight exactly.

A recipe is short enough to read, shrinks field by field, and builds the same network to the last bit wherever it is
evaluated (`refcert.strategies.stream`). `build` gives the engine's network, `reference` the same one for the reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from gpu_engine.model import ACTIVATIONS, GATES, READOUTS
from refcert.reference.networks import Network, network_from_plain
from refcert.strategies.models import Classifier, classifier_from_plain
from refcert.strategies.sources import Evaluable
from refcert.strategies.stream import Floats, Stream

DIRECTIONS: Final = ("forward", "both", "reverse")
WEIGHT_FAMILIES: Final = ("units", "normal")
"""Numbers before they are scaled: -1, 0 and 1, or normal ones."""

HEAD_SCALE: Final = 1.0
HEAD_BIAS_SCALE: Final = 0.3

SALT: Final = 5272
"""Part of every name of a sequence of numbers. With this one the smallest network is lively where the seed is 0: one
unit of any cell reads its input and its own state with weights 1, and two classes answer -1 and 1 times it. Many laws
that fail at all fail for it, so that examples shrink to it."""

Plain = dict[str, Any]


@dataclass(frozen=True, repr=False)
class WeightRecipe(Evaluable):
    """How the numbers of a network are drawn.

    family: one of WEIGHT_FAMILIES; scale: what the weights and biases of recurrent layers are multiplied with (those
    of Dense layers, embeddings and start states are of size one); seed: from 0 up; sparse: one in four is zero;
    biased: False leaves every bias zero; awkward: pairs (position, number) that replace single weights in the end, the
    position counted over all weights and biases in the order of `named_weights`, modulo their number.
    """

    family: str = "units"
    scale: float = 1.0
    seed: int = 0
    sparse: bool = False
    biased: bool = False
    awkward: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        _known("family", self.family, WEIGHT_FAMILIES)
        if not np.isfinite([self.scale, *(value for _, value in self.awkward)]).all() or self.seed < 0:
            raise ValueError(f"{self!r}: numbers have to be finite, the seed a whole number from 0 up")


@dataclass(frozen=True, repr=False)
class LayerRecipe(Evaluable):
    """One recurrent layer. way: one of DIRECTIONS; output: size of an LSTM's projection; started: with start states."""

    cell: str
    hidden: int
    way: str = "forward"
    output: int | None = None
    started: bool = False

    def __post_init__(self) -> None:
        _known("cell", self.cell, tuple(GATES))
        _known("way", self.way, DIRECTIONS)
        if self.output is not None and self.cell != "lstm":
            raise ValueError(f"{self!r}: only an LSTM has a projection; leave output out")

    @property
    def reverses(self) -> tuple[bool, ...]:
        """For each direction, whether it reads from the end."""
        return {"forward": (False,), "both": (False, True), "reverse": (True,)}[self.way]


@dataclass(frozen=True, repr=False)
class ClassifierRecipe(Evaluable):
    """frames -> before -> layers -> readout -> after -> a linear head of `classes` outputs.

    before, after: whole numbers for Dense layers of that size, names for activations; words: entries of an embedding,
    0 for none. Raises ValueError for names that are not known; the network itself is checked when it is built.
    """

    inputs: int
    classes: int
    layers: tuple[LayerRecipe, ...]
    readout: str = "final"
    before: tuple[int | str, ...] = ()
    after: tuple[int | str, ...] = ()
    words: int = 0
    weights: WeightRecipe = field(default_factory=WeightRecipe)

    def __post_init__(self) -> None:
        _known("readout", self.readout, READOUTS)
        for block in (*self.before, *self.after):
            if isinstance(block, str):
                _known("activation", block, ACTIVATIONS)

    def plain(self) -> Plain:
        """Dictionaries, lists and float64 arrays, as `refcert.reference.networks.network_from_plain` reads them.

        With `embedding`, an array or None, beside them.
        """
        return _Plain(self).network()

    def build(self) -> Classifier:
        """The engine's normal form of the network; its repr is this recipe's."""
        return classifier_from_plain(self.plain(), self)

    def reference(self) -> Network:
        """The reference's form of the same network, without the embedding."""
        plain = self.plain()
        del plain["embedding"]
        return network_from_plain(plain)


class _Plain:
    """The arrays of one recipe, each from a sequence of its own name, in the order of `named_weights`."""

    def __init__(self, recipe: ClassifierRecipe) -> None:
        self.recipe, self.how = recipe, recipe.weights
        self.arrays: list[Floats] = []

    def network(self) -> Plain:
        recipe = self.recipe
        embedding = self._array("embedding", recipe.words, recipe.inputs) if recipe.words else None
        before, below = self._stack("before", recipe.before, recipe.inputs)
        layers = []
        for k, layer in enumerate(recipe.layers):
            layers.append([self._direction(f"{k}.{reverse:d}", layer, below, reverse) for reverse in layer.reverses])
            below = len(layers[-1]) * (layer.hidden if layer.output is None else layer.output)
        after, below = self._stack("after", recipe.after, below)
        after.append(self._dense("head", recipe.classes, below))
        self._replace_awkward()
        return {"layers": layers, "before": before, "after": after, "readout": recipe.readout, "embedding": embedding}

    def _array(self, name: str, *shape: int, scale: float = HEAD_SCALE) -> Floats:
        """shape: with an axis of its own for gates, so that each of them keeps its numbers in a smaller network."""
        stream = self._stream(name)
        drawn = stream.units(*shape) if self.how.family == "units" else stream.normal(*shape)
        values: Floats = scale * drawn
        if self.how.sparse:
            values = values * self._stream(f"{name}.kept").kept(*shape)
        return self._kept(values + 0.0)  # no zero has a sign, unless asked for

    def _bias(self, name: str, *shape: int, scale: float) -> Floats:
        return self._array(name, *shape, scale=scale) if self.how.biased else self._kept(np.zeros(shape))

    def _stream(self, name: str) -> Stream:
        return Stream(self.how.seed, f"{name} {SALT}")

    def _kept(self, values: Floats) -> Floats:
        self.arrays.append(values)
        return values

    def _dense(self, name: str, size: int, below: int) -> Plain:
        return {
            "weight": self._array(f"{name}.weight", size, below),
            "bias": self._bias(f"{name}.bias", size, scale=HEAD_BIAS_SCALE),
        }

    def _stack(self, where: str, blocks: tuple[int | str, ...], below: int) -> tuple[list[str | Plain], int]:
        found: list[str | Plain] = []
        for k, block in enumerate(blocks):
            if isinstance(block, str):
                found.append(block)
            else:
                found.append(self._dense(f"{where}.{k}", block, below))
                below = block
        return found, below

    def _direction(self, name: str, layer: LayerRecipe, below: int, reverse: bool) -> Plain:
        gates, scale = GATES[layer.cell], self.how.scale
        output = layer.hidden if layer.output is None else layer.output
        plain: Plain = {
            "cell": layer.cell,
            "weight_ih": self._array(f"{name}.weight_ih", gates, layer.hidden, below, scale=scale).reshape(-1, below),
            "weight_hh": self._array(f"{name}.weight_hh", gates, layer.hidden, output, scale=scale).reshape(-1, output),
            "bias_ih": self._bias(f"{name}.bias_ih", gates, layer.hidden, scale=scale).reshape(-1),
            "bias_hh": self._bias(f"{name}.bias_hh", gates, layer.hidden, scale=scale).reshape(-1),
            "reverse": reverse,
        }
        if layer.output is not None:
            plain["weight_hr"] = self._array(f"{name}.weight_hr", output, layer.hidden, scale=scale)
        if layer.started:
            plain["initial_hidden"] = self._array(f"{name}.initial_hidden", output)
            if layer.cell == "lstm":
                plain["initial_cell"] = self._array(f"{name}.initial_cell", layer.hidden)
        return plain

    def _replace_awkward(self) -> None:
        ends = np.cumsum([array.size for array in self.arrays])
        for position, value in self.how.awkward:
            place = position % int(ends[-1])
            at = int(np.searchsorted(ends, place, side="right"))
            self.arrays[at].reshape(-1)[place - int(ends[at])] = value  # counted from the array's end; a view


def _known(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{what} is {value!r}; known: {', '.join(known)}")

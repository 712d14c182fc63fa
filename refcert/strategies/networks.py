"""Hypothesis strategy for small recurrent classifiers of every kind that the normal form holds.

Every choice is drawn by itself, the plainest first, so that a failing example shrinks to the plainest network that
still fails: one layer of one unit, no stacks, no projection, weights -1, 0 and 1. The numbers come from one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from gpu_engine.model import ACTIVATIONS, READOUTS
from refcert.strategies.models import Classifier
from refcert.strategies.options import at_least_one, finite, some_of
from refcert.strategies.recipes import DIRECTIONS, WEIGHT_FAMILIES, ClassifierRecipe, LayerRecipe, WeightRecipe

CELLS: Final = ("rnn_tanh", "rnn_relu", "rnn_sigmoid", "gru", "gru_reset_before", "lstm")
"""All cells, the plainest first: an example shrinks towards it."""

SCALES: Final = (1.0, 0.5, 0.1, 3.0, 30.0, 1e-12)
"""Sizes of recurrent weights: from nearly linear to saturated, and next to nothing."""

RELU_SCALE: Final = 3.0
"""The largest for ReLU cells: they never saturate, and 30 would leave float32 within a few frames."""

AWKWARD: Final = (0.0, -0.0, 1.0, -30.0, 1e-30, -1.1754943508222875e-38)
"""Numbers that replace single weights: zeros of both signs, a saturating one, and down to float32's smallest normal."""

UNDERFLOWING: Final = (-1e-160, 2.2250738585072014e-308, 5e-324)
"""More for `awkward`: float64's smallest normal and subnormal numbers; the engine refuses such weights in float32."""

MAX_SEED: Final = 2**32 - 1


def classifiers(
    *,
    max_layers: int = 2,
    cells: Sequence[str] | None = None,
    readouts: Sequence[str] | None = None,
    directions: Sequence[str] = DIRECTIONS,
    projections: bool = True,
    initial_states: bool = True,
    stacks: bool = True,
    max_blocks: int = 3,
    embeddings: bool = False,
    max_size: int = 6,
    max_classes: int | None = None,
    families: Sequence[str] = WEIGHT_FAMILIES,
    scales: Sequence[float] = SCALES,
    awkward: Sequence[float] = AWKWARD,
    mixed: bool = True,
) -> SearchStrategy[Classifier]:
    """Classifiers with 1 to `max_layers` recurrent layers, sizes 1 to `max_size` and 2 classes or more.

    What is drawn is a `RecurrentClassifier`, whose repr rebuilds it.
    cells, readouts, directions: what may occur, None for everything, the first the plainest; mixed: may layers differ
    in cell and direction? projections (of LSTMs), initial_states, stacks (up to max_blocks Dense layers and
    activations, in front and behind), embeddings: may they occur? max_classes: max_size where it is None.
    families, scales: of the weights, see `WeightRecipe`; awkward: numbers that may replace up to three single weights,
    () for none. Raises ValueError for names that are not known, sizes that are too small, numbers that are not finite.
    """
    classes = max(2, max_size) if max_classes is None else max_classes
    least = {"max_layers": (max_layers, 1), "max_size": (max_size, 1), "max_classes": (classes, 2)}
    for name, (given, needed) in least.items():
        if given < needed:
            raise ValueError(f"{name} is {given}; give {needed} or more")
    drawn = recipes(
        max_layers=max_layers,
        cells=some_of("cell", CELLS if cells is None else cells, CELLS),
        readouts=some_of("readout", READOUTS if readouts is None else readouts, READOUTS),
        directions=some_of("direction", directions, DIRECTIONS),
        projections=projections,
        initial_states=initial_states,
        max_blocks=max_blocks if stacks else 0,
        embeddings=embeddings,
        max_size=max_size,
        max_classes=classes,
        families=some_of("family", families, WEIGHT_FAMILIES),
        scales=finite("scale", at_least_one("scales", scales)),
        awkward=finite("awkward number", awkward),
        mixed=mixed,
    )
    return drawn.map(ClassifierRecipe.build)


@st.composite
def recipes(
    draw: DrawFn,
    *,
    max_layers: int,
    cells: Sequence[str],
    readouts: Sequence[str],
    directions: Sequence[str],
    projections: bool,
    initial_states: bool,
    max_blocks: int,
    embeddings: bool,
    max_size: int,
    max_classes: int,
    families: Sequence[str],
    scales: Sequence[float],
    awkward: Sequence[float],
    mixed: bool,
) -> ClassifierRecipe:
    """The recipes behind `classifiers`, with the same options."""
    size = st.integers(1, max_size)
    inputs, classes = draw(size), draw(st.integers(2, max_classes))
    cell, way = draw(st.sampled_from(cells)), draw(st.sampled_from(directions))
    own = mixed and max_layers > 1 and draw(st.booleans())
    layer = layer_recipes(
        cells=cells if own else (cell,),
        directions=directions if own else (way,),
        sizes=size,
        outputs=st.integers(0, max_size - 1 if projections and "lstm" in cells else 0),
        started=st.booleans() if initial_states else st.just(False),
    )
    drawn = [draw(layer) for _ in range(max_layers)]
    first, count = draw(st.sampled_from(_parts(max_layers)))
    layers = tuple(drawn[first : first + count])
    blocks = st.lists(st.sampled_from(ACTIVATIONS) | size, max_size=max_blocks)
    before, after = (tuple(draw(blocks)) if max_blocks else () for _ in range(2))
    relu = any(layer.cell == "rnn_relu" for layer in layers)
    return ClassifierRecipe(
        inputs=inputs,
        classes=classes,
        layers=layers,
        readout=draw(st.sampled_from(readouts)),
        before=before,
        after=after,
        weights=draw(weight_recipes(families=families, scales=scales, awkward=awkward, relu=relu)),
        words=draw(st.just(0) | st.integers(1, 9)) if embeddings else 0,
    )


def _parts(most: int) -> list[tuple[int, int]]:
    """(first, count) of layers that are taken out of `most` drawn ones, every count as often, the fewest first.

    All are drawn whichever are taken: so an example shrinks in one step to any layer that fails by itself.
    """
    return [(k % (most - count + 1), count) for count in range(1, most + 1) for k in range(most)]


@st.composite
def layer_recipes(
    draw: DrawFn,
    *,
    cells: Sequence[str],
    directions: Sequence[str],
    sizes: SearchStrategy[int],
    outputs: SearchStrategy[int],
    started: SearchStrategy[bool],
) -> LayerRecipe:
    """One layer, by the same choices whatever it is, so that nothing behind it moves when an example shrinks.

    outputs: of a projection; 0, and what is no smaller than the layer, stands for none.
    """
    cell, way = draw(st.sampled_from(cells)), draw(st.sampled_from(directions))
    hidden, output = draw(sizes), draw(outputs)
    projected = cell == "lstm" and 0 < output < hidden
    return LayerRecipe(cell, hidden, way, output if projected else None, draw(started))


@st.composite
def weight_recipes(
    draw: DrawFn, *, families: Sequence[str], scales: Sequence[float], awkward: Sequence[float], relu: bool = False
) -> WeightRecipe:
    """How numbers are drawn. relu: for a network with ReLU cells, see RELU_SCALE."""
    family = draw(st.sampled_from(families))
    scale = draw(st.sampled_from(scales))
    return WeightRecipe(
        family=family,
        scale=min(scale, RELU_SCALE) if relu else scale,
        seed=draw(st.integers(0, MAX_SEED)),
        sparse=draw(st.booleans()),
        biased=draw(st.booleans()),
        awkward=draw(_replacements(awkward)) if awkward else (),
    )


def _replacements(numbers: Sequence[float]) -> SearchStrategy[tuple[tuple[int, float], ...]]:
    places = st.tuples(st.integers(0, 999), st.sampled_from(numbers))
    return st.just(()) | st.lists(places, max_size=3).map(tuple)

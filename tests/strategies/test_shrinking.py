"""Failures shrink to the smallest network and the simplest perturbation, and hunts are led towards violations."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from gpu_engine.inputs import FrameBalls, SequenceBall
from gpu_engine.model import GATES
from refcert.strategies import (
    ClassifierRecipe,
    LayerRecipe,
    Perturbation,
    PlaneBoxes,
    Sequences,
    boxes,
    classifiers,
    f64,
    input_sets,
    perturbations,
    planes,
    same,
    sequences,
    steer,
)


def smallest(strategy, condition, seed=None):
    """What a failing test of `not condition` ends with; seed: where the search starts, for laws that seldom fail."""
    kept = []

    @settings(database=None, max_examples=300, derandomize=seed is None, phases=[Phase.generate, Phase.shrink])
    @given(strategy)
    def law(value):
        if condition(value):
            kept[:] = [value]
            raise AssertionError

    law = law if seed is None else seeded(seed)(law)
    with pytest.raises(AssertionError):
        law()
    return kept[0]


def cells_of(model):
    return {direction.cell for layer in model.layers for direction in layer}


@pytest.mark.parametrize("cell", GATES)
def test_networks_shrink_to_one_layer_of_one_unit(cell):
    found = smallest(classifiers(max_layers=3, embeddings=True), lambda m: cell in cells_of(m))
    assert found.recipe == ClassifierRecipe(inputs=1, classes=2, layers=(LayerRecipe(cell, 1),))
    assert found.logits(f64([[[1.0]]])).shape == (1, 2)


def test_a_violation_that_needs_something_keeps_only_that():
    wide = smallest(classifiers(), lambda m: m.layers[0][0].hidden_size >= 3)
    assert wide.recipe == ClassifierRecipe(inputs=1, classes=2, layers=(LayerRecipe("rnn_tanh", 3),))
    both = smallest(classifiers(), lambda m: len(m.layers[-1]) == 2 and m.readout == "max")
    assert both.recipe == ClassifierRecipe(
        inputs=1, classes=2, layers=(LayerRecipe("rnn_tanh", 1, way="both"),), readout="max"
    )
    projected = smallest(classifiers(), lambda m: m.layers[0][0].weight_hr is not None)
    assert projected.recipe.layers == (LayerRecipe("lstm", 2, output=1),)


@st.composite
def attacked(draw, cells):
    model = draw(classifiers(cells=cells))
    inputs = draw(input_sets(model))
    return model, inputs, draw(perturbations(inputs))


@pytest.mark.parametrize(("cells", "seed"), [(("rnn_tanh", "lstm"), 0), (("gru",), 1)])
def test_a_law_that_reads_the_weights_shrinks_to_the_smallest_network(cells, seed):
    """Once it stuck at several units and inputs: with every size all numbers of the network were others."""

    def answers_differ(drawn):
        model, inputs, moved = drawn
        return not torch.equal(model.logits(inputs.center).argmax(-1), model.logits(moved.x).argmax(-1))

    model, inputs, moved = smallest(attacked(cells), answers_differ, seed)
    assert model.recipe == ClassifierRecipe(inputs=1, classes=2, layers=(LayerRecipe(cells[0], 1),))
    assert inputs.center.tolist() == [[[0.0]]]
    assert len(str(moved.x.item())) <= 4  # one digit


def test_of_two_layers_the_one_that_fails_is_kept():
    """Whichever it is: once a GRU behind a plain layer stayed behind it."""
    for k in (0, -1):
        found = smallest(classifiers(), lambda m, k=k: m.layers[k][0].cell == "gru_reset_before", seed=2)
        assert found.recipe.layers == (LayerRecipe("gru_reset_before", 1),)


def test_sequences_shrink_to_one_frame_of_zeros():
    assert same(smallest(sequences(), lambda s: True), Sequences(f64([[[0.0]]])))
    ragged = smallest(sequences(size=1), lambda s: s.lengths is not None)
    assert ragged.x.shape == (1, 2, 1)
    assert ragged.lengths.tolist() == [1]
    assert not ragged.x.any()


def test_input_sets_shrink_to_one_frame():
    found = smallest(input_sets(), lambda s: isinstance(s, SequenceBall) and s.radius.max() > 0.5)
    assert found.center.tolist() == [[[0.0]]]
    assert (found.radius.tolist(), found.p, found.clip, found.moves) == ([1.0], math.inf, None, None)


def test_perturbations_shrink_to_the_center_or_to_one_value_that_moves():
    inputs = FrameBalls(torch.zeros(1, 3, 4).double(), torch.full((1, 3), 0.75).double(), 2.0)
    assert smallest(perturbations(inputs), lambda p: True).way == "center"
    moved = smallest(perturbations(inputs), lambda p: p.x.abs().max() > 0.5)
    assert (moved.x != 0).sum() == 1
    assert len(str(moved.x.abs().max().item())) <= 5  # a few digits, not all


def test_boxes_and_planes_shrink_to_short_numbers():
    assert same(smallest(boxes(), lambda b: True), PlaneBoxes("sigmoid_times_tanh", ((0.0, 0.0),), ((0.0, 0.0),)))
    found = smallest(boxes(kinds=("tanh",)), lambda b: b.v[0][1] >= 2.0)
    assert len(found) == 1
    assert all(len(str(end)) <= 4 for end in found.v[0])
    plane = smallest(planes(kinds=("tanh",), sound=False), lambda p: True)
    assert (plane.claim.slope_v, plane.truth) == (0.0, "REFUTED")
    assert plane.claim.lower_v == plane.claim.upper_v


def test_find_works_with_a_law_of_a_network():
    found = find(classifiers(), lambda m: float(m.logits(torch.ones(1, 2, m.input_size).double()).max()) > 0.5)
    assert found.recipe.layers[0].hidden == 1
    assert len(found.layers) == 1


def _closest(steered: bool) -> float:
    best = [math.inf]

    @settings(database=None, max_examples=500, derandomize=True, phases=[Phase.generate, Phase.target])
    @given(st.lists(st.integers(0, 1000), min_size=4, max_size=4))
    def hunt(numbers):
        margin = float(sum(abs(n - 700) for n in numbers))
        best[0] = min(best[0], steer(margin, "distance") if steered else margin)

    hunt()
    return best[0]


def test_steering_leads_to_smaller_margins():
    assert _closest(steered=True) < _closest(steered=False)


def test_steering_may_be_called_anywhere_with_anything():
    assert steer(1.5) == 1.5  # outside of a test
    assert math.isnan(steer(math.nan))

    @settings(database=None, max_examples=3)
    @given(st.integers())
    def law(_):
        for margin in (1.0, math.inf, -math.inf, math.nan, 2.0):
            steer(margin, "one label")
        for _ in range(40):
            steer(0.0)

    law()


def test_a_perturbation_prints_as_itself():
    assert repr(Perturbation(f64([[[0.5]]]), "corner")) == "Perturbation(x=f64([[[0.5]]]), way='corner')"

"""Families are what their names say, everything named is drawn, and known truths are true."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions
from gpu_engine.spec import per_class
from refcert.kernel.claims import KINDS, Status
from refcert.kernel.plane_proof import check_plane
from refcert.reference.networks import logits
from refcert.strategies import (
    CELLS,
    INTERVAL_FAMILIES,
    ClassifierRecipe,
    LayerRecipe,
    PlaneBoxes,
    WeightRecipe,
    boxes,
    classifiers,
    f64,
    input_sets,
    intervals,
    perturbations,
    planes,
    questions,
    sequences,
    whole,
)
from refcert.strategies.membership import contains
from refcert.strategies.stream import BLOCK, Stream

IS = {
    "point": lambda low, high: low == high,
    "unit": lambda low, high: high - low <= 5 and abs(low) <= 20,
    "sign_crossing": lambda low, high: low < 0 < high,
    "zero_ended": lambda low, high: (low == 0) != (high == 0),
    "thin": lambda low, high: high - low <= 2e-9,
    "narrow": lambda low, high: high - low <= 0.1 + 1e-12,
    "wide": lambda low, high: high - low <= 20 + 1e-9,
    "huge": lambda low, high: high - low <= 2000 + 1e-9,
    "saturated": lambda low, high: low >= 10 or high <= -10,
    "spanning": lambda low, high: low <= -9.99 and high >= 9.99,
    "adjacent": lambda low, high: high == math.nextafter(low, math.inf),
    "tiny": lambda low, high: max(abs(low), abs(high)) <= 1e-9,
}


def test_every_family_has_a_condition_here():
    assert set(IS) == set(INTERVAL_FAMILIES)


@pytest.mark.parametrize("family", INTERVAL_FAMILIES)
@given(data=st.data())
@settings(max_examples=30)
def test_families_are_what_they_say(family, data):
    low, high = data.draw(intervals([family]))
    assert low <= high
    assert math.isfinite(high - low)
    assert IS[family](low, high)
    assert math.copysign(1, low) == 1 or low != 0


@pytest.mark.parametrize("sound", [True, False])
@given(data=st.data())
@settings(max_examples=60)
def test_the_truth_of_planes_is_what_the_kernel_finds(sound, data):
    drawn = data.draw(planes(sound=sound, moves=(0.3, 1e-3, 1e-6)))
    assert drawn.truth == ("PROVED" if sound else "REFUTED")
    assert (drawn.moved > 0) == sound
    assert check_plane(drawn.claim).status is Status(drawn.truth)


def test_touching_planes_are_drawn_without_a_truth():
    kinds, truths = set(), set()

    @settings(max_examples=120, database=None, phases=[Phase.generate], derandomize=True)
    @given(planes())
    def draw(plane):
        kinds.add((plane.claim.kind, plane.claim.side))
        truths.add((plane.truth, plane.moved > 0, plane.moved < 0))

    draw()
    assert kinds == {(kind, side) for kind in KINDS for side in ("lower", "upper")}
    assert truths == {("PROVED", True, False), ("REFUTED", False, True), ("", False, False)}


def test_octagons_are_drawn_where_they_are_asked_for_and_only_for_products():
    assert _products_and_octagons(False) == {(False, False), (True, False)}
    assert _products_and_octagons(True) == {(False, False), (True, False), (True, True)}


def _products_and_octagons(octagons):
    """Of planes drawn: is it one of a product, and on an octagon?"""
    found = set()

    @settings(max_examples=120, database=None, phases=[Phase.generate], derandomize=True)
    @given(planes(octagons=octagons))
    def draw(plane):
        found.add((plane.claim.kind.startswith("sigmoid_times"), plane.claim.diagonals is not None))

    draw()
    return found


@given(drawn=boxes(bulk=5, count=(2, 4)))
@settings(max_examples=40)
def test_boxes_are_columns_and_engine_boxes(drawn):
    low_v, high_v, low_z, high_z = drawn.columns()
    assert 7 <= len(drawn) == len(low_v) <= 9
    assert (low_v <= high_v).all()
    if not drawn.kind.startswith("sigmoid_times"):
        assert not low_z.any()
        assert not high_z.any()
    v, z = drawn.engine()
    assert torch.equal(v.lower, torch.tensor(low_v))
    assert torch.equal(z.upper, torch.tensor(high_z))


def test_all_kinds_and_norms_of_input_sets_are_drawn():
    kinds, norms, seen = set(), set(), set()

    @settings(max_examples=200, database=None, phases=[Phase.generate], derandomize=True)
    @given(input_sets())
    def draw(inputs):
        kinds.add(type(inputs).__mro__[2])
        if isinstance(inputs, FrameBalls | SequenceBall):
            norms.add(inputs.p)
            seen.update({("clip", inputs.clip is None), ("bound", inputs.clip_bound)})
            seen.add(("radius", bool((inputs.radius == 0).all()), bool((inputs.radius > 0).any())))
        if isinstance(inputs, SequenceBall) and inputs.moves is not None:
            seen.add("some frames stay" if not inputs.moves.all() else "all frames move")
        if isinstance(inputs, FrameBalls) and inputs.radius.unique().numel() > 1:
            seen.add("radii differ")
        if isinstance(inputs, Substitutions):
            seen.add("not allowed" if not inputs.allowed.all() else "allowed")
        if isinstance(inputs, Boxes):
            seen.add("no width" if bool((inputs.lower == inputs.upper).any()) else "width")

    draw()
    assert kinds == {FrameBalls, SequenceBall, Boxes, Substitutions}
    assert norms == {1.0, 1.5, 2.0, 3.0, math.inf}
    assert seen >= {("clip", True), ("clip", False), ("bound", "exact"), ("bound", "simple"), ("radius", True, False)}
    assert seen >= {"some frames stay", "radii differ", "not allowed", "allowed", "no width", "width"}


@given(data=st.data())
@settings(max_examples=20)
def test_input_sets_are_drawn_around_given_sequences(data):
    x = data.draw(sequences(clip=(0.0, 1.0), ragged=False)).x
    inputs = data.draw(input_sets(around=x, clips=((0.0, 1.0),), kinds=("frames", "sequence", "substitutions")))
    assert torch.equal(inputs.center, x)


def test_awkward_weights_are_drawn():
    missing = {"saturating", "smallest", "zeros", "tiny", "units", "no bias", "negative zero"}

    @settings(max_examples=150, database=None, phases=[Phase.generate], derandomize=True)
    @given(classifiers())
    def draw(model):
        values = torch.cat([value.reshape(-1) for value in model.named_weights().values()])
        size = values.abs()
        found = {
            "saturating": bool((size > 20).any()),
            "smallest": bool(((size > 0) & (size <= torch.finfo(torch.float32).tiny)).any()),
            "zeros": bool((values == 0).any()),
            "tiny": bool((model.layers[0][0].weight_ih.abs() < 1e-10).all()),
            "units": set(values.tolist()) <= {-1.0, 0.0, 1.0},
            "no bias": not bool(model.layers[0][0].bias_ih.any()),
            "negative zero": bool(((values == 0) & torch.signbit(values)).any()),
        }
        missing.difference_update(name for name, there in found.items() if there)

    draw()
    assert not missing


@given(model=classifiers(max_size=3, scales=(0.5, 0.1, 1.0)), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_the_references_network_is_the_engines(model, seed):
    x = torch.randn(3, model.input_size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    wanted = logits(model.recipe.reference(), x.numpy())
    torch.testing.assert_close(model.logits(x[None])[0], torch.tensor(wanted), rtol=1e-9, atol=1e-9)


@given(question=questions(max_size=3, time=(1, 2)))
@settings(max_examples=25)
def test_points_of_a_question_are_inside(question):
    points = question.points(many=4, steps=2)
    assert torch.equal(points[0], question.inputs.center)
    assert len(points) == 1 + 2 * 4 + 2 * question.spec.C.shape[1]
    assert all(contains(question.inputs, x) for x in points)


def test_numbers_from_a_seed_are_the_same_everywhere():
    """The reprs of networks rest on it: whole numbers of PCG64, then exact operations. Values of the first release."""
    stream = Stream(7, "weights")
    assert stream.normal(2, 2).tolist() == NORMAL
    assert stream.units(6).tolist() == UNITS
    assert stream.kept(6).tolist() == KEPT
    assert stream.normal(2, 2).tolist() != NORMAL
    many = Stream(0).normal(200, 100)
    assert abs(many.mean()) < 0.03
    assert abs(many.std() - 1) < 0.02
    assert np.abs(many).max() <= 6


def test_smaller_arrays_are_parts_of_larger_ones():
    for draw in (Stream.normal, Stream.units, Stream.kept):
        large = draw(Stream(3, "x"), 4, BLOCK, BLOCK - 1)
        for shape in ((1, 1, 1), (3, BLOCK, 2), (4, 2, BLOCK - 2)):
            part = tuple(slice(size) for size in shape)
            assert np.array_equal(draw(Stream(3, "x"), *shape), large[part])
        assert not np.array_equal(draw(Stream(3, "y"), 4, BLOCK, BLOCK - 1), large)


@pytest.mark.parametrize("cell", CELLS)
def test_a_unit_less_leaves_the_others_as_they_are(cell):
    """Each gate's leading rows and columns, of either direction; the head's columns of the units that are left."""
    large, small = (
        ClassifierRecipe(
            size,
            2,
            (LayerRecipe(cell, size, started=True),),
            weights=WeightRecipe("normal", seed=9, sparse=True, biased=True),
        ).build()
        for size in (3, 2)
    )
    gates = large.layers[0][0].weight_ih.shape[0] // 3
    wanted = {name: value.numpy() for name, value in small.named_weights().items()}
    for name, value in large.named_weights().items():
        if "weight_" in name or "bias_" in name:
            found = value.numpy().reshape(gates, 3, -1)[:, :2]
            assert np.array_equal(found[:, :, : 1 if "bias_" in name else 2].ravel(), wanted[name].ravel()), name
        elif name.endswith(("weight", "hidden", "cell")):
            assert np.array_equal(value.numpy()[..., :2], wanted[name]), name


@pytest.mark.parametrize("cell", CELLS)
def test_the_smallest_network_is_lively(cell):
    """One unit, seed 0: it reads its input and its state, and two classes answer differently; many laws fail on it."""
    model = ClassifierRecipe(1, 2, (LayerRecipe(cell, 1),)).build()
    direction = model.layers[0][0]
    assert bool((direction.weight_ih == 1).all() and (direction.weight_hh == 1).all())
    assert model.head.weight.tolist() == [[-1.0], [1.0]]
    still, moved, moved_before = (model.logits(f64([[[a], [b]]])) for a, b in ((0, 0), (0, 1), (1, 0)))
    assert not torch.equal(moved, still)
    assert not torch.equal(moved_before, still)


NORMAL = [[-0.7967327232879915, 0.48637505518364677], [1.602427648092752, 0.9450685632088605]]
UNITS = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]
KEPT = [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]


ONE_VALUE = ClassifierRecipe(1, 2, (LayerRecipe("gru", 1),)).build()
BALL = FrameBalls(f64([[[0.0, 0.0]]]), f64([[1.0]]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: intervals(["flat"]), "family is 'flat'; known: point, unit"),
        (lambda: intervals([]), "no family to draw from; give at least one"),
        (lambda: boxes(bulk=-1), "bulk is -1; give 0 or more"),
        (lambda: boxes(["relu6"]), "kind is 'relu6'; known: sigmoid_times_tanh"),
        (lambda: planes(["relu6"]), "kind is 'relu6'; known: "),
        (lambda: planes(moves=(1e-15,)), r"moves are \(1e-15,\); give shares of the plane's scale, 1e-12 or more"),
        (lambda: planes(moves=()), "no moves to draw from"),
        (lambda: classifiers(cells=["tcn"]), "cell is 'tcn'; known: rnn_tanh"),
        (lambda: classifiers(readouts=["sum"]), "readout is 'sum'; known: final"),
        (lambda: classifiers(max_layers=0), "max_layers is 0; give 1 or more"),
        (lambda: classifiers(max_classes=1), "max_classes is 1; give 2 or more"),
        (lambda: classifiers(scales=(1.0, math.inf)), "scale is inf; give finite numbers"),
        (lambda: classifiers(awkward=(0.0, math.nan)), "awkward number is nan; give finite numbers"),
        (lambda: input_sets(kinds=["ball"]), "kind is 'ball'; known: frames"),
        (lambda: input_sets(norms=(2.0, 0.5)), "norm is 0.5; give p >= 1 or inf"),
        (lambda: input_sets(radii=(0.0, -1.0)), "radius is -1.0; give finite numbers from 0 on"),
        (lambda: input_sets(clips=(None, (1.0, 0.0))), r"clip is \(1.0, 0.0\); give two finite numbers, the lower"),
        (lambda: input_sets(ONE_VALUE, around=f64([[[0.0, 1.0]]])), "around has 2 values a frame; the model reads 1"),
        (lambda: questions(sets=["ball"]), "kind is 'ball'; known: frames"),
        (lambda: sequences(clip=(math.nan, 1.0)), r"clip is \(nan, 1.0\); give two finite numbers"),
        (lambda: sequences(reaches=(1.0, math.inf)), "reach is inf; give finite numbers from 0 on"),
        (lambda: perturbations(BALL, ONE_VALUE), "the sets have 2 values a frame; the model reads 1"),
        (lambda: perturbations(BALL, None, per_class(whole([0]), 2)), "a specification and no model; give the model"),
        (lambda: PlaneBoxes("tanh", ((1.0, 0.0),), ((0.0, 0.0),)), "the lower end first"),
        (lambda: PlaneBoxes("cosh", (), ()), "kind is 'cosh'; known kinds"),
        (lambda: LayerRecipe("tcn", 1), "cell is 'tcn'; known: lstm"),
        (lambda: LayerRecipe("gru", 2, output=1), "only an LSTM has a projection"),
        (lambda: WeightRecipe(seed=-1), "the seed a whole number from 0 up"),
        (lambda: WeightRecipe(scale=math.nan), "numbers have to be finite"),
        (lambda: ClassifierRecipe(1, 2, (LayerRecipe("gru", 1),), readout="sum"), "readout is 'sum'; known: final"),
        (lambda: ClassifierRecipe(1, 2, (LayerRecipe("gru", 1),), after=("gelu",)), "activation is 'gelu'; known"),
        (lambda: sequences(batch=0).example(), "a size is 0; give a whole number from 1 on"),
    ],
)
@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_what_makes_no_sense_is_refused(make, message):
    """When the strategy is made, whichever of its choices an example would take."""
    with pytest.raises(ValueError, match=message):
        make()

"""What is drawn has a repr that rebuilds it to the last bit, in Hypothesis' own output as well."""

from __future__ import annotations

import ast
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import Specification, top_k
from refcert.strategies import (
    Classifier,
    ClassifierRecipe,
    LayerRecipe,
    WeightRecipe,
    boxes,
    classifiers,
    evaluable,
    f64,
    input_sets,
    intervals,
    perturbations,
    planes,
    questions,
    same,
    sequences,
    source,
)
from tests.strategies.evaluated import rebuilt

DRAWN = {
    "intervals": intervals(),
    "boxes": boxes(bulk=2),
    "planes": planes(),
    "planes on octagons": planes(octagons=True),
    "classifiers": classifiers(embeddings=True),
    "sequences": sequences(),
    "input_sets": input_sets(),
    "perturbations": input_sets().flatmap(perturbations),
    "questions": questions(max_size=3),
}


@pytest.mark.parametrize("name", DRAWN)
@given(data=st.data())
@settings(max_examples=30)
def test_reprs_rebuild_what_was_drawn(name, data):
    drawn = data.draw(DRAWN[name])
    again = rebuilt(repr(drawn))
    assert type(again) is type(drawn)
    assert repr(again) == repr(drawn)
    assert source(again) == source(drawn)


@given(model=classifiers(embeddings=True, max_layers=3))
@settings(max_examples=30)
def test_networks_are_rebuilt_with_the_same_digest_short_and_in_full(model):
    assert rebuilt(repr(model)).digest() == model.digest()
    copied = replace(model)  # knows no recipe
    assert copied.recipe is None
    in_full = rebuilt(repr(copied))
    assert in_full.digest() == model.digest()
    assert rebuilt(source(as_plain(model))).digest() == model.digest()


def as_plain(model):
    return RecurrentClassifier(model.layers, model.after, model.before, model.readout, model.embedding)


def test_a_network_that_was_changed_does_not_repeat_its_recipe():
    recipe = ClassifierRecipe(inputs=1, classes=2, layers=(LayerRecipe("lstm", 1),))
    model = recipe.build()
    assert model.recipe is recipe
    assert repr(model) == "ClassifierRecipe(inputs=1, classes=2, layers=(LayerRecipe(cell='lstm', hidden=1),)).build()"
    model.head.weight[0, 0] += 0.125
    assert model.recipe is None
    assert repr(model).startswith("Classifier(layers=")
    assert rebuilt(repr(model)).digest() == model.digest()


@given(model=classifiers(max_size=3), inputs=input_sets())
@settings(max_examples=20, phases=[Phase.generate], database=None)
def test_plain_values_become_evaluable(model, inputs):
    plain = inputs.select(slice(0, 1))
    assert same(rebuilt(source(plain)), evaluable(plain))
    assert type(inputs).__mro__[2] is type(plain)
    assert isinstance(model, Classifier)


@pytest.mark.parametrize("name", ["classifiers", "input_sets", "sequences", "perturbations", "boxes", "planes"])
def test_hypothesis_prints_what_can_be_evaluated(name):
    """Hypothesis prints dataclasses by itself; the failing example it shows is the source of the value."""
    seen = []

    @settings(database=None, max_examples=5, phases=[Phase.generate, Phase.shrink])
    @given(value=DRAWN[name])
    def fails(value):
        seen[:] = [value]
        raise AssertionError

    with pytest.raises(AssertionError) as caught:
        fails()
    (note,) = [note for note in caught.value.__notes__ if "value=" in note]
    call = ast.parse(note[note.index("fails(") :].strip(), mode="eval").body
    (argument,) = [keyword.value for keyword in call.keywords if keyword.arg == "value"]
    assert same(rebuilt(ast.unparse(argument)), seen[0])


def test_numbers_of_every_kind_are_exact():
    values = [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, 1 / 3]
    for dtype in (torch.float64, torch.float32):
        tensor = torch.tensor(values).to(dtype)
        again = rebuilt(source(tensor))
        assert again.dtype == dtype
        assert again.view(torch.uint8).tolist() == tensor.view(torch.uint8).tolist()
    for tensor in (torch.tensor([[True, False]]), torch.tensor([3, -1])):
        assert torch.equal(rebuilt(source(tensor)), tensor)
    assert rebuilt(source({"p": math.inf, "clip": (0.0,), "names": ["a", None, 3]}))["p"] == math.inf
    assert source(np.float64(0.5)) == "0.5"


def test_same_tells_values_apart():
    one = f64([0.0, 1.0])
    assert same(one, one.clone())
    assert not same(one, f64([-0.0, 1.0]))
    assert not same(one, one.float())
    assert not same(f64([1.0]), f64([math.nextafter(1.0, 2.0)]))


def test_rows_and_their_reading_are_kept():
    rows = top_k(torch.tensor([0, 1]), 2, 3)
    again = rebuilt(source(rows))
    assert isinstance(again, Specification)
    assert again.reading == rows.reading
    assert torch.equal(again.C, rows.C)


@pytest.mark.parametrize("value", [torch.zeros(1, dtype=torch.float16), object(), torch.nn.Linear(1, 1), WeightRecipe])
def test_what_has_no_source_is_refused(value):
    with pytest.raises(TypeError, match="has no source here; "):
        source(value)


def test_nothing_heavy_is_imported_with_the_package():
    script = (
        "import sys, refcert.strategies as s\n"
        "print([m for m in ('torch', 'hypothesis', 'scipy') if m in sys.modules])\n"
        "s.steer\nprint('torch' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["[]", "False"]


def test_an_unknown_name_is_an_attribute_error_with_the_known_ones():
    import refcert.strategies as package

    with pytest.raises(AttributeError, match=r"no attribute 'network'; it has .*classifiers"):
        _ = package.network
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None

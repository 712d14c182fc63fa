"""Membership is exact, the last float inside is the last, and no perturbation is outside."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions
from refcert.strategies import NORMS, WAYS, classifiers, contains, f64, flags, input_sets, last_inside, perturbations
from refcert.strategies.inside import own_answers
from refcert.strategies.membership import exactly

HUGE = (1e-300, 1e-16, 1.0, 1e150)


@given(inputs=input_sets())
def test_the_center_is_inside(inputs):
    assert contains(inputs, inputs.center)


@given(data=st.data(), inputs=input_sets(), factor=st.sampled_from(HUGE))
def test_every_perturbation_is_inside(data, inputs, factor):
    if isinstance(inputs, FrameBalls | SequenceBall):
        inputs = replace(inputs, radius=inputs.radius * factor)
    found = data.draw(perturbations(inputs))
    assert found.x.shape == inputs.center.shape
    assert contains(inputs, found.x)


@given(data=st.data(), model=classifiers(max_size=3))
@settings(max_examples=30)
def test_every_perturbation_by_gradient_is_inside(data, model):
    inputs = data.draw(input_sets(model, time=(1, 3)))
    found = data.draw(perturbations(inputs, model, ways=("gradient",)))
    assert found.way == "gradient"
    assert contains(inputs, found.x)


def test_perturbations_by_gradient_go_down():
    """Where the margin is linear: a network far from saturation, and steps that cannot overshoot."""

    @settings(max_examples=20, database=None)
    @given(st.data(), classifiers(cells=["rnn_tanh"], scales=(0.1,), stacks=False, awkward=(), readouts=("final",)))
    def law(data, model):
        inputs = data.draw(input_sets(model, radii=(1e-6,), clips=(None,), kinds=("frames", "boxes")))
        spec = own_answers(model, inputs.center)
        x = data.draw(perturbations(inputs, model, spec, ways=("gradient",))).x
        assert bool((margin(model, spec, x) <= margin(model, spec, inputs.center) + 1e-15).all())

    law()


def margin(model, spec, x):
    return spec.margins((spec.C @ model.logits(x)[:, :, None])[:, :, 0] + spec.d)


def test_all_ways_and_only_these_are_drawn():
    ball = FrameBalls(f64([[[0.0, 1.0]]]), f64([[0.5]]), 2.0)
    seen = set()

    @settings(max_examples=100, database=None, phases=[Phase.generate], derandomize=True)
    @given(data=st.data(), model=classifiers(max_size=2, stacks=False))
    def draw(data, model):
        inputs = ball if model.input_size == 2 else None
        seen.add(data.draw(perturbations(ball, model if inputs is not None else None)).way)

    draw()
    assert seen == set(WAYS)
    with pytest.raises(ValueError, match=r"ways are \('gradient',\); give some of center, .* and a model"):
        perturbations(ball, ways=("gradient",))
    with pytest.raises(ValueError, match="give some of center"):
        perturbations(ball, ways=("cornre",))


@given(data=st.data(), inputs=input_sets(kinds=("frames", "sequence", "boxes")), up=st.booleans())
@settings(max_examples=40)
def test_the_last_float_inside_is_the_last(data, inputs, up):
    x = data.draw(perturbations(inputs, ways=("corner", "uniform"))).x
    at = tuple(data.draw(st.integers(0, n - 1)) for n in x.shape)
    last = last_inside(inputs, x, at, up)
    assert contains(inputs, last)
    beyond = last.clone()
    beyond[at] = math.nextafter(last[at].item(), math.inf if up else -math.inf)
    assert not contains(inputs, beyond)
    assert last[at] >= x[at] if up else last[at] <= x[at]
    nearer = last_inside(inputs, x, at, up, back=1)
    assert contains(inputs, nearer)


def test_membership_sees_one_place_in_every_norm():
    """3-4-5 and its powers: the border itself is inside, the next float is not."""
    for p, point, radius in ((2.0, [3.0, 4.0], 5.0), (1.0, [0.75, -0.25], 1.0), (math.inf, [1.0, -1.0], 1.0)):
        ball = FrameBalls(f64([[[0.0, 0.0]]]), f64([[radius]]), p)
        x = f64([[point]])
        assert contains(ball, x)
        x[0, 0, 1] = math.nextafter(point[1], math.copysign(math.inf, point[1]))
        assert not contains(ball, x)
    for p in NORMS:
        ball = SequenceBall(f64([[[0.0], [0.0]]]), f64([0.1]), p)
        assert contains(ball, f64([[[0.1], [0.0]]]))
        assert not contains(ball, f64([[[math.nextafter(0.1, 1.0)], [0.0]]]))


def test_what_is_outside_is_said_to_be_outside():
    clipped = FrameBalls(f64([[[0.9]]]), f64([[0.5]]), clip=(0.0, 1.0))
    assert not contains(clipped, f64([[[1.1]]]))
    fixed = SequenceBall(f64([[[0.0], [0.0]]]), f64([1.0]), moves=flags([[True, False]]))
    assert contains(fixed, f64([[[1.0], [0.0]]]))
    assert not contains(fixed, f64([[[0.0], [5e-324]]]))
    zero = FrameBalls(f64([[[0.5]]]), f64([[0.0]]), 1.5)
    assert not contains(zero, f64([[[math.nextafter(0.5, 1.0)]]]))
    words = Substitutions(f64([[[0.0]]]), f64([[[[1.0], [2.0]]]]), flags([[[True, False]]]))
    assert contains(words, f64([[[1.0]]]))
    assert not contains(words, f64([[[2.0]]]))  # not allowed
    assert not contains(words, f64([[[0.5]]]))  # a mixture
    box = Boxes(f64([[[0.0]], [[0.0]]]), f64([[[1.0]], [[2.0]]]))
    assert contains(box, f64([[[1.0]], [[2.0]]]))
    assert not contains(box, f64([[[2.0]], [[1.0]]]))


@given(share=st.floats(0.0, 1.0), p=st.sampled_from((1.5, 2.5)))
@settings(max_examples=20)
def test_other_norms_are_those_of_the_definition(share, p):
    """Two coordinates at share and (1 - share^p)^(1/p): inside by a hair less, outside by a hair more."""
    other = (1.0 - share**p) ** (1 / p)
    ball = FrameBalls(f64([[[0.0, 0.0]]]), f64([[1.0]]), p)
    assert contains(ball, f64([[[share, other]]]) * (1 - 1e-12))
    assert not contains(ball, f64([[[share, other]]]) * (1 + 1e-12))


def test_points_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"x has shape \(1, 1\); points of these sets have \(1, 1, 1\)"):
        contains(FrameBalls(f64([[[0.0]]]), f64([[1.0]])), f64([[0.0]]))


def test_exact_values_are_fractions():
    found = exactly([[0.1, -0.0]])
    assert found[0, 0] == Fraction(0.1)
    assert found.shape == (1, 2)


def test_substitutions_have_no_border():
    words = Substitutions(f64([[[0.0]]]), f64([[[[1.0]]]]), flags([[[True]]]))
    assert torch.equal(last_inside(words, words.center, (0, 0, 0), True), words.center)

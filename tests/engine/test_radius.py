"""The radius search: what it reports was proved, and both ends mean what they say."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.search.radius import certified_radius, certified_scale, certified_sequence_radius, scaled_boxes
from gpu_engine.spec import targeted, untargeted
from refcert.strategies import classifiers

LSTMS = classifiers(
    cells=["lstm"], readouts=["final"], directions=["forward"], projections=False, initial_states=False, stacks=False
)


@given(model=LSTMS, seed=st.integers(0, 2**31), p=st.sampled_from([1.0, 2.0, math.inf]))
@settings(max_examples=12)
def test_both_ends_are_what_they_say(model, seed, p):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((3, 2, model.input_size), generator=generator, dtype=torch.float64)
    labels = model.logits(x).argmax(1)
    spec = untargeted(labels, model.classes)
    direction = torch.ones(3, 2, dtype=torch.float64)
    direction[0, 1] = 0.0
    radii = certified_radius(model, x, direction, spec, p=p, tolerance=0.01)
    assert radii.evaluations >= 3
    at_proved = certify(model, FrameBalls(x, radii.proved[:, None] * direction, p), spec)
    assert bool((at_proved.proved == (radii.margin > 0)).all())
    torch.testing.assert_close(at_proved.margin, radii.margin, rtol=1e-7, atol=1e-9)
    for k in range(3):
        proved, failed = float(radii.proved[k]), float(radii.failed[k])
        if proved == 0:
            # nothing above 0 was proved: not even the input, or the search closed in on 0
            assert failed <= 0.01 * failed or failed == 0 or not math.isinf(failed)
            continue
        assert bool(at_proved.proved[k])
        if math.isinf(failed):
            continue
        assert failed - proved <= 0.01 * failed * (1 + 1e-12)
        one = slice(k, k + 1)
        balls = FrameBalls(x[one], failed * direction[one], p)
        assert float(certify(model, balls, spec.select(one)).margin) <= 1e-9


@given(model=LSTMS, seed=st.integers(0, 2**31), p=st.sampled_from([1.0, 2.0, math.inf]))
@settings(max_examples=6)
def test_the_radius_of_the_whole_sequence(model, seed, p):
    """Proved at the radius, at most tolerance below a failure, and no smaller than with the same radius per frame."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((2, 3, model.input_size), generator=generator, dtype=torch.float64)
    spec = untargeted(model.logits(x).argmax(1), model.classes)
    moves = torch.tensor([[True, True, True], [False, True, True]])
    radii = certified_sequence_radius(model, x, spec, p=p, moves=moves, tolerance=0.01)
    margin = certify(model, SequenceBall(x, radii.proved, p, None, moves), spec).margin
    torch.testing.assert_close(margin, radii.margin, rtol=1e-7, atol=1e-9)
    narrow = radii.failed - radii.proved <= 0.01 * radii.failed
    assert bool((narrow | torch.isinf(radii.failed) | (radii.proved == 0)).all())
    if math.isinf(p):  # the same set as balls around the frames
        frames = certified_radius(model, x, moves.double(), spec, tolerance=0.01)
        torch.testing.assert_close(radii.proved, frames.proved, rtol=0.02, atol=0)


@given(model=LSTMS, seed=st.integers(0, 2**31))
@settings(max_examples=5)
def test_the_scale_of_boxes(model, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((2, 2, model.input_size), generator=generator, dtype=torch.float64)
    reach = torch.rand((2, *x.shape), generator=generator, dtype=torch.float64)
    boxes = Boxes(x - reach[0], x + reach[1])
    spec = untargeted(model.logits(x).argmax(1), model.classes)
    radii = certified_scale(model, boxes, spec, center=x, tolerance=0.01)
    margin = certify(model, scaled_boxes(boxes, x, radii.proved), spec).margin
    torch.testing.assert_close(margin, radii.margin, rtol=1e-7, atol=1e-9)
    close = torch.isinf(radii.failed) | (radii.failed - radii.proved <= 0.01 * radii.failed)
    assert bool((close | (radii.proved == 0)).all())


def test_cubes_scale_like_l_inf_balls():
    x = torch.tensor([[[0.25, 0.5], [0.75, 0.5]]], dtype=torch.float64)
    model = _sum_model()
    spec = untargeted(model.logits(x).argmax(1), 2)
    scale = certified_scale(model, Boxes(x - 0.5, x + 0.5), spec, tolerance=1e-6)
    ball = certified_radius(model, x, torch.ones(1, 2).double(), spec, tolerance=1e-6)
    assert math.isfinite(float(ball.failed))
    assert float(scale.proved) * 0.5 == pytest.approx(float(ball.proved), rel=1e-5)
    simple = certified_radius(model, x, torch.ones(1, 2).double(), spec, p=2.0, clip=(0.0, 1.0), clip_bound="simple")
    exact = certified_radius(model, x, torch.ones(1, 2).double(), spec, p=2.0, clip=(0.0, 1.0))
    assert 0 < float(simple.proved) <= float(exact.proved) * (1 + 1e-3)


def test_boxes_scale_only_about_a_point_of_theirs():
    x = torch.zeros(1, 2, 2, dtype=torch.float64)
    with pytest.raises(SpecificationError, match="give a point of every box"):
        certified_scale(_constant_model(), Boxes(x, x + 1), untargeted(torch.tensor([0]), 2), center=x - 1)


def _sum_model() -> RecurrentClassifier:
    """Class 1 if the frames' values are large enough."""
    generator = torch.Generator().manual_seed(4)
    weights = [torch.rand(s, generator=generator, dtype=torch.float64) for s in ((4, 2), (4, 1), (4,), (4,))]
    head = Dense(torch.tensor([[0.0], [1.0]]).double(), torch.tensor([0.3, 0.0]).double())
    return RecurrentClassifier(((Direction("lstm", *weights),),), (head,))


def _constant_model() -> RecurrentClassifier:
    """Always answers class 0: the head's weight is zero."""
    layer = Direction("lstm", *(torch.zeros(s, dtype=torch.float64) for s in ((4, 2), (4, 1), (4,), (4,))))
    head = Dense(torch.zeros(2, 1, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64))
    return RecurrentClassifier(((layer,),), (head,))


def test_a_constant_classifier_is_certified_up_to_the_largest_radius():
    x = torch.full((1, 2, 2), 0.5, dtype=torch.float64)
    spec = untargeted(torch.tensor([0]), 2)
    radii = certified_radius(_constant_model(), x, torch.ones(1, 2).double(), spec, clip=(0.0, 1.0))
    assert float(radii.proved) == 1.0
    assert math.isinf(float(radii.failed))


def test_a_misclassified_sample_has_radius_zero():
    x = torch.full((1, 2, 2), 0.5, dtype=torch.float64)
    spec = untargeted(torch.tensor([1]), 2)
    radii = certified_radius(_constant_model(), x, torch.ones(1, 2).double(), spec)
    assert float(radii.proved) == 0.0
    assert float(radii.failed) == 0.0
    assert float(radii.margin) == pytest.approx(-1.0, abs=1e-12)


def test_the_untargeted_radius_is_the_least_targeted_one(shared_digits):
    model, x, labels = shared_digits
    direction = torch.ones(x.shape[:2], dtype=torch.float64)
    options = Options()
    whole = certified_radius(model, x, direction, untargeted(labels, 10), clip=(0.0, 1.0), options=options)
    sample = torch.arange(len(x)).repeat_interleave(9)
    targets = (labels[sample] + torch.arange(1, 10).repeat(len(x))) % 10
    spec = targeted(labels[sample], targets, 10)
    radii = certified_radius(model, x[sample], direction[sample], spec, clip=(0.0, 1.0), options=options)
    torch.testing.assert_close(whole.proved, radii.proved.view(-1, 9).amin(1), rtol=2e-3, atol=0)


@pytest.fixture
def shared_digits():
    from gpu_engine.loading import load_model
    from refcert.app.datasets import load_sequences
    from refcert.app.pretrained import pretrained_path

    model = load_model(pretrained_path("digits_lstm"))
    data = load_sequences("digits", input_size=8, count=3, classes=10)
    return model, torch.from_numpy(data.x), torch.from_numpy(data.labels)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"tolerance": 0.0}, "0.0"),
        ({"tolerance": math.nan}, "nan"),
        ({"largest": -1.0}, "-1.0"),
        ({"largest": math.inf}, "inf"),
        ({"direction": torch.ones(1, 3).double()}, "(1, 3)"),
        ({"direction": -torch.ones(1, 2).double()}, "(1, 2)"),
        ({"p": 0.3}, "0.3"),
    ],
)
def test_bad_questions_show_the_value(change, shown):
    good = {"center": torch.zeros(1, 2, 2).double(), "direction": torch.ones(1, 2).double()}
    with pytest.raises(SpecificationError) as caught:
        certified_radius(_constant_model(), specification=untargeted(torch.tensor([0]), 2), **(good | change))
    assert shown in str(caught.value)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"relaxation": "magic"}, "'magic'"),
        ({"dtype": "float16"}, "'float16'"),
        ({"chunk": 0}, "0"),
        ({"device": "cuda:77"}, "cuda:77"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_bad_options_show_the_value(change, shown):
    with pytest.raises(SpecificationError) as caught:
        Options(**change)
    assert shown in str(caught.value)


def test_labels_out_of_range_and_own_targets_are_refused():
    with pytest.raises(SpecificationError, match=r"labels\[1\] is 7"):
        untargeted(torch.tensor([0, 7]), 3)
    with pytest.raises(SpecificationError, match="its own label"):
        targeted(torch.tensor([1]), torch.tensor([1]), 3)

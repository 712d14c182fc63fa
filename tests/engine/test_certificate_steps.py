"""Every step of a certificate follows by its rule, for networks and input sets of every kind, and says what is true.

Held against the specification's own text (`certificate_program`, `certificate_replay`): a wrong number of a variable, a
wrong unit or a wrong set of planes cannot pass.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.bounds import Plane, PlanePair
from gpu_engine.cells.unroll import unroll
from gpu_engine.certificates.network import Network
from gpu_engine.certificates.steps import steps_of, variables_of
from gpu_engine.certificates.writer import MARGIN_SHARE, Certificates
from gpu_engine.inputs import FrameBalls, SequenceBall
from gpu_engine.model import GATES, READOUTS, Activation, Dense, Direction, RecurrentClassifier
from gpu_engine.relaxations.registry import BEST, RELAXATIONS
from gpu_engine.search.certify import Options
from gpu_engine.spec import Specification, matrix
from gpu_engine.steps import Input, Nonlinear
from refcert.strategies import Question, classifiers, questions
from tests.engine.certificate_cases import batches, certificates, lower_bounds, proved, stored
from tests.engine.certificate_files import real
from tests.engine.certificate_program import Affine, Frame, arguments, function, program, values
from tests.engine.certificate_replay import both_planes, follow, precise

SMALL = {"time": (1, 3), "max_size": 3, "scales": (0.5, 0.1, 1.0, 3.0)}
NAMES = (*RELAXATIONS, "best")


def without_cut(question: Question) -> Question:
    """Balls of p < infinity that no range cuts: the least value on a cut one has no closed form to compare with."""
    inputs = question.inputs
    if isinstance(inputs, FrameBalls | SequenceBall) and not math.isinf(inputs.p):
        inputs = dataclasses.replace(inputs, clip=None)
    return dataclasses.replace(question, inputs=inputs)


def written(question: Question, options: Options):
    """The question with rows that are proved, its certificates, and the network's structure and weights."""
    lower = lower_bounds(question.model, question.inputs, question.spec, options)
    question = dataclasses.replace(question, spec=proved(question.spec, lower))
    found = certificates(question.model, question.inputs, question.spec, options)
    assert len(found) == len(question.inputs)
    return question, found, stored(question.model)


@settings(max_examples=25)
@given(questions(**SMALL), st.sampled_from(NAMES), st.sampled_from(("float64", "float32")))
def test_every_claim_follows_by_its_rule(drawn, name, dtype):
    _, found, network = written(without_cut(drawn), Options(name, dtype))
    with precise():
        for file in found.values():
            assert [claim for claim in follow(file, *network)[1] if not claim.holds] == []


@settings(max_examples=25)
@given(questions(**SMALL), st.sampled_from(NAMES))
def test_every_claim_is_true_of_the_networks_values(drawn, name):
    question, found, network = written(drawn, Options(name))
    x = question.points(many=1, steps=1).numpy()
    with precise():
        for sample, file in found.items():
            own = program(*network, x.shape[2])
            for point in x[:, sample]:
                check_values(file, own, values(own, point))


def check_values(file, own, known):
    """Boxes and diagonals hold the values, planes lie below and above them, and the rows reach the margin."""
    for position, step in enumerate(file.body["steps"][:-1]):
        tensor, variable = file.tensors[f"step.{position}"], own.variables[step["of"]]
        assert tensor.shape[1] == variable.size
        if step["rule"] == "diagonals":
            for unit, ends in enumerate(tensor.T.tolist()):
                v, z = arguments(variable.parts[step["part"]], unit, known)
                assert all(bool(end <= total) for end, total in zip(ends[::2], (v + z, v - z), strict=True))
                assert all(bool(total <= end) for end, total in zip(ends[1::2], (v + z, v - z), strict=True))
            continue
        if step["rule"] != "planes":
            ends = zip(tensor[0].tolist(), known[step["of"]], tensor[1].tolist(), strict=True)
            assert all(bool(low <= value) and bool(value <= high) for low, value, high in ends)
            continue
        part = variable.parts[step["part"]]
        lower, upper = both_planes(tensor, part.z is not None)
        for unit in range(variable.size):
            v, z = arguments(part, unit, known)
            below, above = (height(plane, unit, v, z) for plane in (lower, upper))
            value = function(part.kind, v, z)
            assert not bool(below > value)
            assert not bool(above < value)
    outputs = [value for answer in own.answers for value in known[answer]]
    for row, d in zip(file.tensors["rows.C"], file.tensors["rows.d"], strict=True):
        value = sum((float(c) * y for c, y in zip(row, outputs, strict=True)), arb(float(d)))
        assert bool(value >= real(file.body["margin"]))


def height(plane, unit, v, z):
    slope_v, slope_z, offset = (float(row[unit]) for row in plane)
    return slope_v * v + slope_z * (0 if z is None else z) + offset


@given(classifiers(), st.integers(1, 4))
def test_numbers_of_variables_are_those_of_the_specification(model, time):
    """Sizes, kinds and sources of every variable, for all cells, directions, readouts, blocks and initial states."""
    tape = unroll(model, time)
    numbers = variables_of(tape, time)
    own = program(model.structure(), {name: value.numpy() for name, value in model.named_weights().items()}, time)
    assert sorted(numbers) == list(range(len(own.variables)))
    for step, number in zip(tape.steps, numbers, strict=True):
        variable = own.variables[number]
        assert variable.size == step.size
        if isinstance(step, Input):
            assert variable == Frame(step.t, step.size)
        elif isinstance(step, Nonlinear):
            assert [
                (
                    part.kind,
                    (numbers[part.v.step], part.v.start),
                    None if part.z is None else (numbers[part.z.step], part.z.start),
                    -1 if part.negate else 1,
                )
                for part in step.parts
            ] == [(part.kind, part.v, part.z, part.sign) for part in variable.parts]
        else:
            assert isinstance(variable, Affine)
            assert sorted(numbers[term.source.step] for term in step.terms) == sorted(k for k, _ in variable.terms)
    assert [numbers[view.step] for view in tape.outputs] == own.answers


def small_model(cell="lstm", readout="final", directions=1, after=(), hidden=2, seed=0):
    """3 inputs, 3 classes; after: blocks in front of the head."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return torch.tensor(rng.normal(0, 0.5, shape))

    rows = GATES[cell] * hidden
    layer = tuple(
        Direction(cell, normal(rows, 3), normal(rows, hidden), normal(rows), normal(rows), reverse=bool(j))
        for j in range(directions)
    )
    sizes = [block.weight.shape[0] for block in after if isinstance(block, Dense)]
    head = Dense(normal(3, sizes[-1] if sizes else hidden * directions), normal(3))
    return RecurrentClassifier((layer,), (*after, head), readout=readout)


def balls(batch=1, time=3, radius=0.1, seed=0):
    center = torch.tensor(np.random.default_rng(seed).normal(0, 1, (batch, time, 3)))
    return FrameBalls(center, torch.full((batch, time), radius).double())


def one_row(batch: int, outputs: int = 3) -> Specification:
    """A row that is always 1 or more: a constant."""
    return matrix(torch.zeros(1, outputs, dtype=torch.float64), torch.ones(1, dtype=torch.float64), batch=batch)


def steps_by_rule(file):
    found = {}
    for step in file.body["steps"]:
        found.setdefault(step["rule"], []).append(step)
    return found


def test_an_lstm_certificate_step_by_step():
    """What the text says for two frames: gates 2 and 5, cells 3 and 6, hidden states 4 and 7, the answer 8."""
    (file,) = certificates(small_model(), balls(time=2), one_row(1)).values()
    planes = [
        (2, "box.interval"),
        *[(3, "planes"), (3, "box.intersection"), (4, "planes")],
        (5, "box.intersection"),
        *[(6, "planes"), (6, "planes"), (6, "box.intersection"), (7, "planes")],
    ]
    steps = file.body["steps"]
    assert [(step["of"], step["rule"]) for step in steps[:-1]] == planes
    assert [step["part"] for step in steps if step["rule"] == "planes"] == [0, 0, 0, 1, 0]
    assert steps[-1] == {"rule": "margin", "sets": [0]}
    assert [len(file.tensors[f"step.{k}"]) for k in range(len(planes))] == [2, 5, 2, 5, 2, 5, 5, 2, 5]


@pytest.mark.parametrize("name", NAMES)
def test_every_relaxation_has_a_set_of_planes_and_boxes_name_all_of_them(name):
    (file,) = certificates(small_model(), balls(), one_row(1), Options(name)).values()
    sets = list(range(len(BEST) if name == "best" else 1))
    rules = steps_by_rule(file)
    assert all(step["sets"] == sets for rule in ("box.intersection", "margin") for step in rules[rule])
    keys = [(step["of"], step["part"], step["set"]) for step in rules["planes"]]
    assert sorted(keys) == sorted({(of, part, which) for of, part, _ in keys for which in sets})


@pytest.mark.parametrize(("name", "rows"), [("parallel", {5}), ("planes", {6}), ("constants", {5}), ("best", {5, 6})])
def test_planes_with_one_slope_in_the_state_are_written_with_it_once(name, rows):
    (file,) = certificates(small_model(), balls(), one_row(1), Options(name)).values()
    found = [k for k, step in enumerate(file.body["steps"]) if step["rule"] == "planes"]
    assert {len(file.tensors[f"step.{k}"]) for k in found} == rows


def test_slopes_that_differ_in_the_sign_of_zero_are_written_twice():
    """The five rows would claim one bit pattern for both; the planes are the same, the rule is not to guess."""
    (batch,) = batches(small_model(), balls(), one_row(1), Options("constants"))
    products = []
    for product in batch.bounds.products:
        upper = product.planes.upper
        minus = Plane(upper.slope_v, -torch.zeros_like(upper.slope_z), upper.offset)
        products.append(dataclasses.replace(product, planes=PlanePair(product.planes.lower, minus)))
    changed = dataclasses.replace(batch.bounds, products=tuple(products))
    steps = steps_of(unroll(batch.model, 3), 3, changed)
    assert {len(step.of(0)) for step in steps if step.body["rule"] == "planes"} == {6}


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("readout", READOUTS)
def test_nothing_is_written_that_the_outputs_do_not_depend_on(cell, readout):
    """Of a backward direction whose last frame is read, the frames behind it have neither planes nor boxes."""
    time, model = 3, small_model(cell, readout, directions=2, after=(Activation("tanh"),))
    tape = unroll(model, time)
    numbers = variables_of(tape, time)
    (file,) = certificates(model, balls(time=time), one_row(1, model.outputs(time))).values()
    used = {step["of"] for step in file.body["steps"][:-1]}
    behind = {
        number
        for step, number in zip(tape.steps, numbers, strict=True)
        if "backward" in step.place.suffix and step.place.t < time - 1
    }
    assert behind
    assert used.isdisjoint(behind) == (readout == "last_frame")


def test_boxes_that_only_unneeded_nonlinearities_read_are_kept_where_others_rest_on_them():
    """A backward state at the last frame: the next frame reads it, which nobody needs, and so does the tanh behind."""
    joined = Dense(torch.tensor([[0.0, 0.0, 1.0, 1.0]]).double(), torch.zeros(1).double())
    model = small_model("gru", "last_frame", 2, (joined, Activation("tanh")), seed=5)
    (file,) = certificates(model, balls(radius=2.0), one_row(1)).values()
    with precise():
        assert [claim for claim in follow(file, *stored(model))[1] if not claim.holds] == []


def test_ragged_batches_have_certificates_of_their_own_lengths():
    lengths = torch.tensor([3, 1, 2, 3])
    model, inputs = small_model(), balls(batch=4)
    found = certificates(model, inputs, one_row(4), Options(chunk=3), lengths)
    assert sorted(found) == [0, 1, 2, 3]
    for sample, file in found.items():
        length = int(lengths[sample])
        assert file.body["about"]["sample"] == str(sample)
        assert np.array_equal(file.tensors["center"], inputs.center[sample, :length].numpy())
        alone = certificates(model, inputs.select(slice(sample, sample + 1)).first_frames(length), one_row(1))[0]
        assert alone.body["steps"] == file.body["steps"]
        for name, value in alone.tensors.items():
            np.testing.assert_allclose(file.tensors[name], value, rtol=1e-12)


def test_numbers_are_the_engines_own():
    """Boxes and planes exactly, and the margin as said: what is proved is what was computed."""
    model, inputs = small_model(), balls(batch=2)
    spec = one_row(2)
    (batch,) = batches(model, inputs, spec, Options("planes"))
    written = Certificates(batch, Network(model, "n"))
    assert written.margins == tuple((spec.margins(batch.bounds.lower) * MARGIN_SHARE).tolist())
    first = batch.bounds.products[0]
    rows = torch.stack(
        [part for plane in (first.planes.lower, first.planes.upper) for part in dataclasses.astuple(plane)], 1
    )
    found = next(step for step in written._steps if step.body["rule"] == "planes")
    for sample in range(2):
        assert torch.equal(found.of(sample), rows[sample])
    boxes = [step for step in written._steps if step.body["rule"].startswith("box")]
    assert len(boxes) == len(batch.bounds.boxes)
    for step, (_, box) in zip(boxes, sorted(batch.bounds.boxes.items()), strict=True):
        assert torch.equal(step.values, torch.stack((box.lower, box.upper), 1))


def test_a_sound_margin_above_the_exact_substitution_is_claimed_with_its_share():
    """The lemma charges rounding to boxes, a certificate substitutes planes, and planes can leave their boxes.

    Here they leave them by a factor of 10^9 within 40 frames, and the head's weights 1, 2^-54 and -1 cancel in floating
    point but not exactly: the engine's margin is sound and 1.7e-8 above what the exact substitution gives.
    """
    recurrent = [torch.tensor(value).double() for value in ([[1.0]], [[30.0]], [0.0], [0.0])]
    copies = Dense(torch.ones(3, 1).double(), torch.zeros(3).double())
    head = Dense(torch.tensor([[1.0, 2.0**-54, -1.0], [0.0, 0.0, 0.0]]).double(), torch.tensor([1.0, 0.0]).double())
    model = RecurrentClassifier(((Direction("rnn_tanh", *recurrent),),), (copies, head))
    inputs = FrameBalls(torch.zeros(1, 40, 1).double(), torch.full((1, 40), 5.0).double())
    spec = matrix(torch.tensor([[1.0, -1.0]]).double(), batch=1)
    (file,) = certificates(model, inputs, spec, Options("planes")).values()
    with precise():
        assert [claim for claim in follow(file, *stored(model))[1] if not claim.holds] == []


def test_too_many_sets_or_units_are_refused():
    (batch,) = batches(small_model(), balls(), one_row(1))
    with pytest.raises(ValueError, match="1025 sets"):
        steps_of(unroll(batch.model, 3), 3, dataclasses.replace(batch.bounds, row_sets=(1024,)))

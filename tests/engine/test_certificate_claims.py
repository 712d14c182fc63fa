"""What a certificate claims: the input set, the question and the margin as they were asked, and the claim's digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpu_engine.certificates.container import CertificateError
from gpu_engine.certificates.input_sets import input_section
from gpu_engine.certificates.network import Network
from gpu_engine.certificates.questions import question
from gpu_engine.certificates.writer import MARGIN_SHARE, Certificates
from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.search.certify import certify
from gpu_engine.spec import (
    KthLeast,
    LabelAgainstOthers,
    Specification,
    Steps,
    matrix,
    per_class,
    targeted,
    top_k,
    untargeted,
    untargeted_steps,
)
from tests.engine.certificate_cases import batches, certificates, stored
from tests.engine.certificate_files import real
from tests.engine.certificate_replay import follow, precise
from tests.engine.input_sets import input_sets

LABEL, CLASSES = 1, 3


def model_for(size: int, readout: str = "final", classes: int = CLASSES, lead: float = 20.0) -> RecurrentClassifier:
    """A vanilla network whose output LABEL leads all others, and those above it lie a little lower."""
    rng = np.random.default_rng(1)
    layer = Direction("rnn_tanh", *(torch.tensor(rng.normal(0, 0.4, shape)) for shape in ((2, size), (2, 2), 2, 2)))
    bias = -torch.arange(classes, dtype=torch.float64)
    bias[LABEL] = lead
    return RecurrentClassifier(
        ((layer,),), (Dense(torch.tensor(rng.normal(0, 0.5, (classes, 2))), bias),), readout=readout
    )


def ball(batch: int = 1, time: int = 2, size: int = 2, radius: float = 0.125) -> FrameBalls:
    center = torch.tensor(np.random.default_rng(0).normal(0, 1, (batch, time, size)))
    return FrameBalls(center, torch.full((batch, time), radius).double())


# input sets


def members_of(inputs: dict, tensors: dict) -> dict:
    """The set as the text reads it, in one form for all kinds, to be compared with the engine's own set."""
    plain = {"kind": inputs["kind"], **tensors}
    if "p" in inputs:
        plain["p"] = math.inf if inputs["p"] == "inf" else real(inputs["p"])
        plain["clip"] = tuple(real(end) for end in inputs["clip"]) if "clip" in inputs else None
    if inputs["kind"] == "sequence_ball":
        plain["moves"] = np.isin(np.arange(len(tensors["center"])), inputs.get("moves", range(len(tensors["center"]))))
    if inputs["kind"] == "substitutions":
        ends = np.cumsum([0, *inputs["counts"]])
        of_frames = [tensors["candidates"][a:b] if b > a else np.zeros((0, 0)) for a, b in pairwise(ends)]
        plain["candidates"] = of_frames
    return plain


@given(input_sets())
def test_the_set_that_is_written_is_the_one_that_was_asked_about(inputs):
    model = model_for(inputs.center.shape[2])
    found = certificates(model, inputs, matrix(torch.zeros(1, CLASSES).double(), torch.ones(1).double(), batch=2))
    assert sorted(found) == [0, 1]
    for sample, file in found.items():
        own = {name: value for name, value in file.tensors.items() if not re.match("step|rows", name)}
        plain = members_of(file.body["inputs"], own)
        if isinstance(inputs, Boxes):
            assert plain.keys() == {"kind", "lower", "upper"}
            assert np.array_equal(plain["lower"], inputs.lower[sample])
            assert np.array_equal(plain["upper"], inputs.upper[sample])
            continue
        assert np.array_equal(plain["center"], inputs.center[sample])
        if isinstance(inputs, Substitutions):
            for t, candidates in enumerate(plain["candidates"]):
                allowed = inputs.candidates[sample, t][inputs.allowed[sample, t]].numpy()
                assert np.array_equal(candidates.reshape(allowed.shape), allowed)
            continue
        assert (plain["p"], plain["clip"]) == (inputs.p, inputs.clip)
        assert np.array_equal(plain["radius"], np.atleast_1d(inputs.radius[sample]))
        if isinstance(inputs, SequenceBall):
            moves = np.ones(inputs.time, dtype=bool) if inputs.moves is None else inputs.moves[sample].numpy()
            assert np.array_equal(plain["moves"], moves)


def test_every_sample_has_its_own_radius():
    center = ball(3).center
    inputs = SequenceBall(center, torch.tensor([0.25, 0.5, 0.125]).double())
    assert [input_section(inputs, k).tensors["radius"].tolist() for k in range(3)] == [[0.25], [0.5], [0.125]]


def test_numbers_of_the_body_are_written_in_full():
    """p = 2 and the ends of a clip range are not integers by need, a negative zero is zero."""
    inputs = dataclasses.replace(ball(), center=torch.zeros(1, 2, 2).double(), p=2, clip=(-0.0, 1))
    body = input_section(inputs, 0).body
    assert body == {
        "kind": "frame_balls",
        "p": "0x1.0000000000000p+1",
        "clip": ["0x0.0p+0", "0x1.0000000000000p+0"],
    }


def test_more_frames_than_the_format_allows_are_refused():
    with pytest.raises(CertificateError, match="65537 frames"):
        input_section(Boxes(torch.zeros(1, 2**16 + 1, 1).double(), torch.ones(1, 2**16 + 1, 1).double()), 0)


# questions

ONE = torch.tensor([LABEL])
QUESTIONS = {
    "untargeted": (untargeted(ONE, CLASSES), {"kind": "untargeted", "label": LABEL}, "margin"),
    "targeted": (targeted(ONE, torch.tensor([2]), CLASSES), {"kind": "targeted", "label": 1, "target": 2}, "margin"),
    "top_k": (top_k(ONE, 2, CLASSES), {"kind": "top_k", "label": LABEL, "k": 2}, "margin"),
    "top_1": (top_k(ONE, 1, CLASSES), {"kind": "top_k", "label": LABEL, "k": 1}, "margin"),
    "per_class": (per_class(ONE, CLASSES), {"kind": "untargeted", "label": LABEL}, "margin.per_class"),
    "rows": (matrix(torch.tensor([[0.0, 2.0, -1.0]]).double(), batch=1), {"kind": "rows"}, "margin"),
    "shifted": (
        Specification(untargeted(ONE, CLASSES).C, torch.ones(1, CLASSES - 1).double()),
        {"kind": "rows"},
        "margin",
    ),
}


def against_one(target: int) -> Specification:
    """The label's output from below against one class from above, as the paper's criterion bounds them."""
    rows = per_class(ONE, CLASSES)
    C = rows.C[:, [0, 1 + target - (target > LABEL)]]
    return Specification(C, torch.zeros(1, 2).double(), rows.reading)


for _target in (0, 2):
    QUESTIONS[f"per_class against {_target}"] = (
        against_one(_target),
        {"kind": "targeted", "label": LABEL, "target": _target},
        "margin.per_class",
    )


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_have_their_names_and_their_margins_follow(name):
    spec, expected, rule = QUESTIONS[name]
    model, inputs = model_for(2), ball()
    (file,) = certificates(model, inputs, spec).values()
    assert file.body["specification"] == expected
    assert file.body["steps"][-1]["rule"] == rule
    if expected["kind"] == "rows":
        assert np.array_equal(file.tensors["rows.C"], spec.C[0])
        assert np.array_equal(file.tensors["rows.d"], spec.d[0])
    with precise():
        claims = [claim for claim in follow(file, *stored(model))[1] if claim.rule == rule]
        assert claims
        assert all(claim.holds for claim in claims)
        assert not all(claim.claimed * 2 < claim.shown for claim in claims)


def test_top_k_claims_the_margin_of_the_class_that_counts():
    """The label is beaten by one class and beats the other: a certificate of the best two, none of the best one."""
    model, inputs = model_for(2, lead=-0.7), ball(radius=0.001)
    assert not certificates(model, inputs, untargeted(ONE, CLASSES))
    (file,) = certificates(model, inputs, top_k(ONE, 2, CLASSES)).values()
    with precise():
        (claim,) = [claim for claim in follow(file, *stored(model))[1] if claim.rule == "margin"]
        assert claim.holds


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_label_for_every_frame_up_to_the_sequences_end(length):
    model, inputs, lengths = model_for(2, "every"), ball(time=3), torch.tensor([length])
    labels = torch.tensor([[1, 1, 1]])
    (file,) = certificates(model, inputs, untargeted_steps(labels, CLASSES, lengths), None, lengths).values()
    assert file.body["specification"] == {"kind": "untargeted_steps", "labels": [1] * length}
    with precise():
        claims = follow(file, *stored(model))[1]
        assert all(claim.holds for claim in claims)
        assert sum(claim.rule == "margin" for claim in claims) == length * (CLASSES - 1)


def test_labels_of_frames_are_told_apart():
    labels = torch.tensor([[2, 0, 1]])
    asked = question(untargeted_steps(labels, CLASSES), 0, model_for(2, "every"), 3)
    assert asked.section.body == {"kind": "untargeted_steps", "labels": [2, 0, 1]}


def test_rows_over_every_frame_are_rows():
    """Also where they have the form of a question about one label: that is none for a network with many answers."""
    model = model_for(2, "every")
    assert question(untargeted(ONE, CLASSES), 0, model, 1).section.body == {"kind": "rows"}
    changed = untargeted_steps(torch.tensor([[1, 1]]), CLASSES)
    changed.C[0, -1, 0] = 0.5
    assert question(changed, 0, model, 2).section.body == {"kind": "rows"}
    fewer = Specification(torch.ones(1, 2, 3 * CLASSES).double(), torch.zeros(1, 2).double(), Steps(1))
    assert question(fewer, 0, model, 3).section.body == {"kind": "rows"}


UNNAMED = {
    "k of rows": Specification(torch.eye(CLASSES).double()[None], torch.zeros(1, CLASSES).double(), KthLeast(2)),
    "k of shifted rows": dataclasses.replace(top_k(ONE, 2, CLASSES), d=torch.ones(1, 2).double()),
    "label of rows": Specification(
        torch.eye(CLASSES).double()[None], torch.zeros(1, CLASSES).double(), LabelAgainstOthers()
    ),
    "label of shifted rows": dataclasses.replace(per_class(ONE, CLASSES), d=torch.ones(1, CLASSES).double()),
}


@pytest.mark.parametrize("name", UNNAMED)
def test_readings_of_rows_without_a_name_are_refused(name):
    with pytest.raises(CertificateError, match="no name for this question"):
        question(UNNAMED[name], 0, model_for(2), 2)


@pytest.mark.parametrize("spec", [top_k(ONE, 2, CLASSES), per_class(ONE, CLASSES)], ids=["top_k", "per_class"])
def test_questions_about_one_label_are_refused_where_every_frame_is_answered(spec):
    with pytest.raises(CertificateError, match="no name for this question"):
        question(spec, 0, model_for(2, "every"), 1)


# margins


def test_the_margin_is_the_engines_less_a_share_that_nobody_sees():
    model, inputs, spec = model_for(2), ball(), untargeted(ONE, CLASSES)
    (file,) = certificates(model, inputs, spec).values()
    margin = float(certify(model, inputs, spec).margin)
    assert real(file.body["margin"]) == margin * MARGIN_SHARE
    assert margin * (1 - 1e-6) < real(file.body["margin"]) < margin


@pytest.mark.parametrize("lead", [-20.0, 0.0])
def test_without_a_positive_margin_there_is_no_certificate(lead):
    spec = Specification(torch.zeros(1, 1, CLASSES).double(), torch.full((1, 1), lead).double())
    (batch,) = batches(model_for(2), ball(), spec)
    with pytest.raises(CertificateError, match="margin of sample 0 is -"):
        Certificates(batch, Network(batch.model, None)).write(0)


def test_another_networks_bounds_are_refused():
    (batch,) = batches(model_for(2), ball(), untargeted(ONE, CLASSES))
    with pytest.raises(ValueError, match="another model"):
        Certificates(batch, Network(model_for(2), None))


# section 9


def claim_of(file) -> str:
    """The digest, from the text of section 9."""
    body = file.body

    def compact(value):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    lines = ["refcert claim 1", f"network {body['network']['digest']}", f"inputs {compact(body['inputs'])}"]
    lines += [f"specification {compact(body['specification'])}", f"margin {body['margin']}"]
    for name in sorted(file.tensors):
        if not name.startswith(("step.", "network.")):
            value = file.tensors[name]
            lines.append(f"tensor {name} {value.shape} {hashlib.sha256(value.astype('<f8').tobytes()).hexdigest()}")
    return hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest()


@settings(max_examples=30)
@given(input_sets(), st.booleans())
def test_claims_have_the_digest_of_the_specification(inputs, named):
    assume(not torch.equal(inputs.center[0], inputs.center[1]))  # else both may be the same claim
    model = model_for(inputs.center.shape[2], lead=1000.0)
    one = matrix(torch.zeros(1, CLASSES).double(), torch.ones(1).double(), batch=2)
    found = certificates(model, inputs, untargeted(ONE.repeat(2), CLASSES) if named else one)
    assert len(found) == 2
    for file in found.values():
        assert file.body["claim"] == claim_of(file)
    assert len({file.body["claim"] for file in found.values()}) == 2


def test_the_claim_is_the_same_whatever_the_steps_and_the_place_of_the_weights():
    model, inputs = model_for(2), ball()
    spec = matrix(torch.zeros(1, CLASSES).double(), torch.ones(1).double(), batch=1)
    (beside,) = certificates(model, inputs, spec).values()
    (inside,) = certificates(model, inputs, spec, file=None).values()
    assert beside.body["claim"] == inside.body["claim"]
    (other,) = certificates(model, dataclasses.replace(inputs, radius=inputs.radius / 2), spec).values()
    assert other.body["claim"] != beside.body["claim"]

"""Certificates of the engine: what is claimed by a hair is VALID, and what an input contradicts never is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpu_engine.errors import NumericalError
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search.certify import Options
from refcert.kernel.check import Result, Verdict, check
from refcert.kernel.errors import UnreadableError
from refcert.strategies import Question, questions
from tests.certificates.honest import barely_true, write_all
from tests.certificates.plain_question import plain_question
from tests.certificates.resigned import resigned
from tests.engine.plain_steps import Exact

# Each example bounds a network, writes and checks certificates.
SOME = settings(max_examples=max(1, settings().max_examples // 3))
NAMES = st.sampled_from((*sorted(RELAXATIONS), "best"))


def checked(question: Question, options: Options, margin: float | None = None) -> list[Result]:
    """Results for all samples of the question, lifted so that they barely hold; claiming another margin, if given."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            specification = barely_true(question, options)
            files = write_all(folder, question, specification, options)
        except NumericalError:
            return []
        if margin is not None:
            for file in files:
                file.write_bytes(resigned(file, lambda body, tensors: body.update(margin=margin.hex())))
        return [check(file) for file in files]


@SOME
@given(question=questions(), name=NAMES)
def test_the_engines_certificates_are_valid(question: Question, name: str) -> None:
    found = checked(question, Options(name))
    assert all(result.verdict is Verdict.VALID for result in found), found


@SOME
@given(question=questions(scales=(0.5, 0.1, 1.0)), name=NAMES)
def test_also_in_float32(question: Question, name: str) -> None:
    found = checked(question, Options(name, "float32"))
    assert all(result.verdict is Verdict.VALID for result in found), found


@SOME
@given(question=questions(), name=NAMES, excess=st.sampled_from((1e-9, 1e-3, 1.0)))
def test_a_claim_that_a_point_contradicts_is_not_valid(question: Question, name: str, excess: float) -> None:
    """The margin claimed is above the least one that was found at a point of the set."""
    options = Options(name)
    try:
        specification = barely_true(question, options)
    except NumericalError:
        assume(False)
    least = -np.inf
    found = question.points(many=4, steps=2)
    for sample in range(len(question.inputs)):
        exact = Exact(question.model, found[:, sample])
        value, error = exact.rows(specification.C[sample].numpy(), specification.d[sample].numpy())
        least = max(least, float((value + error).min()))  # for the sample with the largest: false for every one
    margin = least + excess * (1 + abs(least))
    assume(np.isfinite(margin) and margin > 0)
    assert all(result.verdict is not Verdict.VALID for result in checked(question, options, margin))


@SOME
@given(question=questions(time=(1, 2)))
def test_the_claim_is_what_the_engine_was_asked(question: Question) -> None:
    """The network's digest, and the margin that the engine gave."""
    options = Options("parallel")
    for result in checked(question, options):
        assert result.claim.network == question.model.digest()
        assert result.claim.margin > 0


def test_another_network_is_not_the_one_that_was_certified(tmp_path: Path) -> None:
    """One weight moved by one place: the digest says so before anything is computed."""
    question, path = one_certificate(tmp_path)
    network = tmp_path / "network.safetensors"
    data = bytearray(network.read_bytes())
    data[-1] ^= 1  # sign or exponent of the last bias
    network.write_bytes(data)
    try:
        result = check(path)
    except UnreadableError:
        pytest.fail("a changed weight is a readable network")
    assert (result.verdict, result.reason) == (Verdict.INVALID, "the network is another one")
    assert result.witness["named"] == question.model.digest()


def test_the_budget_of_time_ends_in_holey(tmp_path: Path) -> None:
    _, path = one_certificate(tmp_path)
    result = check(path, seconds=0.0)
    assert result.verdict is Verdict.HOLEY
    assert "budget" in result.reason


def test_two_checks_are_alike(tmp_path: Path) -> None:
    _, path = one_certificate(tmp_path)
    assert check(path) == check(path)


def one_certificate(folder: Path) -> tuple[Question, Path]:
    question = plain_question()
    options = Options("parallel")
    (path,) = write_all(folder, question, barely_true(question, options), options)
    return question, path

"""assert_certificate_valid: VALID passes; every other verdict fails in its own way."""

from __future__ import annotations

import pytest
import torch

from gpu_engine.inputs import FrameBalls
from refcert.app.errors import InputError
from refcert.testing import (
    NotDecidedError,
    NotProvedError,
    Outcome,
    ViolatedError,
    assert_certificate_valid,
    assert_certified,
)
from tests.app.made_certificates import draft, holey, invalid, truncated, write
from tests.testing.engines_under_test import run, small

MODEL = small()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("certificates")
    x = torch.rand(3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    balls = FrameBalls(x, torch.full((3, 2), 1e-4, dtype=torch.float64))
    assert_certified(MODEL, x, MODEL.logits(x).argmax(1), balls, certificates=path)
    return path


def failing(kind, *arguments, **options):
    with pytest.raises(kind) as caught:
        assert_certificate_valid(*arguments, **options)
    return caught.value


def test_valid_ones_pass(folder):
    for network in (None, MODEL, MODEL.digest()):
        report = assert_certificate_valid(folder, network=network)
        assert report.outcome is Outcome.HOLDS and report.numbers["valid"] == 3
    assert assert_certificate_valid(folder / "sample-00000.safetensors").numbers["certificates"] == 1


def test_an_invalid_one_says_which_step_and_why(tmp_path):
    path = write(tmp_path, "wrong", invalid())
    write(tmp_path, "right", draft())
    error = failing(ViolatedError, tmp_path)
    (violation,) = error.violations
    assert violation.where["file"] == path and violation.where["step"] == 0
    assert "INVALID" in str(error) and "1 of 2 certificates are VALID" in str(error)
    run(violation.snippet)


def test_a_hole_is_no_proof(tmp_path):
    error = failing(NotProvedError, write(tmp_path, "hole", holey()))
    assert "HOLEY" in str(error)
    run(error.snippet)


def test_a_violation_counts_more_than_a_hole(tmp_path):
    for name, made in (("a", holey()), ("b", invalid())):
        write(tmp_path, name, made)
    assert "INVALID" in failing(ViolatedError, tmp_path).violations[0].what


def test_another_network_is_a_violation(folder):
    other = small(seed=1)
    error = failing(ViolatedError, folder, network=other)
    assert "another network" in str(error) and other.digest() in str(error)
    run(error.snippet)


def test_a_smaller_margin_than_asked_is_a_violation(folder):
    error = failing(ViolatedError, folder, least_margin=1e3)
    assert len(error.violations) == 3 and "claims a margin of" in str(error)
    run(error.snippet)


@pytest.mark.parametrize("budget", ["0s", "1 example"])
def test_what_the_budget_does_not_reach_is_not_decided(folder, budget):
    assert "the budget ended before" in str(failing(NotDecidedError, folder, budget=budget))


def test_files_that_cannot_be_read_are_bad_input(tmp_path):
    for path in (tmp_path / "none", tmp_path, truncated(write(tmp_path / "cut", "cut", draft()))):
        with pytest.raises(InputError):
            assert_certificate_valid(path)
    with pytest.raises(InputError):
        assert_certificate_valid(tmp_path, least_margin=-1.0)

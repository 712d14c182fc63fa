"""assert_planes_sound: sound planes pass, planted faults are caught, made simple and shown."""

from __future__ import annotations

import numpy as np
import pytest

from refcert.app.errors import InputError
from refcert.audit.families.boxes import BOX_FAMILIES
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import KINDS, SIDES, Status
from refcert.kernel.plane_proof import check_plane
from refcert.testing import (
    Budget,
    NotDecidedError,
    NotProvedError,
    Outcome,
    ViolatedError,
    assert_planes_sound,
)
from refcert.testing import planes as planes_module
from tests.testing.engines_under_test import engine_planes, run, shifted

FEW = "60 examples"


def violated(function, **options):
    with pytest.raises(ViolatedError) as caught:
        assert_planes_sound(function, **{"budget": FEW, **options})
    return caught.value


@pytest.mark.parametrize("seed", range(3))
def test_sound_planes_never_fail(seed):
    report = assert_planes_sound(engine_planes, budget=FEW, seed=seed)
    assert report.outcome is Outcome.HOLDS
    assert report.numbers["proved"] == report.numbers["planes"] == 120
    assert "120 of 120 planes" in report.text() and f"seed {seed}" in report.text()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100))
def test_sound_planes_never_fail_over_many_seeds(seed):
    assert assert_planes_sound(engine_planes, seed=seed).outcome is Outcome.HOLDS


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_of_a_millionth_is_caught_and_shown_on_a_simple_box(kind, side):
    error = violated(shifted(side, 1e-6, kind), kinds=kind, budget="24 examples")
    (violation,) = error.violations
    claim = violation.data["claim"]
    assert (claim.kind, claim.side) == (kind, side)
    assert check_plane(claim).status is Status.REFUTED
    assert 1e-8 < violation.amount < 1.1e-6  # as it was planted, not what is left of it in rounding
    assert (claim.lower_v, claim.upper_v) == (0.0, 0.0), "a point at zero is the simplest box with the fault"
    names = run(violation.snippet)
    assert names["excess"] > 0
    for word in (kind, side, "seed 0", "made simpler from box", "excess", repr(violation.amount)):
        assert word in str(error)


def test_a_fault_of_some_boxes_is_shown_on_the_simplest_of_them():
    def crossing_and_wide(low_v, high_v, low_z, high_z):
        return (low_v < -1) & (high_v > 1.5)

    error = violated(shifted("upper", 0.01, "tanh", crossing_and_wide), kinds=["tanh"])
    claim = error.violations[0].data["claim"]
    assert (claim.lower_v, claim.upper_v) == (-2.0, 2.0)
    assert f"plane: {claim.slope_v!r} v + {claim.offset!r}" in str(error)
    run(error.snippet)


def test_the_same_seed_says_the_same_and_another_one_draws_other_boxes():
    faulty = shifted("lower", 1e-9, "sigmoid")
    first, again, other = (violated(faulty, seed=seed, kinds="sigmoid") for seed in (3, 3, 4))
    assert str(first) == str(again)
    assert first.violations[0].data["drawn"] != other.violations[0].data["drawn"]
    assert (first.seed, other.seed) == (3, 4)


def test_what_fails_only_beside_other_boxes_is_shown_as_it_was_drawn():
    def of_many(low_v, *_):
        return np.full(len(low_v), len(low_v) > 1)

    error = violated(shifted("upper", 0.1, "tanh", of_many), kinds="tanh")
    violation = error.violations[0]
    assert violation.data["claim"] == violation.data["drawn"]
    assert "made simpler" not in str(error)
    run(violation.snippet)


def test_nan_is_a_violation_with_its_box():
    def divides(kind, low_v, high_v, low_z, high_z):
        lower, upper = engine_planes(kind, low_v, high_v, low_z, high_z)
        with np.errstate(all="ignore"):
            slope = (np.tanh(high_v) - np.tanh(low_v)) / (high_v - low_v)
        return lower, (slope, upper[1], upper[2])

    error = violated(divides, kinds="tanh", boxes="point")
    (low_v, high_v, *_), value = error.violations[0].data["box"], error.violations[0].data["value"]
    assert low_v == high_v and np.isnan(value)
    assert "slope_v of the upper plane of tanh is nan" in str(error)


def test_what_was_refuted_before_nan_is_not_lost():
    def faulty(kind, low_v, high_v, low_z, high_z):
        lower, (slope_v, slope_z, offset) = shifted("upper", 0.1)(kind, low_v, high_v, low_z, high_z)
        return lower, (slope_v, slope_z, np.where(low_v < high_v, np.nan, offset.numpy()))

    error = violated(faulty, kinds="tanh", boxes=("point", "wide"))
    assert [violation.amount is None for violation in error.violations] == [True, False]
    run(error.snippet)


def test_no_time_is_no_decision():
    with pytest.raises(NotDecidedError) as caught:
        assert_planes_sound(engine_planes, budget=0.0)
    assert caught.value.outcome is Outcome.NOT_DECIDED
    assert "NOT DECIDED WITHIN BUDGET" in str(caught.value) and "2,400 planes" in str(caught.value)


def test_undecided_planes_fail_closed(monkeypatch):
    """No plane is known that proofs and hunts leave undecided, so the audit's answer is replaced."""
    honest = planes_module.examine

    def examine(claims, questions, first):
        undecided = Judgement(Status.UNDECIDED, "precision exhausted", 8192)
        return [honest(claims, questions, first)[0]._replace(judgement=undecided) for _ in claims]

    monkeypatch.setattr(planes_module, "examine", examine)
    with pytest.raises(NotProvedError, match="precision exhausted"):
        assert_planes_sound(engine_planes, budget="2 examples", kinds="tanh")


def test_the_budget_of_examples_is_shared_among_families_and_kinds():
    asked: list[tuple[str, int]] = []

    def counting(kind, *box):
        asked.append((kind, len(box[0])))
        return engine_planes(kind, *box)

    assert_planes_sound(counting, kinds=["tanh", "relu"], boxes=["point", "wide"], budget=Budget(examples=7))
    assert sum(count for _, count in asked) == 7
    assert {kind for kind, _ in asked} == {"tanh", "relu"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lower, upper: lower, "a tuple of 3, not 2"),
        (lambda lower, upper: (lower, [part[:-1] for part in upper]), "give one number per box"),
        (lambda lower, upper: 1 / 0, "raised ZeroDivisionError"),
    ],
    ids=["one side", "a row less", "raises"],
)
def test_what_is_no_plane_is_refused_and_not_an_assertion(change, said):
    with pytest.raises(InputError, match=said):
        assert_planes_sound(lambda *asked: change(*engine_planes(*asked)), kinds="tanh")


def test_changed_inputs_are_refused():
    def widens(kind, low_v, *rest):
        low_v -= 1.0
        return engine_planes(kind, low_v, *rest)

    with pytest.raises(InputError, match="changed its input lower_v"):
        assert_planes_sound(widens, kinds="tanh")


@pytest.mark.parametrize(
    "options",
    [
        {"kinds": ["softplus"]},
        {"kinds": []},
        {"boxes": ["tall"]},
        {"boxes": ["point", "point"]},
        {"seed": -1},
        {"seed": 1.5},
        {"dtype": "float16"},
        {"budget": "soon"},
        {"budget": -1.0},
        {"budget": "0 examples"},
        {"planes_fn": 3},
        {"planes_fn": "no_such_module"},
        {"planes_fn": "no_such_module:planes"},
    ],
)
def test_bad_arguments_are_no_assertion_errors(options):
    with pytest.raises(InputError):
        assert_planes_sound(**{"planes_fn": engine_planes, **options})


def test_a_function_can_be_named():
    report = assert_planes_sound("tests.testing.engines_under_test:engine_planes", budget="12 examples", kinds="relu")
    assert report.outcome is Outcome.HOLDS


def test_every_family_is_asked_by_default():
    assert len(BOX_FAMILIES) * len(KINDS) * planes_module.BOXES_EACH == 1200  # what docs/assertions.md says


def test_an_error_shows_itself_in_notebooks():
    page = violated(shifted("upper", 1e-3, "relu"), kinds="relu")._repr_html_()
    assert "<table>" in page and "reproduce" in page and "upper plane of relu" in page

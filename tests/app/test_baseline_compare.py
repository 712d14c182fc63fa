"""The comparison of two baselines: what fails, at which border, and which layer is named."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcert.app.baseline.changes import IMPROVEMENTS, Kind
from refcert.app.baseline.comparing import Attacked, Evidence, compare
from refcert.app.baseline.decimals import bound
from refcert.app.baseline.entries import Tolerances
from refcert.app.baseline.table import lines_of
from tests.app.drawn_baselines import baselines
from tests.app.test_baseline_text import PLAIN

FIXED = dataclasses.replace(PLAIN, request={**PLAIN.request, "radius": 0.1})


def other(baseline=PLAIN, **changes):
    """The baseline with its first sample changed."""
    first, *rest = baseline.samples
    return dataclasses.replace(baseline, samples=(dataclasses.replace(first, **changes), *rest))


def kinds(old, new, *arguments, **options):
    found = compare(old, new, *arguments, **options)
    return [change.kind for change in found.changes]


@given(baselines())
def test_the_same_is_no_change(baseline):
    found = compare(baseline, baseline)
    assert found.passed
    assert found.changes == found.layers == ()


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(0, 0.9))
def test_a_radius_fails_beyond_its_tolerance_and_not_before(before, after, tolerance):
    old, new = other(value=bound(before)), other(value=bound(after))
    found = compare(old, new, Tolerances(radius=tolerance))
    allowed = bound(before) * (1 - Decimal(repr(tolerance)))
    assert found.passed == (bound(after) >= allowed)
    assert [c.kind for c in found.failures] == ([] if found.passed else [Kind.RADIUS_DROP])
    assert bool(found.improvements) == (bound(after) - bound(before) > bound(before) * Decimal(repr(tolerance)))


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 5))
def test_a_margin_fails_beyond_its_tolerance_and_when_it_is_lost(before, after, tolerance):
    old, new = other(FIXED, value=bound(before)), other(FIXED, value=bound(after))
    found = compare(old, new, Tolerances(margin=tolerance))
    lost = bound(before) > 0 >= bound(after)
    assert found.passed == (not lost and bound(before) - bound(after) <= Decimal(repr(tolerance)))
    assert (Kind.LOST in kinds(old, new)) == lost


@given(baselines(), st.data())
def test_what_fails_one_way_is_an_improvement_the_other_way(baseline, data):
    """Radii and margins are judged by the size of the change; for radii relative to the recorded one, so both at 0."""
    samples = tuple(
        dataclasses.replace(s, value=data.draw(st.floats(0.5, 2).map(bound)), correct=True) for s in baseline.samples
    )
    new, none = dataclasses.replace(baseline, samples=samples), Tolerances(0, 0, 0)
    there, back = compare(baseline, new, none), compare(new, baseline, none)
    drops = {c.sample for c in there.failures if c.kind in (Kind.RADIUS_DROP, Kind.MARGIN_DROP, Kind.LOST)}
    rises = {c.sample for c in back.improvements if c.kind is not Kind.NEWLY_RIGHT}
    assert drops == rises


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ({}, {"predicted": 0, "correct": False}, Kind.NEWLY_WRONG),
        ({"correct": False}, {}, Kind.NEWLY_RIGHT),
        ({"correct": False, "predicted": 0}, {"correct": False, "predicted": 2}, Kind.PREDICTED),
        ({}, {"label": 2}, Kind.LABEL),
        ({}, {"input": "f" * 12}, Kind.INPUT),
        ({}, {"value": None}, Kind.LOST),
        ({}, {"value": Decimal(0)}, Kind.LOST),
        ({"value": Decimal(0)}, {}, Kind.GAINED),
        ({"undecided": 0}, {"undecided": 1}, Kind.NEW_UNDECIDED),
        ({"undecided": 2}, {"undecided": 1}, Kind.FEWER_UNDECIDED),
        ({"undecided": None}, {"undecided": 1}, Kind.NEW_UNDECIDED),
        ({"undecided": 1}, {"undecided": None}, Kind.NEW_UNDECIDED),
    ],
)
def test_each_change_of_a_sample(old, new, kind):
    found = compare(other(**old), other(**new))
    assert [change.kind for change in found.changes] == [kind]
    assert found.changes[0].sample == 0
    assert found.passed == (kind in (*IMPROVEMENTS, Kind.PREDICTED))
    assert "sample 0" in next(lines_of(found))


def test_an_audit_that_proves_everything_is_no_change():
    assert kinds(other(undecided=None), other(undecided=0)) == []


def test_changes_of_the_whole():
    fewer = dataclasses.replace(PLAIN, samples=PLAIN.samples[:1])
    assert kinds(PLAIN, fewer) == [Kind.MISSING]
    assert kinds(fewer, PLAIN) == [Kind.NEW_SAMPLE]
    assert kinds(PLAIN, dataclasses.replace(PLAIN, request={**PLAIN.request, "norm": "2"})) == [Kind.REQUEST]
    assert kinds(PLAIN, dataclasses.replace(PLAIN, specification="0")) == [Kind.REQUEST]
    digest = dataclasses.replace(PLAIN, model=dataclasses.replace(PLAIN.model, digest="ef" * 32))
    assert kinds(PLAIN, digest) == [Kind.MODEL]
    assert compare(PLAIN, digest).passed
    assert kinds(PLAIN, PLAIN, None, Evidence(refuted={1: 3})) == [Kind.REFUTED]
    assert kinds(PLAIN, PLAIN, None, Evidence(fault="an attack lies in a ball")) == [Kind.UNSOUND]
    assert not compare(PLAIN, PLAIN, None, Evidence(fault="an attack lies in a ball")).passed


def test_other_data_may_be_allowed():
    assert kinds(PLAIN, other(input="f" * 12), other_data=True) == []


@pytest.mark.parametrize(
    ("radius", "inside"), [(0.01, True), (0.0123456, True), (0.0124, False), (float("inf"), False)]
)
def test_a_counterexample_is_one_inside_the_recorded_ball(radius, inside):
    evidence = Evidence(attacks={0: Attacked(radius, 2)}, method="pgd")
    (change,) = compare(PLAIN, other(value=Decimal("0.009")), None, evidence).changes
    assert ("pgd found an input" in change.words) == inside
    assert ("classified as 2" in change.words) == inside


def test_the_layer_that_moved_most_comes_first():
    gaps = {"layer 0 forget": "0.001", "layer 0 input": "0.002", "layer 1 output": "0.004"}
    old = other(gaps={name: Decimal(value) for name, value in gaps.items()})
    moved = {"layer 0 forget": "0.00101", "layer 0 input": "0.003", "layer 1 output": "0.0036"}
    new = other(gaps={name: Decimal(value) for name, value in moved.items()}, value=Decimal("0.01"))
    found = compare(old, new)
    assert [layer.name for layer in found.layers] == ["layer 0 input", "layer 1 output"]
    assert "moved most: layer 0 input (gap +50%), layer 1 output (gap -10%)" in found.failures[0].words


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"i": "b", "f": "a", "g": "c"}, "the same gates in another order (f in the place of i, i in the place of f)"),
        ({"i": "a", "f": "x", "g": "c"}, "layers.0.0.bias (gates f)"),
        ({"all": "a"}, "had the gates i f g, now all"),
    ],
)
def test_a_weight_says_which_gates_changed(now, words):
    entries = [
        dataclasses.replace(PLAIN.model, digest=digest, weights={"layers.0.0.bias": gates})
        for digest, gates in (("0", {"i": "a", "f": "b", "g": "c"}), ("1", now))
    ]
    old, new = (dataclasses.replace(PLAIN, model=entry) for entry in entries)
    assert words in compare(old, new).notes[0].words

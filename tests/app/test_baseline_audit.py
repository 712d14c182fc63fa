"""A baseline with an audit: planes that the audit leaves UNDECIDED later fail the comparison, whoever asks."""

from __future__ import annotations

import json

import pytest

from refcert.app.baseline.reading import load
from refcert.audit import judge as judging
from refcert.audit.branching.search import check_plane_by_branching
from refcert.kernel.plane_proof import check_plane
from tests.app.baselines import call, project, record


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = project(tmp_path_factory.mktemp("audited"))
    record(found, "--radius", "0.01", "--relaxation", "constants", "--count", "2", "--audit", "--workers", "1")
    return found


@pytest.fixture
def weak(monkeypatch):
    """Both methods of proof with too few bits for the margins of outward rounding: true verdicts of a weaker audit."""
    for method in (check_plane, check_plane_by_branching):
        monkeypatch.setattr(judging, method.__name__, lambda claim, method=method: method(claim, (32,)))


def compared(folder, *options):
    code, out = call(
        *("compare", "--baseline", folder / "refcert-baseline.txt", "--attack", "none", "--workers", "1", "--json"),
        *options,
    )
    return code, json.loads(out)


def test_new_undecided_planes_fail_with_their_samples(folder, weak):
    recorded = load(folder / "refcert-baseline.txt")
    assert [sample.undecided for sample in recorded.samples] == [0, 0]
    code, found = compared(folder)  # without --audit: the baseline holds one
    assert code == 1
    assert {change["kind"] for change in found["failures"]} == {"new UNDECIDED"}
    assert {change["sample"] for change in found["failures"]} == {0, 1}
    for change in found["failures"]:
        assert change["recorded"] == "0"
        assert int(change["now"]) > 0


def test_planes_that_stay_proved_pass(folder):
    assert compared(folder) == (0, compared(folder, "--audit")[1])

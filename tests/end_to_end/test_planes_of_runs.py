"""Every plane of real runs is proved, none is far from the best one, and planes pushed inward are refuted."""

import dataclasses

import numpy as np
import pytest

from refcert.app.pretrained import PRETRAINED
from refcert.audit.plane_audit import audit_planes
from refcert.kernel.claims import Status
from refcert.kernel.plane_proof import check_plane
from refcert.reference.intervals import Interval
from refcert.reference.least_volume import least_volume
from tests.end_to_end.runs import certified, not_proved, some_claims

RELAXATIONS = ("parallel", "planes", "mccormick", "lines", "lines_either", "constants")


@pytest.mark.parametrize("radius", [0.01, 0.3])
@pytest.mark.parametrize("name", PRETRAINED)
def test_every_plane_of_the_usual_run_is_proved(name, radius):
    _, table = certified(name, "parallel", radius)
    assert not_proved(table.claims()) == []


@pytest.mark.parametrize("relaxation", RELAXATIONS[1:])
@pytest.mark.parametrize("name", ["digits_lstm", "digits_gru"])
def test_every_plane_of_the_other_relaxations_is_proved(name, relaxation):
    _, table = certified(name, relaxation, 0.1, count=1)
    assert not_proved(table.claims()) == []


def test_every_plane_on_a_point_is_proved():
    _, table = certified("digits_lstm", "parallel", 0.0, count=1)
    assert not_proved(table.claims()) == []


@pytest.mark.parametrize("name", PRETRAINED)
def test_planes_of_a_float32_run_are_proved_as_the_numbers_that_they_are(name):
    _, table = certified(name, "parallel", 0.05, count=1, dtype="float32")
    assert not_proved(table.claims()) == []


def test_planes_pushed_inward_are_refuted_by_a_point_of_the_box():
    _, table = certified("digits_lstm", "planes", 0.1, count=1)
    for claim in some_claims(table, 60):
        outward = 1.0 if claim.side == "upper" else -1.0
        # a plane of least volume touches the surface, so a thousandth is too much
        pushed = dataclasses.replace(claim, offset=claim.offset - 1e-3 * outward)
        verdict = check_plane(pushed)
        assert verdict.status is Status.REFUTED
        v, z = verdict.point
        assert claim.lower_v <= v <= claim.upper_v
        assert claim.lower_z <= z <= claim.upper_z
        f = 1 / (1 + np.exp(-v)) * (np.tanh(z) if claim.kind == "sigmoid_times_tanh" else z)
        by_hand = outward * (f - pushed.slope_v * v - pushed.slope_z * z - pushed.offset)
        assert 0 < verdict.violation <= by_hand + 1e-12


def test_planes_of_least_volume_come_near_the_optimum():
    """The median height at the centre is within 3 % of what a linear program says is possible."""
    _, table = certified("digits_lstm", "planes", 0.1, count=1)
    ratios = []
    for claim in some_claims(table, 40):
        v, z = Interval(claim.lower_v, claim.upper_v), Interval(claim.lower_z, claim.upper_z)
        best = least_volume(claim.kind, v, z, claim.side)
        height = claim.slope_v * sum(v) / 2 + claim.slope_z * sum(z) / 2 + claim.offset
        s = 1 / (1 + np.exp(-sum(v) / 2))
        surface = s * (np.tanh(sum(z) / 2) if claim.kind == "sigmoid_times_tanh" else sum(z) / 2)
        outward = 1.0 if claim.side == "upper" else -1.0
        possible, reached = outward * (best.best - surface), outward * (height - surface)
        assert reached >= possible - 1e-6
        if possible > 1e-6:
            ratios.append(reached / possible)
    assert np.median(ratios) <= 1.03


def test_the_auditor_gives_the_kernels_verdicts_in_order():
    _, table = certified("digits_lstm", "parallel", 0.01, count=1)
    columns = {name: column[:200].copy() for name, column in table.columns.items()}
    outward = np.where(columns["side"] == "upper", 1.0, -1.0)
    false = np.arange(200) % 7 == 3
    columns["offset"] = columns["offset"] - outward * np.where(false, 1.0, 0.0)
    result = audit_planes(type(table)(columns))
    assert [verdict.status is Status.REFUTED for verdict in result.verdicts] == false.tolist()
    assert result.summary == {"proved": int((~false).sum()), "refuted": int(false.sum()), "undecided": 0}

"""The auditor catches planted faults, those seen in earlier tools among them, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpu_engine.bounds import Box
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.registry import RELAXATIONS
from refcert.audit.examine import Answer, examine
from refcert.audit.plane_audit import Auditor, AuditResult, audit_planes, result_of
from refcert.audit.plane_table import PlaneTable
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import Status


def engine_planes(kind: str, count: int = 60, seed: int = 0) -> dict[str, np.ndarray]:
    """Sound planes over random boxes: first all lower ones, then all upper ones."""
    rng = np.random.default_rng(seed)
    centre, half = rng.uniform(-5, 5, (2, count)), rng.uniform(0.05, 2.5, (2, count))
    v, z = (Box(torch.tensor(c - h), torch.tensor(c + h)) for c, h in zip(centre, half, strict=True))
    pair = RELAXATIONS["parallel"].product(PRODUCTS[kind], v, z)
    columns = {
        "kind": np.full(2 * count, kind),
        "side": np.repeat(["lower", "upper"], count),
        **{n: np.tile(b.numpy(), 2) for n, b in (("lower_v", v.lower), ("upper_v", v.upper))},
        **{n: np.tile(b.numpy(), 2) for n, b in (("lower_z", z.lower), ("upper_z", z.upper))},
    }
    for name in ("slope_v", "slope_z", "offset"):
        columns[name] = np.concatenate([getattr(plane, name).numpy() for plane in (pair.lower, pair.upper)])
    return columns


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
def test_sound_planes_are_proved(kind):
    assert audit_planes(PlaneTable(engine_planes(kind))).summary == {"proved": 120, "refuted": 0, "undecided": 0}


def _sampled(columns, count=20):
    """Offsets 'repaired' from a count x count sample, as trained planes of earlier tools are."""
    columns = dict(columns)
    share = np.linspace(0, 1, count)
    v = columns["lower_v"][:, None] + (columns["upper_v"] - columns["lower_v"])[:, None] * share
    z = columns["lower_z"][:, None] + (columns["upper_z"] - columns["lower_z"])[:, None] * share
    g = np.tanh(z) if columns["kind"][0].endswith("tanh") else z
    surface = (1 / (1 + np.exp(-v)))[:, :, None] * g[:, None, :]
    rest = (
        surface - columns["slope_v"][:, None, None] * v[:, :, None] - columns["slope_z"][:, None, None] * z[:, None, :]
    )
    lower = columns["side"] == "lower"
    columns["offset"] = np.where(lower, rest.min((1, 2)), rest.max((1, 2)))
    return columns


FAULTS = {
    "offset repaired from a sample": _sampled,
    "offset off by 1e-9": lambda c: c | {"offset": c["offset"] + np.where(c["side"] == "lower", 1e-9, -1e-9)},
    "lower for upper": lambda c: c | {"side": np.where(c["side"] == "lower", "upper", "lower")},
    "wrong sign of a slope": lambda c: c | {"slope_v": -c["slope_v"]},
    "slopes swapped": lambda c: c | {"slope_v": c["slope_z"], "slope_z": c["slope_v"]},
    "float32 offsets": lambda c: (
        c | {"offset": np.float32(c["offset"]).astype(np.float64) + np.where(c["side"] == "lower", 3e-8, -3e-8)}
    ),
    "identity for tanh": lambda c: (
        c | {"kind": np.where(c["kind"] == "sigmoid_times_tanh", "sigmoid_times_identity", "sigmoid_times_tanh")}
    ),
    "axes swapped": lambda c: (
        c | {"lower_v": c["lower_z"], "upper_v": c["upper_z"], "lower_z": c["lower_v"], "upper_z": c["upper_v"]}
    ),
}


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_refuted_with_points(kind, fault):
    columns = FAULTS[fault](engine_planes(kind))
    result = audit_planes(PlaneTable(columns))
    assert result.summary["undecided"] == 0
    assert result.summary["refuted"] > 0
    for row, verdict in enumerate(result.verdicts):
        if verdict.status is not Status.REFUTED:
            continue
        v, z = verdict.point
        assert columns["lower_v"][row] <= v <= columns["upper_v"][row]
        assert columns["lower_z"][row] <= z <= columns["upper_z"][row]
        g = np.tanh(z) if str(columns["kind"][row]).endswith("tanh") else z
        plane = columns["slope_v"][row] * v + columns["slope_z"][row] * z + columns["offset"][row]
        sign = 1 if columns["side"][row] == "upper" else -1
        by_hand = sign * (g / (1 + np.exp(-v)) - plane)
        assert by_hand == pytest.approx(verdict.violation, rel=1e-6, abs=1e-13)


def test_processes_and_this_process_agree_in_order():
    columns = engine_planes("sigmoid_times_tanh", count=1500, seed=3)
    columns["offset"][::7] += 1e-3
    columns["offset"][1::7] -= 1e-3
    table = PlaneTable(columns)
    ticks: list[int] = []
    with Auditor(workers=2) as auditor:
        many = auditor.audit(table, ticks.append)
    assert many.verdicts == audit_planes(table).verdicts
    assert sum(ticks) == len(table)


def forgets_the_last(claims, questions, first):
    return examine(claims, questions, first)[:-1]


def answers_nothing(claims, questions, first):
    return [None] * len(claims)


def answers_too_much(claims, questions, first):
    return examine([*claims, claims[0]], questions, first)


def test_json_has_one_row_per_plane_in_order():
    columns = engine_planes("sigmoid_times_identity", count=5)
    columns["offset"][2] += 1.0
    rows = audit_planes(PlaneTable(columns)).to_json()
    assert [row["verdict"] for row in rows] == ["PROVED"] * 2 + ["REFUTED"] + ["PROVED"] * 7
    assert set(rows[2]) == {"verdict", "precision", "method", "point", "violation", "reason"}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("examiner", [forgets_the_last, answers_nothing, answers_too_much])
def test_a_plane_without_answer_does_not_vanish_from_the_counts(examiner, workers):
    """Regression: planes without answer were left out, and all the others were proved."""
    with Auditor(workers, examiner=examiner) as auditor, pytest.raises(RuntimeError, match=r"^[0-9]+ answers for the"):
        auditor.audit(PlaneTable(engine_planes("sigmoid_times_tanh", count=2)))


def test_verdicts_of_planes_that_were_not_audited_are_no_result():
    proved = Answer(Judgement(Status.PROVED, "", 128))
    assert result_of([proved, proved]).summary["proved"] == 2
    with pytest.raises(RuntimeError, match="plane 1 was not audited"):
        result_of([proved, None, proved])


def test_no_workers_is_refused():
    with pytest.raises(ValueError, match="workers is 0"):
        Auditor(0)


def test_the_summary_counts_every_status_by_itself():
    """Nothing that is undecided may be counted as proved."""
    statuses = [Status.PROVED] * 3 + [Status.UNDECIDED] * 2 + [Status.REFUTED]
    result = AuditResult(tuple(Judgement(status, "", 128) for status in statuses))
    assert result.summary == {"proved": 3, "refuted": 1, "undecided": 2}

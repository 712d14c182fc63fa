"""What the commands print: JSON with its keys and types, tables, progress bars, and the audit of their planes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from gpu_engine.loading import load_model
from gpu_engine.search.certify import certify as engine_certify
from gpu_engine.spec import FrameBalls, untargeted
from refcert.app.errors import ExitCode
from refcert.audit.plane_table import COLUMNS
from tests.app.commands import CLASSES, SAMPLES, TIME, command, environment, refcert, write_data, write_model

RADIUS = ("--radius", "0.05")
SAMPLE = {"index": int, "label": int, "predicted": int, "correct": bool}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_data(folder / "tiny.npz", write_model(folder / "tiny.safetensors"))
    return folder


def certify(tiny: Path, *options: object) -> tuple[object, ...]:
    given = ("--model", tiny / "tiny.safetensors", "--data", tiny / "tiny.npz")
    return ("certify", *given, "--workers", 1, *options)


def certified(tiny: Path, *options: object) -> dict[str, Any]:
    return refcert(*certify(tiny, "--json", *options)).json


def labels_of(tiny: Path) -> list[int]:
    with np.load(tiny / "tiny.npz") as stored:
        return stored["labels"].tolist()


def check_samples(result: dict[str, Any], labels: list[int]) -> None:
    assert result["count"] == len(result["samples"]) == len(labels)
    assert [row["index"] for row in result["samples"]] == list(range(len(labels)))
    assert [row["label"] for row in result["samples"]] == labels
    for row in result["samples"]:
        for name, kind in SAMPLE.items():
            assert type(row[name]) is kind
        assert row["correct"] == (row["label"] == row["predicted"])
    assert result["correct"] == sum(row["correct"] for row in result["samples"])
    assert isinstance(result["seconds"], float)


# JSON


def test_json_at_a_radius(tiny: Path) -> None:
    result = certified(tiny, *RADIUS, "--clip", 0, 1)
    check_samples(result, labels_of(tiny))
    assert result["certified"] == sum(row["certified"] for row in result["samples"])
    assert {"mean_radius", "median_radius", "planes"}.isdisjoint(result)
    for row in result["samples"]:
        assert set(row) == {*SAMPLE, "certified", "margin"}
        assert row["certified"] == (row["correct"] and row["margin"] > 0)
    assert [row["correct"] for row in result["samples"]] == [False] + [True] * (SAMPLES - 1)
    assert result["request"]["clip"] == [0, 1]
    assert result["request"]["norm"] == "inf"


def test_json_of_a_search(tiny: Path) -> None:
    result = certified(tiny, "--search")
    check_samples(result, labels_of(tiny))
    radii = [row["radius"] for row in result["samples"] if row["correct"]]
    assert result["mean_radius"] == pytest.approx(np.mean(radii), rel=1e-12)
    assert result["median_radius"] == pytest.approx(np.median(radii), rel=1e-12)
    assert "certified" not in result
    for row in result["samples"]:
        assert set(row) == {*SAMPLE, "radius", "radius_failed", "margin"}
        if not row["correct"]:
            assert (row["radius"], row["radius_failed"]) == (0, 0)
        else:
            assert row["margin"] > 0
            assert 0 < row["radius"] < row["radius_failed"] <= row["radius"] * 1.0011


def test_no_correct_sample_has_no_mean(tiny: Path) -> None:
    """JSON has no NaN."""
    result = certified(tiny, "--search", "--count", 1)
    assert result["mean_radius"] is None
    assert result["median_radius"] is None


@pytest.mark.parametrize("what", [("--search",), RADIUS], ids=["search", "radius"])
def test_json_frame_by_frame(tiny: Path, what: tuple[str, ...]) -> None:
    result = certified(tiny, *what, "--frames", "each", "--count", 3)
    check_samples(result, labels_of(tiny)[:3])
    for row in result["samples"]:
        name, own = ("frame_radii", "radius") if "--search" in what else ("frame_margins", "margin")
        assert len(row[name]) == TIME
        assert row[own] == min(row[name])
        if "--search" not in what:
            assert row["certified"] == (row["correct"] and min(row[name]) > 0)


@pytest.mark.parametrize("what", [("--search",), RADIUS], ids=["search", "radius"])
def test_json_of_all_targets(tiny: Path, what: tuple[str, ...]) -> None:
    result = certified(tiny, *what, "--target", "all", "--count", 3)
    for row in result["samples"]:
        name, own = ("target_radii", "radius") if "--search" in what else ("target_margins", "margin")
        assert len(row[name]) == CLASSES - 1
        assert row[own] == min(row[name])


@pytest.mark.parametrize("frames", ["all", "each"])
@pytest.mark.parametrize("kept", [False, True], ids=["alone", "run folder"])
def test_json_of_one_target(tiny: Path, frames: str, kept: bool, tmp_path: Path) -> None:
    """Samples that have the target's label are asked nothing. Regression: their keys differed with a run folder."""
    labels = labels_of(tiny)
    target = labels[1]
    out = ("--out", tmp_path / "run") if kept else ()
    fixed = certified(tiny, *RADIUS, "--target", target, "--frames", frames)
    result = certified(tiny, "--search", "--target", target, "--frames", frames, *out)
    for row, at_radius in zip(result["samples"], fixed["samples"], strict=True):
        asked = row["label"] != target
        lists = {"frame_radii"} if asked and frames == "each" else set()
        assert set(row) == {*SAMPLE, "radius", "radius_failed", "margin", *lists}
        assert (row["radius"] is not None) == (row["margin"] is not None) == asked
        assert (at_radius["certified"] is not None) == (at_radius["margin"] is not None) == asked
    assert fixed["certified"] == sum(bool(row["certified"]) for row in fixed["samples"])


def test_a_misclassified_sample_has_radius_zero(tiny: Path) -> None:
    """Regression: the margin over one class can be positive for a wrong decision, and then it had a radius."""
    [row] = certified(tiny, "--search", "--count", 1)["samples"]
    [other] = {*range(CLASSES)} - {row["label"], row["predicted"]}
    for frames in ("all", "each"):
        what = ("--count", 1, "--target", other, "--frames", frames)
        [fixed] = certified(tiny, "--radius", 0, *what)["samples"]
        assert fixed["margin"] > 0
        assert fixed["certified"] is False
        result = certified(tiny, "--search", *what)
        [found] = result["samples"]
        assert (found["radius"], found["radius_failed"], result["mean_radius"]) == (0, 0, None)
        assert set(found.get("frame_radii", [0])) == {0}


def test_every_sample_has_the_target_as_its_label(tiny: Path) -> None:
    result = refcert(*certify(tiny, *RADIUS, "--count", 1, "--target", labels_of(tiny)[0]))
    assert result.code == ExitCode.BAD_INPUT
    assert "choose another target" in result.message


@pytest.mark.parametrize("norm", ["inf", "2", "1", "1.5"])
@pytest.mark.parametrize("frames", ["all", "0,2", "1"])
def test_a_radius_is_proved_again_by_itself(tiny: Path, norm: str, frames: str) -> None:
    """At the radius of each sample, with only the chosen frames moving, the engine proves the specification."""
    rows = certified(tiny, "--search", "--norm", norm, "--frames", frames, "--count", 4)["samples"]
    model = load_model(tiny / "tiny.safetensors")
    with np.load(tiny / "tiny.npz") as stored:
        x, labels = torch.from_numpy(stored["x"])[:4], torch.from_numpy(stored["labels"])[:4]
    moving = torch.tensor([float(frames == "all" or str(t) in frames.split(",")) for t in range(TIME)]).double()
    radius = torch.tensor([row["radius"] for row in rows], dtype=torch.float64)
    balls = FrameBalls(x, radius[:, None] * moving, float(norm))
    found = engine_certify(model, balls, untargeted(labels, CLASSES))
    assert found.proved.tolist() == [row["correct"] for row in rows]
    assert found.margin.tolist() == pytest.approx([row["margin"] for row in rows], abs=1e-9)


@pytest.mark.parametrize("options", [("--search",), ("--search", "--frames", "each"), RADIUS], ids=" ".join)
def test_results_do_not_depend_on_the_batch_size(tiny: Path, options: tuple[str, ...], tmp_path: Path) -> None:
    """Regression: without --clip the search's first guess came from the largest value of each batch."""
    with np.load(tiny / "tiny.npz") as stored:
        scale = np.linspace(1, 3, SAMPLES)[:, None, None]
        np.savez(tmp_path / "wide.npz", x=stored["x"] * scale, labels=stored["labels"])
    given = (*certify(tiny, "--json", *options), "--data", tmp_path / "wide.npz")
    one, three, many = (refcert(*given, "--batch-size", size).json["samples"] for size in (1, 3, 50))
    for a, b, c in zip(one, three, many, strict=True):
        for name in a:
            assert b[name] == pytest.approx(a[name], rel=1e-9, abs=1e-9)
            assert c[name] == pytest.approx(a[name], rel=1e-9, abs=1e-9)


def test_float32_is_certified_too(tiny: Path) -> None:
    wide, narrow = (certified(tiny, *RADIUS, "--dtype", dtype)["samples"] for dtype in ("float64", "float32"))
    for a, b in zip(wide, narrow, strict=True):
        assert b["margin"] == pytest.approx(a["margin"], abs=1e-3)
        assert b["margin"] <= a["margin"] + 1e-6


# Runs and audits


def test_the_run_folder_says_the_same_and_its_audit_agrees(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    result = certified(tiny, "--search", "--audit", "--batch-size", 3, "--out", out)
    assert result["planes"]["refuted"] == result["planes"]["undecided"] == 0
    assert result["planes"]["proved"] > 0
    rows = pq.read_table(out / "results").to_pylist()
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in rows] == result["samples"]
    stored = json.loads((out / "summary.json").read_text())
    assert stored == {k: v for k, v in result.items() if k != "samples"}
    asked = json.loads((out / "request.json").read_text())
    assert asked["request"] == result["request"]
    assert {"refcert", "torch", "numpy", "python-flint", "python"} <= set(asked["versions"])
    assert asked["request"]["seed"] == 0

    audit = refcert("audit", out, "--workers", 1, "--json").json
    assert audit["summary"] == result["planes"]
    assert len(audit["planes"]) == sum(result["planes"].values())
    assert {row["verdict"] for row in audit["planes"]} == {"PROVED"}
    parts = [refcert("audit", path, "--workers", 1, "--json").json for path in sorted((out / "planes").iterdir())]
    assert len(parts) == 3
    assert [row for part in parts for row in part["planes"]] == audit["planes"]


def test_a_plane_shifted_inward_is_refuted_with_its_point(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    certified(tiny, *RADIUS, "--out", out)
    path = out / "planes" / "part-00000.npz"
    with np.load(path) as stored:
        columns = {name: stored[name].copy() for name in stored.files}
    wrong = int(np.flatnonzero(columns["side"] == "upper")[5])
    columns["offset"][wrong] -= 0.5
    np.savez(path, **columns)
    audit = refcert("audit", out, "--workers", 1, "--json")
    assert audit.code == ExitCode.REFUTED
    assert audit.json["summary"]["refuted"] == 1
    row = audit.json["planes"][wrong]
    assert row["verdict"] == "REFUTED"
    low_v, high_v, low_z, high_z = (columns[name][wrong] for name in COLUMNS[2:6])
    assert low_v <= row["point"]["v"] <= high_v
    assert low_z <= row["point"]["z"] <= high_z
    assert 0 < row["violation"] <= 0.5
    table = refcert("audit", out, "--workers", 1)
    assert table.code == ExitCode.REFUTED
    place = f"plane {wrong} (part-00000, row {wrong})"
    assert f"{place}: {columns['kind'][wrong]}, upper: REFUTED at v = {row['point']['v']!r}" in table.out
    # The verdicts are kept: the run's own summary has them now.
    resumed = refcert(*certify(tiny, *RADIUS, "--out", out, "--resume", "--json"))
    assert resumed.code == ExitCode.REFUTED
    assert resumed.json["planes"] == audit.json["summary"]


def test_without_planes_only_the_verdicts_are_kept(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = certified(tiny, *RADIUS, "--audit", "--no-planes", "--out", out)
    assert result["planes"]["proved"] > 0
    assert list((out / "planes").iterdir()) == []
    assert "certify again without --no-planes" in refcert("audit", out).message


def test_prove_and_report_print_json(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: `prove` called its progress bar with the wrong arguments."""
    from proofs import registry

    monkeypatch.setattr(registry, "LEMMAS", registry.LEMMAS[:1])
    result = refcert("prove", "--json").json
    assert result["summary"] == {"proved": 1, "failed": 0}
    assert result["lemmas"][0]["name"] == registry.LEMMAS[0].name
    assert "1 of 1 lemmas proved" in refcert("prove").out
    certified(tiny, *RADIUS, "--count", 2, "--out", tmp_path / "run")
    page = Path(refcert("report", tmp_path / "run", "--json").json["report"])
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")


# For people


def test_names_are_printed_as_they_are(tiny: Path, tmp_path: Path) -> None:
    """Regression: `[...]` in a path vanished as markup, `:smile:` became a picture, long paths were broken."""
    odd = tmp_path / ("a [bold]x[0] :smile: " + "long " * 30 + "y.npz")
    odd.write_bytes((tiny / "tiny.npz").read_bytes())
    result = refcert(*certify(tiny, *RADIUS), "--data", odd)
    assert result.code == 0
    assert str(odd) in result.out
    assert "\x1b" not in result.out + result.err


def test_names_that_the_terminal_cannot_show_are_no_tracebacks(tiny: Path, tmp_path: Path) -> None:
    odd = tmp_path / "\udcffü.npz"
    odd.write_bytes((tiny / "tiny.npz").read_bytes())
    done = subprocess.run(
        command(*certify(tiny, *RADIUS), "--data", odd),
        capture_output=True,
        text=True,
        env=environment(PYTHONIOENCODING="ascii"),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\\udcff\\xfc.npz" in done.stdout
    assert done.stderr == ""


def test_small_margins_and_radii_are_not_shown_as_zero(tiny: Path) -> None:
    """Regression: a proved margin was shown as 0.0000."""
    rows = certified(tiny, "--search", "--count", 4)["samples"]
    table = refcert(*certify(tiny, "--search", "--count", 4)).out
    for row in rows:
        assert f"{row['margin']:.4g}" in table
    assert "0.0000" not in table
    assert "0 (misclassified)" in table


@pytest.mark.parametrize(
    "words",
    [[], *([name] for name in ("demo", "certify", "audit", "prove", "report", "compare", "tightness"))],
    ids=str,
)
def test_help_is_for_people(words: list[str]) -> None:
    result = refcert(*words, "--help")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80
    assert "--json" in result.out or not words
    if not words:
        for number in ("0", "1", "2", "3", "4", "5", "70", "130"):
            assert re.search(rf"\b{number}\b", result.out.partition("Exit codes:")[2])


def test_version_and_usage() -> None:
    assert refcert("--version").out.startswith("refcert ")
    assert refcert().code == ExitCode.BAD_INPUT
    assert "nonsense" in refcert("nonsense").message


def test_progress_bars_in_a_terminal_of_80_columns(tiny: Path) -> None:
    """Bars on standard error with rate and remaining time; standard output stays clean for a pipe."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        command(*certify(tiny, "--search", "--audit", "--frames", "each", "--batch-size", 1, "--json")),
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
        env=environment(TERM="xterm", COLUMNS="80", NO_COLOR=""),
    )
    os.close(slave)
    shown = _read_all(master)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(output)["planes"]["refuted"] == 0
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("certifying") and "/21" in line for line in lines)
    assert any(re.search(r"[0-9] questions/s .*[0-9]:[0-9]{2}:[0-9]{2}", line) for line in lines)
    assert any(line.startswith("auditing planes") for line in lines)


def _read_all(descriptor: int) -> str:
    pieces = []
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(descriptor)
    return b"".join(pieces).decode()


def test_the_audits_processes_agree_with_one(tiny: Path, tmp_path: Path) -> None:
    """A real process with two workers, as the default has them."""
    out = tmp_path / "run"
    certified(tiny, *RADIUS, "--count", 2, "--out", out)
    done = subprocess.run(
        [sys.executable, "-m", "refcert.app.cli", "audit", str(out), "--workers", "2", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    single = refcert("audit", out, "--workers", 1, "--json").json
    assert json.loads(done.stdout)["planes"] == single["planes"]


@pytest.mark.parametrize("clip", [(), ("--clip", 0, 1)], ids=str)
@pytest.mark.parametrize("frames", ["all", "0,2"])
def test_radius_zero_is_the_decision_itself(tiny: Path, frames: str, clip: tuple[object, ...]) -> None:
    rows = certified(tiny, "--radius", 0, "--frames", frames, *clip)["samples"]
    assert [row["certified"] for row in rows] == [row["correct"] for row in rows]

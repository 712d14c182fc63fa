"""`refcert demo`: the main job end to end."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from refcert.app import cli
from refcert.app.errors import ExitCode
from refcert.app.report.frames import FOLDER
from tests.app.commands import refcert, refcert_process


def check(folder: Path, result: dict[str, Any], count: int) -> None:
    assert result["count"] == count == len(result["samples"])
    assert result["planes"]["proved"] > 0
    assert result["planes"]["refuted"] == result["planes"]["undecided"] == 0
    assert result["mean_radius"] > 0
    page = Path(result["report"])
    assert page == folder / "report.html"
    assert page.stat().st_size > 1000
    assert (folder / FOLDER / "summary.json").is_file()


def test_a_small_demo_in_a_process(tmp_path: Path) -> None:
    """Without --out the first free folder is taken, and an existing one stays as it is."""
    (tmp_path / "refcert-demo").mkdir()
    result = refcert_process("demo", "--count", 2, "--workers", 1, "--json", cwd=tmp_path)
    assert result.code == 0, result.err
    assert result.err == ""
    value = result.json
    assert value["report"] == "refcert-demo-2/report.html"
    check(tmp_path / "refcert-demo-2", value | {"report": str(tmp_path / value["report"])}, 2)
    assert list((tmp_path / "refcert-demo").iterdir()) == []


def test_the_demo_certifies_at_least_fifty_digits() -> None:
    assert inspect.signature(cli.demo).parameters["count"].default >= 50


@pytest.mark.long
def test_the_whole_demo(tmp_path: Path) -> None:
    result = refcert_process("demo", "--out", tmp_path / "demo", "--json")
    assert result.code == 0, result.err
    assert result.json["count"] >= 50
    check(tmp_path / "demo", result.json, result.json["count"])


def test_bad_input_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    many = refcert("demo", "--count", 361)
    assert many.code == ExitCode.BAD_INPUT
    assert "count 361: digits has 360 sequences; ask for 1 to 360" in many.message
    assert "0 is too small; give at least 1" in refcert("demo", "--count", 0).message
    assert list(tmp_path.iterdir()) == []
    exists = refcert("demo", "--out", tmp_path)
    assert exists.code == ExitCode.BAD_INPUT
    assert f"{tmp_path} exists; choose another --out" in exists.message
    assert list(tmp_path.iterdir()) == []

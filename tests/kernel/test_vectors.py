"""The kernel gives every conformance vector its verdict: in this process, and by its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from refcert.kernel.__main__ import main
from refcert.kernel.check import check
from refcert.kernel.errors import UnreadableError
from tests.certificates.vectors import Entry, entries

ENTRIES = entries()
EXIT_CODES = {"VALID": 0, "INVALID": 1, "UNREADABLE": 2, "HOLEY": 3}  # section 10


def judged(path: Path) -> tuple[str, int | None]:
    """The verdict, and the step that does not hold."""
    try:
        result = check(path)
    except UnreadableError:
        return "UNREADABLE", None
    return str(result.verdict), result.step


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_kernels_verdict(entry: Entry) -> None:
    verdict, step = judged(entry.path)
    assert verdict in entry.allowed
    assert step == entry.step


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_exit_code(entry: Entry, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([str(entry.path)])
    assert code in {EXIT_CODES[verdict] for verdict in entry.allowed}
    assert capsys.readouterr().out.split()[0] in entry.allowed


def test_all_accepted_files_together() -> None:
    """As a program of its own; one read network does not disturb another."""
    assert run("VALID") == 0


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (("INVALID",), 1),
        (("UNREADABLE",), 2),
        (("HOLEY",), 3),
        (("VALID", "HOLEY"), 3),
        (("VALID", "HOLEY", "UNREADABLE"), 2),
        (("VALID", "HOLEY", "UNREADABLE", "INVALID"), 1),
    ],
)
def test_the_worst_verdict_decides_the_exit_code(verdicts: tuple[str, ...], code: int) -> None:
    assert run(*verdicts) == code


def run(*verdicts: str) -> int:
    """The exit code of `python -m refcert.kernel` for all vectors with these verdicts."""
    files = [str(entry.path) for entry in ENTRIES if entry.verdict in verdicts and not entry.undecided_allowed]
    command = [sys.executable, "-m", "refcert.kernel", *files]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert len(result.stdout.splitlines()) == len(files) > 0
    assert result.stderr == ""
    return result.returncode

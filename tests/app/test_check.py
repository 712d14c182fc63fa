"""`refcert check`: verdicts, exit codes, JSON, tables, and what it must not load."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from refcert.app.certificates import checking
from refcert.app.certificates import outcome as outcome_module
from refcert.app.certificates.checking import CheckReport
from refcert.app.certificates.files import Found
from refcert.app.certificates.outcome import OTHER_NETWORK, WORDS, Asked, Outcome, check_file
from refcert.app.certificates.table import SHOWN, print_check
from refcert.app.errors import ExitCode
from refcert.kernel.__main__ import UNREADABLE
from refcert.kernel.check import Verdict, check
from tests.app.commands import Result, command, environment, refcert
from tests.app.made_certificates import InThisProcess, draft, holey, invalid, truncated, write

FILE_KEYS = [
    *("path", "verdict", "claim", "network", "margin", "step", "rule", "reason", "witness", "sha256", "seconds"),
]
FILE_IN = "clipped, backward, targeted, in a file"


def run(*arguments: object) -> Result:
    return refcert("check", "--workers", 1, *arguments)


def parsed(result: Result) -> dict:
    """The JSON, also of the exit code 2, with which results are printed here."""
    return replace(result, code=0).json


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "Workers", InThisProcess)


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    return write(tmp_path, "valid", draft())


def unreadable(folder: Path) -> Path:
    return truncated(write(folder, "unreadable", draft()))


# Verdicts and JSON


def test_json_of_a_valid_certificate(valid: Path) -> None:
    result = run(valid, "--json")
    assert result.code == 0
    found = result.json
    assert set(found) == {"counts", "files", "verdicts", "kernel", "workers", "seconds"}
    assert found["counts"] == {"valid": 1, "invalid": 0, "holey": 0, "unreadable": 0, "other_network": 0}
    assert found["kernel"] == version("refcert")
    assert found["workers"] == 1
    assert found["verdicts"] == []
    (file,) = found["files"]
    assert list(file) == FILE_KEYS
    kernels = check(valid).claim
    assert file.pop("seconds") > 0
    assert file == {
        "path": str(valid),
        "verdict": "VALID",
        "claim": kernels.digest,
        "network": kernels.network,
        "margin": float.fromhex(draft().body["margin"]),
        "step": None,
        "rule": None,
        "reason": None,
        "witness": None,
        "sha256": hashlib.sha256(valid.read_bytes()).hexdigest(),
    }


def test_an_invalid_one_has_step_rule_reason_and_witness(tmp_path: Path) -> None:
    path = write(tmp_path, "invalid", invalid())
    result = run(path, "--json")
    assert result.code == 1
    (file,) = result.json["files"]
    assert (file["verdict"], file["step"], file["rule"]) == ("INVALID", 0, "box.intersection")
    assert "the lower end of unit 0 does not follow" in file["reason"]
    assert file["witness"]["unit"] == 0
    assert file["witness"]["derived"] < file["witness"]["claimed"] == invalid().tensors["step.0"].values[0]


@pytest.mark.usefixtures("here")
def test_a_violated_plane_has_its_point(tmp_path: Path) -> None:
    made = draft()
    number = made.step("planes")
    table = made.tensors[f"step.{number}"]
    table.values[3 * table.shape[1]] -= 1.0  # the upper offset of unit 0
    result = run(write(tmp_path, "c", made), "--json")
    assert result.code == 1
    (file,) = result.json["files"]
    assert (file["step"], file["rule"]) == (number, "planes")
    assert file["witness"]["side"] == "upper"
    assert [type(x) for x in file["witness"]["point"]] == [float, float]
    assert file["witness"]["violation"] == pytest.approx(1.0)


def test_witnesses_are_json_whatever_is_in_them() -> None:
    witness = {"point": (0.5, math.inf), "nan": math.nan, "unit": 3, "said": "word", "none": None, "other": Path("x")}
    found = Outcome(Found(Path("c")), "INVALID", witness=witness).to_json()["witness"]
    json.dumps(found, allow_nan=False)
    assert found == {"point": [0.5, None], "nan": None, "unit": 3, "said": "word", "none": None, "other": "x"}


@pytest.mark.usefixtures("here")
def test_an_unknown_rule_is_holey(tmp_path: Path) -> None:
    result = run(write(tmp_path, "holey", holey()), "--json")
    assert result.code == 3
    (file,) = result.json["files"]
    assert (file["verdict"], file["step"], file["rule"]) == ("HOLEY", 0, "box.guess")
    assert "'box.guess' is not known" in file["reason"]
    assert file["claim"] is not None


@pytest.mark.usefixtures("here")
def test_an_unreadable_one_claims_nothing(tmp_path: Path) -> None:
    path = unreadable(tmp_path)
    result = run(path, "--json")
    assert result.code == 2
    (file,) = parsed(result)["files"]
    assert file["verdict"] == "UNREADABLE"
    assert file["claim"] is file["network"] is file["margin"] is None
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not file["reason"].startswith(str(path))


def test_a_mixed_folder(tmp_path: Path) -> None:
    """The others are checked whatever one of them is; each keeps its place."""
    names = {"a": draft(), "b": holey(), "c": invalid(), "d": draft(FILE_IN), "e": draft("p one")}
    for name, made in names.items():
        write(tmp_path, name, made)
    unreadable(tmp_path)
    found = refcert("check", tmp_path, "--workers", 3, "--json")
    assert found.code == 1
    files = {Path(file["path"]).stem: file["verdict"] for file in found.json["files"]}
    assert list(files.items()) == [
        *(("a", "VALID"), ("b", "HOLEY"), ("c", "INVALID"), ("d", "VALID"), ("e", "VALID")),
        ("unreadable", "UNREADABLE"),
    ]
    assert found.json["counts"] == {"valid": 3, "invalid": 1, "holey": 1, "unreadable": 1, "other_network": 0}


@pytest.mark.parametrize("size", range(1, len(WORDS) + 1))
def test_exit_codes_of_every_mixture(size: int) -> None:
    """0 only if all are VALID; else 1 for INVALID, else 2 for what is no right file, else 3 (section 10)."""
    for words in itertools.combinations(WORDS, size):
        outcomes = tuple(Outcome(Found(Path(word)), word) for word in words)
        code = CheckReport(outcomes, 0.0, 1, "").exit_code
        if Verdict.INVALID in words:
            assert code == ExitCode.REFUTED
        elif UNREADABLE in words or OTHER_NETWORK in words:
            assert code == ExitCode.BAD_INPUT
        elif Verdict.HOLEY in words:
            assert code == ExitCode.UNDECIDED
        else:
            assert words == (Verdict.VALID,)
            assert code == ExitCode.OK


@pytest.mark.usefixtures("here")
def test_the_kernel_alone_says_the_same(tmp_path: Path) -> None:
    """`python -m refcert.kernel`, which needs python-flint and nothing else."""
    paths = [
        write(tmp_path, "a", draft()),
        write(tmp_path, "b", invalid()),
        write(tmp_path, "c", holey()),
        unreadable(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "refcert.kernel", *map(str, paths)], capture_output=True, text=True, check=False
    )
    ours = run(*paths, "--json")
    assert done.returncode == ours.code == 1
    words = [line.split()[0] for line in done.stdout.splitlines()]
    assert words == [file["verdict"] for file in ours.json["files"]]


# Another network


@pytest.mark.usefixtures("here")
def test_a_demanded_network(tmp_path: Path, valid: Path) -> None:
    other = write(tmp_path, "other", draft(FILE_IN))
    mine, its = check(valid).claim.network, check(other).claim.network
    assert run(valid, "--network", mine.upper()).code == 0
    result = run(valid, other, "--network", mine, "--json")
    assert result.code == 2
    first, second = parsed(result)["files"]
    assert first["verdict"] == "VALID"
    assert second["verdict"] == "OTHER NETWORK"
    assert mine in second["reason"]
    assert its in second["reason"]
    assert second["network"] == its


# Budgets, memory, faults


@pytest.mark.usefixtures("here")
def test_a_budget_of_time_ends_in_holey(valid: Path) -> None:
    result = run(valid, "--seconds", "1e-9", "--json")
    assert result.code == 3
    (file,) = result.json["files"]
    assert file["verdict"] == "HOLEY"
    assert "budget of 1e-09 seconds" in file["reason"]


def test_memory_that_is_not_enough_ends_in_holey(tmp_path: Path, valid: Path) -> None:
    large = tmp_path / "large.safetensors"
    with large.open("wb") as file:
        file.truncate(1 << 30)  # as large as a certificate may be; a hole takes no room on the disk
    result = run(large, "--memory", "300MB", "--json")
    assert result.code == 3
    (file,) = result.json["files"]
    assert (file["verdict"], file["claim"]) == ("HOLEY", None)
    assert "--memory" in file["reason"]
    assert run(valid, "--memory", "4GB", "--seconds", "100").code == 0


def test_a_fault_of_the_kernel_is_holey_and_said(valid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("somewhere")

    monkeypatch.setattr(outcome_module, "replay", broken)
    found = check_file(Asked(Found(valid)), {})
    assert found is not None
    assert found.verdict == "HOLEY"
    assert found.reason == "a fault of the kernel (KeyError: 'somewhere'); please report it"


def test_memory_that_ends_is_holey_and_forgets_the_networks(valid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(outcome_module, "read_certificate", full)
    known: dict = {"digest": None}
    found = check_file(Asked(Found(valid)), known)
    assert found is not None
    assert (found.verdict, found.claim) == ("HOLEY", None)
    assert "allow more with --memory" in found.reason
    assert known == {}


def test_a_file_that_changes_meanwhile_has_no_verdict(valid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict is kept with the file's SHA-256, and must be about that content."""
    replay = outcome_module.replay

    def changing(*arguments: object) -> object:
        valid.write_bytes(valid.read_bytes() + b" ")
        return replay(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(outcome_module, "replay", changing)
    found = check_file(Asked(Found(valid)), {})
    assert found is not None
    assert (found.verdict, found.claim) == ("UNREADABLE", None)
    assert "changed while it was checked" in found.reason


def test_networks_that_a_process_keeps_are_few(tmp_path: Path) -> None:
    known: dict = {}
    for k in range(12):
        made = draft(FILE_IN)
        assert made.file is not None
        made.file["after.0.bias"].values[2] = -float(k)  # each another network
        made.digest()
        made.claim()
        check_file(Asked(Found(write(tmp_path, f"c{k}", made))), known)
        assert len(known) <= 5


# Tables


@pytest.mark.usefixtures("here")
def test_table_for_people(tmp_path: Path, valid: Path) -> None:
    write(tmp_path, "holey", holey())
    result = run(tmp_path)
    assert result.code == 3
    claim = check(valid).claim
    assert str(valid) in result.out
    assert claim.digest[:12] in result.out
    assert f"VALID about the network {claim.network}: 1" in result.out
    assert "holey.safetensors: HOLEY, step 0, box.guess: the rule 'box.guess' is not known" in result.out
    assert "1 valid, 1 holey of 2" in result.out


@pytest.mark.usefixtures("here")
def test_long_tables_show_what_is_open_and_say_what_is_cut(tmp_path: Path) -> None:
    for k in range(SHOWN + 3):
        write(tmp_path, f"c{k:02}", draft())
    write(tmp_path, "z", invalid())
    result = run(tmp_path)
    assert result.code == 1
    assert "... and 4 more (--json has all)" in result.out
    assert "z.safetensors: INVALID, step 0" in result.out
    assert f"{SHOWN + 3} valid, 1 invalid of {SHOWN + 4}" in result.out
    assert "c00.safetensors" in result.out
    assert f"c{SHOWN:02}.safetensors" not in result.out


def test_many_networks_are_cut() -> None:
    outcomes = tuple(Outcome(Found(Path(f"{k}")), "VALID", network=f"{k:064x}", margin=1.0) for k in range(SHOWN + 2))
    paper = io.StringIO()
    print_check(Console(file=paper, width=200), CheckReport(outcomes, 0.0, 2, ""))
    assert paper.getvalue().count("VALID about the network") == SHOWN
    assert "... and 2 more networks (--json has all)" in paper.getvalue()
    assert "with 2 workers" in paper.getvalue()


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False))
def test_no_margin_is_shown_larger_than_it_is_claimed(margin: float) -> None:
    outcome = Outcome(Found(Path("c")), "VALID", margin=margin)
    paper = io.StringIO()
    print_check(Console(file=paper, width=200), CheckReport((outcome,), 0.0, 1, ""))
    (row,) = [line for line in paper.getvalue().splitlines() if "VALID" in line and "│" in line]
    shown = float(row.split("│")[3])
    assert margin * (1 - 2e-5) <= shown <= margin


@pytest.mark.usefixtures("here")
def test_names_cannot_command_the_terminal(tmp_path: Path) -> None:
    write(tmp_path, "up", draft()).rename(tmp_path / "up\x1b[2J.safetensors")
    result = run(tmp_path)
    assert result.code == 0
    assert "\x1b" not in result.out
    assert "up\\x1b[2J.safetensors" in result.out


# What it needs


@pytest.mark.parametrize("as_run", [False, True], ids=["files", "run"])
def test_neither_torch_nor_numpy_is_loaded(tmp_path: Path, as_run: bool) -> None:
    """Only writing a run's verdicts goes through the run folders' module, which has numpy; nothing ever has torch."""
    folder = tmp_path / "certificates" if as_run else tmp_path
    write(folder, "valid", draft())
    if as_run:
        (tmp_path / "request.json").write_text("{}")
    code = (
        "import sys\n"
        "from refcert.app.cli import main\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as stop:\n"
        "        found = {'torch', 'numpy', 'scipy', 'pyarrow', 'gpu_engine'} & set(sys.modules)\n"
        "        print(stop.code, sorted(found), file=sys.stderr)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script), "check", str(tmp_path if as_run else folder), "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    code, _, modules = done.stderr.splitlines()[-1].partition(" ")
    assert code == "0", done.stderr
    assert modules == str(["numpy", "pyarrow"] if as_run else [])
    assert json.loads(done.stdout)["counts"]["valid"] == 1


def test_as_a_program(valid: Path) -> None:
    done = subprocess.run(
        [*command("check", valid)], capture_output=True, text=True, check=False, env=environment(), cwd=valid.parent
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "1 valid of 1" in done.stdout

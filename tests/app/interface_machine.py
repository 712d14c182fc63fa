"""The public interface as a state machine: commands, kills and resumes on a tiny model, and what always holds.

A kill is what SIGKILL leaves behind: files are written in one order, so it is a prefix of them, perhaps with a
half-written file behind it.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from refcert.app import runs
from refcert.app.certificates import checking
from refcert.app.errors import ExitCode
from tests.app.commands import Result, refcert, write_data, write_model
from tests.app.made_certificates import InThisProcess

# What is asked of every sample, and the norm that it is about.
QUESTIONS = {
    "fixed": (("--radius", 0.03), "inf"),
    "wide": (("--radius", 0.08), "inf"),
    "euclidean": (("--radius", 0.05, "--norm", 2), "2"),
    "search": (("--search", "--tolerance", 5e-3, "--relaxation", "constants"), "inf"),
}
QUESTION = st.sampled_from(sorted(QUESTIONS))
FLAGS = st.sets(st.sampled_from(["--audit", "--certificates"])).map(lambda found: tuple(sorted(found)))
COUNT, PART = 5, 2
WHICH = st.integers(0, 9)
FEW = 2
"""Samples where a command takes long; the first one is misclassified."""
PARTS = -(-COUNT // PART)
DOCUMENTED = {ExitCode.OK, ExitCode.REFUTED, ExitCode.BAD_INPUT, ExitCode.UNDECIDED, ExitCode.OUTPUT_FAILED}


@cache
def model_and_data() -> Path:
    """Written once; no command may change them."""
    folder = Path(tempfile.mkdtemp(prefix="refcert-machine-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_data(folder / "d.npz", write_model(folder / "m.safetensors"))
    return folder


def asked(question: str, count: int = COUNT) -> tuple[object, ...]:
    folder = model_and_data()
    given = ("--model", folder / "m.safetensors", "--data", folder / "d.npz", "--count", count)
    return (*given, *QUESTIONS[question][0])


def certify(question: str, *more: object) -> tuple[object, ...]:
    return ("certify", *asked(question), "--batch-size", PART, "--workers", 1, "--json", *more)


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what depends on the clock, and on whether certificates were asked for."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "claims")} for row in rows]


@cache
def uninterrupted(question: str) -> str:
    """The rows of a run that nothing disturbs, as JSON: what is cached cannot be changed by a test."""
    return json.dumps(plain(refcert(*certify(question)).json["samples"]))


def contents(path: Path) -> dict[str, str]:
    """Every file below a folder with its digest."""
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@dataclass
class Run:
    question: str
    path: Path
    flags: tuple[str, ...]
    killed: bool = False
    valid: dict[str, str] = field(default_factory=dict)  # certificates that were VALID, and what they claim

    @property
    def command(self) -> tuple[object, ...]:
        return certify(self.question, *self.flags, "--out", self.path)


def kill(run: Run, parts: int, written: int, half: bool) -> None:
    """Leave `parts` finished parts, the next one's first `written` files and perhaps half of the one after it."""
    (run.path / "summary.json").unlink(missing_ok=True)
    (run.path / "report.html").unlink(missing_ok=True)
    for part in range(parts, PARTS):
        order = [("planes", "npz"), ("audit", "parquet"), ("results", "parquet")]
        files = [run.path / folder / f"part-{part:05d}.{suffix}" for folder, suffix in order]
        there = [file for file in files if file.exists()]
        keep = min(written, len(there) - 1) if part == parts else 0
        for number, file in enumerate(there):
            if number == keep and half and part == parts:
                file.with_name(f"{file.name}.partial").write_bytes(file.read_bytes()[: file.stat().st_size // 2])
            if number >= keep:
                file.unlink()
    run.killed = True


class Interface(RuleBasedStateMachine):
    """Commands in any order; `runs` is what must be true of each run folder."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="refcert-machine-"))
        self.runs: list[Run] = []
        self.certified: dict[tuple[str, int], float] = {}
        self.broken: dict[tuple[str, int], float] = {}
        self.names, self.compared = 0, False
        self.baselined: tuple[Path, bytes] | None = None
        self.before = contents(model_and_data())

    @initialize(question=QUESTION, flags=FLAGS)
    def begin(self, question: str, flags: tuple[str, ...]) -> None:
        """A first run, so that every command has something to work on."""
        self.certify(question, flags)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def call(self, *arguments: object, codes: tuple[int, ...] = (ExitCode.OK,)) -> Result:
        """One command: a documented exit code, one of those expected, and no traceback anywhere."""
        with mock.patch.object(checking, "Workers", InThisProcess):
            result = refcert(*arguments)
        assert "Traceback" not in result.err + result.out
        assert result.code in DOCUMENTED, (result.code, result.err)
        assert result.code in codes, (arguments, result.code, result.err, result.out[-500:])
        return result

    def name(self, start: str) -> Path:
        self.names += 1
        return self.folder / f"{start}{self.names}"

    def run(self, which: int) -> Run:
        """One of the runs: there is always one."""
        return self.runs[which % len(self.runs)]

    def learn(self, question: str, rows: list[dict[str, Any]]) -> None:
        """Results are those of the uninterrupted run; what they certify is remembered."""
        assert json.dumps(plain(rows)) == uninterrupted(question)
        options, norm = QUESTIONS[question]
        for row in rows:
            radius = row.get("radius", options[1] if row.get("certified") else 0.0)
            key = norm, row["index"]
            self.certified[key] = max(self.certified.get(key, 0.0), float(str(radius)) if row["correct"] else 0.0)

    @rule(question=QUESTION, flags=FLAGS)
    def certify(self, question: str, flags: tuple[str, ...]) -> None:
        run = Run(question, self.name("run"), flags)
        self.learn(question, self.call(*run.command).json["samples"])
        self.runs.append(run)

    @rule(which=WHICH)
    def certify_over_a_run(self, which: int) -> None:
        """Refused without --resume, and with another question; nothing changes."""
        run = self.run(which)
        before = contents(run.path)
        self.call(*run.command, codes=(ExitCode.BAD_INPUT,))
        other = "wide" if run.question != "wide" else "fixed"
        again = certify(other, *run.flags, "--out", run.path, "--resume")
        self.call(*again, codes=(ExitCode.BAD_INPUT,))
        assert contents(run.path) == before

    @rule(which=WHICH, parts=st.integers(0, PARTS), written=st.integers(0, 2), half=st.booleans())
    def kill(self, which: int, parts: int, written: int, half: bool) -> None:
        kill(self.run(which), parts, written, half)

    @rule(which=WHICH)
    def resume(self, which: int) -> None:
        """The results of an uninterrupted run, whatever there was."""
        run = self.run(which)
        self.learn(run.question, self.call(*run.command, "--resume").json["samples"])
        run.killed = False

    @rule(question=st.sampled_from(["fixed", "euclidean"]), seed=st.integers(0, 3))
    def attack(self, question: str, seed: int) -> None:
        options, norm = asked(question)[:6], QUESTIONS[question][1]
        found = self.call("attack", *options, "--norm", norm, "--seed", seed, "--json", "--steps", 10).json
        for row in found["samples"]:
            if row["correct"] and row.get("radius") is not None:
                key = norm, row["index"]
                self.broken[key] = min(self.broken.get(key, row["radius"]), row["radius"])

    @rule(question=st.sampled_from(["fixed", "euclidean"]))
    def compare(self, question: str) -> None:
        """Each relaxation's certified samples count as certified, too."""
        if self.compared:  # the volumes of planes take a second
            return
        self.compared = True
        found = self.call("compare", *asked(question, FEW), "--relaxations", "parallel,constants", "--json").json
        options, norm = QUESTIONS[question]
        for row in (row for relaxation in found["relaxations"] for row in relaxation["samples"]):
            if row["certified"]:
                key = norm, row["index"]
                self.certified[key] = max(self.certified.get(key, 0.0), float(str(options[1])))

    @rule(which=WHICH)
    def check(self, which: int) -> None:
        """All are VALID, killed or not; what was VALID stays it, about the same claim."""
        run = self.run(which)
        if not any((run.path / "certificates").glob("sample-*")):
            self.call("check", run.path, "--json", codes=(ExitCode.BAD_INPUT,))
            return
        files = self.call("check", run.path, "--workers", 1, "--json").json["files"]
        claims = {Path(file["path"]).name: file["claim"] for file in files if file["verdict"] == "VALID"}
        assert len(claims) == len(files), files
        assert run.valid.items() <= claims.items(), (run.valid, claims)
        run.valid = claims
        self.call("explain", sorted((run.path / "certificates").glob("sample-*"))[0], "--json")

    @rule(which=WHICH)
    def audit(self, which: int) -> None:
        """Nothing is refuted; parts that a kill took are said to be missing."""
        run = self.run(which)
        codes = (ExitCode.OK, ExitCode.UNDECIDED, ExitCode.BAD_INPUT) if run.killed else (ExitCode.OK,)
        result = self.call("audit", run.path, "--workers", 1, "--json", codes=codes)
        if result.code != ExitCode.BAD_INPUT:
            assert result.json["summary"]["refuted"] == 0
            assert (result.json["parts_missing"] > 0) is (len(runs.open_run(run.path).finished_parts()) < PARTS)

    @rule(which=WHICH)
    def report(self, which: int) -> None:
        """Of every run that has finished a part; of another one the remedy is to go on with it."""
        run, page = self.run(which), self.name("page")
        there = bool(runs.open_run(run.path).finished_parts())
        self.call("report", run.path, "--out", page, "--json", codes=(ExitCode.OK if there else ExitCode.BAD_INPUT,))
        assert page.exists() is there

    @rule(question=st.sampled_from(["fixed", "search"]), update=st.booleans())
    def baseline(self, question: str, update: bool) -> None:
        """The first time it is recorded. The model does not change: later nothing is found, and nothing written."""
        if self.baselined is None:
            path = self.name("baseline")
            self.call("baseline", "record", *asked(question, FEW), "--out", path, "--workers", 1)
            self.baselined = path, path.read_bytes()
            return
        path, text = self.baselined
        how = ("update", "--yes") if update else ("compare", "--json")
        self.call("baseline", how[0], "--baseline", path, "--workers", 1, how[1])
        assert path.read_bytes() == text

    @rule(start=st.sampled_from(["check", "explain", "audit", "report"]))
    def ask_about_nothing(self, start: str) -> None:
        """A path without anything is bad input, and stays without anything."""
        path = self.folder / "absent"
        self.call(start, path, "--json", codes=(ExitCode.BAD_INPUT,))
        assert not path.exists()

    @invariant()
    def certified_radii_are_below_adversarial_ones(self) -> None:
        for key in self.certified.keys() & self.broken.keys():
            certified, broken = self.certified[key], self.broken[key]
            assert certified < broken, f"{key}: certified {certified}, broken {broken}"

    @invariant()
    def runs_can_be_read_and_nothing_is_half_written(self) -> None:
        for run in self.runs:
            found = runs.open_run(run.path)
            rows = json.loads(uninterrupted(run.question))
            parts = found.finished_parts()
            assert plain(found.samples()) == [row for row in rows if row["index"] // PART in parts]
            if not run.killed:
                assert parts == list(range(PARTS))
                assert found.summary is not None
                left = list(run.path.rglob("*.partial"))
                assert not left, f"half-written: {left}"
        known = {run.path.name for run in self.runs}
        there = {path.name for path in self.folder.iterdir()}
        assert {name for name in there if name.startswith("run")} == known
        assert not [name for name in there if name.endswith(".partial")]

    @invariant()
    def inputs_stay_as_they_are(self) -> None:
        assert contents(model_and_data()) == self.before

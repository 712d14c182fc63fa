"""Audits that are cut short, killed, interrupted or go on: no finished result is lost, nothing is claimed too much."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from refcert.app import audit_run, runs
from refcert.app.audit_run import AuditOptions, audit_source
from refcert.app.errors import ExitCode
from refcert.app.progress import Progress
from refcert.audit import plane_audit
from refcert.audit.examine import Questions
from refcert.audit.plane_audit import DIED, Auditor, Work
from refcert.audit.plane_table import PlaneTable
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import Status
from tests.app.audit_files import SOUND, UNSOUND, audit, columns, module, save
from tests.app.commands import command, environment
from tests.app.deadly_examiner import DEADLY, deadly
from tests.app.made_runs import said, sample

PLANES = 60
OFFSETS = [UNSOUND if k % 7 == 3 else SOUND for k in range(PLANES)]
PART, BLOCK = 10, 4

COUNTED = """

CALLS = []


def faulty(*box):
    CALLS.append(box[0])
    return planes(*box)
"""
SLOW = """
import time


def faulty(*box):
    time.sleep(0.02)
    lower, upper = planes(*box)
    upper[2][::7] = 0.1
    return lower, upper
"""
INTERRUPTED = """
import os
import signal

SEEN = []


def faulty(*box):
    if "relu" in SEEN:
        os.kill(os.getpid(), signal.SIGINT)
    SEEN.append(box[0])
    return planes(*box)
"""
PARTLY = """

def faulty(*box):
    if box[0] == "relu":
        raise ValueError("not yet")
    return planes(*box)
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(audit_run, "_PART", PART)
    monkeypatch.setattr(plane_audit, "BLOCK", BLOCK)
    save(tmp_path / "planes.npz", OFFSETS)
    return tmp_path


def stamps(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("part-*")}


def verdicts(result):
    return [row["verdict"] for row in result.json["planes"]]


@pytest.fixture
def whole(here):
    return verdicts(audit("planes.npz", "--json", "--examples", 0))


# Budgets


@pytest.mark.parametrize("budget", [1, 9, 10, 59])
def test_a_budget_of_planes_is_kept_and_the_rest_is_said(here, whole, budget):
    result = audit("planes.npz", "--budget-planes", budget, "--json", "--examples", 0)
    refuted = "REFUTED" in whole[:budget]
    assert result.code == (ExitCode.REFUTED if refuted else ExitCode.UNDECIDED)
    assert verdicts(result) == whole[:budget] + ["NOT AUDITED"] * (PLANES - budget)
    assert result.json["not_audited"] == PLANES - budget
    assert sum(result.json["summary"].values()) == budget
    table = audit("planes.npz", "--budget-planes", budget, "--examples", 0)
    assert table.code == result.code
    assert f"NOT AUDITED: {PLANES - budget} of {PLANES} planes, the budget ran out" in table.out


def test_a_budget_that_is_enough_says_nothing(here, whole):
    for option in (("--budget-planes", PLANES), ("--budget", "2h"), ("--budget", "15.5m")):
        result = audit("planes.npz", *option, "--json", "--examples", 0)
        assert verdicts(result) == whole
        assert result.json["not_audited"] == 0


def test_a_budget_of_time_stops_before_the_end(here):
    result = audit("planes.npz", "--budget", "0.0000001", "--json")
    assert result.code == ExitCode.UNDECIDED
    assert result.json["not_audited"] == PLANES
    assert result.json["summary"] == {"proved": 0, "refuted": 0, "undecided": 0}
    assert result.json["request"]["budget_seconds"] == 1e-7


def test_a_budget_cut_by_cut_ends_where_one_audit_does(here, whole):
    """Also in the middle of parts; what was found is never looked at again."""
    steps, out = 0, ("--out", "kept")
    while True:
        result = audit("planes.npz", "--budget-planes", 13, "--json", "--examples", 0, *out)
        found = [v for v in verdicts(result) if v != "NOT AUDITED"]
        assert found == whole[: 13 * (steps + 1)]
        steps, out = steps + 1, ("--out", "kept", "--resume")
        if not result.json["not_audited"]:
            break
    assert steps == -(-PLANES // 13)
    assert verdicts(result) == whole
    assert json.loads(Path("kept/summary.json").read_text())["summary"] == result.json["summary"]
    assert len(stamps(Path("kept"))) == PLANES // PART


def test_a_function_is_not_asked_for_what_the_budget_leaves_out(here):
    name = module(
        here, "counted", "\n\nCALLS = []\n\n\ndef faulty(*box):\n    CALLS.append(box[0])\n    return planes(*box)\n"
    )
    options = ("--kinds", "tanh,relu", "--boxes", "random,thin,point", "--count", 5, "--json")
    first = audit(name, *options, "--budget-planes", 25, "--out", "kept")
    assert first.code == ExitCode.UNDECIDED
    assert sys.modules["counted"].CALLS == ["tanh", "relu", "tanh"]
    assert first.json["not_audited"] == 35
    assert [table["not_audited"] for table in first.json["tables"]] == [0, 15, 20]
    # The planes that it gave are kept: it is asked for the others only.
    second = audit(name, *options, "--out", "kept", "--resume")
    assert second.code == ExitCode.OK
    assert sys.modules["counted"].CALLS == ["tanh", "relu"] * 3
    assert second.json["summary"] == {"proved": 60, "refuted": 0, "undecided": 0}


# Going on


def test_a_killed_audit_goes_on_and_loses_nothing(here, monkeypatch):
    """A real process, killed with SIGKILL while a function makes it slow."""
    monkeypatch.undo()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(here)
    name = module(here, "slow", SLOW)
    options = ("--kinds", "tanh", "--count", 2, "--examples", 0, "--workers", 1, "--json")
    undisturbed = audit(name, *options)
    out = here / "kept"
    with subprocess.Popen(
        command("audit", name, *options, "--out", out), stdout=subprocess.DEVNULL, env=environment()
    ) as process:
        deadline = time.monotonic() + 60
        while len(list(out.glob("verdicts/*.parquet"))) < 3:
            assert process.poll() is None, "the audit ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
    before = {path: stamp for path, stamp in stamps(out).items() if path.parent.name == "verdicts"}
    assert 3 <= len(before) < len(undisturbed.json["tables"])
    (out / "verdicts" / "part-00099.parquet.partial").write_bytes(b"half")
    resumed = audit(name, *options, "--out", out, "--resume")
    assert resumed.json["planes"] == undisturbed.json["planes"]
    assert resumed.code == undisturbed.code == ExitCode.REFUTED
    assert {path: stamp for path, stamp in stamps(out).items() if path in before} == before
    assert not list(out.rglob("*.partial"))


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
    reason="this process ignores Ctrl-C (started in the background), and so would the one under test",
)
def test_ctrl_c_keeps_what_is_finished(here):
    name = module(here, "interrupted", INTERRUPTED)
    options = ("audit", name, "--kinds", "tanh,relu,sigmoid", "--boxes", "random", "--count", "3", "--workers", "1")
    done = subprocess.run(
        command(*options, "--out", "kept"), capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 130
    assert "--resume continues it" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(Path("kept/verdicts").iterdir())) == 2
    done = subprocess.run(command(*options), capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 130
    assert "with --out what is finished is kept" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cross-check",), "kept was started without --cross-check, now with --cross-check; resume with the same"),
        (("--seed", 1), "kept was started with --seed 0, now with --seed 1"),
        (("--tightness",), "kept was started without --tightness, now with --tightness"),
        (("--falsify", "none"), "with --falsify undecided, now with --falsify none"),
    ],
    ids=str,
)
def test_an_audit_goes_on_only_as_it_began(here, options, words):
    assert audit("planes.npz", "--out", "kept", "--budget-planes", 5).code == ExitCode.REFUTED
    assert words in audit("planes.npz", "--out", "kept", "--resume", *options).message


def test_an_audit_goes_on_only_on_the_same_planes_wherever_they_lie(here, whole):
    assert audit("planes.npz", "--out", "kept", "--budget-planes", 5).code == ExitCode.REFUTED
    (here / "elsewhere").mkdir()
    Path("planes.npz").rename("elsewhere/planes.npz")
    resumed = audit("elsewhere/planes.npz", "--out", "kept", "--resume", "--json", "--examples", 0)
    assert verdicts(resumed) == whole
    save(here / "elsewhere" / "planes.npz", [*OFFSETS[:-1], 1.5])
    message = audit("elsewhere/planes.npz", "--out", "kept", "--resume").message
    assert "kept was an audit of planes.npz, now of elsewhere/planes.npz; choose another --out" in message
    save(here / "planes.npz", [*OFFSETS[:-1], 1.5])
    message = audit("planes.npz", "--out", "kept", "--resume").message
    assert "planes.npz has changed since kept was started; choose another --out" in message


def test_an_audit_of_a_function_goes_on_only_as_it_began(here):
    name = module(here, "resumed", "")
    options = ("--boxes", "random", "--out", "kept")
    assert audit(name, "--kinds", "tanh", "--count", 2, *options).code == ExitCode.OK
    message = audit(name, "--kinds", "tanh", "--count", 3, *options, "--resume").message
    assert "kept was started with --count 2, now with --count 3" in message
    message = audit(name, "--kinds", "relu,tanh", "--count", 2, *options, "--resume").message
    assert "kept was started with --kinds tanh, now with --kinds relu,tanh" in message
    with (here / "resumed.py").open("a") as file:
        file.write("# edited\n")
    message = audit(name, "--kinds", "tanh", "--count", 2, *options, "--resume").message
    assert "resumed.py has changed since kept was started; choose another --out" in message


def test_folders_that_cannot_be_used(here):
    assert audit("planes.npz", "--out", "kept", "--examples", 0).code == ExitCode.REFUTED
    assert "kept exists; choose another --out" in audit("planes.npz", "--out", "kept").message
    assert "kept is the folder of an audit, not of a run" in audit("kept").message
    path = Path("kept/verdicts/part-00002.parquet")
    path.write_bytes(path.read_bytes()[:40])
    assert f"{path} cannot be read" in audit("planes.npz", "--out", "kept", "--resume").message
    pq.write_table(pq.read_table("kept/verdicts/part-00001.parquet").slice(0, 3), path)
    assert f"{path} has 3 verdicts of 10 planes" in audit("planes.npz", "--out", "kept", "--resume").message
    Path("kept/request.json").write_text('{"format": "audit 99"}')
    assert "kept has format 'audit 99'" in audit("planes.npz", "--out", "kept", "--resume").message


def test_bad_input_leaves_no_folder(here):
    name = module(here, "raises", "\n\ndef faulty(*box):\n    raise ValueError\n")
    assert "raised ValueError" in audit(name, "--out", "deep/kept").message
    assert "no such file" in audit("gone.npz", "--out", "deep/kept").message
    assert not Path("deep").exists()


def test_what_was_found_before_a_function_fails_is_kept(here):
    name = module(here, "partly", PARTLY)
    result = audit(name, "--kinds", "tanh,relu", "--boxes", "random", "--count", 4, "--out", "kept")
    assert result.code == ExitCode.BAD_INPUT
    assert "not yet" in result.message
    assert pq.read_table("kept/verdicts/part-00000.parquet")["verdict"].to_pylist() == ["PROVED"] * 8


# Processes that die


def test_a_plane_that_kills_its_process_is_undecided_and_nothing_else_is_lost(here):
    offsets = [*OFFSETS]
    offsets[17] = DEADLY
    table = PlaneTable(columns(offsets))
    work = Work(table, 0)
    with Auditor(2, Questions(), deadly) as auditor:
        assert list(auditor.stream([work])) == [work]
    found = [answer.judgement.status for answer in work.answers]
    assert found[17] is Status.UNDECIDED
    assert work.answers[17].judgement == Judgement(Status.UNDECIDED, DIED, 0)
    expected = [Status.PROVED if offset == SOUND else Status.REFUTED for offset in OFFSETS]
    assert [s for k, s in enumerate(found) if k != 17] == [s for k, s in enumerate(expected) if k != 17]


class Killer(Progress):
    """A progress bar that kills one of the audit's processes after the first block."""

    def __init__(self):
        super().__init__(None)
        self.killed = None

    def task(self, description, total, unit):
        return contextlib.nullcontext(self.tick)

    def tick(self, count):
        if count and self.killed is None:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            workers = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            self.killed = workers[0]
            os.kill(self.killed, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found through /proc")
def test_a_process_killed_from_outside_changes_nothing(here, whole):
    killer = Killer()
    report = audit_source("planes.npz", AuditOptions(workers=2, examples=0), killer)
    assert killer.killed is not None
    assert [str(judgement.status) for judgement in report.tables[0].judgements] == whole


def test_a_run_keeps_the_verdicts_of_its_finished_parts(here):
    """With a budget only those; a part without all its verdicts is as it was."""
    run = runs.create(here / "run", said(count=6))
    for part in range(2):
        origin = {"sample": np.repeat(np.arange(3) + 3 * part, 5)}
        table = PlaneTable(columns([SOUND] * 15), origin)
        run.write_part(part, [sample(3 * part + k, certified=True) for k in range(3)], table, None)
    assert audit("run", "--budget-planes", 29).code == ExitCode.UNDECIDED
    assert run.audit(0).summary == {"proved": 15, "refuted": 0, "undecided": 0}
    assert run.audit(1) is None
    assert audit("run", "--out", "kept", "--budget-planes", 20).code == ExitCode.UNDECIDED
    assert run.audit(1) is None
    assert audit("run", "--out", "kept", "--resume").code == ExitCode.OK
    assert run.audit_summary() == {"proved": 30, "refuted": 0, "undecided": 0}


def test_a_function_is_asked_for_the_boxes_of_a_run(here):
    run = runs.create(here / "run", said(count=1))
    table = PlaneTable(columns([SOUND] * 4) | {"upper_v": np.array([1.0, 2.0, 2.0, 3.0])}, {"sample": np.zeros(4, int)})
    run.write_part(0, [sample(0, certified=True)], table, None)
    name = module(here, "asked_for_a_run", "")
    found = audit(name, "--boxes-from", "run", "--count", 2, "--json").json
    assert [(t["name"], t["planes"]) for t in found["tables"]] == [("given", 4)]  # two of the three different boxes
    assert found["request"]["given_boxes"] == {"tanh": 2}
    assert "goes only with module:function" in audit("run", "--boxes-from", "run").message

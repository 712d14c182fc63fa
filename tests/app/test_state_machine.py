"""No sequence of commands, kills and resumes breaks an invariant of the public interface (interface_machine.py).

Hypothesis draws the sequences; the `long` campaigns draw longer ones, and kill real processes.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.app import runs
from refcert.app.certificates import checking
from refcert.app.errors import ExitCode, InputError
from tests.app.commands import command, environment, refcert
from tests.app.interface_machine import PART, PARTS, QUESTIONS, Interface, Run, plain, uninterrupted
from tests.app.made_certificates import InThisProcess

TestInterface = Interface.TestCase
TestInterface.settings = settings(max_examples=4, stateful_step_count=10)


class LongInterface(Interface):
    """The same; a name of its own, so that its examples are its own."""


TestLongInterface = pytest.mark.long(LongInterface.TestCase)
TestLongInterface.settings = settings(max_examples=30, stateful_step_count=30)


@pytest.fixture
def interface() -> Iterator[Interface]:
    """The machine in a test's hands, with one run that has everything."""
    machine = Interface()
    machine.begin("fixed", ("--audit", "--certificates"))
    yield machine
    machine.teardown()


def hold(machine: Interface) -> None:
    machine.certified_radii_are_below_adversarial_ones()
    machine.runs_can_be_read_and_nothing_is_half_written()
    machine.inputs_stay_as_they_are()


@pytest.mark.parametrize(("parts", "written"), [(0, 2), (1, 1), (2, 0)])
def test_every_command_after_a_kill(interface, parts, written):
    """Drawn sequences need not come past all of these."""
    interface.check(0)
    interface.kill(0, parts, written, True)
    for step in (interface.check, interface.audit, interface.report, interface.certify_over_a_run, interface.resume):
        step(0)
        hold(interface)
    interface.check(0)
    interface.audit(0)


def test_the_machine_sees_what_a_resume_leaves_behind(interface, monkeypatch):
    """Planted: half-written files are not removed."""
    monkeypatch.setattr(runs, "remove_leftovers", lambda path: None)
    (interface.runs[0].path / "results" / "part-00000.parquet.partial").write_bytes(b"half")
    interface.resume(0)
    with pytest.raises(AssertionError, match="partial"):
        hold(interface)


def test_the_machine_sees_a_result_that_changed(interface):
    """Planted: two parts' results in each other's place."""
    first, second = (interface.runs[0].path / "results" / f"part-{part:05d}.parquet" for part in (0, 1))
    first.write_bytes(second.read_bytes())
    with pytest.raises(InputError, match="does not hold the samples"):
        hold(interface)


def test_the_machine_sees_a_radius_that_an_attack_refutes(interface):
    """Planted: a certified radius above every adversarial one."""
    interface.attack("fixed", 0)
    hold(interface)
    interface.certified = dict.fromkeys(interface.broken, 100.0)
    with pytest.raises(AssertionError, match=r"certified 100\.0, broken"):
        hold(interface)


def test_the_machine_sees_a_certificate_that_is_not_valid_any_more(interface):
    """Planted: a certificate with the claim of another one."""
    interface.check(0)
    first, second, *_ = sorted((interface.runs[0].path / "certificates").glob("sample-*"))
    first.write_bytes(second.read_bytes())
    with pytest.raises(AssertionError):
        interface.check(0)


@pytest.mark.long
@settings(max_examples=10)
@given(
    question=st.sampled_from(sorted(QUESTIONS)),
    waits=st.lists(st.tuples(st.integers(0, PARTS), st.floats(0, 0.05)), min_size=1, max_size=3),
)
def test_processes_that_are_killed_leave_runs_that_go_on(question, waits):
    """SIGKILL so many finished parts and seconds into a run, again and again; then it goes on undisturbed."""
    folder = Path(tempfile.mkdtemp(prefix="refcert-killed-"))
    run = Run(question, folder / "run", ("--audit", "--certificates"))
    try:
        for parts, seconds in waits:
            started = (run.path / "request.json").exists()
            assert started or not run.path.exists()
            arguments = command(*run.command, *(["--resume"] if started else []))
            process = subprocess.Popen(
                arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
            )
            while process.poll() is None:
                if (run.path / "request.json").exists() and len(list((run.path / "results").glob("part-*"))) >= parts:
                    time.sleep(seconds)
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.001)
            assert process.wait() in (0, -signal.SIGKILL)
            rows = json.loads(uninterrupted(question))
            found = runs.open_run(run.path)
            finished = found.finished_parts()
            assert plain(found.samples()) == [row for row in rows if row["index"] // PART in finished]
        result = refcert(*run.command, "--resume")
        assert plain(result.json["samples"]) == json.loads(uninterrupted(question))
        assert not list(run.path.rglob("*.partial"))
        if list((run.path / "certificates").glob("sample-*")):
            with mock.patch.object(checking, "Workers", InThisProcess):
                assert refcert("check", run.path, "--workers", 1).code == ExitCode.OK
    finally:
        shutil.rmtree(folder)

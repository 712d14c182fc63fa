"""Processes of the check: one that dies, or does not end, costs its own task and no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from refcert.app.certificates import workers
from refcert.app.certificates.workers import Workers
from refcert.audit.pool import WorkerError
from tests.app import deadly_checker
from tests.app.deadly_checker import Unreadable, given_up, heavy, work


def run(tasks, count=2, **options):
    with Workers(count, work, given_up, **options) as pool:
        return dict(pool.results(tasks))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_task_has_its_result_and_is_done_elsewhere(count):
    tasks = [f"task {k}" for k in range(7)]
    found = run(tasks, count)
    assert {task: result[1] for task, result in found.items()} == {task: task for task in tasks}
    processes = {result[0] for result in found.values()}
    assert os.getpid() not in processes
    assert len(processes) <= count


def test_no_task_needs_no_process():
    with Workers(3, work, given_up) as pool:
        assert list(pool.results([])) == []
        assert pool.processes() == []


@pytest.mark.parametrize("count", [1, 2])
def test_deaths_cost_their_own_tasks_alone(count):
    deadly = {"kill": "SIGKILL", "leave": "exit code 7", "allocate": "SIGABRT"}
    tasks = ["a", "kill", "b", "leave", "allocate", "c", "kill again", "d"]
    found = run(tasks, count, memory=2 << 30)
    assert set(found) == set(tasks)
    for task, (process, said) in found.items():
        ending = deadly.get(task.split()[0])
        if ending is None:
            assert said == task
            assert process is not None
        else:
            assert process is None
            assert said.startswith(f"{task}: the process that checked it died ({ending})")


def test_what_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(workers, "GRACE", 0.2)
    found = run(["sleep", "a", "sleep more", "b"], seconds=0.3)
    assert {task for task, (process, _) in found.items() if process is None} == {"sleep", "sleep more"}
    assert found["sleep"][1] == "sleep: the budget of 0.3 seconds ended"


def test_one_process_goes_on_after_a_death():
    with Workers(1, work, given_up) as pool:
        found = list(pool.results(["a", "b", "kill", "c"]))
    assert [task for task, _ in found] == ["a", "b", "kill", "c"]


def test_nothing_is_left_running():
    with Workers(2, work, given_up) as pool:
        results = pool.results(["a", "sleep", "sleep"])
        assert next(results)[0] == "a"
        processes = pool.processes()
        assert processes
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_processes_that_cannot_begin_are_an_error():
    with Workers(2, Unreadable(), given_up) as pool, pytest.raises(WorkerError, match="die before they do anything"):
        list(pool.results(["a", "b", "c"]))


def test_a_death_without_a_task_costs_none():
    with Workers(1, work, given_up) as pool:
        ((_, (first, _)),) = pool.results(["a"])
        assert pool.processes() == [first]
        os.kill(first, signal.SIGKILL)
        while multiprocessing.active_children():
            time.sleep(0.01)
        ((_, (second, said)),) = pool.results(["b"])
    assert said == "b"
    assert second not in (None, first)


@pytest.mark.parametrize("possible", [0, 1])
def test_where_processes_can_no_longer_be_had(monkeypatch, possible):
    """Before any result that is an error; later it costs the tasks that are left, and no result."""
    begin, begun = workers._Lane, []

    def lane(*arguments):
        if len(begun) == possible:
            raise OSError(11, "Resource temporarily unavailable")
        begun.append(begin(*arguments))
        return begun[-1]

    monkeypatch.setattr(workers, "_Lane", lane)
    tasks = ["a", "kill", "b", "c"]
    if not possible:
        with pytest.raises(WorkerError, match="--workers"):
            run(tasks)
        return
    found = run(tasks)
    assert set(found) == set(tasks)
    assert found["a"][1] == "a"
    for task in ("kill", "b", "c"):
        assert found[task][0] is None
    assert found["c"][1] == "c: no process could be started to check it; is there memory?"


def test_an_interrupt_is_not_for_the_processes():
    """Blocked, and not only ignored once they are ready: they inherit it."""
    assert run(["interrupt"])["interrupt"][1] == "blocked: True"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_what_a_process_prints_is_no_result(capfd):
    assert run(["print"])["print"][1] == "print"
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "what FLINT says" in printed.err


def test_a_process_of_the_check_loads_nothing_heavy():
    with Workers(1, heavy, given_up) as pool:
        assert list(pool.results(["a"])) == [("a", [])]
    assert "torch" in deadly_checker.HEAVY


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match="0 workers"):
        Workers(0, work, given_up)

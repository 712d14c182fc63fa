"""Processes that die take no finished result with them; those that work on deadly rows are found out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refcert.audit.pool import Block, Pool, WorkerError

DEADLY = -1
GIVEN_UP = "given up"


def double(rows, first):
    """Kills its own process, as the kernel's out-of-memory killer would, on a deadly row."""
    for row in rows:
        if row == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
    return [2 * row + 1000 * (first + k) for k, row in enumerate(rows)]


def slow(rows, _):
    time.sleep(0.2)
    return rows


def failing(rows, _):
    if "bad" in rows:
        raise ValueError("a bad row")
    return rows


def deadly_and_failing(rows, first):
    """One row kills at once; the others take their time, so that they are lost and done again."""
    if DEADLY in rows:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    return failing(rows, first)


def given_up():
    return GIVEN_UP


def blocks(rows, size=4):
    return [Block(start, start, rows[start : start + size]) for start in range(0, len(rows), size)]


def in_order(found):
    return [value for _, values in sorted(found, key=lambda pair: pair[0].owner) for value in values]


def test_results_come_back_with_their_owners():
    rows = list(range(30))
    expected = [1002 * row for row in rows]
    for workers in (1, 2):
        with Pool(workers, double, given_up) as pool:
            assert in_order(pool.results(blocks(rows))) == expected


def test_only_the_deadly_rows_are_given_up():
    deadly = (8, 29)
    rows = [DEADLY if row in deadly else row for row in range(30)]
    with Pool(2, double, given_up) as pool:
        found = in_order(pool.results(blocks(rows)))
    assert found == [GIVEN_UP if row in deadly else 1002 * row for row in range(30)]


def test_a_process_killed_from_outside_costs_nothing():
    with Pool(2, slow, given_up) as pool:
        found = []
        for done in pool.results(blocks(list(range(24)))):
            if not found:
                os.kill(pool.processes()[0], signal.SIGKILL)
            found.append(done)
    assert in_order(found) == list(range(24))
    assert len(found) == 6  # every block once


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_is_raised_after_the_rest_came_back(workers):
    rows = [*"abcd", "bad"]
    with Pool(workers, failing, given_up) as pool:
        found = []
        with pytest.raises(ValueError, match="a bad row"):
            for block, _ in pool.results(blocks(rows, size=1)):
                found.append(block.rows[0])
    assert sorted(found) == list("abcd")


def test_a_failure_among_blocks_that_are_done_again_costs_no_other_block():
    """Regression: what came after the failing block was not done again, and its results were lost."""
    rows = [DEADLY, "bad", *"abcd"]
    with Pool(2, deadly_and_failing, given_up) as pool:
        found = {}
        with pytest.raises(ValueError, match="a bad row"):
            for block, results in pool.results(blocks(rows, size=1)):
                found[block.first] = results
    assert found == {0: [GIVEN_UP], 2: ["a"], 3: ["b"], 4: ["c"], 5: ["d"]}


@pytest.mark.parametrize("workers", [1, 2])
def test_blocks_that_cannot_be_made_do_not_lose_those_before(workers):
    def made():
        yield from blocks([1, 2, 3, 4], size=2)
        raise RuntimeError("no more")

    with Pool(workers, slow, given_up) as pool:
        found = []
        with pytest.raises(RuntimeError, match="no more"):
            for block, _ in pool.results(made()):
                found.append(block.owner)
    assert sorted(found) == [0, 2]


def test_blocks_are_taken_only_as_they_are_needed():
    taken = []

    def made():
        for block in blocks(list(range(100)), size=1):
            taken.append(block)
            yield block

    with Pool(2, slow, given_up) as pool:
        results = pool.results(made())
        next(results)
        assert len(taken) < 10


def test_processes_that_cannot_begin_are_an_error(tmp_path: Path):
    """A main module that starts the work when it is imported, as the processes do; regression: all was given up."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from refcert.audit.pool import Block, Pool, WorkerError\n"
        "with Pool(2, sorted, int) as pool:\n"
        "    try:\n"
        "        print(list(pool.results([Block(0, 0, [1])])))\n"
        "    except WorkerError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert "die before they do anything" in done.stdout
    assert "--workers 1" in done.stdout
    assert issubclass(WorkerError, RuntimeError)


def test_processes_end_with_the_one_that_collects(tmp_path: Path):
    """Regression: killed with SIGKILL it left its workers behind, waiting for ever."""
    script = tmp_path / "guarded.py"
    script.write_text(
        "import time\n"
        "from refcert.audit.pool import Block, Pool\n"
        "def work(rows, first):\n"
        "    time.sleep(0.05)\n"
        "    return rows\n"
        "if __name__ == '__main__':\n"
        "    with Pool(2, work, int) as pool:\n"
        "        for _ in pool.results(Block(k, k, [k]) for k in range(10000)):\n"
        "            print(*pool.processes(), flush=True)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = [int(number) for number in process.stdout.readline().split()]
        assert workers
        process.kill()
        process.wait()
        deadline = time.monotonic() + 30
        while any(_alive(number) for number in workers):
            assert time.monotonic() < deadline, "the workers are still there"
            time.sleep(0.05)


def _alive(number: int) -> bool:
    status = Path(f"/proc/{number}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_no_workers_is_refused():
    with pytest.raises(ValueError, match="workers is 0"):
        Pool(0, double, given_up)

"""Processes that check one file each; one that dies, or does not end, costs its own file and no other.

The pool of the audit (refcert.audit.pool) does blocks again whose process died, because nobody knows which plane was at
fault. Here a process has one file, so that is known; and FLINT ends a process whose memory is used up, so that also a
single worker is a process of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Final, Generic, TypeVar

from refcert.audit.pool import WorkerError

T = TypeVar("T")
R = TypeVar("R")

# The work looks at its own budget between small steps; what still runs so many seconds later is stopped from here.
GRACE: Final = 10.0

# Seconds between the end of a process's pipe and its own end, at most; only the reason that is shown depends on it.
_DYING: Final = 1.0


class Workers(Generic[T, R]):
    """Calls `work(task)` in `count` processes. Use as a context manager.

    work: importable by name in the processes, or an object of a class that is. given_up(task, reason, seconds): the
    result of a task whose process did not get to one. seconds: the budget that the work keeps by itself, None for none.
    memory: the address space of each process in bytes, None for no limit.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[T], R],
        given_up: Callable[[T, str, float], R],
        *,
        seconds: float | None = None,
        memory: int | None = None,
    ) -> None:
        if count < 1:
            raise ValueError(f"there are {count} workers; give at least one")
        self.count, self._work, self._given_up = count, work, given_up
        self._patience = None if seconds is None else seconds + GRACE
        self._seconds, self._memory = seconds, memory
        self._lanes: list[_Lane[T, R]] = []
        self._places = count  # for processes; one less for each that could not begin
        self._began = False  # whether any process ever did

    def __enter__(self) -> Workers[T, R]:
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._lanes:
            lane.end()
        self._lanes.clear()

    def processes(self) -> list[int | None]:
        """Process numbers of the workers that run now."""
        return [lane.process.pid for lane in self._lanes]

    def results(self, tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Each task with its result, in the order in which they finish.

        Raises WorkerError where no process can be had at all.
        """
        waiting = deque(tasks)
        self._places = min(self.count, len(waiting))
        while waiting or self._busy():
            self._hand_out(waiting)
            if not self._lanes:
                task = waiting.popleft()
                yield task, self._given_up(task, "no process could be started to check it; is there memory?", 0.0)
                continue
            for lane in self._done():
                yield from self._collected(lane)

    def _busy(self) -> list[_Lane[T, R]]:
        return [lane for lane in self._lanes if lane.task is not None]

    def _hand_out(self, waiting: deque[T]) -> None:
        """A task for every process that is free, and as many processes as there are tasks for."""
        for lane in [*self._lanes]:
            if not waiting or not lane.ready or lane.task is not None:
                continue
            if lane.give(waiting[0]):
                waiting.popleft()
            else:  # it died while it had nothing to do, which is not the task's fault
                self._remove(lane)
        coming = sum(not lane.ready for lane in self._lanes)
        while len(self._lanes) < self._places and coming < len(waiting):
            try:
                self._lanes.append(_Lane(self._work, self._memory))
            except OSError as error:
                self._one_less(error)
            coming += 1

    def _done(self) -> list[_Lane[T, R]]:
        """Those that have something to say: that they are ready, a result, or that they died or take too long."""
        watched = {lane.pipe: lane for lane in self._lanes if lane.task is not None or not lane.ready}
        left = None
        if self._patience is not None and self._busy():
            left = max(0.0, min(lane.since for lane in self._busy()) + self._patience - time.monotonic())
        said = [watched[pipe] for pipe in connection.wait(list(watched), left) if isinstance(pipe, Connection)]
        return said or [lane for lane in self._busy() if self._too_long(lane)]

    def _too_long(self, lane: _Lane[T, R]) -> bool:
        return self._patience is not None and time.monotonic() - lane.since >= self._patience

    def _collected(self, lane: _Lane[T, R]) -> Iterator[tuple[T, R]]:
        task, seconds = lane.task, time.monotonic() - lane.since
        if not lane.pipe.poll():
            self._remove(lane)
            assert task is not None
            yield task, self._given_up(task, f"the budget of {self._seconds:g} seconds ended", seconds)
            return
        try:
            result = lane.pipe.recv()
        except (EOFError, OSError):
            lane.process.join(_DYING)
            self._remove(lane)
            if task is None:
                self._one_less(None)
            else:
                reason = (
                    f"the process that checked it died ({lane.how_it_ended()}); check it by itself, with more memory"
                )
                yield task, self._given_up(task, reason, seconds)
            return
        lane.ready = self._began = True
        lane.task = None
        if task is not None:
            yield task, result

    def _remove(self, lane: _Lane[T, R]) -> None:
        lane.end()
        self._lanes.remove(lane)

    def _one_less(self, error: OSError | None) -> None:
        """A process could not begin: go on with one less, if any ever could."""
        self._places -= 1
        if not self._began and self._places == 0:
            raise WorkerError(
                "the processes of the check die before they do anything (does the main module start the check when it "
                "is imported? is there memory?); give fewer --workers or more --memory"
            ) from error


class _Lane(Generic[T, R]):
    """One process and what it works on. since: when it was begun, or got its task. Raises OSError."""

    def __init__(self, work: Callable[[T], R], memory: int | None) -> None:
        context = multiprocessing.get_context("spawn")  # nothing of this process is in it, neither threads nor pipes
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, memory), daemon=True)
        try:
            with _without_interrupts():
                self.process.start()
        finally:
            theirs.close()  # so that the pipe ends with the process
        self.ready = False
        self.task: T | None = None
        self.since = time.monotonic()

    def give(self, task: T) -> bool:
        """Whether there still is a process that takes it."""
        try:
            self.pipe.send(task)
        except OSError:
            return False
        self.task, self.since = task, time.monotonic()
        return True

    def end(self) -> None:
        """At once, whatever it does."""
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def how_it_ended(self) -> str:
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(pipe: Connection, work: Callable[[Any], Any], memory: int | None) -> None:
    """In a new process: what it can do is ready once this begins."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Standard output is the result's alone, and FLINT prints there when it gives up.
    with contextlib.suppress(OSError):
        os.dup2(2, 1)
    _limit(memory)
    pipe.send(None)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(work(task))


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C is for the one that collects: processes that begin here do not see it, from their first moment on."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # what begins with the first process, and unblocks the signal when it has begun
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _limit(memory: int | None) -> None:
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))  # FLINT aborts, which would leave an image of the memory
    if memory is not None:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        allowed = memory if most == resource.RLIM_INFINITY else min(memory, most)
        resource.setrlimit(resource.RLIMIT_AS, (allowed, most))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

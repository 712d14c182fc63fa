"""Processes that work on blocks of rows; one that dies takes no finished block with it.

When a process dies, the blocks that were out are done again one by one in a process of their own. A block that kills
that one, too, is halved until single rows are left; such a row is given up. Nobody else's result is touched.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")
_WINDOW: Final = 3  # blocks handed out per process: one in work, one waiting, one being collected


class WorkerError(RuntimeError):
    """Processes cannot be had at all; the message says what to do."""


class Block(NamedTuple):
    """Some rows of somebody's table. owner: whose, handed back with the results; first: number of the first row."""

    owner: Any
    first: int
    rows: list[Any]


class Pool(Generic[T]):
    """Calls `work(rows, first)`, one result per row, for every block; a row that kills its process gets `given_up()`.

    work has to be importable by name in the processes. Use as a context manager. With one worker all is done in this
    process, and a death is the caller's.
    """

    def __init__(self, workers: int, work: Callable[[list[Any], int], list[T]], given_up: Callable[[], T]) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}; give at least one")
        self.workers, self._work, self._given_up = workers, work, given_up
        self._shared: ProcessPoolExecutor | None = None
        self._single: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool[T]:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._shared, self._single):
            if pool is not None:
                pool.shutdown(cancel_futures=True)
        self._shared = self._single = None

    def processes(self) -> list[int]:
        """Process numbers of the shared workers that run now."""
        return [] if self._shared is None else list(self._shared._processes or ())

    def results(self, blocks: Iterable[Block]) -> Iterator[tuple[Block, list[T]]]:
        """Each block with its results, in the order in which they finish. blocks are taken as workers become free.

        An exception of `work`, or of the iterable, is raised after the blocks that are out have been handed back.
        """
        if self.workers == 1:
            for block in blocks:
                yield block, self._work(block.rows, block.first)
            return
        yield from self._in_processes(iter(blocks))

    def _in_processes(self, blocks: Iterator[Block]) -> Iterator[tuple[Block, list[T]]]:
        out: dict[Future[list[T]], Block] = {}
        failure: Exception | None = None
        more = True
        while True:
            while more and len(out) < _WINDOW * self.workers:
                try:
                    block = next(blocks)
                except StopIteration:
                    more = False
                except Exception as broken:  # of the iterable: what is out comes back first
                    failure, more = broken, False
                else:
                    out[self._submit(block)] = block
            if not out:
                break
            done, _ = wait(out, return_when=FIRST_COMPLETED)
            found, lost, error = _sorted_out([(out.pop(future), future) for future in done])
            yield from found
            if lost:
                # A process died: its pool goes, and whatever was out is done alone.
                wait(out)
                found, more_lost, later = _sorted_out([(block, future) for future, block in out.items()])
                out.clear()
                if self._shared is not None:
                    self._shared.shutdown()
                    self._shared = None
                yield from found
                again = yield from self._again(lost + more_lost)
                error = error or later or again
            if error is not None:
                failure, more = failure or error, False
        if failure is not None:
            raise failure

    def _again(self, lost: list[Block]) -> Generator[tuple[Block, list[T]], None, Exception | None]:
        """The blocks one by one in a process of their own. Returns the first exception of the work, if there is one."""
        failure: Exception | None = None
        for block in sorted(lost, key=lambda block: block.first):
            try:
                results = self._alone(block.rows, block.first)
            except WorkerError as error:  # there are no processes for the others either
                return failure or error
            except Exception as error:
                failure = failure or error
            else:
                yield block, results
        return failure

    def _submit(self, block: Block) -> Future[list[T]]:
        with contextlib.suppress(BrokenProcessPool):
            if self._shared is None:
                self._shared = _processes(self.workers)
            return self._shared.submit(self._work, block.rows, block.first)
        future: Future[list[T]] = Future()  # the pool broke a moment ago: collected like every block that was out
        future.set_exception(BrokenProcessPool())
        return future

    def _alone(self, rows: list[Any], first: int) -> list[T]:
        """The rows in a process of their own; halved as long as they kill it."""
        if self._single is None:
            self._single = _processes(1)
            try:
                self._single.submit(os.getpid).result()
            except BrokenProcessPool as error:
                self._single.shutdown()
                self._single = None
                raise WorkerError(
                    "the processes of the audit die before they do anything (does the main module start the audit "
                    "when it is imported? is there memory?); give --workers 1"
                ) from error
        try:
            return self._single.submit(self._work, rows, first).result()
        except BrokenProcessPool:
            self._single.shutdown()
            self._single = None
        if len(rows) == 1:
            return [self._given_up()]
        half = len(rows) // 2
        return self._alone(rows[:half], first) + self._alone(rows[half:], first + half)


def _sorted_out(
    done: list[tuple[Block, Future[list[T]]]],
) -> tuple[list[tuple[Block, list[T]]], list[Block], Exception | None]:
    """Of blocks that came back: those with results, those whose process died, the first exception of the work."""
    found: list[tuple[Block, list[T]]] = []
    lost: list[Block] = []
    failure: Exception | None = None
    for block, future in done:
        try:
            found.append((block, future.result()))
        except BrokenProcessPool:
            lost.append(block)
        except Exception as error:
            failure = failure or error
    return found, lost, failure


def _processes(count: int) -> ProcessPoolExecutor:
    # spawn: a forked copy of a process that runs torch's threads can hang
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """In a new process: Ctrl-C is for the one that collects, and without that one there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

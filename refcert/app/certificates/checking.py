"""`refcert check`: files in, a verdict on every one of them out."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from refcert.app.certificates.files import SUFFIX, Found, find_files
from refcert.app.certificates.outcome import OTHER_NETWORK, WORDS, Asked, Outcome, check_file, given_up
from refcert.app.certificates.verdicts import runs_of, verdicts_path, write_verdicts
from refcert.app.certificates.workers import Workers
from refcert.app.errors import InputError, OutputError
from refcert.app.progress import Progress
from refcert.kernel.__main__ import UNREADABLE, exit_code
from refcert.kernel.network import Network

LEAST_MEMORY: Final = 256 * 1024 * 1024
"""Address space that a process takes before it reads anything, with room for a small certificate."""


@dataclass(frozen=True)
class CheckOptions:
    """seconds: the budget of each file; memory: bytes for each process; network: the digest that is demanded."""

    seconds: float | None = None
    memory: int | None = None
    workers: int | None = None
    network: str | None = None

    def __post_init__(self) -> None:
        if self.memory is not None and self.memory < LEAST_MEMORY:
            raise InputError(
                f"--memory is {self.memory} bytes; a process takes {LEAST_MEMORY} before it reads anything, give more"
            )


@dataclass(frozen=True)
class CheckReport:
    """The outcomes in the order of the files. kernel: the package's version; seconds: of wall time."""

    outcomes: tuple[Outcome, ...]
    seconds: float
    workers: int
    kernel: str

    @property
    def counts(self) -> dict[str, int]:
        """Files by verdict."""
        found = [outcome.verdict for outcome in self.outcomes]
        return {word.lower().replace(" ", "_"): found.count(word) for word in WORDS}

    @property
    def exit_code(self) -> int:
        """0 only if all are VALID (certificate_v1.md, section 10). Another network is a wrong file, like bad input."""
        return exit_code([UNREADABLE if one.verdict == OTHER_NETWORK else one.verdict for one in self.outcomes])

    def write_verdicts(self) -> None:
        """Keep the verdicts in the runs that were named. Raises OutputError."""
        write_verdicts(self.outcomes, self.kernel)

    def to_json(self) -> dict[str, Any]:
        """See docs/json.md."""
        return {
            "counts": self.counts,
            "files": [outcome.to_json() for outcome in self.outcomes],
            "verdicts": [str(verdicts_path(run)) for run in runs_of(self.outcomes)],
            "kernel": self.kernel,
            "workers": self.workers,
            "seconds": round(self.seconds, 6),
        }


class Checker:
    """The work of one process; it keeps the networks that it has read."""

    def __init__(self) -> None:
        self.known: dict[str, Network] = {}

    def __call__(self, asked: Asked) -> Outcome | None:
        return check_file(asked, self.known)


def check_certificates(paths: Sequence[Path], options: CheckOptions, progress: Progress) -> CheckReport:
    """Check all certificates among the files and in the folders; in runs nothing is written yet.

    Raises InputError where there is nothing to check, WorkerError where no process can be had. Whatever else stops it,
    Ctrl-C for one, the verdicts so far are kept in the runs that were named.
    """
    files, kernel = find_files(paths), version("refcert")
    workers = min(options.workers or os.cpu_count() or 1, len(files))
    outcomes: dict[Found, Outcome | None] = {}
    asked = [Asked(file, options.seconds, options.network) for file in files]
    began = time.perf_counter()
    try:
        with (
            Workers(workers, Checker(), given_up, seconds=options.seconds, memory=options.memory) as pool,
            progress.task("checking", len(files), unit="files") as tick,
        ):
            for task, outcome in pool.results(asked):
                outcomes[task.file] = outcome
                tick(1)
    except BaseException:
        with contextlib.suppress(OutputError):
            write_verdicts([one for one in outcomes.values() if one is not None], kernel)
        raise
    found = [one for file in files if (one := outcomes[file]) is not None]
    found += _without(files, found)
    return CheckReport(tuple(found), time.perf_counter() - began, workers, kernel)


def _without(files: Sequence[Found], found: Sequence[Outcome]) -> list[Outcome]:
    """Folders in which there were networks alone: what was named holds no certificate, and that is not all VALID."""
    empty = dict.fromkeys(file.folder for file in files if file.folder is not None)
    for outcome in found:
        if outcome.file.folder is not None:
            empty.pop(outcome.file.folder, None)
    reason = f"no *{SUFFIX} file in it is a certificate, all are networks"
    return [Outcome(Found(folder), UNREADABLE, reason=reason) for folder in empty]

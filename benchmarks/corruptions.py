"""Corrupted certificates: does the kernel ever say VALID of what it should not, crash, or go beyond its budget?

    python -m benchmarks.corruptions [--count 100000] [--seed 0] [--workers 2] [--keep FOLDER]

Random corruptions of 20 honest certificates (`tests/certificates/corruptions.py`), each checked in a process with
limited memory. Over half of those that change what is claimed, or what it rests on, are signed again, so that no digest
gives them away; most of these are forged: they claim the largest margin that the changed steps give. A VALID must be of
the very claim that the certificate had, or of a claim that the judge (`tests/certificates/corruption_doubts.py`) cannot
contradict. Ends with exit code 1 where something is wrong; --keep writes the files of such corruptions.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.common import header, table
from refcert.app.certificates.workers import Workers

# Not by name: mypy would go on into the tests, which have no types.
seeds: Any = importlib.import_module("tests.certificates.corruption_seeds")
corruptions: Any = importlib.import_module("tests.certificates.corruptions")
trial: Any = importlib.import_module("tests.certificates.corruption_trial")

# Bytes that a check may take beside what its process has before.
MEMORY: Final = 1 << 30

# Seconds after which a check that does not look at its clock is stopped from outside; processes share their cores.
PATIENCE: Final = 60.0

# Corruptions from one line of progress to the next.
REPORTED: Final = 1000

# Bad ones that are printed; all are counted.
SHOWN: Final = 20


class Trials:
    """The work of a process: a corruption by its number, judged."""

    def __init__(self, seed: int, certificates: Sequence[Any]) -> None:
        self.seed, self.certificates, self.limited = seed, certificates, False

    def __call__(self, number: int) -> tuple[Any, int]:
        """The outcome, and the largest memory so far in KiB."""
        if not self.limited:
            limit_memory()
            self.limited = True
        found = trial.outcome(number, self.seed, self.certificates)
        return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def given_up(self, number: int, reason: str, seconds: float) -> tuple[Any, int]:
        """What is said of a corruption whose process did not come to an end."""
        made = corruptions.corrupted(number, self.seed, self.certificates)
        word = trial.OVER if "budget" in reason else trial.CRASHED
        files = made.work.files()
        return trial.Outcome(number, made.kind, made.work.seed.name, word, seconds, reason, files), 0


def limit_memory() -> None:
    """From now on, so many bytes more of address space."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, most))


class Report:
    """Counts by kind and word, and the longest times."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.longest: defaultdict[str, float] = defaultdict(float)
        self.by_seed: Counter[tuple[str, str]] = Counter()
        self.bad: list[Any] = []

    def add(self, found: Any) -> None:
        self.counts[found.kind, found.word] += 1
        self.by_seed[found.seed, found.word] += 1
        self.longest[found.kind] = max(self.longest[found.kind], found.seconds)
        if found.word in trial.BAD:
            self.bad.append(found)

    def rows(self, names: list[str], counts: Counter[tuple[str, str]]) -> list[list[str]]:
        found = [[name, *(f"{counts[name, word]:,}" for word in trial.WORDS)] for name in names]
        total = ["all", *(f"{sum(counts[name, word] for name in names):,}" for word in trial.WORDS)]
        return [*found, total]

    def page(self, certificates: Sequence[Any]) -> str:
        kinds = [kind.name for kind in corruptions.KINDS]
        by_kind = self.rows(kinds, self.counts)
        times = [*(self.longest[name] for name in kinds), max(self.longest.values(), default=0.0)]
        rows = [[*row, f"{seconds:.2f}"] for row, seconds in zip(by_kind, times, strict=True)]
        names = [one.name for one in certificates]
        shown = [f"- {one.number}, {one.kind}, {one.seed}: {one.word} ({one.said[:300]})" for one in self.bad[:SHOWN]]
        return "\n".join(
            (
                "## By kind of corruption\n",
                table(["corruption", *trial.WORDS, "longest, s"], rows),
                "## By certificate\n",
                table(["certificate", *trial.WORDS], self.rows(names, self.by_seed)),
                *(["## What is wrong\n", *shown] if shown else []),
            )
        )


def keep(folder: Path, found: Any) -> None:
    """The files of a corruption, in a folder of its own."""
    place = folder / f"{found.number}-{found.word.lower().replace(' ', '-')}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "about.txt").write_text(f"{found.kind}; {found.seed}; {found.said}\n", errors="backslashreplace")
    for name, data in (found.files or {}).items():
        (place / name).write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="number of the first corruption, to see one again")
    parser.add_argument("--keep", type=Path, help="a folder for the files of corruptions that went wrong")
    arguments = parser.parse_args()
    certificates, report, largest = seeds.seeds(), Report(), 0
    work = Trials(arguments.seed, certificates)
    began = time.monotonic()
    pool: Workers[int, Any] = Workers(arguments.workers, work, work.given_up, seconds=PATIENCE)
    with pool as workers:
        numbers = range(arguments.first, arguments.first + arguments.count)
        for done, (_, (found, memory)) in enumerate(workers.results(numbers), 1):
            report.add(found)
            largest = max(largest, memory)
            if found.word in trial.BAD and arguments.keep is not None:
                keep(arguments.keep, found)
            if done % REPORTED == 0:
                print(f"{done:,} of {arguments.count:,}, {len(report.bad)} bad", file=sys.stderr, flush=True)
    print(header("Corrupted certificates", f"Seed {arguments.seed}."))
    print(
        f"{arguments.count:,} corruptions of {len(certificates)} certificates, {time.monotonic() - began:.0f} s with "
        f"{arguments.workers} processes. A check may take {trial.BUDGET:g} s of CPU time (the kernel's own budget; "
        f"{trial.GRACE:g} s more for its way to the next look at the clock) and {MEMORY >> 20} MiB beside what the\n"
        f"process had before; the largest process took {largest >> 10} MiB in all. Of forged certificates, checked up "
        f"to {trial.FORGERIES} times, the last verdict counts.\n"
    )
    print(report.page(certificates))
    sys.exit(1 if report.bad else 0)


if __name__ == "__main__":
    main()

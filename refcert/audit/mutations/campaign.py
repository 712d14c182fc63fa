"""All faults against all layers: a clean run first, then every fault, resumable, on several processes."""

from __future__ import annotations

import hashlib
import json
import queue
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from refcert.audit.mutations.mutation import Mutation, check_fits
from refcert.audit.mutations.runner import CAUGHT, CLEAN, MISSED, Outcome, environment, run_layer
from refcert.audit.mutations.suites import Suite
from refcert.audit.mutations.zygote import PRELOADED, Zygote

# A layer may take this many times as long as on the clean tree, and at least so many seconds: generous, because a
# fault that makes the search slow is no catch.
LIMIT_FACTOR: Final = 3.0
LIMIT_LEAST: Final = 180.0
CLEAN_LIMIT: Final = 1800.0

Key = tuple[str, str, str]
"""Name and digest of the fault, and layer."""

FOLDERS: Final = ("gpu_engine", "refcert", "tests")
_OWN: Final = ("refcert/audit/mutations/", "tests/audit/test_mutation")


class UncleanTreeError(RuntimeError):
    """The checkout's own tests fail without a fault, so a failure with one would mean nothing."""


def tree_digest(root: Path) -> str:
    """SHA-256 over all Python files that a result depends on."""
    hasher = hashlib.sha256()
    files = sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py"))
    for path in files:
        name = path.relative_to(root).as_posix()
        if not name.startswith(_OWN):
            hasher.update(f"{name}\n".encode())
            hasher.update(path.read_bytes())
    return hasher.hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """What is run: faults by suites on the checkout `root`, results in the file `results`.

    keep: catches on other versions of the tree count as well (misses are always repeated); for work on the tests.
    preload: third-party packages that are imported once for all runs.
    """

    root: Path
    mutations: Sequence[Mutation]
    suites: Sequence[Suite]
    results: Path
    workers: int = 1
    keep: bool = False
    preload: Sequence[str] = PRELOADED


def run_campaign(plan: Plan, say: Callable[[str], None]) -> list[Outcome]:
    """Outcomes of all faults and suites, in the plan's order. Raises MisfitError and UncleanTreeError."""
    for mutation in plan.mutations:
        check_fits(mutation, plan.root)
    with TemporaryDirectory(prefix="refcert-bytecode-") as bytecode, _Zygotes(plan, Path(bytecode)) as zygotes:
        return _run(plan, zygotes, say)


class _Zygotes:
    """As many zygotes as workers, each lent to one run at a time."""

    def __init__(self, plan: Plan, bytecode: Path) -> None:
        self._free: queue.SimpleQueue[Zygote] = queue.SimpleQueue()
        self._all = [Zygote(plan.root, environment(plan.root), bytecode, plan.preload) for _ in range(plan.workers)]
        for zygote in self._all:
            self._free.put(zygote)

    def __enter__(self) -> _Zygotes:
        return self

    def __exit__(self, *_: object) -> None:
        for zygote in self._all:
            zygote.__exit__()

    def run(self, root: Path, suite: Suite, mutation: Mutation | None, limit: float, tree: str) -> Outcome:
        zygote = self._free.get()
        try:
            return run_layer(root, suite, mutation, limit, zygote, tree)
        finally:
            self._free.put(zygote)


def _run(plan: Plan, zygotes: _Zygotes, say: Callable[[str], None]) -> list[Outcome]:
    tree = tree_digest(plan.root)
    known = stored(plan.results, tree, plan.keep)
    limits = {}
    for suite in plan.suites:
        clean = known.get((CLEAN, CLEAN, suite.layer))
        if clean is None or clean.tree != tree:
            clean = zygotes.run(plan.root, suite, None, CLEAN_LIMIT, tree)
            if clean.outcome != MISSED:
                raise UncleanTreeError(
                    f"the layer {suite.layer} fails without any fault ({clean.outcome}): {clean.test} {clean.reason}"
                )
            _append(plan.results, clean)
        known[CLEAN, CLEAN, suite.layer] = clean
        say(f"{suite.layer}: clean, {clean.passed} tests in {clean.wall:.0f} s")
        limits[suite.layer] = max(LIMIT_LEAST, LIMIT_FACTOR * clean.wall)
    wanted = [(mutation, suite) for mutation in plan.mutations for suite in plan.suites]
    open_ = [(m, s) for m, s in wanted if (m.name, m.digest, s.layer) not in known]
    say(f"{len(wanted) - len(open_)} of {len(wanted)} results are known, {len(open_)} to go")
    with ThreadPoolExecutor(plan.workers) as pool:
        futures: list[Future[Outcome]] = [
            pool.submit(zygotes.run, plan.root, suite, mutation, limits[suite.layer], tree) for mutation, suite in open_
        ]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                found = future.result()
                _append(plan.results, found)
                known[found.mutation, found.digest, found.layer] = found
                where = f" by {found.test}" if found.test else ""
                say(
                    f"[{number}/{len(open_)}] {found.mutation}: {found.layer} {found.outcome} in "
                    f"{found.seconds:.1f} s{where}"
                )
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    clean_ones = [known[CLEAN, CLEAN, suite.layer] for suite in plan.suites]
    return clean_ones + [known[m.name, m.digest, s.layer] for m, s in wanted]


def stored(results: Path, tree: str, keep: bool = False) -> dict[Key, Outcome]:
    """The results of this version of the tree, and with `keep` the catches of others; a cut last line is left out."""
    found: dict[Key, Outcome] = {}
    if not results.is_file():
        return found
    for line in results.read_text(encoding="utf-8").splitlines():
        try:
            outcome = Outcome(**json.loads(line))
        except (ValueError, TypeError):
            continue
        usable = outcome.outcome == CAUGHT or (outcome.outcome == MISSED and outcome.tree == tree)
        if usable and (keep or outcome.tree == tree):
            found[outcome.mutation, outcome.digest, outcome.layer] = outcome
    return found


def survivors(outcomes: Iterable[Outcome]) -> list[str]:
    """Faults that no layer caught, in order."""
    caught: dict[str, bool] = {}
    for one in outcomes:
        if one.mutation != CLEAN:
            caught[one.mutation] = caught.get(one.mutation, False) or one.outcome == CAUGHT
    return [name for name, seen in caught.items() if not seen]


def by_layer(outcomes: Iterable[Outcome]) -> Mapping[str, tuple[int, int]]:
    """(caught, tried) per layer."""
    counts: dict[str, tuple[int, int]] = {}
    for one in outcomes:
        if one.mutation != CLEAN:
            caught, tried = counts.get(one.layer, (0, 0))
            counts[one.layer] = caught + (one.outcome == CAUGHT), tried + 1
    return counts


def _append(results: Path, outcome: Outcome) -> None:
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(outcome.to_line() + "\n")

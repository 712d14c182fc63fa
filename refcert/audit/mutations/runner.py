"""One layer of tests against one fault (or none), in a process of its own."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import refcert
from refcert.audit.mutations.hook import VARIABLE, environment_entry
from refcert.audit.mutations.mutation import Mutation
from refcert.audit.mutations.reach import blind_files
from refcert.audit.mutations.suites import Suite
from refcert.audit.mutations.zygote import Zygote

CLEAN: Final = ""
"""The name under which the run without a fault is kept."""

CAUGHT, MISSED, TIMEOUT, BROKEN = "caught", "missed", "timeout", "broken"

_STARTUP: Final = Path(__file__).parent / "startup"
_PACKAGES: Final = Path(refcert.__file__).parent.parent
_NO_FAILURE, _FAILURES, _INTERRUPTED, _NO_TESTS = 0, 1, 2, 5


@dataclass(frozen=True)
class Outcome:
    """What one layer said of one fault.

    outcome: caught (test, reason: the first failure), missed, timeout (no failure within the limit: NOT a catch), or
    broken (pytest itself went wrong, or the changed module was never imported). seconds: from the first test to the
    failure, or to the end; wall: of the whole process. passed: tests that passed. tree: digest of the checkout.
    """

    mutation: str
    digest: str
    layer: str
    outcome: str
    test: str
    reason: str
    seconds: float
    wall: float
    passed: int
    tree: str = ""

    def to_line(self) -> str:
        """One line of the results file."""
        return json.dumps(asdict(self))


def run_layer(
    root: Path, suite: Suite, mutation: Mutation | None, limit: float, zygote: Zygote, tree: str = ""
) -> Outcome:
    """Run the layer on the checkout at `root`, which is not written to.

    The files that the suite names first for the fault's room are run first, the others only if these miss it; files
    whose imports never lead to the changed module are left out (`reach`). limit:
    seconds for all of it. zygote: started with `environment` for this root.
    """
    blind = () if mutation is None else blind_files(root, suite.paths, mutation.module)
    ignore = (*suite.ignore, *blind)
    first = tuple(name for name in _first_files(root, suite, mutation) if name not in blind)
    stages = [(first, ignore), (suite.paths, (*ignore, *first))] if first else [(suite.paths, ignore)]
    found = _Stage(MISSED, "", "", 0.0, 0.0, 0)
    for paths, ignore in stages:
        stage = _run_stage(root, suite, paths, ignore, mutation, limit - found.wall, zygote)
        found = replace(
            stage,
            seconds=found.seconds + stage.seconds,
            wall=found.wall + stage.wall,
            passed=found.passed + stage.passed,
            loaded=found.loaded or stage.loaded,
        )
        if stage.outcome != MISSED:
            break
    outcome, reason = found.outcome, found.reason
    if outcome == MISSED and not found.loaded:
        outcome, reason = BROKEN, "no test of this layer imports the changed module"
    name, digest = (CLEAN, CLEAN) if mutation is None else (mutation.name, mutation.digest)
    seconds, wall = round(found.seconds, 2), round(found.wall, 2)
    return Outcome(name, digest, suite.layer, outcome, found.test, reason, seconds, wall, found.passed, tree)


def _first_files(root: Path, suite: Suite, mutation: Mutation | None) -> tuple[str, ...]:
    patterns = () if mutation is None else suite.first.get(mutation.room, ())
    files = dict.fromkeys(
        path.relative_to(root).as_posix() for pattern in patterns for path in sorted(root.glob(pattern))
    )
    return tuple(name for name in files if name not in suite.ignore and name.rpartition("/")[2].startswith("test_"))


@dataclass(frozen=True)
class _Stage:
    outcome: str
    test: str
    reason: str
    seconds: float
    wall: float
    passed: int
    loaded: bool = False


def _run_stage(
    root: Path,
    suite: Suite,
    paths: Sequence[str],
    ignore: Sequence[str],
    mutation: Mutation | None,
    limit: float,
    zygote: Zygote,
) -> _Stage:
    """One process of pytest."""
    with tempfile.TemporaryDirectory(prefix="refcert-mutation-") as folder:
        work = Path(folder)
        report, trace, output = work / "report.json", work / "trace", work / "output"
        arguments = [
            *("-p", "refcert.audit.mutations.layers", "-p", "no:cacheprovider"),
            *("-x", "-q", "--no-header", f"--rootdir={root}"),
            *(f"--basetemp={work / 'tmp'}", f"--layer={suite.layer}", f"--layer-report={report}"),
            *(f"--ignore={name}" for name in ignore),
            *suite.arguments,
            *paths,
        ]
        began = time.monotonic()
        code = zygote.run(arguments, _of_this_run(mutation, trace, work), output, limit)
        wall = time.monotonic() - began
        state = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
        loaded = mutation is None or trace.is_file()
        outcome, test, reason = _judged(code, state, loaded, output)
    return _Stage(outcome, test, reason, float(state.get("seconds") or wall), wall, state.get("passed", 0), loaded)


def environment(root: Path) -> dict[str, str]:
    """For the zygote and all that it starts: no compiled module is written beside its source."""
    inherited = {key: value for key, value in os.environ.items() if key != VARIABLE}
    paths = [str(_STARTUP), str(root), str(_PACKAGES), inherited.get("PYTHONPATH", "")]
    return inherited | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
    }


def _of_this_run(mutation: Mutation | None, trace: Path, work: Path) -> dict[str, str]:
    # Hypothesis would write beside the tests.
    own = {"HYPOTHESIS_STORAGE_DIRECTORY": str(work / "hypothesis")}
    if mutation is None:
        return own
    return own | environment_entry(mutation.name, mutation.module, mutation.changes, trace)


def _judged(code: int | None, state: dict[str, Any], loaded: bool, output: Path) -> tuple[str, str, str]:
    """(outcome, test, reason)."""
    failed = state.get("failed")
    if code is None:
        return TIMEOUT, state.get("running") or "", "the time was up"
    if failed is not None and code in (_FAILURES, _INTERRUPTED):
        if not loaded:
            return BROKEN, failed, "a test failed before the changed module was imported"
        return CAUGHT, failed, state["reason"]
    if code in (_NO_FAILURE, _NO_TESTS):
        return MISSED, "", ""
    if code < 0 and state.get("running") and loaded:
        return CAUGHT, state["running"], f"the process died of signal {-code}"
    tail = " / ".join(output.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])
    return BROKEN, state.get("running") or "", f"pytest ended with {code}: {tail}"[:500]

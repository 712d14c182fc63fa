"""A pytest plugin (`-p refcert.audit.mutations.layers`) that runs one layer of the tests and reports the first failure.

A test belongs to the layer `laws` if Hypothesis draws its examples, else to `contracts`; the layer `audit` takes
whatever lies in the paths it is given. So nobody sorts tests by hand.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import is_hypothesis_test

CHOICES: Final = ("contracts", "laws", "audit")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's options."""
    group = parser.getgroup("mutation campaign")
    group.addoption("--layer", choices=CHOICES, required=True, help="the layer to run")
    group.addoption("--layer-report", type=Path, required=True, help="where to write what happened, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Register the reporter."""
    report = config.getoption("--layer-report")
    config.pluginmanager.register(_Reporter(report), "mutation-campaign-reporter")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the layer's tests."""
    layer = config.getoption("--layer")
    others = [item for item in items if layer != "audit" and layer_of(item) != layer]
    config.hook.pytest_deselected(items=others)
    left_out = set(others)
    items[:] = [item for item in items if item not in left_out]


def layer_of(item: pytest.Item) -> str:
    """`laws` for Hypothesis tests, `contracts` for all others."""
    return "laws" if is_hypothesis_test(getattr(item, "obj", None)) else "contracts"


class _Reporter:
    """Writes the file anew at every test, so that a killed process leaves the test that it was in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.began = time.monotonic()
        self.state: dict[str, Any] = {"passed": 0, "failed": None, "reason": "", "seconds": 0.0, "running": None}

    def _write(self) -> None:
        self.path.write_text(json.dumps(self.state), encoding="utf-8")

    def _fail(self, where: str, reason: str) -> None:
        if self.state["failed"] is None:
            self.state |= {"failed": where, "reason": reason, "seconds": time.monotonic() - self.began}
            self._write()

    def pytest_collection_finish(self) -> None:
        self.began = time.monotonic()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._fail(report.nodeid, _last_line(str(report.longrepr)))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.state["running"] = nodeid
        self._write()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self._fail(report.nodeid, _first_line(crash.message if crash else str(report.longrepr)))
        elif report.when == "call" and report.passed:
            self.state["passed"] += 1

    def pytest_sessionfinish(self) -> None:
        self.state["running"] = None
        if self.state["failed"] is None:
            self.state["seconds"] = time.monotonic() - self.began
        self._write()


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:200]


def _last_line(text: str) -> str:
    return _first_line("\n".join(reversed(text.splitlines())))

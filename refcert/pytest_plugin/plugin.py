"""The plugin's hooks. Nothing heavy is imported here: this module is read in every run of pytest.

PYTEST_DONT_REWRITE: there is no assert in it, and with this word pytest does not mind that it was imported before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from refcert.pytest_plugin import profiles, settings
from refcert.pytest_plugin.fixtures import (
    refcert_baseline,
    refcert_check,
    refcert_data,
    refcert_engine,
    refcert_model,
    refcert_settings,
)
from refcert.pytest_plugin.items import (
    BaselineFile,
    BaselineItem,
    add_to_arguments,
    baselines_of,
    require_baselines,
)
from refcert.pytest_plugin.ledger import STOPWATCH, Stopwatch
from refcert.pytest_plugin.summary import write_summary

__all__ = [  # pytest finds fixtures among a plugin's names
    "refcert_baseline",
    "refcert_check",
    "refcert_data",
    "refcert_engine",
    "refcert_model",
    "refcert_settings",
]

_MARK = (
    "refcert(baseline, tolerance_radius, tolerance_margin, tolerance_gap, attack, audit, search, other_data): a guard "
    "of certified robustness, and how refcert_baseline compares; set on every test that uses a fixture of refcert"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    settings.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARK)
    found = config.stash[settings.SETTINGS] = settings.settings_of(config)
    config.stash[STOPWATCH] = Stopwatch(found.budget)
    if found.profile is not None:
        if config.getoption("--hypothesis-profile", None) is not None:
            raise pytest.UsageError("--refcert-profile and --hypothesis-profile exclude each other; give one of them")
        profiles.load(found.profile)
    add_to_arguments(config)


def pytest_sessionstart(session: pytest.Session) -> None:
    require_baselines(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of xdist: one seed for all workers, also a random one."""
    node.workerinput[settings.WORKER_SEED] = str(node.config.stash[settings.SETTINGS].seed)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> BaselineFile | None:
    if file_path in baselines_of(parent.config) or (parent.session.isinitpath(file_path) and _is_baseline(file_path)):
        found: BaselineFile = BaselineFile.from_parent(parent, path=file_path)
        return found
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m refcert` and `-m "not refcert"` select all tests that use refcert."""
    for item in items:
        if isinstance(item, BaselineItem) or any(name in __all__ for name in getattr(item, "fixturenames", ())):
            item.add_marker("refcert")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    write_summary(terminalreporter, config.stash[settings.SETTINGS].profile)


def _is_baseline(path: Path) -> bool:
    """Whether a file that was named on the command line starts as baselines do."""
    from refcert.app.baseline.text import HEADER

    try:
        with path.open("rb") as file:
            return file.read(len(HEADER)) == HEADER.encode()
    except OSError:
        return False

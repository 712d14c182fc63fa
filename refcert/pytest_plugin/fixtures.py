"""The fixtures. Torch is imported in those that need it, when a test asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refcert.pytest_plugin.checks import Checks
from refcert.pytest_plugin.items import BaselineFile, baselines_of
from refcert.pytest_plugin.ledger import STOPWATCH
from refcert.pytest_plugin.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from refcert.pytest_plugin.guard import Guard, Marked


@pytest.fixture(scope="session")
def refcert_settings(pytestconfig: pytest.Config) -> Settings:
    """Budget, device, seed and profile of this session."""
    return pytestconfig.stash[SETTINGS]


@pytest.fixture
def refcert_baseline(request: pytest.FixtureRequest, refcert_settings: Settings) -> Guard:
    """The committed baseline: `refcert_baseline.check(model, data)` fails where something is worse.

    Which one: that of the mark, `@pytest.mark.refcert(baseline="other.txt")`, relative to the test's file or else to
    the root; without it the first of `refcert_baseline` in pytest's configuration.
    """
    from refcert.pytest_plugin.guard import Guard, Marked
    from refcert.pytest_plugin.opened import OPENED, Opened

    config, node = request.config, request.node
    marked = Marked.of(node)
    return Guard(
        _baseline_of(node, marked, config),
        node,
        marked,
        refcert_settings,
        config.stash[STOPWATCH],
        config.stash.setdefault(OPENED, Opened()),
        config.getini("refcert_attack"),
    )


@pytest.fixture
def refcert_model(refcert_baseline: Guard) -> Any:
    """The model that the baseline names. Override it in a conftest.py to guard one that your code makes."""
    return refcert_baseline.subject().model


@pytest.fixture
def refcert_data(refcert_baseline: Guard) -> Any:
    """The data that the baseline names. Override it in a conftest.py to guard your own preprocessing, too."""
    return refcert_baseline.subject().opened.data


@pytest.fixture
def refcert_engine(refcert_settings: Settings) -> Any:
    """`gpu_engine.search.certify.Options` on the session's device."""
    from gpu_engine.search.certify import Options

    return Options(device=refcert_settings.device)


@pytest.fixture
def refcert_check(request: pytest.FixtureRequest, refcert_settings: Settings) -> Checks:
    """The assertions of `refcert.testing` with this session's seed, budget and device."""
    return Checks(request.node, refcert_settings, request.config.stash[STOPWATCH])


def _baseline_of(node: pytest.Item, marked: Marked, config: pytest.Config) -> Path:
    if isinstance(node.parent, BaselineFile):
        return node.path
    if marked.baseline is not None:
        beside = node.path.parent / marked.baseline
        return beside if beside.exists() else config.rootpath / marked.baseline
    known = baselines_of(config)
    if not known:
        raise pytest.UsageError(
            f"{node.nodeid} uses refcert_baseline, but no baseline is named; add refcert_baseline = "
            '"refcert-baseline.txt" to pytest\'s configuration, or mark the test: '
            '@pytest.mark.refcert(baseline="refcert-baseline.txt")'
        )
    return known[0]

"""A user's project: model, data, committed baseline and pytest's configuration, in which pytester runs pytest."""

from __future__ import annotations

import shutil
from importlib.metadata import entry_points

import pytest

# Read before pytester runs pytest in this process: it forgets modules that are first read there, and torch cannot be
# read twice; nor can what scikit-learn and scipy are built on.
import sklearn.datasets  # noqa: F401
from hypothesis import settings

import refcert.app.baseline.run
import refcert.pytest_plugin.plugin
import refcert.testing.planes  # noqa: F401
from tests.app.baselines import project, record

INI = """
[pytest]
testpaths = tests
addopts = --strict-markers --strict-config -ra
filterwarnings = error
refcert_baseline = refcert-baseline.txt
refcert_attack = none
"""


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    folder = project(tmp_path_factory.mktemp("user"))
    record(folder)
    return folder


def plugin_arguments():
    """The plugin by name, where this checkout is not installed with its entry point.

    Where it is, pytest in pytest would warn that it cannot rewrite the asserts of what is there already.
    """
    known = {entry.value for entry in entry_points(group="pytest11")}
    if "refcert.pytest_plugin.plugin" in known:
        return ("-W", "ignore::pytest.PytestAssertRewriteWarning")
    return ("-p", "refcert.pytest_plugin.plugin")


@pytest.fixture
def user(pytester, recorded, monkeypatch):
    """The project with a test of its own that does not know of refcert."""
    for name in ("model.safetensors", "data.npz", "refcert-baseline.txt"):
        shutil.copy(recorded / name, pytester.path)
    (pytester.path / "pytest.ini").write_text(INI)
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "test_own.py").write_text("def test_own():\n    pass\n")
    return pytester


@pytest.fixture
def run(user):
    """One run of pytest in the project, in this process, where torch is already there."""
    before = settings.get_current_profile_name()

    def call(*arguments):
        return user.runpytest_inprocess("-p", "no:cacheprovider", *plugin_arguments(), *arguments)

    yield call
    settings.load_profile(before)

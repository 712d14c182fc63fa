"""The example project's own modules, read in this process, and pytest run in a copy of it as a user does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path

import pytest

from tests.pytest_plugin.conftest import plugin_arguments

PROJECT = Path(__file__).parents[2] / "examples" / "guarded_project"
MODULES = ("model", "prepare", "plant", "third_party")


@pytest.fixture
def modules(monkeypatch):
    """The project's modules by name; afterwards their names are free again."""
    monkeypatch.syspath_prepend(PROJECT)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield {name: import_module(name) for name in MODULES}
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def run_in(modules, monkeypatch):
    """pytest in this process, where torch is already there: exit code and what was printed.

    Not by pytester, which forgets every module that was first read in a test; compiled ones cannot be read twice.
    """
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def call(project, *arguments):
        for name in MODULES:  # those of the copy are read, not those of the original
            sys.modules.pop(name, None)
        monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(PROJECT)])
        monkeypatch.chdir(project)
        printed = io.StringIO()
        try:
            with redirect_stdout(printed), redirect_stderr(printed):
                code = pytest.main(["-p", "no:cacheprovider", "--capture=sys", *plugin_arguments(), *arguments])
        finally:
            for name, module in list(sys.modules.items()):
                if Path(getattr(module, "__file__", None) or "/").is_relative_to(project):
                    del sys.modules[name]
        return int(code), printed.getvalue()

    return call


def run_pytest(project, *arguments):
    """The same as a user does it, in a process of its own."""
    command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", *plugin_arguments(), *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    environment = kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    result = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return result.returncode, result.stdout + result.stderr

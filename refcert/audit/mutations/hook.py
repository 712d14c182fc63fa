"""The import hook that changes one module's text while it is imported. Files are only read.

The campaign names the fault in the environment, so that processes that a test starts are changed as well:
`startup/sitecustomize.py` lies first on their PYTHONPATH and calls `install_from_environment`.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from refcert.audit.mutations.mutation import Change, changed_text

VARIABLE: Final = "REFCERT_MUTATION"
"""JSON: name, module, changes, and trace, a file that gets one line from each process that ran the changed module."""


class ChangingLoader(importlib.machinery.SourceFileLoader):
    """Compiles the changed text; no bytecode is read or written."""

    def __init__(self, module: str, path: str, name: str, changes: Sequence[Change], trace: str) -> None:
        super().__init__(module, path)
        self._name, self._changes, self._trace = name, changes, trace

    def get_code(self, fullname: str) -> CodeType:
        text = changed_text(Path(self.path).read_text(encoding="utf-8"), self._changes, self._name)
        code = compile(text, self.path, "exec", dont_inherit=True)
        with open(self._trace, "a", encoding="utf-8") as file:  # noqa: PTH123
            file.write(f"{os.getpid()} {self.path}\n")
        return code


class ChangingFinder(MetaPathFinder):
    """Finds the one module; all others are left to the usual finders."""

    def __init__(self, module: str, name: str, changes: Sequence[Change], trace: str) -> None:
        self._module, self._name, self._changes, self._trace = module, name, changes, trace

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        spec.loader = ChangingLoader(fullname, spec.origin, self._name, self._changes, self._trace)
        spec.cached = None
        return spec


def environment_entry(name: str, module: str, changes: Sequence[Change], trace: Path) -> dict[str, str]:
    """What a process needs in its environment."""
    return {VARIABLE: json.dumps({"name": name, "module": module, "changes": changes, "trace": str(trace)})}


def install_from_environment() -> None:
    """Put the finder first if the environment names a fault."""
    stated = os.environ.get(VARIABLE)
    if not stated:
        return
    fault = json.loads(stated)
    if fault["module"] in sys.modules:
        raise ImportError(f"{fault['module']} was imported before the mutation hook")
    changes = [(old, new) for old, new in fault["changes"]]
    sys.meta_path.insert(0, ChangingFinder(fault["module"], fault["name"], changes, fault["trace"]))

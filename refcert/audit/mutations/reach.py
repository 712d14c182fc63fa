"""Which test files can see a fault at all: those whose imports lead to the changed module.

A file is left out only if no chain of imports, at whatever depth and also inside functions, leads from it (or from a
`conftest.py` above it) to the module. Files that start processes or import by name count as leading everywhere.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

PACKAGES: Final = ("gpu_engine", "refcert", "proofs")
# Whoever uses one of these may run any module without an import that can be read.
ANYWHERE: Final = ("subprocess", "multiprocessing", "importlib", "runpy", "pytester")


def blind_files(root: Path, paths: Sequence[str], module: str) -> tuple[str, ...]:
    """The test files below `paths` (folders or files, relative to root) that cannot see a change of `module`."""
    tests = frozenset(Path(path).parts[0] for path in paths)
    graph = _graph(root, tests | {*PACKAGES, module.split(".", maxsplit=1)[0]}, tests)
    files = [file for path in paths for file in _test_files(root / path)]
    names = [file.relative_to(root).as_posix() for file in files]
    return tuple(name for name in names if module not in _reached(graph, _starts(root, root / name)))


def _test_files(path: Path) -> list[Path]:
    return sorted(path.rglob("test_*.py")) if path.is_dir() else [path]


def _starts(root: Path, file: Path) -> list[str]:
    """The file itself and the conftest files above it."""
    above = [folder / "conftest.py" for folder in file.parents if folder == root or root in folder.parents]
    return [_name(root, path) for path in (file, *above) if path.is_file()]


def _reached(graph: dict[str, frozenset[str]], starts: Sequence[str]) -> set[str]:
    seen, waiting = set(starts), list(starts)
    while waiting:
        for found in graph.get(waiting.pop(), ()):
            if found not in seen:
                seen.add(found)
                waiting.append(found)
    return seen


@lru_cache(maxsize=4)
def _graph(root: Path, folders: frozenset[str], tests: frozenset[str]) -> dict[str, frozenset[str]]:
    """Module -> the modules below `folders` that it imports; for tests that may run anything, all of them."""
    files = {_name(root, path): path for folder in folders for path in (root / folder).rglob("*.py")}
    graph = {}
    for name, path in files.items():
        wanted = set(_imports(name, path))
        local = {part for found in wanted for part in _with_parents(found) if part in files}
        free = name.split(".")[0] in tests and _anywhere(wanted)
        graph[name] = frozenset(files) if free else frozenset(local)
    return graph


def _anywhere(wanted: set[str]) -> bool:
    return any(found.split(".")[0] in ANYWHERE for found in wanted)


def _imports(name: str, path: Path) -> Iterator[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: k + 1]) for k in range(len(parts))]


def _name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

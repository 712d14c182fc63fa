"""A planted fault: one module of the checkout with a few pieces of its text exchanged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Change = tuple[str, str]
"""(old text, new text); the old text occurs exactly once in the module."""

ROOMS: Final = (
    *("cells", "relaxations", "propagation", "inputs", "search", "loading", "rounding"),
    *("kernel", "reference", "audit"),
)
"""What a fault is in; it decides which tests are tried first."""


class MisfitError(ValueError):
    """A mutation whose old text is no longer there exactly once, or whose new text is no Python."""


@dataclass(frozen=True)
class Mutation:
    """A fault. imitates: what mistake it stands for, or where it was seen; module: dotted name."""

    name: str
    room: str
    imitates: str
    module: str
    changes: tuple[Change, ...]

    @property
    def digest(self) -> str:
        """Of what is changed, so that a stored result is never taken for that of another fault."""
        text = json.dumps([self.module, self.changes])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Equivalent:
    """A change that no check can see, and the argument why not. It is listed, not counted."""

    mutation: Mutation
    argument: str


def module_path(root: Path, module: str) -> Path:
    """The file of a module of the checkout. Raises MisfitError where there is none."""
    path = root.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise MisfitError(f"module {module} is not below {root}; run the campaign in a checkout, or correct the mutation")


def changed_text(source: str, changes: Sequence[Change], name: str) -> str:
    """The source with all changes made. Raises MisfitError where an old text is not there exactly once."""
    for old, new in changes:
        count = source.count(old)
        if count != 1:
            raise MisfitError(
                f"mutation {name} no longer fits: {old!r} occurs {count} times in its module; "
                "write it anew for the present text, or take it out of the table"
            )
        source = source.replace(old, new)
    return source


def check_fits(mutation: Mutation, root: Path) -> None:
    """Raise MisfitError unless the mutation can be applied to this checkout and is still Python."""
    path = module_path(root, mutation.module)
    text = changed_text(path.read_text(encoding="utf-8"), mutation.changes, mutation.name)
    try:
        compile(text, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise MisfitError(f"mutation {mutation.name} is no Python: {error}") from error

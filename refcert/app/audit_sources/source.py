"""What every source of planes gives: parts in a fixed order, each with a name and so many planes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from refcert.audit.plane_table import Column, PlaneTable

if TYPE_CHECKING:
    from refcert.app.runs import RunFolder


@dataclass(frozen=True)
class Part:
    """Some planes of the table `name`. load gives exactly `planes` of them, or raises the user's error.

    given: columns that these planes are known to have before anybody is asked for them, each of `planes` rows.
    """

    name: str
    planes: int
    load: Callable[[], PlaneTable]
    given: Callable[[], Mapping[str, Column]] = dict

    def differs(self, table: PlaneTable) -> str | None:
        """In what a table cannot be this part, in words; None: it can."""
        if len(table) != self.planes:
            return f"{len(table)} planes, not {self.planes}"
        for name, column in self.given().items():
            if not np.array_equal(table.columns[name], column):
                return f"another {name} than was asked for"
        return None


@dataclass(frozen=True)
class Source:
    """kind: 'run', 'planes file', 'directory' or 'function'. name: as it was typed. digest: SHA-256 of what is audited.

    asked: options that decide which planes there are. run: the run folder that keeps the verdicts, with the parts of
    the run that its tables are. live: the planes exist only while they are audited, so an audit has to keep them.
    made_by: whose change makes another digest, where that is not `name`.
    """

    kind: str
    name: str
    parts: tuple[Part, ...]
    digest: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    run: RunFolder | None = None
    run_parts: tuple[int, ...] = ()
    parts_missing: int = 0
    made_by: str = ""

    @property
    def live(self) -> bool:
        return self.kind == "function"

    @property
    def planes(self) -> int:
        """How many planes all parts have."""
        return sum(part.planes for part in self.parts)


def parts_of(name: str, table: PlaneTable, size: int) -> list[Part]:
    """A table that is there, cut into parts of at most `size` planes; a table without planes is one part."""
    starts = range(0, max(len(table), 1), size)
    pieces = [table.part(start, start + size) for start in starts]
    return [Part(name, len(piece), lambda piece=piece: piece) for piece in pieces]  # type: ignore[misc]


def digest_of(names: Sequence[str], tables: Sequence[PlaneTable]) -> str:
    """SHA-256 over the names of the tables and every value in their columns, in order."""
    found = hashlib.sha256()
    for name, table in zip(names, tables, strict=True):
        found.update(f"{name}\0{len(table)}\0".encode("utf-8", "surrogateescape"))
        for column, values in table.columns.items():
            found.update(f"{column} {values.dtype.str} ".encode())
            found.update(values.tobytes())
    return found.hexdigest()

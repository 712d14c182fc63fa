"""Which planes a Parquet file speaks of: their number and a digest, kept in the file's metadata.

Verdicts are numbers of rows without the planes themselves. Only with this mark can a reader tell that they belong to
the planes at hand, and not to those of another part, another run, or an engine that was changed since.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from refcert.audit.plane_table import DIAGONALS, NUMBERS, PlaneTable

_KEY: Final = b"refcert.planes"
_TEXT: Final = re.compile(r"([0-9]+) ([0-9a-f]{64})")


class PlanesMark(NamedTuple):
    """planes: how many; sha256: over all that a verdict depends on, kind, side, box, octagon and plane, row by row."""

    planes: int
    sha256: str

    def metadata(self) -> dict[bytes, bytes]:
        """As a Parquet file keeps it."""
        return {_KEY: f"{self.planes} {self.sha256}".encode()}


def mark_of(planes: PlaneTable) -> PlanesMark:
    """The mark of some planes; where they come from (the origin columns) does not matter."""
    found = hashlib.sha256(f"{len(planes)} planes\n".encode())
    for name in ("kind", "side"):
        found.update("".join(f"{value}\n" for value in planes.columns[name].tolist()).encode())
    for name in (*NUMBERS, *(name for name in DIAGONALS if name in planes.columns)):
        found.update(planes.columns[name].astype("<f8").tobytes())
    return PlanesMark(len(planes), found.hexdigest())


def mark_in(metadata: Mapping[bytes, bytes] | None) -> PlanesMark | None:
    """The mark that a file's metadata hold; None if there is none."""
    match = _TEXT.fullmatch((metadata or {}).get(_KEY, b"").decode("ascii", "replace"))
    return None if match is None else PlanesMark(int(match[1]), match[2])

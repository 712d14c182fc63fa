"""The folder of an audit, from which it goes on when it was stopped.

request.json                   what was asked, digest of the source, versions, seed
planes/part-00000.npz          only of a function: the planes as it returned them
verdicts/part-00000.parquet    one row per plane, in the same order; without a verdict where there is none yet
summary.json                   what `--json` prints, without the planes; written last
"""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from refcert.app import runs
from refcert.app.audit_sources.source import Source
from refcert.app.errors import InputError
from refcert.app.storage import json_bytes, npz_bytes, read_json, write_file
from refcert.app.verdict_files import answer_bytes, read_answers
from refcert.audit.examine import Answer
from refcert.audit.plane_table import PlaneTable, read_planes

FORMAT: Final = "audit 1"
_PACKAGES: Final = ("refcert", "numpy", "python-flint")


@dataclass(frozen=True)
class AuditFolder:
    """One audit on disk. Use `create` or `resume`. made: the folders that `create` made."""

    path: Path
    made: tuple[Path, ...] = ()

    def planes(self, part: int) -> PlaneTable | None:
        """The planes of a part that a function gave before; None: it was not asked for them yet."""
        path = self._planes(part)
        return read_planes(path) if path.is_file() else None

    def answers(self, part: int, planes: int) -> list[Answer | None]:
        """What is known of a part's planes. Raises InputError if the file is damaged or has another length."""
        path = self._verdicts(part)
        if not path.is_file():
            return [None] * planes
        found = read_answers(path)
        if len(found) != planes:
            raise InputError(f"{path} has {len(found)} verdicts of {planes} planes; delete it and run with --resume")
        return found

    def write(self, part: int, planes: PlaneTable | None, answers: Sequence[Answer | None]) -> None:
        """Keep what is known of a part; planes: those of a function."""
        if planes is not None and not self._planes(part).is_file():
            write_file(self._planes(part), npz_bytes(planes))
        write_file(self._verdicts(part), answer_bytes(answers))

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_file(self.path / "summary.json", json_bytes(summary))

    def started_parts(self) -> int:
        """How many parts have something to keep."""
        return len(list((self.path / "verdicts").glob("part-*.parquet")))

    def discard_if_empty(self) -> None:
        """Remove the folder if it was made for an audit in which nothing was found."""
        if not self.started_parts():
            runs.discard(runs.RunFolder(self.path, self.made))

    def _planes(self, part: int) -> Path:
        return self.path / "planes" / f"part-{part:05d}.npz"

    def _verdicts(self, part: int) -> Path:
        return self.path / "verdicts" / f"part-{part:05d}.parquet"


def check_out(out: Path | None, resume: bool) -> None:
    """Before anything is read: raise InputError unless --out and --resume make sense together."""
    if out is None:
        if resume:
            raise InputError("--resume needs the audit's folder; give it with --out")
    elif not resume:
        runs.check_free(out)
    elif not is_audit_folder(out):
        raise InputError(f"{out} is not the folder of an audit; give the --out of the audit that is to go on")


def is_audit_folder(path: Path) -> bool:
    """Whether `path` is the --out of an audit. Raises InputError if its request.json is damaged."""
    request = path / "request.json"
    return request.is_file() and str(read_json(request).get("format")).startswith(FORMAT.partition(" ")[0])


def open_folder(out: Path, resume: bool, request: dict[str, Any]) -> AuditFolder:
    """A new folder, or that of the same audit before. Raises InputError where it asked for something else."""
    if not resume:
        made = runs.create(out, {**request, "format": FORMAT}, ("planes", "verdicts"))
        return AuditFolder(made.path, made.made)
    stored = read_json(out / "request.json")
    if stored.get("format") != FORMAT:
        raise InputError(f"{out} has format {stored.get('format')!r}, this version reads {FORMAT!r}")
    runs.check_same(out, stored, request)
    runs.remove_leftovers(out)
    return AuditFolder(out)


def request_of(source: Source, options: dict[str, Any]) -> dict[str, Any]:
    """What an audit is: the source, the options that its results depend on, and what it ran with."""
    return {
        "request": {**options, **source.asked},
        "source": {
            "kind": source.kind,
            "name": source.name,
            "digest": source.digest,
            "planes": source.planes,
            "parts": len(source.parts),
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }

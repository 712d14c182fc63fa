"""The folder of an audit, from which it goes on when it was stopped.

request.json                   what was asked, digest of the source, versions, seed
planes/part-00000.npz          only of a function: the planes as it returned them
verdicts/part-00000.parquet    one row per plane, in the same order; without a verdict where there is none yet; it says
                               of which planes (app.plane_marks), and is refused with others
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
from refcert.app.audit_sources.source import Part, Source
from refcert.app.errors import InputError
from refcert.app.plane_marks import mark_of
from refcert.app.storage import DAMAGED, json_bytes, npz_bytes, read_json, write_file
from refcert.app.verdict_files import answer_bytes, read_answers
from refcert.audit.examine import Answer
from refcert.audit.plane_table import PlaneTable, PlaneTableError, read_planes

FORMAT: Final = "audit 1"
_PACKAGES: Final = ("refcert", "numpy", "python-flint")


@dataclass(frozen=True)
class AuditFolder:
    """One audit on disk. Use `create` or `resume`. made: the folders that `create` made."""

    path: Path
    made: tuple[Path, ...] = ()

    def planes(self, part: int, asked: Part) -> PlaneTable | None:
        """The planes of a part that a function gave before; None: it was not asked for them yet.

        Raises InputError if they are damaged, are not those of `asked`, or are gone while their verdicts are there:
        the function may give others now.
        """
        path, verdicts = self._planes(part), self._verdicts(part)
        remedy = f"delete it and {verdicts}, and run with --resume"
        if not path.is_file():
            if verdicts.is_file():
                raise InputError(f"{verdicts} has verdicts, but their planes, {path}, are gone; {DAMAGED}")
            return None
        try:
            found = read_planes(path)
        except PlaneTableError as error:
            raise InputError(f"{path} cannot be read ({_first_line(error)}); {remedy}") from error
        difference = asked.differs(found)
        if difference is not None:
            raise InputError(f"{path} has {difference}; {remedy}")
        return found

    def has_answers(self, part: int) -> bool:
        """Whether something is known of a part's planes."""
        return self._verdicts(part).is_file()

    def answers(self, part: int, planes: PlaneTable) -> list[Answer | None]:
        """What is known of a part's planes. Raises InputError if the file is damaged or is about other planes."""
        if not self.has_answers(part):
            return [None] * len(planes)
        return read_answers(self._verdicts(part), mark_of(planes), DAMAGED)

    def write(self, part: int, planes: PlaneTable, answers: Sequence[Answer | None], *, keep_planes: bool) -> None:
        """Keep what is known of a part; keep_planes: those of a function, which nobody else keeps."""
        if keep_planes and not self._planes(part).is_file():
            write_file(self._planes(part), npz_bytes(planes))
        write_file(self._verdicts(part), answer_bytes(answers, mark_of(planes)))

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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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


def open_folder(out: Path, resume: bool, request: dict[str, Any], made_by: str) -> AuditFolder:
    """A new folder, or that of the same audit before. Raises InputError where it asked for something else.

    made_by: the file whose change makes other planes.
    """
    if not resume:
        made = runs.create(out, {**request, "format": FORMAT}, ("planes", "verdicts"))
        return AuditFolder(made.path, made.made)
    stored = read_json(out / "request.json")
    if stored.get("format") != FORMAT:
        raise InputError(f"{out} has format {stored.get('format')!r}, this version reads {FORMAT!r}")
    _check_same(out, runs.leaves(stored), runs.leaves(request), made_by)
    runs.check_same(out, stored, request)
    runs.remove_leftovers(out)
    return AuditFolder(out)


def _check_same(out: Path, before: dict[str, Any], now: dict[str, Any], made_by: str) -> None:
    """Raise InputError, by the names of the options, where an audit is not the one before."""
    changed = {key for key in (*before, *now) if before.get(key) != now.get(key)}
    names = [audit.get("source.name") for audit in (before, now)]
    if "source.kind" in changed or changed >= {"source.name", "source.digest"}:
        raise InputError(f"{out} was an audit of {names[0]}, now of {names[1]}; choose another --out")
    # The size of the parts follows from options, and is only told if none of them explains it.
    for key in sorted(changed, key=lambda key: (key == "request.part", key)):
        group, _, name = key.partition(".")
        if group == "request":
            was, is_ = (_option(name, audit.get(key)) for audit in (before, now))
            raise InputError(
                f"{out} was started {was}, now {is_}; resume with the same options or choose another --out"
            )
    if "source.digest" in changed:
        raise InputError(f"{made_by} has changed since {out} was started; choose another --out")


def _option(name: str, value: Any) -> str:
    """An option of the command with its value: 'with --count 5', 'without --tightness'."""
    if name == "part":
        return f"with parts of {value} planes"
    given, _, kind = name.partition(".")
    if given == "given_boxes":
        return f"with {value or 0} boxes of {kind} from --boxes-from"
    option = "--" + name.replace("_", "-")
    if value is None or isinstance(value, bool):
        return f"{'with' if value else 'without'} {option}"
    return f"with {option} {','.join(map(str, value)) if isinstance(value, list) else value}"


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

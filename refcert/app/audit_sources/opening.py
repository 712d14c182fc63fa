"""From what was typed to a source: a folder, a file, or module:function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from refcert.app.audit_folder import is_audit_folder
from refcert.app.audit_sources.boxes import DTYPES, Draw, given_boxes
from refcert.app.audit_sources.files import READERS, open_directory, open_file
from refcert.app.audit_sources.function import CALL, is_function_name, open_function
from refcert.app.audit_sources.run_folder import open_run_folder
from refcert.app.audit_sources.source import Source
from refcert.app.errors import InputError
from refcert.audit.families.boxes import BOX_FAMILIES
from refcert.audit.plane_table import PlaneTable
from refcert.kernel.claims import KINDS

COUNT: Final = 1000


@dataclass(frozen=True)
class FunctionOptions:
    """What is drawn for a function; None: the default, so that it is known what was typed. seed is always there."""

    kinds: str | None = None
    boxes: str | None = None
    boxes_from: Path | None = None
    count: int | None = None
    dtype: str | None = None
    seed: int = 0

    def typed(self) -> list[str]:
        """The options that only a function has and that were given."""
        given = {
            "--kinds": self.kinds,
            "--boxes": self.boxes,
            "--boxes-from": self.boxes_from,
            "--count": self.count,
            "--dtype": self.dtype,
        }
        return [option for option, value in given.items() if value is not None]


def open_source(name: str, options: FunctionOptions, part: int) -> Source:
    """The source behind a name, with parts of at most `part` planes.

    Raises InputError or PlaneTableError with what is wrong and what to do.
    """
    if is_function_name(name):
        return _open_function(name, options, part)
    path = Path(name)
    if typed := options.typed():
        raise InputError(f"{typed[0]} goes only with module:function, and {name} is not one; leave {typed[0]} out")
    if not path.exists() and ":" in name and not path.suffix:
        raise InputError(
            f"{name!r} is no path that exists, nor of the form module:function, such as peer.engine:planes"
        )
    return _open_path(path, part)


def _open_path(path: Path, part: int) -> Source:
    if not path.exists():
        raise InputError(
            f"{path}: no such file or directory; give a run folder, a planes file ({', '.join(READERS)}), a directory "
            "of them, or module:function"
        )
    if path.suffix == ".py":
        raise InputError(f"{path} is Python; name the function in it, {path.stem}:planes say, from its folder")
    if not path.is_dir():
        return open_file(path, part)
    if not (path / "request.json").is_file():
        return open_directory(path, part)
    if is_audit_folder(path):
        raise InputError(
            f"{path} is the folder of an audit, not of a run; continue it with --out {path} --resume, or name what "
            "it audited"
        )
    return open_run_folder(path, part)


def _open_function(name: str, options: FunctionOptions, part: int) -> Source:
    only_given = options.boxes is None and options.boxes_from is not None
    draw = Draw(
        families=() if only_given else _names(options.boxes, BOX_FAMILIES, "--boxes"),
        kinds=_names(options.kinds, KINDS, "--kinds"),
        count=COUNT if options.count is None else options.count,
        seed=options.seed,
        dtype=DTYPES[0] if options.dtype is None else options.dtype,
    )
    given = {}
    if options.boxes_from is not None:
        given = given_boxes(options.boxes_from, _tables(options.boxes_from), draw)
    return open_function(name, draw, given, call=max(1, min(CALL, part // 2)))


def _tables(path: Path) -> Sequence[PlaneTable]:
    source = _open_path(path, part=2**62)
    return [piece.load() for piece in source.parts]


def _names(text: str | None, known: Sequence[str], option: str) -> tuple[str, ...]:
    """Names separated by commas; all where nothing was typed."""
    if text is None:
        return tuple(known)
    names = tuple(name.strip() for name in text.split(","))
    if "" in names:
        raise InputError(f"{option} {text!r} has an empty name; give names of {', '.join(known)}")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{option} {text!r} names {name!r} twice; name each once")
    return names


__all__ = ["COUNT", "READERS", "FunctionOptions", "open_source"]

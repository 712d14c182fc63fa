"""Which files `refcert check` was asked about."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from refcert.app.errors import InputError

FOLDER: Final = "certificates"
"""Where a run keeps them."""

SUFFIX: Final = ".safetensors"


class Found(NamedTuple):
    """A file that may be a certificate. folder: the one that it was found in, None where the file itself was named.

    In a folder a network's file is passed over; whoever names one is told that it is no certificate. run: the run
    folder, where that is what was named.
    """

    path: Path
    folder: Path | None = None
    run: Path | None = None


def find_files(paths: Sequence[Path]) -> list[Found]:
    """The files, and those in the folders in the order of their names; each once. Raises InputError."""
    found: dict[str, Found] = {}
    for path in paths:
        for one in _in_folder(path) if path.is_dir() else [_named(path)]:
            found.setdefault(os.path.abspath(one.path), one)  # noqa: PTH100 - links are told apart, resolve() follows them
    return list(found.values())


def _named(path: Path) -> Found:
    if not os.path.lexists(path):
        raise InputError(f"{path} does not exist; give certificates, folders of certificates, or run folders")
    return Found(path)


def _in_folder(path: Path) -> list[Found]:
    run = path if (path / "request.json").is_file() else None
    folder = path if run is None else path / FOLDER
    names = sorted(name for name in _names(folder) if name.endswith(SUFFIX))
    if not names and run is not None:
        raise InputError(f"the run {path} keeps no certificates; make some with refcert certify --certificates --out")
    if not names:
        raise InputError(f"there are no certificates (*{SUFFIX}) in {path}; give a folder of certificates, or a run")
    return [Found(folder / name, folder, run) for name in names]


def _names(folder: Path) -> list[str]:
    """What lies in the folder; nothing where there is none. Raises InputError."""
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({error.strerror}); give another folder") from error

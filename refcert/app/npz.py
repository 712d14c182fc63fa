"""Arrays of `.npz` files, read exactly or refused with their value; no pickle is ever opened."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.errors import InputError

_UNREADABLE: Final = (
    OSError,
    EOFError,
    ValueError,
    MemoryError,  # a header that claims more than there is
    RuntimeError,  # an encrypted archive
    zipfile.BadZipFile,
    zlib.error,
)
_EXACT_INTEGERS: Final = 2**53  # every whole number up to this size is a float64 value


def read_members(
    path: Path, needed: Sequence[str], optional: Sequence[str] = (), *, remedy: str
) -> dict[str, NDArray[Any]]:
    """The named arrays of an npz file; pickled objects are refused, because reading them can run code."""
    try:
        # Opened here, because numpy leaves the file open when the archive is damaged.
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise InputError(f"{path} is no npz file (not a whole zip archive, so perhaps cut short); {remedy}")
            file.seek(0)
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise InputError(f"{path} holds a single array; {remedy}")
            repeated = [name for name, number in Counter(stored.files).items() if number > 1]
            if repeated:
                raise InputError(f"{path} has the array {repeated[0]!r} twice; {remedy}")
            for name in needed:
                if name not in stored.files:
                    found = ", ".join(stored.files) or "nothing"
                    raise InputError(f"{path} has no array {name!r}, it has {found}; {remedy}")
            wanted = [name for name in (*needed, *optional) if name in stored.files]
            return {name: np.asarray(stored[name]) for name in wanted}
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"{path} cannot be read ({error}); pickled (object) arrays are refused, because reading them can "
            f"run code, and a damaged file must be copied again. Else {remedy}"
        ) from error


def exact_floats(path: Path, name: str, x: NDArray[Any]) -> NDArray[np.float64]:
    """The same numbers as float64; refused where that would round."""
    if not (x.dtype.kind in "iu" or (x.dtype.kind == "f" and x.dtype.itemsize <= 8)):
        raise InputError(
            f"{path}: {name} is {x.dtype}; give float16, float32, float64 or whole numbers, which convert exactly"
        )
    if x.dtype.kind in "iu" and x.dtype.itemsize == 8:
        large = np.argwhere((x > _EXACT_INTEGERS) | (x < -_EXACT_INTEGERS))
        if len(large):
            index = [int(i) for i in large[0]]
            raise InputError(f"{path}: {name}{index} is {x[tuple(index)]}; beyond 2^53 it would be rounded. Scale it")
    return x.astype(np.float64)


def exact_integers(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    """The same whole numbers as int64, which may not be floats; values (count, ...), at least one."""
    if values.dtype.kind not in "iu":
        raise InputError(
            f"{path}: {name} are {values.dtype} ({name}[0] is {values[0]}); give whole numbers, "
            f"{name}.astype(numpy.int64)"
        )
    if values.max() > np.iinfo(np.int64).max:
        where = [int(i) for i in np.unravel_index(values.argmax(), values.shape)]
        raise InputError(f"{path}: {name}{where} is {values.max()}; nothing has that number")
    return values.astype(np.int64)

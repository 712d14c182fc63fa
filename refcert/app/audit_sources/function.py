"""A function of somebody's engine, `module:function`, that returns planes for boxes; called here and distrusted.

    function(kind, lower_v, upper_v, lower_z, upper_z) -> (lower, upper), each (slope_v, slope_z, offset)

Boxes go in as arrays (count,), planes come out as arrays (count,): numpy, torch or whatever numpy reads, in any float
type; their values are taken as they are. The function gets copies, which have to be unchanged afterwards. What it
prints goes to standard error.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from refcert.app.audit_sources.boxes import FROM_RUN, SIDES_OF_BOX, Boxes, Draw
from refcert.app.audit_sources.returned import SIGNATURE, box_of, columns_of, own_frames, said_of
from refcert.app.audit_sources.source import Part, Source
from refcert.app.errors import InputError
from refcert.app.foreign_code import is_ctrl_c, quiet
from refcert.audit.plane_table import DIAGONALS, Column, PlaneTable

_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
# Boxes of one call: enough for batched engines, few enough for a budget to be kept.
CALL: Final = 1000


def is_function_name(text: str) -> bool:
    """Whether the text has the form module:function and is no path that exists."""
    return _NAME.fullmatch(text) is not None and not Path(text).exists()


def open_function(text: str, draw: Draw, given: Mapping[str, Boxes], call: int = CALL) -> Source:
    """A function as a source: `call` boxes at a time, of each family and kind, then of the given boxes.

    Raises InputError if there is no such function; what it returns is checked when it is called.
    """
    function = PlanesFunction(text)
    parts: list[Part] = []
    drawn = lru_cache(maxsize=1)(draw.boxes)  # one for all: the boxes of only one family and kind are kept
    for family in draw.families:
        for kind in draw.kinds:
            parts += _parts(function, family, kind, partial(drawn, family, kind), draw.count, draw.dtype, call)
    for kind, there in given.items():
        parts += _parts(function, FROM_RUN, kind, partial(np.asarray, there), len(there), draw.dtype, call)
    asked = {
        "boxes": list(draw.families),
        "kinds": list(draw.kinds),
        "count": draw.count,
        "seed": draw.seed,
        "dtype": draw.dtype,
        "given_boxes": {kind: len(boxes) for kind, boxes in given.items()},
    }
    found = hashlib.sha256(function.source)
    for kind, there in given.items():
        found.update(kind.encode() + there.tobytes())
    made_by = function.file or text
    if given:
        made_by += ", or what --boxes-from names,"
    return Source("function", text, tuple(parts), found.hexdigest(), asked, made_by=made_by)


def _parts(
    function: PlanesFunction,
    family: str,
    kind: str,
    boxes: Callable[[], Boxes],
    count: int,
    dtype: str,
    call: int,
) -> Iterator[Part]:
    for start in range(0, count, call):
        stop = min(start + call, count)

        def load(start: int = start, stop: int = stop) -> PlaneTable:
            return function.planes(family, kind, boxes()[start:stop], start, dtype)

        def given(start: int = start, stop: int = stop) -> dict[str, Column]:
            return _given(kind, boxes()[start:stop])

        yield Part(family, 2 * (stop - start), load, given)


def _given(kind: str, boxes: Boxes) -> dict[str, Column]:
    """What is known of the planes of boxes (count, 4) before the function has been asked: (2 count,) each."""
    columns: dict[str, Column] = {
        "kind": np.full(2 * len(boxes), kind),
        "side": np.repeat(["lower", "upper"], len(boxes)),
    }
    return columns | {name: np.tile(boxes[:, k], 2) for k, name in enumerate(SIDES_OF_BOX)}


class PlanesFunction:
    """The function behind a name, or one that is handed over under a name for messages.

    file: its module's, '' where there is none; source: its name and the file's bytes.
    """

    def __init__(self, text: str, function: Callable[..., Any] | None = None) -> None:
        self.text = text
        self._function, file = _named(text) if function is None else (function, None)
        self.file = file if file is not None and Path(file).is_file() else ""
        self.source = text.encode() + (Path(self.file).read_bytes() if self.file else b"")

    def planes(
        self,
        family: str,
        kind: str,
        boxes: Boxes,
        first: int,
        dtype: str = "float64",
        diagonals: Boxes | None = None,
    ) -> PlaneTable:
        """Lower planes of all boxes (count, 4), then their upper planes; origin: `sample`, the box's number.

        diagonals (count, 4): ends of v + z and of v - z; with them the function is called with four more arrays, and
        its planes are claims about octagons. Raises InputError if the function raises, changes its inputs, or returns
        what are no planes.
        """
        where = f"{self.text}, kind {kind}, boxes {family!r}"
        asked = boxes if diagonals is None else np.hstack([boxes, diagonals])
        try:
            returned = self._call(where, kind, asked, first, dtype)
        except _Raised as error:
            cause = error.__cause__
            assert isinstance(cause, BaseException)
            narrowed, row = self._narrowed(where, kind, asked, first, dtype)
            boxes_said = box_of(boxes[row]) if narrowed else f"all {len(boxes)} boxes together"
            which = f"row {first + row}" if narrowed else f"rows {first} to {first + len(boxes) - 1}"
            said = f"raised {said_of(cause)}"
            if isinstance(cause, TypeError) and not own_frames(cause):
                said = f"cannot be called ({(str(cause).splitlines() or [''])[0]}); define it as {SIGNATURE}"
            raise InputError(f"{where}, {which} ({boxes_said}): the function {said}") from cause
        columns = columns_of(returned, where, kind, boxes, first)
        count = len(boxes)
        if diagonals is not None:
            columns |= {name: np.tile(diagonals[:, k], 2) for k, name in enumerate(DIAGONALS)}
        return PlaneTable({**_given(kind, boxes), **columns}, {"sample": np.tile(np.arange(first, first + count), 2)})

    def _call(self, where: str, kind: str, boxes: Boxes, first: int, dtype: str) -> Any:
        names = (*SIDES_OF_BOX, *DIAGONALS)[: boxes.shape[1]]
        before = [np.ascontiguousarray(boxes[:, k], dtype=dtype) for k in range(len(names))]
        inputs = [array.copy() for array in before]
        try:
            with quiet():
                returned = self._function(kind, *inputs)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            raise _Raised from error
        for name, was, now in zip(names, before, inputs, strict=True):
            changed = np.flatnonzero(
                was.view(np.uint8).reshape(len(was), -1) != now.view(np.uint8).reshape(len(was), -1)
            )
            if len(changed):
                row = int(changed[0]) // was.itemsize
                raise InputError(
                    f"{where}: the function changed its input {name}, row {first + row}, from {was[row].item()!r} to "
                    f"{now[row].item()!r}; work on a copy, other code would go on with the changed boxes"
                )
        return returned

    def _narrowed(self, where: str, kind: str, boxes: Boxes, first: int, dtype: str) -> tuple[bool, int]:
        """The single box that makes the function raise, by halves; False where only many together do."""
        start, stop = 0, len(boxes)
        while stop - start > 1:
            middle = (start + stop) // 2
            for low, high in ((start, middle), (middle, stop)):
                try:
                    self._call(where, kind, boxes[low:high], first + low, dtype)
                except _Raised:
                    start, stop = low, high
                    break
                except InputError:  # another fault of the function; the exception is told first
                    continue
            else:
                return False, 0
        return True, start


class _Raised(Exception):  # noqa: N818 - carries the user's exception to where it is told
    """The function raised."""


def _named(text: str) -> tuple[Callable[..., Any], str | None]:
    """The function of a name module:function and the file of its module."""
    module_name, _, path = text.partition(":")
    module = _import(text, module_name)
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            known = sorted(n for n in vars(module) if callable(getattr(module, n)) and not n.startswith("_"))
            raise InputError(
                f"{text}: {module_name} ({module.__file__}) has no {path!r}; it has {', '.join(known) or 'nothing'}"
            )
        found = getattr(found, name)
    if not callable(found):
        raise InputError(f"{text} is {found!r}, which cannot be called; name a function")
    return found, module.__file__


def _import(text: str, name: str) -> ModuleType:
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        with quiet():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InputError(
                f"{text}: there is no module {error.name!r} in {here} or among the installed ones; give a path that "
                "exists, or module:function from the folder that holds the module"
            ) from error
        raise InputError(f"{text}: importing {name} raised {said_of(error)}") from error
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        guard = "" if isinstance(error, Exception) else "; guard it with __name__"
        raise InputError(f"{text}: importing {name} raised {said_of(error)}{guard}") from error

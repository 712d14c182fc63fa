"""What somebody's function returned: read, checked, and refused by kind, boxes, column and row."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.audit_sources.boxes import SIDES_OF_BOX, Boxes
from refcert.app.errors import InputError
from refcert.audit.exact import InexactError, check_same, exact_float64

VALUES: Final = ("slope_v", "slope_z", "offset")
SIGNATURE: Final = "function(kind, lower_v, upper_v, lower_z, upper_z)"
_HERE: Final = Path(__file__).parent
_CONTRACT: Final = (
    "return (lower, upper), each (slope_v, slope_z, offset), three arrays with one number per box (docs/audit.md)"
)


class NotFiniteError(InputError):
    """A number of a plane is NaN or infinite: value. first + row: of its box; side, name: which number."""

    def __init__(self, message: str, value: float, first: int, row: int, side: str, name: str) -> None:
        super().__init__(message)
        self.value, self.first, self.row, self.side, self.name = value, first, row, side, name


def columns_of(returned: Any, where: str, kind: str, boxes: Boxes, first: int) -> dict[str, NDArray[np.float64]]:
    """slope_v, slope_z and offset of all lower planes, then of all upper ones: (2 count,) for boxes (count, 4).

    first: the number of the first box. Raises InputError that begins with `where`.
    """
    pair = _sequence(returned, 2, where, "the function returned")
    columns: dict[str, list[NDArray[np.float64]]] = {name: [] for name in VALUES}
    for side, plane in zip(("lower", "upper"), pair, strict=True):
        triple = _sequence(plane, len(VALUES), where, f"the {side} planes are")
        for name, values in zip(VALUES, triple, strict=True):
            columns[name].append(_column(values, where, side, name, kind, boxes, first))
    return {name: np.concatenate(both) for name, both in columns.items()}


def said_of(error: BaseException) -> str:
    """The exception in one line, with the place in the user's code."""
    frames = own_frames(error)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    text = (str(error).splitlines() or [""])[0]
    if isinstance(error, SyntaxError) and error.filename is not None:
        place, text = f" ({Path(error.filename).name}, line {error.lineno})", error.msg
    return f"{type(error).__name__}{place}" + (f": {text}" if text else "")


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of the user's code, without those of this package's call and of Python's import machinery."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f for f in frames if not f.filename.startswith("<frozen ") and Path(f.filename).parent != _HERE]


def _sequence(value: Any, length: int, where: str, what: str) -> list[Any]:
    if not isinstance(value, (tuple, list)):
        raise InputError(f"{where}: {what} {_kind_of(value)}; {_CONTRACT}")
    if len(value) != length:
        raise InputError(f"{where}: {what} a {type(value).__name__} of {len(value)}, not {length}; {_CONTRACT}")
    return list(value)


def _kind_of(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{'None' if value is None else type(value).__name__}" + (
        "" if shape is None else f" of shape {tuple(shape)}"
    )


def _column(values: Any, where: str, side: str, name: str, kind: str, boxes: Boxes, first: int) -> NDArray[np.float64]:
    what = f"{where}: {name} of the {side} planes"
    try:
        array = _array(values, what)
        if array.shape != (len(boxes),):
            raise InputError(f"{what} has shape {array.shape}; give one number per box, shape ({len(boxes)},)")
        found = exact_float64(array)
    except InexactError as error:
        raise InputError(f"{what}{'' if error.row is None else f', row {first + error.row},'} {error}") from None
    if name == "slope_z" and not kind.startswith("sigmoid_times_"):
        return np.zeros_like(found)  # there is no z
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        row = int(bad[0])
        raise NotFiniteError(
            f"{what}, row {first + row} is {found[row].item()!r}; every number must be finite. {box_of(boxes[row])}",
            *(float(found[row]), first, row, side, name),
        )
    return found


def _array(values: Any, what: str) -> NDArray[Any]:
    """As numpy reads it. Tensors of torch are known by what they can do; torch itself is not imported."""
    try:
        if hasattr(values, "detach") and hasattr(values, "is_floating_point"):
            values = values.detach().cpu()
            # bfloat16, which numpy lacks, and all other floats of torch are float64 values.
            values = (values.double() if values.is_floating_point() else values).numpy()
        if isinstance(values, np.ma.MaskedArray):
            raise InputError(f"{what} is a masked array; give plain numbers")
        found = np.asarray(values)
        if found.ndim == 1 and not isinstance(values, np.ndarray) and not hasattr(values, "__array__"):
            check_same(list(values), found)  # numpy rounds whole numbers among floats without a word
        return found
    except (InputError, InexactError):
        raise
    except Exception as error:
        raise InputError(f"{what} is {_kind_of(values)}, which numpy cannot read ({said_of(error)})") from error


def box_of(box: NDArray[np.float64]) -> str:
    """One box (4,) by the names of its columns."""
    return ", ".join(f"{name} = {value!r}" for name, value in zip(SIDES_OF_BOX, box.tolist(), strict=True))

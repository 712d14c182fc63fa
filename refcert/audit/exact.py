"""Numbers taken as the exact values that they are: converted to float64 where that changes nothing, else refused.

Sound? Yes: every float16, float32 and bfloat16 value is a float64 value, and wider numbers are compared after the
conversion. So a plane of a float32 engine is judged as the plane that the engine used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class InexactError(ValueError):
    """Values that float64 does not hold; the message names the first of them, `row` is its index."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


def exact_float64(values: NDArray[Any]) -> NDArray[np.float64]:
    """The same numbers as float64, always a copy; shape (count,). NaN and infinity pass, they are judged elsewhere.

    Raises InexactError for what is no number (strings, booleans, objects, complex) and for the first value that
    float64 would round.
    """
    kind = values.dtype.kind
    if kind not in "fiu":
        remedy = ", .astype(float)" if kind in "OUS" else ""
        raise InexactError(f"is {values.dtype}; give floats{remedy}, or whole numbers")
    with np.errstate(over="ignore"):
        found = values.astype(np.float64)
    if kind == "f" and values.dtype.itemsize <= found.dtype.itemsize:
        return found
    rounded = np.flatnonzero([_differs(a, b) for a, b in zip(values.tolist(), found.tolist(), strict=True)])
    if len(rounded):
        row = int(rounded[0])
        raise InexactError(f"{values[row]!s} is no float64 value, it would be rounded; give float64", row)
    return found


def check_same(numbers: Sequence[Any], values: NDArray[Any]) -> None:
    """Raise InexactError for the first of the numbers (count,) that became another value in the array of them.

    What is no number passes: the array says so by its dtype.
    """
    if values.dtype.kind not in "fiu":
        return
    for row, (number, value) in enumerate(zip(numbers, values, strict=True)):
        plain = number.item() if hasattr(number, "item") else number
        if _differs(plain, value.item()):
            raise InexactError(f"{plain!s} became {value!s} among the others; give an array of float64", row)


def _differs(value: Any, converted: float) -> bool:
    # Python compares whole numbers with floats exactly; numpy's long doubles are compared as such. NaN is no rounding.
    return bool(value != converted) and bool(value == value)

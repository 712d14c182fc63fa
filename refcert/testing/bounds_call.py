"""Somebody's bounds function, called and read: what it gets stays as it is, what it returns is made float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gpu_engine.inputs import InputSet
from refcert.app.errors import InputError

BoundsCallable = Callable[..., Any]
_CONTRACT: Final = "return lower bounds (batch, spec), or the tuple (lower, upper) of two such arrays"


class Claimed(NamedTuple):
    """lower, upper (batch, spec) float64, as they were returned; upper is None where only lower bounds were."""

    lower: Tensor
    upper: Tensor | None


def claimed_by(bounds_fn: BoundsCallable, name: str, model: Any, inputs: InputSet, rows: Tensor) -> Claimed:
    """What the function says of rows (batch, spec, outputs) on the sets. It gets copies.

    Raises InputError for another shape or type, and where the function changed what it got; NaN is handed back.
    """
    copied, asked = inputs.select(slice(None)), rows.clone()
    for field, value in vars(copied).items():
        if isinstance(value, Tensor):
            object.__setattr__(copied, field, value.clone())
    returned = bounds_fn(model, copied, asked)
    for what, was, now in (("rows", rows, asked), *((n, getattr(inputs, n), getattr(copied, n)) for n in vars(inputs))):
        if isinstance(was, Tensor) and not torch.equal(was, now):
            raise InputError(f"{name} changed its input {what}; work on a copy, other code would go on with the change")
    pair = returned if isinstance(returned, tuple) else (returned,)
    if len(pair) not in (1, 2):
        raise InputError(f"{name} returned a tuple of {len(pair)}; {_CONTRACT}")
    shape = (rows.shape[0], rows.shape[1])
    read = [_read(values, f"{name}: the {side} bounds", shape) for values, side in zip(pair, ("lower", "upper"))]  # noqa: B905
    return Claimed(read[0], read[1] if len(read) == 2 else None)


def _read(values: Any, what: str, shape: tuple[int, int]) -> Tensor:
    if values is None or isinstance(values, np.ma.MaskedArray):
        raise InputError(f"{what} are {'None' if values is None else 'a masked array'}; {_CONTRACT}")
    try:
        found = values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} are a {type(values).__name__}, which cannot be read ({error}); {_CONTRACT}") from None
    if found.is_complex() or found.dtype is torch.bool:
        raise InputError(f"{what} are {found.dtype}; give floating-point numbers")
    if found.shape != shape:
        raise InputError(
            f"{what} have shape {tuple(found.shape)}; give one number per sample and row, {shape}: {_CONTRACT}"
        )
    return found.to(torch.float64)

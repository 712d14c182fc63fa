"""Python source that rebuilds a value exactly: what the reprs of drawn values are made of.

Numbers are written as Python writes floats, which is exact for float64 and float32. Every name that occurs in the
source is exported by `refcert.strategies`: after `from refcert.strategies import *` the source can be run as it is.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Final

import torch
from torch import Tensor


def f64(values: Any) -> Tensor:
    """A float64 tensor of nested lists."""
    return torch.tensor(values, dtype=torch.float64)


def f32(values: Any) -> Tensor:
    """A float32 tensor of nested lists."""
    return torch.tensor(values, dtype=torch.float32)


def whole(values: Any) -> Tensor:
    """An int64 tensor of nested lists: labels and lengths."""
    return torch.tensor(values, dtype=torch.int64)


def flags(values: Any) -> Tensor:
    """A bool tensor of nested lists: frames that move, candidates that are allowed."""
    return torch.tensor(values, dtype=torch.bool)


_CONSTRUCTORS: Final = {torch.float64: "f64", torch.float32: "f32", torch.int64: "whole", torch.bool: "flags"}


class Evaluable:
    """A value whose repr is Python source that rebuilds it, in Hypothesis' output, too."""

    def __repr__(self) -> str:
        return fields_source(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Hypothesis and IPython print dataclasses field by field unless told otherwise."""
        printer.text(repr(self))


def source(value: Any) -> str:
    """One line of Python that rebuilds the value exactly.

    value: a tensor (of float64, float32, int64 or bool), a number, a string, None, a tuple, list or dictionary of such,
    or one of the project's dataclasses: a `RecurrentClassifier`, an input set, a `Specification`, a plane.
    Raises TypeError for anything else.
    """
    if isinstance(value, Evaluable):
        return repr(value)
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, float):
        return _float(value)
    if value is None or type(value) in (bool, int, str):
        return repr(value)
    if isinstance(value, tuple):
        return _tuple(value)
    if isinstance(value, list):
        return f"[{', '.join(map(source, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{source(key)}: {source(entry)}" for key, entry in value.items()) + "}"
    if is_dataclass(value) and not isinstance(value, type) and _is_ours(value):
        return fields_source(value)
    raise TypeError(f"{type(value).__name__} has no source here; give a tensor, a model, an input set or plain values")


def _is_ours(value: object) -> bool:
    return type(value).__module__.split(".")[0] in ("gpu_engine", "refcert")


def fields_source(value: Any) -> str:
    """The call that builds a dataclass, without the fields that are as by default."""
    given = [
        f"{f.name}={source(getattr(value, f.name))}" for f in fields(value) if f.init and not _is_default(f, value)
    ]
    return f"{type(value).__name__}({', '.join(given)})"


def _is_default(field: Field[Any], owner: Any) -> bool:
    value = getattr(owner, field.name)
    if field.default is not MISSING:
        default = field.default
    elif field.default_factory is not MISSING:
        default = field.default_factory()
    else:
        return False
    return type(value) is type(default) and source(value) == source(default)


def _float(value: float) -> str:
    number = float(value)  # numpy's float64 is a float whose repr is not
    return repr(number) if math.isfinite(number) else f"float({str(number)!r})"


def _tuple(value: tuple[Any, ...]) -> str:
    names = getattr(value, "_fields", None)
    if names is not None:
        return f"{type(value).__name__}({', '.join(f'{n}={source(v)}' for n, v in zip(names, value, strict=True))})"
    return "(" + ", ".join(map(source, value)) + ("," if len(value) == 1 else "") + ")"


def _tensor(value: Tensor) -> str:
    constructor = _CONSTRUCTORS.get(value.dtype)
    if constructor is None:
        known = ", ".join(str(dtype) for dtype in _CONSTRUCTORS)
        raise TypeError(f"a tensor of {value.dtype} has no source here; known: {known}")
    return f"{constructor}({_nested(value.detach().cpu().tolist())})"


def _nested(values: Any) -> str:
    if isinstance(values, list):
        return f"[{', '.join(map(_nested, values))}]"
    return source(values)


def same(one: Any, other: Any) -> bool:
    """Are both values equal to the last bit, and of the same kind? NaN equals NaN; 0.0 and -0.0 differ."""
    return source(one) == source(other)

"""The network's weights in the engine's dtype and device, each cast once.

Back-substitution needs, for every term of an affine step, the rows that occur. Steps of different frames share their
weights, so everything is kept by the weight itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gpu_engine.errors import ModelError
from gpu_engine.rounding import tiny

Ranges = tuple[tuple[int, int], ...]
"""Ascending, disjoint (start, stop) of units."""

Key = tuple[int, tuple[int, ...], tuple[int, ...], bool]
"""Where a tensor's values lie and whether it is a negated view: two views of the same values have the same key."""


def _key(value: Tensor) -> Key:
    return value.data_ptr(), tuple(value.shape), value.stride(), value.is_neg()


@dataclass
class Weights:
    """Casts, absolute values and selections of rows of float64 weights."""

    dtype: torch.dtype
    device: torch.device
    # The key's tensor is kept, so that its memory cannot be given to another one.
    _cast: dict[Key, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _abs: dict[Key, Tensor] = field(default_factory=dict)
    _rows: dict[tuple[Key, Ranges], Tensor] = field(default_factory=dict)

    def cast(self, name: str, weight: Tensor) -> Tensor:
        """The weight in the engine's dtype. Raises ModelError where it is too small for it."""
        known = self._cast.get(_key(weight))
        if known is None:
            require_normal(name, weight, self.dtype)
            known = weight, weight.to(device=self.device, dtype=self.dtype)
            self._cast[_key(weight)] = known
        return known[1]

    def magnitudes(self, name: str, weight: Tensor) -> Tensor:
        """|weight| in the engine's dtype."""
        key = _key(weight)
        if key not in self._abs:
            self._abs[key] = self.cast(name, weight).abs()
        return self._abs[key]

    def rows(self, name: str, weight: Tensor, ranges: Ranges) -> Tensor:
        """Some rows of the weight, in order."""
        cast = self.cast(name, weight)
        if ranges == ((0, weight.shape[0]),):
            return cast
        key = _key(weight), ranges
        if key not in self._rows:
            self._rows[key] = torch.cat([cast[start:stop] for start, stop in ranges])
        return self._rows[key]


def require_normal(name: str, value: Tensor, dtype: torch.dtype) -> None:
    """Raise where a weight is too small for the dtype: what it loses by underflow is charged nowhere."""
    bad = (value != 0) & (value.abs() < tiny(dtype))
    if bool(bad.any()):
        index = tuple(int(i) for i in bad.nonzero()[0])
        raise ModelError(
            f"{name}{list(index)} is {value[index].item()!r}, below the smallest normal number of {dtype}; "
            "use float64, or set such weights to zero"
        )

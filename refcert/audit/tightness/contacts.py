"""What the search for a plane of least height hands on: slopes, and touching points with weights."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refcert.audit.tightness.surfaces import Bools, Floats

# As many points of a plane as weights are needed to average to any centre.
CONTACTS: Final = 3

Chosen = NDArray[np.int64] | Bools


@dataclass(frozen=True)
class Contacts:
    """Planes (boxes,) in the units of a `Surface`, and where they touch with which weights, each (boxes, 3).

    height: the least height above the tangent plane at the centre at which a plane of these slopes is sound;
    below: the height that no sound plane passes. Both are float64 figures.
    """

    alpha: Floats
    beta: Floats
    height: Floats
    below: Floats
    x: Floats
    y: Floats
    weight: Floats

    def columns(self) -> list[Floats]:
        """All arrays, in order."""
        return [getattr(self, field.name) for field in fields(self)]

    def rows(self, chosen: Chosen) -> Contacts:
        """Copies of some rows."""
        return Contacts(*(column[chosen].copy() for column in self.columns()))

    def put(self, chosen: Chosen, other: Contacts) -> None:
        """Write other's rows over the chosen ones."""
        for own, new in zip(self.columns(), other.columns(), strict=True):
            own[chosen] = new

    @property
    def gap(self) -> Floats:
        """height less below."""
        return self.height - self.below


def empty(count: int) -> Contacts:
    """Planes of infinite height."""
    flat, three = np.zeros(count), np.zeros((count, CONTACTS))
    return Contacts(flat, flat.copy(), np.full(count, np.inf), flat.copy(), three, three.copy(), three.copy())

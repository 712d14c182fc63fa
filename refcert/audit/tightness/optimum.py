"""One certified optimum: both ends of the least volume of a plane over a box, and volumes against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flint import arb

from refcert.audit.tightness.certificate import Box, Support, check_support, repaired_support
from refcert.audit.tightness.heights import FloatPlane, height, proved_plane, real_height
from refcert.audit.tightness.means import surface_mean
from refcert.kernel.ball import float_above, float_below, precision, surely_less, surely_positive

# Tried until the volume is known to a small share of the gap: of a box of width w the volume is about w^2.
_PRECISIONS: Final = (128, 256, 512, 1024, 2048, 4096)
# Rounding of the volume may take this share of the gap.
_SHARE: Final = 1 / 16
# A plane whose coefficients are no floats is put this share of the gap beyond the touching points: first the tighter.
_ROOM: Final = (1 / 16, 1 / 2)


class Why(StrEnum):
    """Why a plane has no volume ratio.

    NO_AREA: the box has none. FLAT: the surface is straight there, so the least volume is 0. UNRESOLVED: the least
    volume is not known to the gap asked for. REFUTED: the plane cuts the surface. OVERFLOW: the ratio is above every
    float64. OCTAGON: the plane holds on an octagon, which is less than its box; the optimum is one over boxes.
    """

    NO_AREA = "no_area"
    FLAT = "flat"
    UNRESOLVED = "unresolved"
    REFUTED = "refuted"
    OVERFLOW = "overflow"
    OCTAGON = "octagon"


@dataclass(frozen=True)
class Guess:
    """What the search found, in the original orientation: points in the unit box, weights, and slopes.

    tilt: the slopes less those of the surface at the centre, without the rounding of their sum.
    """

    x: Sequence[float]
    y: Sequence[float]
    weight: Sequence[float]
    slopes: tuple[float, float]
    tilt: tuple[float, float]


@dataclass(frozen=True)
class Optimum:
    """The least volume, per unit area of the box, of any sound plane of `support.side`.

    It is at least `least` (and the ball `volume`); a sound plane with at most (1 + gap) `least` exists. plane: a
    proved float64 plane near it; None where there is none. expressible: whether that plane itself is within the gap
    asked for. mean: of the surface over the box.
    """

    support: Support
    mean: arb
    volume: arb
    bits: int
    gap: float
    plane: FloatPlane | None
    expressible: bool

    @property
    def least(self) -> float:
        """A float not above the least volume."""
        return float_below(self.volume)

    def distance(self, at_centre: arb) -> arb:
        """The volume per unit area of a plane of this height at the centre, negative where it must cut the surface."""
        return at_centre - self.mean if self.support.side == "upper" else self.mean - at_centre

    def measure(self, plane: FloatPlane) -> tuple[float, float]:
        """The plane's volume per unit area, and the volume over the least one, rounded up.

        At least 1 for every sound plane, whatever the gap: the denominator is what none can pass.
        """
        with precision(self.bits):
            at_centre = height(self.support, plane)
            return float_below(self.distance(at_centre)), self.ratio(at_centre)

    def ratio(self, at_centre: arb) -> float:
        """The volume of a plane of this height at the centre over the least one, rounded up."""
        with precision(self.bits):
            return float_above(self.distance(at_centre) / self.volume)


def certify(kind: str, side: str, box: Box, guess: Guess, gap: float) -> Optimum | Why:
    """Both ends of the least volume from a guess; UNRESOLVED where they differ by more than `gap` of it."""
    try:
        support = repaired_support(kind, side, box, guess.x, guess.y, guess.weight)
    except (ValueError, OverflowError):  # points or weights that are not finite
        support = None
    if support is None:
        return Why.UNRESOLVED
    for bits in _PRECISIONS:
        with precision(bits):
            mean = surface_mean(kind, box)
            below = check_support(support)
            volume = below - mean if side == "upper" else mean - below
            if surely_positive(volume) and surely_less(volume.rad() / (gap * _SHARE), volume):
                return _with_planes(Optimum(support, mean, volume, bits, gap, None, False), guess, gap)
    return Why.UNRESOLVED


def _with_planes(lower_end: Optimum, guess: Guess, gap: float) -> Optimum | Why:
    """With a sound plane: of float64 coefficients where they can express it."""
    support, volume = lower_end.support, lower_end.volume
    plane = proved_plane(support, *guess.slopes)
    above = None if plane is None else lower_end.distance(height(support, plane))
    expressible = above is not None and float_above(above / volume - 1) <= gap
    if not expressible:
        rooms = (float_below(volume) * gap * share for share in _ROOM)
        heights = (real_height(support, guess.tilt, room, lower_end.bits) for room in rooms)
        real = next((found for found in heights if found is not None), None)
        if real is None:
            return Why.UNRESOLVED
        above = lower_end.distance(real)
    assert above is not None
    found = float_above(above / volume - 1)
    if not found <= gap:
        return Why.UNRESOLVED
    return Optimum(support, lower_end.mean, volume, lower_end.bits, max(found, 0.0), plane, expressible)

"""Pictures of the most sensitive frames: a sample's image with its rows tinted by their certified radius."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.report.words import at_least

# From the largest radius (pale) to the smallest (strong): one hue family whose lightness falls steadily, so that it
# reads the same without colour vision and in grey print. Dark ink is readable on all of them.
RAMP: Final = ((255, 247, 230), (254, 226, 178), (252, 194, 118), (244, 150, 66), (222, 99, 22))
_PLAIN: Final = "#f1f1ee"
# Steps of ink: the digits of scikit-learn have exactly these, others are rounded to them.
_LEVELS: Final = 16
_SIZE: Final = 112.0
_GAP: Final = 8.0
_WIDTH: Final = 212.0
# Room of a digit of the number beside a bar, and before the bars for the frames' numbers where there is no image.
_DIGIT: Final = 6.2
_FRAME: Final = 18.0
# Above this many frames only the least and the largest radius get a number.
_NUMBERED: Final = 14


@dataclass(frozen=True)
class Band:
    """One frame: its rows of the image (or its column of the chart), colour, bar and number."""

    y: float
    height: float
    color: str
    bar: float
    frame: str
    label: str
    least: bool


@dataclass(frozen=True)
class Ink:
    """All pixels of one darkness."""

    opacity: str
    path: str


@dataclass(frozen=True)
class Picture:
    """One sample. ink is empty where there is no image; pixel: width of one pixel in the drawing."""

    index: int
    label: str
    predicted: str
    correct: bool
    alt: str
    caption: str
    bands: tuple[Band, ...]
    ink: tuple[Ink, ...]
    pixel: float
    bars_at: float
    size: float = _SIZE
    width: float = _WIDTH


@dataclass(frozen=True)
class Scale:
    """Colours by radius, on a logarithmic scale."""

    low: float
    high: float

    def color(self, radius: float) -> str:
        """The colour of a radius; a plain grey where there is none."""
        if not radius > 0:
            return _PLAIN
        span = math.log(self.high / self.low)
        strength = 1.0 if span == 0 else 1 - math.log(radius / self.low) / span
        return mixed(min(max(strength, 0.0), 1.0))

    def legend(self, decimals: int) -> tuple[tuple[str, str], ...]:
        """Five colours with their radii, strongest first."""
        if self.low == self.high:
            return ((self.color(self.low), at_least(self.low, decimals)),)
        radii = [self.low * (self.high / self.low) ** (k / 4) for k in range(5)]
        return tuple((self.color(radius), at_least(radius, decimals)) for radius in radii)


def mixed(strength: float) -> str:
    """The ramp at strength 0 (pale) to 1 (strong)."""
    place = strength * (len(RAMP) - 1)
    k = min(int(place), len(RAMP) - 2)
    part = place - k
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(RAMP[k], RAMP[k + 1], strict=True))


def scale_of(samples: Sequence[Sequence[float]]) -> Scale | None:
    """From the least to the largest positive radius; None if there is none."""
    positive = [radius for radii in samples for radius in radii if radius > 0]
    return Scale(min(positive), max(positive)) if positive else None


def draw(
    *,
    index: int,
    label: str,
    predicted: str,
    correct: bool,
    radii: Sequence[float],
    image: NDArray[np.float64] | None,
    scale: Scale,
    decimals: int,
) -> Picture:
    """The picture of one sample. image (rows, columns) in [0, 1], or None for bars only."""
    frames, height = len(radii), _SIZE / len(radii)
    least, most = min(radii), max(radii)
    named = {radii.index(least), radii.index(most)} if frames > _NUMBERED else set(range(frames))
    bars_at = _FRAME if image is None else _SIZE + _GAP
    digits = max(len(at_least(radius, decimals)) for radius in (least, most, scale.high))
    longest = _WIDTH - bars_at - _DIGIT * digits - _DIGIT
    bands = tuple(
        Band(
            round(t * height, 3),
            round(height, 3),
            scale.color(radius),
            round(radius / scale.high * longest, 2),
            str(t) if t in named and (most > 0 or frames <= _NUMBERED) else "",
            at_least(radius, decimals) if t in named and radius > 0 else "",
            0 < radius == least,
        )
        for t, radius in enumerate(radii)
    )
    if not correct:
        caption = f"classified as {predicted}"
    elif least > 0:
        caption = f"most sensitive: frame {radii.index(least)}"
    else:
        caption = "no radius certified"
    numbers = ", ".join(f"{t}: {at_least(radius, decimals)}" for t, radius in enumerate(radii))
    alt = f"Sample {index}, label {label}, {caption}. Certified radius by frame: {numbers}."
    pixel = 0.0 if image is None else _SIZE / image.shape[1]
    ink = () if image is None else _ink(image)
    return Picture(index, label, predicted, correct, alt, caption, bands, ink, round(pixel, 6), bars_at)


def _ink(image: NDArray[np.float64]) -> tuple[Ink, ...]:
    """Pixels by darkness, neighbours in a row joined; coordinates in pixels."""
    levels = np.rint(image * _LEVELS).astype(int)
    paths: dict[int, list[str]] = {}
    for y, row in enumerate(levels.tolist()):
        x = 0
        while x < len(row):
            end = x + 1
            while end < len(row) and row[end] == row[x]:
                end += 1
            if row[x] > 0:
                paths.setdefault(row[x], []).append(f"M{x} {y}h{end - x}v1h-{end - x}z")
            x = end
    return tuple(Ink(f"{level / _LEVELS:g}", "".join(path)) for level, path in sorted(paths.items()))

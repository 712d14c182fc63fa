"""Colours and scales of a plane's picture, those of style.css where a page has them.

The map of the gap is blue where the plane is on its side, darker the farther, and red where it is not; both halves of
the scale are full, whatever their sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.report.plane_values import Array

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize

# Ink, soft and rule follow the page's scheme, the others are readable on light and dark.
INK, SOFT, RULE, CARD = "#1d2130", "#565c6e", "#dcdcd6", "#ffffff"
SURFACE, PLANE, WRONG, BEST = "#3574b8", "#c9823a", "#c01a35", "#8a4bb0"
# On the map, which looks the same in both schemes.
CONTOUR: Final = "#14233acc"
_GAPS: Final = ("#f4f8fc", "#cfe0f1", "#94bbe0", "#5a92cc", "#2f6bb0", "#1c4a86", "#12335f")
_WRONGS: Final = ("#7c0a1c", "#c01a35", "#e4667a", "#f8c4ca")  # deepest violation first
_HEIGHTS: Final = ("#1d4f91", "#3574b8", "#6fa8dd", "#b4d6f2")  # low to high
_LIGHT: Final = np.array([-0.45, -0.55, 0.7]) / np.linalg.norm([-0.45, -0.55, 0.7])
# The surface's colour without light, and what full light adds.
_SHADE, _SHINE = 0.8, 0.28
_SHADES: Final = 40
TICKS: Final = 4
# Share of an axis at its ends that has no labels, where those of two axes would meet.
_ROOM: Final = 0.07


def shaded(v: Array, z: Array, heights: Array, low: float, high: float) -> Array:
    """Colours (tiles, 4) of the surface: lighter the higher, under a light from the left.

    v, z, heights: at the nodes (nodes of v, nodes of z); tiles may have no area.
    """
    from matplotlib.colors import LinearSegmentedColormap

    span = (high - low) or 1.0
    # In the proportions of the drawing: every axis from 0 to 1.
    h = (heights - low) / span
    nodes = np.stack([(v - v.min()) / np.ptp(v), (z - z.min()) / np.ptp(z), h], axis=-1)
    # Across both diagonals of a tile; straight up where it has no area.
    normals = np.cross(nodes[1:, 1:] - nodes[:-1, :-1], nodes[:-1, 1:] - nodes[1:, :-1])
    normals = np.where(normals[..., 2:] > 0, normals, [0.0, 0.0, 1.0])
    light = (normals @ _LIGHT) / np.linalg.norm(normals, axis=-1)
    color = LinearSegmentedColormap.from_list("height", _HEIGHTS)(tile_means(h))[..., :3]
    lit = np.clip(color * (_SHADE + _SHINE * light)[..., None], 0.0, 1.0).reshape(-1, 3)
    return np.hstack([lit, np.ones((len(lit), 1))])


def plane_colors(wrong: NDArray[np.bool_]) -> Array:
    """Colours (tiles, 4) of the plane, red where it is on the wrong side."""
    from matplotlib.colors import to_rgba

    return np.where(wrong.reshape(-1, 1), to_rgba(WRONG, 0.8), to_rgba(PLANE, 0.26))


def tile_means(at_nodes: Array) -> Array:
    """The mean of the four corners of every tile."""
    return (at_nodes[:-1, :-1] + at_nodes[1:, :-1] + at_nodes[1:, 1:] + at_nodes[:-1, 1:]) / 4


def color_scale(gap: Array) -> tuple[Colormap, Normalize]:
    """Blue above zero, red below, each half over its own numbers."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize, TwoSlopeNorm

    low, high = float(gap.min()), float(gap.max())
    if low >= 0:
        return LinearSegmentedColormap.from_list("gap", _GAPS), Normalize(0.0, high or 1.0)
    if high <= 0:
        return LinearSegmentedColormap.from_list("gap", _WRONGS), Normalize(low, 0.0)
    both = [(0.5 * k / (len(_WRONGS) - 1), color) for k, color in enumerate(_WRONGS)]
    both += [(0.5 + 0.5 * k / (len(_GAPS) - 1), color) for k, color in enumerate(_GAPS)]
    both[len(_WRONGS) - 1] = (np.nextafter(0.5, 0), both[len(_WRONGS) - 1][1])
    return LinearSegmentedColormap.from_list("gap", both, N=512), TwoSlopeNorm(0.0, low, high)


def shades(gap: Array) -> Array:
    """Levels of the filled map: so many on each side of zero, and zero itself."""
    low, high = min(float(gap.min()), 0.0), max(float(gap.max()), 0.0)
    below = np.linspace(low, 0.0, _SHADES + 1) if low < 0 else np.zeros(1)
    above = np.linspace(0.0, high, _SHADES + 1) if high > 0 else np.zeros(1)
    levels = np.unique(np.concatenate([below, above]))
    return levels if len(levels) > 1 else np.array([0.0, 1.0])


def scale_ticks(gap: Array) -> list[float]:
    """Round numbers on both sides of zero, few enough for each side's half of the scale."""
    low, high = min(float(gap.min()), 0.0), max(float(gap.max()), 0.0)
    count = 2 if low < 0 < high else TICKS
    above = [t for t in locator(count).tick_values(0.0, high) if 0 < t <= high] if high else []
    below = [t for t in locator(count).tick_values(low, 0.0) if low <= t < 0] if low else []
    return [*below, 0.0, *above]


def inner_ticks(low: float, high: float) -> list[float]:
    """Round numbers between the ends and not next to them, where labels of two axes would meet."""
    room = _ROOM * (high - low)
    return [tick for tick in locator().tick_values(low, high) if low + room <= tick <= high - room]


def locator(most: int = TICKS) -> Any:
    """At most about so many round numbers; none for 0."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]) if most else NullLocator()

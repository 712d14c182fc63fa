"""Room for the labels of a panel: as wide as the labels are, which only the drawing itself knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Place = tuple[float, float, float, float]

# Points between labels and the edge of their panel; a page's own font may be a little wider than the measured one.
MARGIN: Final = 7.0
_POINTS: Final = 72.0


def fit(figure: Figure, axes: Axes, place: Place, scale: Axes | None = None) -> None:
    """Narrow the axes until all labels lie inside the part (left, bottom, width, height) of the figure.

    scale: the axes of a colour scale on the right, which keeps its width and moves along. Heights stay as they are.
    """
    from matplotlib.transforms import Bbox

    parts = [axes] if scale is None else [axes, scale]
    found = [axis.get_tightbbox() for part in parts for axis in (part.xaxis, part.yaxis)]
    labels = Bbox.union([box for box in found if box is not None]).transformed(figure.transFigure.inverted())
    room = MARGIN / _POINTS / figure.get_figwidth()
    left = max(place[0] + room - labels.x0, 0.0)
    right = max(labels.x1 - (place[0] + place[2] - room), 0.0)
    x, y, width, height = axes.get_position().bounds
    axes.set_position((x + left, y, width - left - right, height))
    if scale is not None:
        x, y, width, height = scale.get_position().bounds
        scale.set_position((x - right, y, width, height))

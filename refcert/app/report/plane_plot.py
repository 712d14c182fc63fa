"""One plane as a picture: the surface with its bounding plane, the gap between them, and where the plane fails.

claim     A picture, no proof; every mark lies at its point's own coordinates, and a sign that is drawn is the true one
          at that node (`plane_values`).
idea      Left the surface over the box with the plane, right the gap as a map. Where the violated part is too small
          to be seen, a third panel magnifies it. One-dimensional kinds, and boxes that are wide along one axis only,
          are curves.
source    matplotlib without pyplot: figures are objects of their own, and the same input gives the same bytes.
raises    InputError for a file that is no .png, .svg or .pdf; OutputError if it cannot be written.
test      tests/app/test_plane_plot.py
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from refcert.app.errors import InputError
from refcert.app.report import plane_colors as colors
from refcert.app.report import plane_panels as panels
from refcert.app.report.plane_panels import draw_panel
from refcert.app.report.plane_scene import Scene, scene_of, title_of
from refcert.app.storage import write_file
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim
from refcert.reference.exact_planes import Plane

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES: Final = (".png", ".svg", ".pdf")
# Inches.
_PANEL: Final = (4.4, 3.6)
_TITLE, _LEGEND = 0.42, 0.6
_DPI: Final = 160
_STYLE: Final[Any] = {
    "font.size": panels.FONT,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.edgecolor": colors.SOFT,
    "axes.labelcolor": colors.INK,
    "axes.linewidth": 0.8,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-5, 6),
    "xtick.color": colors.SOFT,
    "ytick.color": colors.SOFT,
    "xtick.labelsize": panels.FONT - 1,
    "ytick.labelsize": panels.FONT - 1,
    "grid.color": colors.RULE,
    "text.color": colors.INK,
    "svg.hashsalt": "refcert",
    "svg.fonttype": "path",
}
_UNDATED: Final[dict[str, dict[str, Any]]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


def plane_figure(
    claim: PlaneClaim,
    judgement: Judgement | None = None,
    *,
    optimum: Plane | None = None,
    touching: Sequence[tuple[float, float]] | None = None,
) -> Figure | None:
    """The whole picture with title and legend; None where the box is a single point.

    optimum: the least-volume plane, drawn as an outline; touching: contact points (v, z), looked for if None.
    """
    scene = scene_of(claim, judgement, optimum=optimum, touching=touching)
    if scene is None:
        return None
    with style():
        from matplotlib.figure import Figure

        count = len(scene.panels)
        height = _PANEL[1] + _TITLE + _LEGEND
        figure = Figure(figsize=(_PANEL[0] * count, height), facecolor=colors.CARD)
        for k, panel in enumerate(scene.panels):
            draw_panel(figure, scene, panel, (k / count, _LEGEND / height, 1 / count, _PANEL[1] / height))
        at, size = 1 - 0.55 * _TITLE / height, panels.FONT + 3
        figure.text(0.5, at, title_of(claim, judgement), ha="center", va="center", size=size, weight="bold")
        _legend(figure, scene, height)
    return figure


def panel_figure(scene: Scene, panel: str) -> Figure:
    """One panel of a scene as a figure of its own, without title, legend and background."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=_PANEL, facecolor="none")
        draw_panel(figure, scene, panel, (0.0, 0.0, 1.0, 1.0)).set_facecolor("none")
    return figure


def write_plane_plot(
    path: Path,
    claim: PlaneClaim,
    judgement: Judgement | None = None,
    *,
    optimum: Plane | None = None,
    touching: Sequence[tuple[float, float]] | None = None,
) -> bool:
    """Write the picture; False, and no file, where the box is a single point."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: a picture can be {', '.join(SUFFIXES)}; give one of these suffixes")
    figure = plane_figure(claim, judgement, optimum=optimum, touching=touching)
    if figure is None:
        return False
    write_file(path, file_bytes(figure, suffix[1:]))
    return True


def file_bytes(figure: Figure, form: str, **settings: Any) -> bytes:
    """The figure as a file of the form svg, png or pdf, without date and version. settings: matplotlib's."""
    with style(**settings):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, dpi=_DPI, metadata=_UNDATED[form])
    return buffer.getvalue()


@contextmanager
def style(**changes: Any) -> Iterator[None]:
    """matplotlib's defaults with this package's settings, whatever the user's are; the user's again afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE | changes)
        yield


def _legend(figure: Figure, scene: Scene, height: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(color=colors.SURFACE, label="function"),
        Patch(color=colors.PLANE, alpha=0.6, label=scene.noun),
    ]
    if scene.optimum is not None:
        handles.append(Line2D([], [], color=colors.BEST, linestyle="--", label=f"{scene.noun} of least volume"))
    if scene.touching:
        handles.append(Line2D([], [], linestyle="", **panels.MARKS[panels.TOUCHING], label="touches"))
    if scene.failing is not None:
        handles.append(Patch(color=colors.WRONG, label="wrong side"))
        handles.append(Line2D([], [], linestyle="", **panels.MARKS[panels.FAILING], label="violating point"))
    at = (0.5, 0.4 / height)
    figure.legend(handles=handles, loc="center", bbox_to_anchor=at, ncols=len(handles), frameon=False)
    figure.text(0.5, 0.1 / height, ";   ".join(scene.notes), ha="center", va="bottom", size=panels.FONT - 1)

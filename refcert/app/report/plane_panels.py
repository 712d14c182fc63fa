"""The panels of a plane's picture: surface and plane, the gap between them, and the violated part magnified.

The solid picture sorts the tiles of surface and plane by depth together, so that they cut each other where they do.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.report import plane_colors as colors
from refcert.app.report import plane_values as values
from refcert.app.report.plane_colors import BEST, CONTOUR, INK, PLANE, SOFT, SURFACE, WRONG
from refcert.app.report.plane_fit import Place, fit
from refcert.app.report.plane_scene import Scene
from refcert.app.report.plane_values import Array, Grid, Point
from refcert.app.report.plane_words import amount, times
from refcert.app.report.rulers import Ruler
from refcert.kernel.claims import PlaneClaim
from refcert.reference.exact_planes import Plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONT: Final = 10.0
_EDGE: Final = np.array([0.88, 0.88, 0.9, 1.0])
_LINES: Final = 6
# Gid of the marks, by which they can be found in the figure and in an SVG.
TOUCHING, FAILING = "touching", "failing"
MARKS: Final[dict[str, dict[str, Any]]] = {
    TOUCHING: {"marker": "o", "markersize": 7, "markerfacecolor": "#ffd84d", "markeredgecolor": "#1d1d1d"},
    FAILING: {"marker": "D", "markersize": 8, "markerfacecolor": WRONG, "markeredgecolor": "#fff4f4"},
}


def draw_panel(figure: Figure, scene: Scene, panel: str, place: Place) -> Axes:
    """Draw one of `scene.panels` into a part (left, bottom, width, height) of the figure and return its axes."""
    solid = len(scene.axes) == 2
    if panel == "surface":
        return _solid(figure, scene, place) if solid else _curve(figure, scene, place)
    return _map(figure, scene, panel, place) if solid else _gap_curve(figure, scene, panel, place)


def heading(scene: Scene, panel: str) -> str:
    """What a panel shows, in a few words."""
    if panel == "surface":
        return f"Surface and {scene.noun}" if len(scene.axes) == 2 else f"Function and {scene.noun}"
    if panel == "zoom" and scene.zoom is not None:
        return f"Gap around the point, magnified {times(scene.zoom.halvings)} times"
    upper = scene.claim.side == "upper"
    minus = "\N{MINUS SIGN}"
    return f"Gap: {scene.noun} {minus} function" if upper else f"Gap: function {minus} {scene.noun}"


def _solid(figure: Figure, scene: Scene, place: Place) -> Axes:
    grid, (along, across), upper = scene.mesh, scene.rulers, scene.claim.side == "upper"
    # Three-dimensional axes leave wide margins of their own, hence more than the whole place.
    corner = (-0.14, -0.12, 1.02, 1.04) if upper else (-0.14, -0.19, 1.02, 0.97)
    ax: Any = figure.add_axes(_inset(place, *corner), projection="3d", computed_zorder=False)
    v, z = _numbers(along, grid.v), _numbers(across, grid.z)
    places = _places((along, across), grid)
    surface, plane = _levels(scene.value, grid.surface), _levels(scene.value, grid.plane)
    corners = [] if scene.optimum is None else [at[2] for at in _corners(scene, scene.optimum)]
    low, high = min(*corners, surface.min(), plane.min()), max(*corners, surface.max(), plane.max())
    shaded, flat = colors.shaded(*places, surface, low, high), colors.plane_colors(colors.tile_means(grid.gap) < 0)
    art = importlib.import_module("mpl_toolkits.mplot3d.art3d")
    tiles = art.Poly3DCollection(
        np.concatenate([_tiles(*places, surface), _tiles(*places, plane)]),
        facecolors=np.vstack([shaded, flat]),
        edgecolors=np.vstack([shaded * _EDGE, 0.0 * flat]),
        linewidths=0.35,
        antialiased=False,
        rasterized=True,
    )
    ax.add_collection3d(tiles)
    _outline(ax, scene, scene.claim, PLANE, "-")
    if scene.optimum is not None:
        _outline(ax, scene, scene.optimum, BEST, "--")
    for name, points in _marked(scene):
        for point in points:
            at, base = (along.at(point[0]), across.at(point[1])), values.surface_at(scene.claim, point)
            if name == FAILING:  # from the surface to the plane
                stem = [scene.value.at(base), scene.value.at(values.height(scene.claim, *point))]
                ax.plot([at[0]] * 2, [at[1]] * 2, stem, color=WRONG, linewidth=1.6, zorder=5)
            ax.plot([at[0]], [at[1]], [scene.value.at(base)], **MARKS[name], linestyle="", zorder=6, gid=name)
    ax.set(xlim=(v[0], v[-1]), ylim=(z[0], z[-1]), zlim=(low, high) if high > low else None)
    ax.set_box_aspect((1.0, 1.0, 0.74), zoom=0.87)
    # Seen from the plane's side, so that it lies in front of the surface.
    ax.view_init(elev=26 if upper else -22, azim=-56)
    for axis, ruler in ((ax.xaxis, along), (ax.yaxis, across), (ax.zaxis, scene.value)):
        axis.set_pane_color((1, 1, 1, 0))
        axis.set_label_text(ruler.label)
        axis.labelpad = 1
        axis.set_tick_params(pad=0)
    ax.zaxis.set_tick_params(pad=5)
    ax.zaxis.labelpad = 9
    for axis, ends in ((ax.xaxis, (v[0], v[-1])), (ax.yaxis, (z[0], z[-1])), (ax.zaxis, (low, high))):
        axis.set_ticks(colors.inner_ticks(*ends))
    _head(figure, place, scene, "surface")
    return ax  # type: ignore[no-any-return]


def _map(figure: Figure, scene: Scene, panel: str, place: Place) -> Axes:
    from matplotlib.cm import ScalarMappable

    grid, rulers = _part(scene, panel)
    ax = figure.add_axes(_inset(place, 0.185, 0.15, 0.765, 0.89))
    bar = figure.add_axes(_inset(place, 0.795, 0.15, 0.825, 0.89))
    v, z = (_numbers(ruler, ends) for ruler, ends in zip(rulers, (grid.v, grid.z), strict=True))
    gap = grid.gap.T
    palette, norm = colors.color_scale(gap)
    at_v, at_z = (part.T for part in _places(rulers, grid))
    filled = ax.contourf(at_v, at_z, gap, levels=colors.shades(gap), cmap=palette, norm=norm, antialiased=False)
    filled.set_rasterized(True)
    levels = colors.locator(_LINES).tick_values(0.0, max(float(gap.max()), 0.0))
    levels = [level for level in levels if 0.0 < level < gap.max()]
    if levels:
        ax.contour(at_v, at_z, gap, levels=levels, colors=CONTOUR, linewidths=0.55)
    if gap.min() < 0 < gap.max():
        ax.contour(at_v, at_z, gap, levels=[0.0], colors=WRONG, linewidths=1.8)
    if scene.claim.diagonals is not None:
        corners = [(rulers[0].at(x), rulers[1].at(y)) for x, y in scene.footprint]
        ax.plot(*zip(*corners, corners[0], strict=True), color=SOFT, linewidth=1.2, zorder=3)
    for name, points in _marked(scene):
        for point in filter(lambda point: _inside(grid, point), points):
            at = rulers[0].at(point[0]), rulers[1].at(point[1])
            ax.plot(*at, **MARKS[name], linestyle="", clip_on=False, zorder=6, gid=name)
    ax.set(xlim=(v[0], v[-1]), ylim=(z[0], z[-1]), xlabel=rulers[0].label, ylabel=rulers[1].label)
    ax.xaxis.set_major_locator(colors.locator())
    ax.yaxis.set_major_locator(colors.locator())
    figure.colorbar(ScalarMappable(norm, palette), cax=bar)
    bar.yaxis.set_minor_locator(colors.locator(0))
    ticks = colors.scale_ticks(gap)
    bar.set_yticks(ticks, [amount(tick, grid.power) for tick in ticks])
    bar.tick_params(length=2, pad=2)
    fit(figure, ax, place, bar)
    _head(figure, place, scene, panel)
    return ax


def _curve(figure: Figure, scene: Scene, place: Place) -> Axes:
    k, grid = _wide(scene), scene.grid
    ruler = scene.rulers[k]
    ax = figure.add_axes(_inset(place, 0.185, 0.15, 0.95, 0.89))
    x = _numbers(ruler, (grid.v, grid.z)[k])
    function, line = (_levels(scene.value, part).ravel() for part in (grid.surface, grid.plane))
    ax.fill_between(x, function, line, color=PLANE, alpha=0.16, linewidth=0)
    ax.fill_between(x, function, line, where=grid.gap.ravel() < 0, color=WRONG, alpha=0.5, linewidth=0)
    ax.plot(x, function, color=SURFACE, linewidth=2.4)
    ax.plot(x, line, color=PLANE, linewidth=1.8)
    if scene.optimum is not None:
        best = [values.height(scene.optimum, v, z) for v in grid.v for z in grid.z]
        ax.plot(x, [scene.value.at(level) for level in best], color=BEST, linewidth=1.4, linestyle="--")
    for name, points in _marked(scene):
        for point in points:
            at = ruler.at(point[k]), scene.value.at(values.surface_at(scene.claim, point))
            ax.plot(*at, **MARKS[name], linestyle="", clip_on=False, zorder=6, gid=name)
    ax.set(xlabel=ruler.label, ylabel=scene.value.label)
    _frame(ax, x)
    fit(figure, ax, place)
    _head(figure, place, scene, "surface")
    return ax


def _gap_curve(figure: Figure, scene: Scene, panel: str, place: Place) -> Axes:
    grid, rulers = _part(scene, panel)
    k = _wide(scene)
    ax = figure.add_axes(_inset(place, 0.185, 0.15, 0.95, 0.89))
    x, gap = _numbers(rulers[k], (grid.v, grid.z)[k]), grid.gap.ravel()
    ax.fill_between(x, gap, 0.0, color=SURFACE, alpha=0.16, where=gap >= 0, linewidth=0)
    ax.fill_between(x, gap, 0.0, color=WRONG, alpha=0.4, where=gap <= 0, linewidth=0)
    ax.plot(x, gap, color=SURFACE, linewidth=2.0)
    ax.plot(x, np.where(gap <= 0, gap, np.nan), color=WRONG, linewidth=2.0)
    ax.axhline(0.0, color=SOFT, linewidth=1.0)
    for name, points in _marked(scene):
        for point in filter(lambda point: _inside(grid, point), points):
            at = rulers[k].at(point[k]), values.gap_at(scene.claim, point, grid.power)
            ax.plot(*at, **MARKS[name], linestyle="", clip_on=False, zorder=6, gid=name)
    ax.set(xlabel=rulers[k].label, ylabel="gap")
    _frame(ax, x)
    ax.yaxis.set_major_formatter(lambda tick, _: amount(tick, grid.power))
    fit(figure, ax, place)
    _head(figure, place, scene, panel)
    return ax


# What the panels share


def _inset(place: Place, left: float, bottom: float, right: float, top: float) -> Place:
    """A part of a place; the edges are shares of it."""
    x, y, width, height = place
    return x + left * width, y + bottom * height, (right - left) * width, (top - bottom) * height


def _head(figure: Figure, place: Place, scene: Scene, panel: str) -> None:
    x, y, width, height = place
    figure.text(x + width / 2, y + 0.985 * height, heading(scene, panel), ha="center", va="top", size=FONT, color=INK)


def _frame(ax: Axes, x: Array) -> None:
    ax.set_xlim(x[0], x[-1])
    ax.xaxis.set_major_locator(colors.locator())
    ax.yaxis.set_major_locator(colors.locator(colors.TICKS + 1))
    ax.grid(axis="y", linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _part(scene: Scene, panel: str) -> tuple[Grid, tuple[Ruler, Ruler]]:
    """The grid and the rulers of the whole gap or of the magnified part."""
    if panel == "zoom" and scene.zoom is not None:
        return scene.zoom.grid, scene.zoom.rulers
    return scene.grid, scene.rulers


def _marked(scene: Scene) -> tuple[tuple[str, tuple[Point, ...]], ...]:
    return (TOUCHING, scene.touching), (FAILING, () if scene.failing is None else (scene.failing,))


def _inside(grid: Grid, point: Point) -> bool:
    return all(ends[0] <= x <= ends[-1] for x, ends in zip(point, (grid.v, grid.z), strict=True))


def _wide(scene: Scene) -> int:
    return "vz".index(scene.axes[0])


def _numbers(ruler: Ruler, places: Sequence[Fraction]) -> Array:
    return np.array([ruler.at(x) for x in places])


def _levels(ruler: Ruler, heights: NDArray[np.object_]) -> Array:
    return np.vectorize(ruler.at, otypes=[float])(heights)  # type: ignore[no-any-return]


def _places(rulers: tuple[Ruler, Ruler], grid: Grid) -> tuple[Array, Array]:
    """v and z at every node, each in the shape of the grid."""
    across = _levels(rulers[1], grid.across)
    return np.broadcast_to(_numbers(rulers[0], grid.v)[:, None], across.shape), across


def _corners(scene: Scene, plane: Plane | PlaneClaim) -> list[tuple[float, float, float]]:
    """A plane over the corners of the box or octagon, in order around it."""
    along, across = scene.rulers
    return [(along.at(v), across.at(z), scene.value.at(values.height(plane, v, z))) for v, z in scene.footprint]


def _outline(ax: Any, scene: Scene, plane: Plane | PlaneClaim, color: str, dash: str) -> None:
    corners = _corners(scene, plane)
    ax.plot(*zip(*corners, corners[0], strict=True), color=color, linewidth=1.4, linestyle=dash, zorder=4)


def _tiles(v: Array, z: Array, heights: Array) -> Array:
    """The quadrilaterals of a mesh of nodes (nodes of v, nodes of z), (tiles, 4, 3)."""
    nodes = np.stack([v, z, heights], axis=-1)
    corners = [nodes[:-1, :-1], nodes[1:, :-1], nodes[1:, 1:], nodes[:-1, 1:]]
    return np.stack(corners, axis=2).reshape(-1, 4, 3)

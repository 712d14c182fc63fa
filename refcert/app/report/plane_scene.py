"""Everything that is drawn of one plane: computed here, drawn by `plane_panels`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from refcert.app.report import plane_values as values
from refcert.app.report.plane_values import Grid, Point
from refcert.app.report.rulers import Ends, Ruler, ruler, ruler_around
from refcert.audit.domain import vertices
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim
from refcert.reference.exact_planes import Plane

NAMES: Final = {
    "sigmoid_times_tanh": "sigmoid(v) \N{MIDDLE DOT} tanh(z)",
    "sigmoid_times_identity": "sigmoid(v) \N{MIDDLE DOT} z",
    "sigmoid": "sigmoid(v)",
    "tanh": "tanh(v)",
    "relu": "relu(v)",
}
# Steps an axis: of the map, of the solid picture, of a curve.
STEPS, _MESH, _CURVE = 64, 32, 256
# Magnified if less than this share of the map is violated.
_VISIBLE: Final = 0.01


@dataclass(frozen=True)
class Zoom:
    """The neighbourhood of a violating point. rulers count from the point; halvings: of the box, along each axis."""

    grid: Grid
    rulers: tuple[Ruler, Ruler]
    halvings: int


@dataclass(frozen=True)
class Scene:
    """axes: the wide ones; mesh: a coarser grid for the solid picture; touching, failing: exact points."""

    claim: PlaneClaim
    axes: tuple[str, ...]
    grid: Grid
    mesh: Grid
    rulers: tuple[Ruler, Ruler]
    value: Ruler
    touching: tuple[Point, ...]
    failing: Point | None
    optimum: Plane | None
    zoom: Zoom | None

    @property
    def panels(self) -> tuple[str, ...]:
        """Which panels there are."""
        return ("surface", "gap") if self.zoom is None else ("surface", "gap", "zoom")

    @property
    def footprint(self) -> tuple[Point, ...]:
        """The corners of the box or octagon in order around it."""
        return tuple(vertices(self.claim))

    @property
    def noun(self) -> str:
        """'plane' or 'line'."""
        return "plane" if values.is_product(self.claim.kind) else "line"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the axes leave out: offsets, and the axis without width."""
        notes = [ruler.note for name, ruler in zip("vz", self.rulers, strict=True) if ruler.note and name in self.axes]
        if self.value.note:
            notes.append(self.value.note)
        if values.is_product(self.claim.kind) and len(self.axes) == 1:
            fixed = "vz".replace(self.axes[0], "")
            notes.append(f"{fixed} = {getattr(self.claim, f'lower_{fixed}')!r}")
        return tuple(notes)


def scene_of(
    claim: PlaneClaim,
    judgement: Judgement | None = None,
    *,
    optimum: Plane | None = None,
    touching: Sequence[tuple[float, float]] | None = None,
) -> Scene | None:
    """None where the box is a single point, or an octagon without area.

    touching: contact points (v, z); None: they are looked for.
    """
    axes = values.wide_axes(claim)
    if not axes:
        return None
    solid = len(axes) == 2
    grid = values.whole_box(claim, STEPS if solid else _CURVE)
    mesh = values.whole_box(claim, _MESH) if solid else grid
    failing = None if judgement is None else values.exact_point(judgement)
    given = None if touching is None else tuple((Fraction(v), Fraction(z)) for v, z in touching)
    along = [ruler(name, ends[0], ends[-1], corner=True) for name, ends in zip("vz", (grid.v, grid.z), strict=True)]
    heights = [*grid.surface.ravel(), *grid.plane.ravel()]
    return Scene(
        claim,
        axes,
        grid,
        mesh,
        (along[0], along[1]),
        ruler("value", min(heights), max(heights), corner=False),
        values.contacts(claim, grid) if given is None else given,
        failing,
        optimum,
        _zoom(claim, grid, failing),
    )


def title_of(claim: PlaneClaim, judgement: Judgement | None = None) -> str:
    """'Upper plane of sigmoid(v) · tanh(z): refuted, wrong by at least 1e-06'."""
    shape = "plane" if values.is_product(claim.kind) else "line"
    start = f"{claim.side.capitalize()} {shape} of {NAMES[claim.kind]}"
    if judgement is None:
        return start
    worst = "" if judgement.violation is None else f", wrong by at least {judgement.violation:.3g}"
    return f"{start}: {judgement.status.lower()}{worst}"


def _zoom(claim: PlaneClaim, grid: Grid, failing: Point | None) -> Zoom | None:
    if failing is None or grid.violated >= _VISIBLE:
        return None
    v, z, halvings = values.window(claim, failing)
    if halvings < 2:
        return None
    ends: tuple[Ends, Ends] = v, z
    found = values.part(claim, *ends, STEPS)
    rulers = [ruler_around(name, pair, x) for name, pair, x in zip("vz", ends, failing, strict=True)]
    return Zoom(found, (rulers[0], rulers[1]), halvings)

"""The picture of a plane inside a page: one SVG a panel, its text as text and in the page's colours.

matplotlib's SVG is cut down to what a page needs: no prolog, only identities that are referred to, prefixed so that
many pictures can share a page, colours of the page's scheme as its variables, the page's font. The dense parts
(surface, map) are images inside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from markupsafe import Markup, escape

from refcert.app.report import plane_colors as colors
from refcert.app.report import plane_panels as panels
from refcert.app.report.plane_plot import file_bytes, panel_figure
from refcert.app.report.plane_scene import Scene, scene_of, title_of
from refcert.app.report.plane_words import amount
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim
from refcert.reference.exact_planes import Plane

_SCHEME: Final = {colors.INK: "var(--ink)", colors.SOFT: "var(--soft)", colors.RULE: "var(--rule)"}
_CUT: Final = re.compile(
    r"<metadata>.*?</metadata>|<!--.*?-->|<defs>\s*<style.*?</defs>|<defs>\s*<clipPath.*?</defs>", re.S
)
# Coordinates, in points: two digits after the point are finer than any screen.
_PLACES: Final = re.compile(r' (?:d|x|y|width|height|transform)="[^"]*"')
_DIGITS: Final = re.compile(r"(\d+\.\d{2})\d+")
_FONT: Final = re.compile(r" font-family: [^;\"]*;?")


@dataclass(frozen=True)
class Panel:
    """One drawing with its heading."""

    heading: str
    svg: Markup


@dataclass(frozen=True)
class PlanePicture:
    """The panels of one plane; without any, `words` says why. notes: what the axes leave out."""

    panels: tuple[Panel, ...]
    notes: tuple[str, ...]
    words: str
    has_optimum: bool = False


@lru_cache(maxsize=64)
def picture_plane(
    claim: PlaneClaim, judgement: Judgement | None = None, *, name: str, optimum: Plane | None = None
) -> PlanePicture:
    """name: unique on the page, letters, digits and hyphens."""
    scene = scene_of(claim, judgement, optimum=optimum)
    if scene is None:
        return PlanePicture((), (), "The box is a single point, so there is nothing to draw.")
    drawn = tuple(
        Panel(panels.heading(scene, panel), _svg(scene, panel, f"{name}-{panel}", _alt(scene, panel, judgement)))
        for panel in scene.panels
    )
    return PlanePicture(drawn, scene.notes, "", optimum is not None)


def _svg(scene: Scene, panel: str, name: str, alt: str) -> Markup:
    text = file_bytes(panel_figure(scene, panel), "svg", **{"svg.fonttype": "none", "svg.hashsalt": name}).decode()
    text = _CUT.sub("", text[text.index("<svg") :])
    used = set(re.findall(r'href="#([^"]+)"', text))
    text = re.sub(r' (?:clip-path="[^"]*"|id="([^"]*)")', lambda m: m[0] if m[1] in used else "", text)
    text = re.sub(r'(href="#|id=")', rf"\g<1>{name}-", text)
    text = _FONT.sub("", text)
    for color, variable in _SCHEME.items():
        text = text.replace(color, variable)
    text = _PLACES.sub(lambda places: _DIGITS.sub(r"\g<1>", places[0]), text)
    text = text.replace("base64,\n", "base64,")
    text = re.sub(r">\s+<", "><", text).strip()
    box = re.search(r'viewBox="[^"]*"', text)
    start = f'<svg {box[0] if box else ""} role="img" aria-label="{escape(alt)}">'
    return Markup(re.sub(r"^<svg.*?>", lambda _: start, text, count=1, flags=re.S))  # noqa: S704 - drawn here


def _alt(scene: Scene, panel: str, judgement: Judgement | None) -> str:
    parts = [panels.heading(scene, panel), title_of(scene.claim, judgement)]
    if panel == "surface" and scene.touching:
        parts.append("touches at " + "; ".join(f"v = {float(v):.4g}, z = {float(z):.4g}" for v, z in scene.touching))
    if panel != "surface":
        least, most = (amount(float(x), scene.grid.power) for x in (scene.grid.gap.min(), scene.grid.gap.max()))
        parts.append(f"from {least} to {most}")
    if scene.failing is not None:
        parts.append("violating point at v = {:.4g}, z = {:.4g}".format(*map(float, scene.failing)))
    return ". ".join(parts) + "."

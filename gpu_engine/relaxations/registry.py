"""The named relaxations; a new one is a file with one function and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gpu_engine.bounds import Box, Diagonals, PlanePair
from gpu_engine.relaxations.constants import constants
from gpu_engine.relaxations.curve_lines import constant_lines, least_volume_lines
from gpu_engine.relaxations.curves import CURVES, Curve
from gpu_engine.relaxations.lines import lines, lines_either
from gpu_engine.relaxations.mccormick import mccormick
from gpu_engine.relaxations.octagon import octagon
from gpu_engine.relaxations.parallel import parallel
from gpu_engine.relaxations.planes import planes
from gpu_engine.relaxations.products import PRODUCTS, Product


@dataclass(frozen=True)
class Relaxation:
    """How slopes are chosen. product(product, v, z) and curve(curve, v) give a lower and an upper plane or line.

    Offsets are exact in every relaxation, so all are sound. summary: one line for help texts and tables.
    octagon: the same over octagons, (product, v, z, diagonals); None for a relaxation that knows boxes only.
    """

    name: str
    product: Callable[[Product, Box, Box], PlanePair]
    curve: Callable[[Curve, Box], PlanePair]
    summary: str
    octagon: Callable[[Product, Box, Box, Diagonals], PlanePair] | None = None

    def planes(self, kind: str, v: Box, z: Box | None, diagonals: Diagonals | None = None) -> PlanePair:
        """Both planes of a nonlinearity by its kind; z and diagonals are not read for one of one argument."""
        if kind in CURVES:
            return self.curve(CURVES[kind], v)
        assert z is not None
        if self.octagon is not None and diagonals is not None:
            return self.octagon(PRODUCTS[kind], v, z, diagonals)
        return self.product(PRODUCTS[kind], v, z)


RELAXATIONS: Final[Mapping[str, Relaxation]] = {
    relaxation.name: relaxation
    for relaxation in (
        Relaxation("parallel", parallel, least_volume_lines, "both planes share one slope in the state"),
        Relaxation(
            "octagon",
            octagon,
            least_volume_lines,
            "one slope in the state, over octagons: v + z and v - z bounded, too",
            octagon,
        ),
        Relaxation("planes", planes, least_volume_lines, "planes of least volume (POPQORN, equations 25 and 26)"),
        Relaxation("mccormick", mccormick, least_volume_lines, "lines of both factors composed by McCormick's product"),
        Relaxation("lines", lines, least_volume_lines, "the sigmoid by its line (POPQORN, appendix A.6)"),
        Relaxation("lines_either", lines_either, least_volume_lines, "one factor by its line: whichever is lower"),
        Relaxation("constants", constants, constant_lines, "zero slopes: the ends of the range"),
    )
}

DEFAULT_RELAXATION: Final = "parallel"

# Starts of `best`: boxes are intersected and every row takes the better bound.
BEST: Final = ("parallel", "planes")

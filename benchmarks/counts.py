"""Certified counts at fixed radii beside published ones, and the marks of cells that fall short or cannot be."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from gpu_engine.inputs import Clip
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, untargeted

FALLS_SHORT, ABOVE_THE_ATTACK = " (falls short)", " (above the attack)"


def options_of(levers: str) -> Options:
    """'octagon+optimize=20+suppose=10': a relaxation and what it is tightened by."""
    relaxation, *more = levers.split("+")
    return Options(relaxation, **{name: int(number) for name, number in (one.split("=") for one in more)})  # type: ignore[arg-type]


def certified_counts(
    model: RecurrentClassifier,
    x: torch.Tensor,
    labels: torch.Tensor,
    radii: Sequence[float],
    options: Options,
    clip: Clip | None,
) -> tuple[list[int], float]:
    """How many samples are proved at each l_inf radius, untargeted, and CPU milliseconds per sample and radius."""
    rows = untargeted(labels, model.classes)
    began = time.process_time()
    counts = []
    for radius in radii:
        balls = FrameBalls(x, torch.full(x.shape[:2], radius, dtype=torch.float64), clip=clip)
        counts.append(int(certify(model, balls, rows, options).proved.sum()))
    return counts, 1e3 * (time.process_time() - began) / (len(x) * len(radii))


def marked(counts: Sequence[int], needed: Sequence[int], ceiling: Sequence[int | None]) -> list[str]:
    """The counts as text. Marked: below what is `needed`; above `ceiling`, which no sound method can be."""
    cells = []
    for count, least, most in zip(counts, needed, ceiling, strict=True):
        above = most is not None and count > most
        cells.append(f"{count}{FALLS_SHORT if count < least else ''}{ABOVE_THE_ATTACK if above else ''}")
    return cells


def marks(rows: Sequence[Sequence[str]]) -> str:
    """One sentence on how many cells are marked."""
    cells = [cell for row in rows for cell in row]
    short = sum(FALLS_SHORT in cell for cell in cells)
    above = sum(ABOVE_THE_ATTACK in cell for cell in cells)
    return f"Cells that fall short: {short}; cells above what the attack leaves: {above}.\n"

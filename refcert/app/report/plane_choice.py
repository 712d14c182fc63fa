"""Which proved planes a report shows: one with a middle gap and the one with the widest, at the centre of the box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from refcert.audit.plane_table import DIAGONALS, PlaneTable
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import Status
from refcert.reference.equations import PRODUCTS


class Seen(NamedTuple):
    """A plane that may be shown. gap: at the centre of its box, in units of the nonlinearity; number: in the report."""

    gap: float
    number: int
    table: PlaneTable
    row: int
    judgement: Judgement


def gaps_at_centres(table: PlaneTable) -> NDArray[np.float64]:
    """|plane - surface| at the centre of every box (planes,); NaN where the box has no area (no length for a line).

    Of an octagon: of the least box around it, whose centre lies in it.
    """
    columns, product = table.columns, np.isin(table.columns["kind"], PRODUCTS)
    low_v, high_v, low_z, high_z = _boxes(table)
    v = 0.5 * low_v + 0.5 * high_v
    z = np.where(product, 0.5 * low_z + 0.5 * high_z, 0.0)
    height = columns["slope_v"] * v + np.where(product, columns["slope_z"] * z, 0.0) + columns["offset"]
    kind = columns["kind"]
    outer = np.select([kind == "tanh", kind == "relu"], [np.tanh(v), np.maximum(v, 0.0)], expit(v))
    inner = np.select([kind == "sigmoid_times_tanh", product], [np.tanh(z), z], 1.0)
    wide = low_v < high_v
    wide &= ~product | (low_z < high_z)
    return np.where(wide, np.abs(height - outer * inner), np.nan)


def _boxes(table: PlaneTable) -> tuple[NDArray[np.float64], ...]:
    """The ends of v and z, (planes,) each; of the least box around an octagon, to a rounding."""
    columns = table.columns
    low_v, high_v, low_z, high_z = (columns[name] for name in ("lower_v", "upper_v", "lower_z", "upper_z"))
    if not table.on_octagons.any():
        return low_v, high_v, low_z, high_z
    p0, p1, m0, m1 = (columns[name] for name in DIAGONALS)
    # fmax and fmin leave out NaN: planes on boxes
    return (
        np.fmax.reduce((low_v, p0 - high_z, m0 + low_z, (p0 + m0) / 2)),
        np.fmin.reduce((high_v, p1 - low_z, m1 + high_z, (p1 + m1) / 2)),
        np.fmax.reduce((low_z, p0 - high_v, low_v - m1, (p0 - m1) / 2)),
        np.fmin.reduce((high_z, p1 - low_v, high_v - m0, (p1 - m0) / 2)),
    )


class Choice:
    """Collects part by part, keeps a middle and the widest of each."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []

    def add(self, first: int, table: PlaneTable, judgements: Sequence[Judgement | None]) -> None:
        """Planes of one part, the first of which has the number `first`."""
        gaps = gaps_at_centres(table)
        proved = np.array([judged is not None and judged.status is Status.PROVED for judged in judgements], dtype=bool)
        rows = np.flatnonzero(proved & np.isfinite(gaps))
        if not len(rows):
            return
        order = rows[np.argsort(gaps[rows], kind="stable")].tolist()
        for row in (order[(len(order) - 1) // 2], order[-1]):
            judged = judgements[row]
            if judged is not None:
                self._seen.append(Seen(float(gaps[row]), first + row, table, row, judged))

    def typical_and_widest(self) -> tuple[Seen, ...]:
        """One of the middle ones, and the widest; none, one or two planes."""
        ordered = sorted(self._seen, key=lambda seen: seen[:2])
        chosen = {seen.number: seen for seen in (ordered[(len(ordered) - 1) // 2 :][:1] + ordered[-1:])}
        return tuple(chosen.values())

"""What an audit found: every plane with its verdict, counts, and counter-examples one can run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.audit.plane_audit import DIED, judgement_json
from refcert.audit.plane_table import COLUMNS, DIAGONALS, PlaneTable
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim, Status

NOT_AUDITED: Final = "NOT AUDITED"
_QUANTILES: Final = {"least": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "largest": 1.0}


@dataclass(frozen=True)
class AuditedTable:
    """Planes of one source file, of one part of a run, or of one family of boxes.

    judgements: one per row, None where it was not audited. ratios: with --tightness one per row, the plane's volume
    over the least volume, NaN where there is no such number, nor one that float64 holds. unasked: planes that a
    function was not asked for.
    """

    name: str
    table: PlaneTable
    judgements: tuple[Judgement | None, ...]
    ratios: NDArray[np.float64] | None = None
    unasked: int = 0

    def __post_init__(self) -> None:
        if self.ratios is not None:
            object.__setattr__(self, "ratios", np.where(np.isfinite(self.ratios), self.ratios, np.nan))

    @cached_property
    def counts(self) -> dict[str, int]:
        """Planes by verdict; `not_audited` has the unasked ones, too."""
        found = Counter(None if j is None else j.status for j in self.judgements)
        counts: dict[str, int] = {str(status).lower(): found[status] for status in Status}
        counts["not_audited"] = found[None] + self.unasked
        return counts


@dataclass(frozen=True)
class Example:
    """A refuted plane with a point as simple as could be found. number: of the plane in the whole report.

    row: in its table; where: its origin in words; snippet: Python text that shows the violation and stands by itself.
    """

    number: int
    table: str
    row: int
    where: str
    claim: PlaneClaim
    judgement: Judgement
    snippet: str

    def to_json(self) -> dict[str, Any]:
        """The claim by the names of its columns, the verdict, and the snippet."""
        found = judgement_json(self.judgement)
        point: dict[str, Any] = {key: found[key] for key in ("point", "violation", "rest") if key in found}
        place: dict[str, Any] = {"plane": self.number, "table": self.table, "row": self.row}
        return {**place, "claim": claim_json(self.claim), **point, "snippet": self.snippet}


def claim_json(claim: PlaneClaim) -> dict[str, Any]:
    """A plane by the names of its columns; those of octagons where it has them."""
    return {name: getattr(claim, name) for name in COLUMNS} | dict(zip(DIAGONALS, claim.diagonals or (), strict=False))


@dataclass(frozen=True)
class AuditReport:
    """An audit's outcome. source: as it was typed; source_kind: 'run', 'planes file', 'directory' or 'function'.

    seconds: wall time of this call; request: the options with their values; parts_missing: of an unfinished run.
    """

    source: str
    source_kind: str
    tables: tuple[AuditedTable, ...]
    examples: tuple[Example, ...]
    seconds: float
    workers: int
    judged_now: int = 0
    parts_missing: int = 0
    digest: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    started: str = ""

    @cached_property
    def counts(self) -> dict[str, int]:
        """Over all tables: proved, refuted, undecided, not_audited."""
        total = {**{str(status).lower(): 0 for status in Status}, "not_audited": 0}
        for table in self.tables:
            for key, number in table.counts.items():
                total[key] += number
        return total

    @property
    def summary(self) -> dict[str, int]:
        """Verdicts over all tables."""
        return {key: number for key, number in self.counts.items() if key != "not_audited"}

    @property
    def not_audited(self) -> int:
        return self.counts["not_audited"]

    @property
    def methods(self) -> dict[str, int]:
        """Planes that are proved or refuted, by the method that decided."""
        found = Counter(
            str(judgement.method)
            for table in self.tables
            for judgement in table.judgements
            if judgement is not None and judgement.status is not Status.UNDECIDED
        )
        return dict(sorted(found.items()))

    @property
    def cross_checked(self) -> int | None:
        """Planes that both methods judged, without a contradiction: one would have ended the audit. None: not asked.

        A plane that ends the process that judges it has no such verdict.
        """
        if not self.request.get("cross_check"):
            return None
        judged = (j for table in self.tables for j in table.judgements if j is not None)
        return sum(judgement.reason != DIED for judgement in judged)

    @property
    def tightness(self) -> dict[str, float | int | None] | None:
        """Quantiles of the known volume ratios; None if they were not asked for."""
        ratios = [table.ratios for table in self.tables if table.ratios is not None]
        if not ratios:
            return None
        known = np.concatenate(ratios)
        known = known[~np.isnan(known)]
        found = {name: float(np.quantile(known, share)) if len(known) else None for name, share in _QUANTILES.items()}
        return {"count": len(known), **found}

    def to_json(self) -> dict[str, Any]:
        """See docs/json.md; `planes` in input order."""
        return self.summary_json() | {"planes": self._planes()}

    def summary_json(self) -> dict[str, Any]:
        """Everything but the planes."""
        found: dict[str, Any] = {
            "source": self.source,
            "source_kind": self.source_kind,
            "summary": self.summary,
            "not_audited": self.not_audited,
            "seconds": round(self.seconds, 6),
            "workers": self.workers,
            "parts_missing": self.parts_missing,
            "tables": [{"name": table.name, "planes": len(table.table), **table.counts} for table in self.tables],
            "methods": self.methods,
            "examples": [example.to_json() for example in self.examples],
            "request": dict(self.request),
        }
        more = {"cross_checked": self.cross_checked, "tightness": self.tightness}
        return found | {name: value for name, value in more.items() if value is not None}

    def _planes(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for table in self.tables:
            for row, judgement in enumerate(table.judgements):
                found: dict[str, object] = {"verdict": NOT_AUDITED}
                if judgement is not None:
                    found = judgement_json(judgement)
                if judgement is None or judgement.status is not Status.PROVED:
                    # So that whoever reads only this finds the plane again; PROVED ones stay short.
                    found |= {"table": table.name, "row": row, "claim": claim_json(table.table.claim(row))}
                if table.ratios is not None:
                    ratio = float(table.ratios[row])
                    found["volume_ratio"] = None if np.isnan(ratio) else ratio
                rows.append(found)
        return rows


def said_of(kind: str, judgement: Judgement) -> str:
    """A verdict in one line, with the exact point; z only where the kind has one."""
    said = str(judgement.status)
    if judgement.point is not None:
        axes = ("v", "z") if kind.startswith("sigmoid_times_") else ("v",)
        places = zip(axes, judgement.point, judgement.rest, strict=False)
        said += " at " + ", ".join(
            f"{axis} = {value!r}" + "".join(f" + {more!r}" for more in rest) for axis, value, rest in places
        )
        said += f" by at least {judgement.violation:.3g}"
    return said + (f" ({judgement.reason})" if judgement.reason else "")


def where_of(table: PlaneTable, row: int) -> str:
    """Where a plane comes from, in words; empty where nothing is known."""
    names = {"sample": "sample", "layer": "layer", "t": "frame", "unit": "unit", "product": "product"}
    return ", ".join(f"{names[name]} {column[row].item()}" for name, column in table.origin.items())

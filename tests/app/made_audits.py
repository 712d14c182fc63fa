"""Planes and audits to draw: over several kinds of boxes, lowered by a known amount, judged by the kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from refcert.app.audit_report import AuditedTable, AuditReport, Example, where_of
from refcert.audit.plane_table import COLUMNS, PlaneTable
from refcert.audit.verdicts import Judgement, from_kernel
from refcert.kernel.claims import PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane
from refcert.reference.exact_planes import plane_above, plane_below
from refcert.reference.intervals import Interval

TANH, IDENTITY = "sigmoid_times_tanh", "sigmoid_times_identity"


def plane(kind, side, v, z=(0.0, 0.0), *, by=0.0, slopes=(0.125, 0.25)):
    """A plane with these slopes that touches the function, pushed to the wrong side by `by`."""
    box = Interval(*map(float, v)), Interval(*map(float, z))
    exact = (plane_above if side == "upper" else plane_below)(kind, *box, *slopes)
    offset = exact.offset - by if side == "upper" else exact.offset + by
    return PlaneClaim(kind, side, *box[0], *box[1], *map(float, slopes), float(offset))


def judged(claim: PlaneClaim) -> Judgement:
    return from_kernel(check_plane(claim))


def table(claims, **origin) -> PlaneTable:
    columns = {name: np.array([getattr(claim, name) for claim in claims]) for name in COLUMNS}
    return PlaneTable(columns, {name: np.array(values) for name, values in origin.items()})


def audited(name, claims, *, ratios=None, skip=0, **origin) -> AuditedTable:
    """skip: so many planes at the end have no verdict."""
    judgements: list[Judgement | None] = list(map(judged, claims))
    if skip:
        judgements[-skip:] = [None] * skip
    known = None if ratios is None else np.array(ratios, dtype=float)
    return AuditedTable(name, table(claims, **origin), tuple(judgements), known)


def report(*tables: AuditedTable, snippet: str = "import numpy as np", **fields: Any) -> AuditReport:
    """The report of these tables; every refuted plane is an example."""
    examples, first = [], 0
    for found in tables:
        for row, (claim, judgement) in enumerate(zip(found.table.claims(), found.judgements, strict=True)):
            if judgement is not None and judgement.status is Status.REFUTED:
                where = where_of(found.table, row)
                examples.append(Example(first + row, found.name, row, where, claim, judgement, snippet))
        first += len(found.judgements)
    plain: dict[str, Any] = {
        "source": "planes.npz",
        "source_kind": "planes file",
        "seconds": 1.25,
        "workers": 1,
        "request": {"seed": 7, "tightness": True, "budget_seconds": None},
        "versions": {"python": "3", "refcert": "0"},
    }
    return AuditReport(tables=tables, examples=tuple(examples), **(plain | fields))

"""An audit as everything its page says, in plain values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np

from refcert.app.audit_report import AuditedTable, AuditReport
from refcert.app.report import figures, plane_words
from refcert.app.report.audit_plots import Shown, shown_planes
from refcert.app.report.plane_scene import title_of
from refcert.app.report.plane_svg import PlanePicture, picture_plane
from refcert.app.report.planes import Counts, Group, State, state_of
from refcert.app.report.words import plural
from refcert.audit.verdicts import Method
from refcert.kernel.claims import Status

# So many refuted and undecided planes are shown one by one, and the first of each with a picture.
SHOWN, PICTURED = 12, 6
TABLES: Final = 60
_WHYS: Final = ("refuted", "undecided", "loosest", "widest", "typical")
_METHODS: Final[Mapping[str, str]] = {
    Method.CANDIDATES: "critical points, in the trusted kernel",
    Method.BRANCHING: "interval branch and bound with second-order forms",
    Method.HUNT: "a search found a point, which ball arithmetic confirmed",
}
_QUANTILES: Final = {
    "least": "least",
    "p25": "a quarter is below",
    "median": "median",
    "p75": "three quarters are below",
    "p95": "95 % are below",
    "largest": "largest",
}
# A histogram ends at its 95 % quantile if the largest value is more than this many times farther out.
_LONG_TAIL: Final = 1.5
# Powers of ten are drawn where that quantile is beyond this.
_DECADES: Final = 10.0
_FINEST: Final = 1e-3


@dataclass(frozen=True)
class Example:
    """One plane of the page, as text, with a picture if it has one."""

    plane: int
    status: str
    title: str
    where: str
    inequality: str
    box: str
    point: str
    violation: str
    reason: str
    ratio: str
    snippet: str
    picture: PlanePicture | None
    claim: bool = True


@dataclass(frozen=True)
class TableRow:
    """One file, part or family. unasked planes are among those that are not audited."""

    name: str
    counts: Counts
    not_audited: int
    ratio: str


@dataclass(frozen=True)
class AuditView:
    """What the page shows; groups, counts, precisions as `planes.Audit` has them.

    examples: by why they are shown; methods: their names, planes, and what the names mean.
    """

    report: AuditReport
    state: State
    counts: Counts
    total: int
    groups: tuple[Group, ...]
    precisions: tuple[tuple[int, int], ...]
    methods: tuple[tuple[str, int, str], ...]
    tables: tuple[TableRow, ...]
    examples: Mapping[str, tuple[Example, ...]]
    violations: figures.Figure | None
    ratios: figures.Figure | None
    quantiles: tuple[tuple[str, str], ...]
    beyond: str
    asked: tuple[tuple[str, str], ...]
    resumable: bool = False

    @property
    def proved_shown(self) -> bool:
        """Whether proved planes are shown."""
        return any(self.examples[why] for why in ("loosest", "widest", "typical"))

    @property
    def cross_checked(self) -> int:
        """Planes that both methods judged; a contradiction would have ended the audit."""
        return self.counts.total if self.report.request.get("cross_check") else 0

    @property
    def simplified(self) -> int:
        """Refuted planes that are shown with a point for reading: the first ones."""
        return min(len(self.report.examples), len(self.examples["refuted"]))

    @property
    def optimum(self) -> bool:
        """Whether a picture shows a plane of least volume."""
        shown = (example.picture for found in self.examples.values() for example in found)
        return any(picture is not None and picture.has_optimum for picture in shown)


def view_of(report: AuditReport, *, resumable: bool = False) -> AuditView:
    """Everything computed, pictures drawn. resumable: the audit has a folder, in which `--resume` goes on."""
    counts = _counts(report.counts)
    groups: Counter[tuple[str, str, str, str]] = Counter()
    precisions: Counter[int] = Counter()
    for audited in report.tables:
        columns, judgements = audited.table.columns, audited.judgements
        origin = audited.table.origin
        products = origin["product"].tolist() if "product" in origin else [""] * len(judgements)
        for kind, side, product, judged in zip(
            columns["kind"].tolist(), columns["side"].tolist(), products, judgements, strict=True
        ):
            if judged is not None:
                groups[kind, product, side, judged.status.lower()] += 1
                if judged.status is Status.PROVED:
                    precisions[judged.precision] += 1
    ratios, beyond = _ratios(report)
    return AuditView(
        report=report,
        state=state_of(counts, report.not_audited + report.parts_missing),
        counts=counts,
        total=counts.total + report.not_audited,
        groups=tuple(
            Group(kind, product, side, _counts({status: number for (*_, status), number in found}))
            for (kind, product, side), found in groupby(sorted(groups.items()), key=_group)
        ),
        precisions=tuple(sorted(precisions.items())),
        methods=tuple((name, number, _METHODS.get(name, "")) for name, number in report.methods.items()),
        tables=tuple(map(_table_row, report.tables[:TABLES])),
        examples=_examples(report),
        violations=_violations(report),
        ratios=ratios,
        quantiles=_quantiles(report),
        beyond=beyond,
        asked=tuple((name.replace("_", " "), _said(value)) for name, value in report.request.items()),
        resumable=resumable,
    )


def _group(item: tuple[tuple[str, str, str, str], int]) -> tuple[str, str, str]:
    return item[0][:3]


def _counts(found: Mapping[str, int]) -> Counts:
    return Counts(**{status.lower(): found.get(status.lower(), 0) for status in Status})


def _table_row(audited: AuditedTable) -> TableRow:
    known = np.array([]) if audited.ratios is None else audited.ratios[np.isfinite(audited.ratios)]
    middle = f"{float(np.median(known)):.4g}" if known.size else ""
    return TableRow(audited.name, _counts(audited.counts), audited.counts["not_audited"], middle)


def _examples(report: AuditReport) -> dict[str, tuple[Example, ...]]:
    found: dict[str, list[Example]] = {why: [] for why in _WHYS}
    for shown in shown_planes(report, SHOWN):
        found[shown.why].append(_example(shown, len(found[shown.why]) < PICTURED))
    return {why: tuple(examples) for why, examples in found.items()}


def _example(shown: Shown, pictured: bool) -> Example:
    claim, judged = shown.claim, shown.judgement
    name = f"plane-{shown.number}-{shown.why}"
    return Example(
        plane=shown.number,
        status=str(judged.status),
        title=title_of(claim),
        where=", ".join(filter(None, (shown.table, shown.where))),
        inequality=plane_words.inequality(claim),
        box=plane_words.box(claim),
        point=plane_words.point(judged, claim.kind),
        violation="" if judged.violation is None else f"{judged.violation:.3g}",
        reason=judged.reason,
        ratio="" if shown.ratio is None else f"{shown.ratio:.4g}",
        snippet=shown.snippet,
        picture=picture_plane(claim, judged, name=name, optimum=shown.optimum) if pictured else None,
    )


def _violations(report: AuditReport) -> figures.Figure | None:
    sizes = [
        math.log10(judged.violation)
        for audited in report.tables
        for judged in audited.judgements
        if judged is not None and judged.violation is not None and judged.violation > 0
    ]
    if not sizes:
        return None
    return figures.histogram(
        sizes,
        name="violations",
        title="How far the refuted planes are off",
        x_label="violation, as a power of ten",
        noun="refuted planes",
        least_step=1.0,
    )


def _ratios(report: AuditReport) -> tuple[figures.Figure | None, str]:
    """The histogram of the known ratios, and what lies beyond its end."""
    parts = [audited.ratios for audited in report.tables if audited.ratios is not None]
    known = np.concatenate(parts) if parts else np.array([])
    known = known[np.isfinite(known)]
    if not known.size:
        return None, ""
    cut, largest, middle = (float(x) for x in (np.quantile(known, 0.95), known.max(), np.median(known)))
    inside, beyond, label = known, "", "volume over least volume (1 is optimal)"
    if cut > _DECADES:
        inside, middle, label = np.log10(known), math.log10(middle), "volume over least volume, as a power of ten"
    elif largest - 1 > max(_LONG_TAIL * (cut - 1), _FINEST):
        inside = known[known <= cut]
        count = known.size - inside.size
        verb = "is" if count == 1 else "are"
        beyond = f"{plural(count, 'plane')} beyond {cut:.4g} {verb} not drawn; the largest ratio is {largest:.4g}."
    figure = figures.histogram(
        inside.tolist(),
        name="ratios",
        title="Volume against the least possible",
        x_label=label,
        noun="planes",
        mark=(middle, "median"),
        least_step=_FINEST,
    )
    return figure, beyond


def _quantiles(report: AuditReport) -> tuple[tuple[str, str], ...]:
    tightness = report.tightness or {}
    return tuple(
        (words, f"{value:.6g}") for name, words in _QUANTILES.items() if (value := tightness.get(name)) is not None
    )


def _said(value: Any) -> str:
    """A value of the request in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_said(part)}" for key, part in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)

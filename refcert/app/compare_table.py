"""The outcome of `refcert compare` for people in a terminal. Everything in it is in the JSON, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from refcert.app.compare_boxes import BOXES_OF, OVERALL
from refcert.app.report import words
from refcert.app.report.compare import question_of


def print_compare(console: Console, result: dict[str, Any], out: Path | None) -> None:
    """One row a relaxation: radius or certified samples, gaps by nonlinearity, volume ratio and time."""
    boxes, rows = result["boxes"], result["relaxations"]
    search = "mean_radius" in rows[0]
    console.print(result["model"]["description"], soft_wrap=True)
    console.print(question_of(result), soft_wrap=True)
    main = _table(
        *(("mean radius", "median") if search else ("certified", "share")), "mean gap", "volume ratio", "ms/sample"
    )
    digits = words.decimals_for(row["mean_radius"] or 0.0 for row in rows) if search else 0
    for row in rows:
        if search:
            cells = [
                _or_dash(row[key], lambda x: words.at_least(x, digits)) for key in ("mean_radius", "median_radius")
            ]
        else:
            cells = [f"{row['certified']:,}", f"{row['share']:.1%}"]
        gap = (row["mean_gap"] or {}).get(OVERALL)
        cells += [_or_dash(gap, _short), _or_dash(row["volume_ratio"], _short), _short(row["seconds"] * 1e3)]
        main.add_row(row["relaxation"], *cells)
    console.print(main)
    kinds = list(boxes["nonlinearities"])
    if len(kinds) > 1:
        gaps = _table(*(f"gap of {kind}" for kind in kinds))
        for row in rows:
            gaps.add_row(row["relaxation"], *(_short(row["mean_gap"][kind]) for kind in kinds))
        console.print(gaps)
    console.print(f"{result['correct']:,} of {result['count']:,} classified correctly", soft_wrap=True)
    if boxes["planes"] is not None:
        planes = boxes["planes"]
        console.print(
            "gap: upper less lower plane at the centre of the box; volume ratio: geometric mean against the least "
            f"volume, {planes['used']:,} of {planes['drawn']:,} drawn planes; both on the boxes of {BOXES_OF}"
            + ("" if boxes["radius"] is None else f" at radius {boxes['radius']:.4g}"),
            soft_wrap=True,
        )
    if out is not None:
        console.print(f"Report: {out / 'compare.html'}", soft_wrap=True)


def _table(*headings: str) -> Table:
    table = Table("relaxation")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _or_dash(value: float | None, show: Any) -> str:
    return "-" if value is None else str(show(value))


def _short(value: float) -> str:
    return f"{value:.3g}"

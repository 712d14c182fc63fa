"""The outcome of `refcert score` for people in a terminal. Everything in it is in the JSON, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from refcert.app.attacking.table import overflow_words, predicted_words, question_words
from refcert.app.report import words
from refcert.app.scoring_records import OVERFLOW
from refcert.app.tables import SHOWN

# Below this p-value the data speak against the fit.
_POOR = 0.05


def print_score(console: Console, result: dict[str, Any], out: Path | None) -> None:
    """One row a sample, and the mean; above and below them that nothing here is guaranteed."""
    request = result["request"]
    console.print(result["model"]["description"], soft_wrap=True)
    console.print(f"{_asked(request)}; data {result['data']['name']}, {result['data']['unit']}", soft_wrap=True)
    console.print(f"{result['estimator']}: ESTIMATES WITHOUT GUARANTEE, neither bounds nor attacks", soft_wrap=True)
    table = Table("sample", "label", "predicted", "score (estimate)", "sampled to", "fit", "KS p")
    for row in result["samples"][:SHOWN]:
        table.add_row(
            str(row["index"]),
            words.labels(row["label"]),
            predicted_words(row),
            _radius(row),
            _number(row["ball_radius"]),
            row["status"] or "-",
            _number(row["ks_pvalue"]),
        )
    console.print(table)
    for row in result["samples"][:SHOWN]:
        if row["status"] == OVERFLOW:
            console.print(f"sample {row['index']}: {row['reason']}", soft_wrap=True)
    if len(result["samples"]) > SHOWN:
        console.print(f"... and {len(result['samples']) - SHOWN} more (--json has all)")
    console.print(_summary(result), soft_wrap=True)
    console.print(
        "The true radius can lie below a score and above it; refcert certify gives lower bounds, refcert attack upper "
        "ones.",
        soft_wrap=True,
    )
    if out is not None:
        console.print(f"Saved: {out}", soft_wrap=True)


def _summary(result: dict[str, Any]) -> str:
    parts = [f"{result['correct']:,} of {words.plural(result['count'], 'sample')} correct"]
    parts += overflow_words(result)
    if result["mean_radius"] is not None:
        mean, median = _number(result["mean_radius"]), _number(result["median_radius"])
        parts.append(f"estimated radius: mean {mean}, median {median} (no guarantee)")
    fits = ", ".join(f"{number:,} {name}" for name, number in result["fits"].items())
    poor = sum(row["ks_pvalue"] is not None and row["ks_pvalue"] < _POOR for row in result["samples"])
    parts.append(f"fits: {fits}; least p-value below {_POOR} for {words.plural(poor, 'sample')}")
    parts.append(f"{result['seconds']:.2f} s")
    return "; ".join(parts)


def _asked(request: dict[str, Any]) -> str:
    sampled = f"{request['batches']:,} batches of {request['samples']:,} gradients, seed {request['seed']}"
    return f"{question_words(request)}; {sampled}"


def _radius(row: dict[str, Any]) -> str:
    if row["radius"] is None:
        return "-"
    if not row["radius"]:
        return f"0 ({row['status']})" if row.get("row") is None else f"0 (row {row['row']} broken)"
    return _number(row["radius"]) + (" (cut at the ball)" if row["capped"] else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"

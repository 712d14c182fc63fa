"""The outcome of `refcert metrics` for people. Everything in it is in the JSON, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from refcert.app.attacking.table import question_words
from refcert.app.metrics import words


def _radii(number: int) -> str:
    return f"{number:,} radius" if number == 1 else f"{number:,} radii"


def print_metrics(console: Console, result: dict[str, Any], out: Path | None) -> None:
    """The intervals with their confidence intervals and estimators, then what each estimator says by itself."""
    level = f"{result['request']['confidence'] * 100:g} %"
    console.print(result["model"]["description"], soft_wrap=True)
    console.print(
        f"{question_words(result['request'])}; data {result['data']['name']}, {result['data']['unit']}; "
        + words.samples(result),
        soft_wrap=True,
    )
    for side in result["estimators"]:
        console.print(
            f"{side['name']}: {side['what']} ({side['is']}); {_radii(side['found'])}, {side['seconds']:.2f} s"
            + "".join(f"; {number} {status}" for status, number in side.get("ended", {}).items()),
            soft_wrap=True,
        )
    for failed in result["failed"]:
        console.print(f"{failed['name']}: NOT CARRIED OUT: {failed['reason']}", soft_wrap=True)
    table = Table("metric", "interval", f"{level} confidence", "lower end from", "upper end from")
    for row in result["metrics"]:
        table.add_row(
            words.name_of(row),
            words.interval(row),
            words.confidence(row),
            *words.sources(row),
        )
    console.print(table)
    for row in result["metrics"]:
        if row["note"]:
            console.print(f"{words.name_of(row)}: {row['note']}", soft_wrap=True)
    single = Table("metric", "estimator", "value", "is", f"{level} confidence")
    order = [words.name_of(row) for row in result["metrics"]]
    for row in sorted(result["by_estimator"], key=lambda row: order.index(words.name_of(row))):
        single.add_row(
            words.name_of(row),
            row["estimator"],
            words.value(row),
            row["is"],
            words.confidence(row),
        )
    console.print(single)
    console.print(words.checked(result), soft_wrap=True)
    if out is not None:
        console.print(f"Saved: {out}", soft_wrap=True)

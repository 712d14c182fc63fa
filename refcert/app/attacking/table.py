"""The outcome of `refcert attack` for people. Everything in it is in the JSON, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from refcert.app.report import words
from refcert.app.tables import SHOWN


def print_attack(console: Console, result: dict[str, Any], out: Path | None) -> None:
    """One row a sample, then counts and means."""
    request = result["request"]
    search = "found" in result
    console.print(result["model"]["description"], soft_wrap=True)
    console.print(f"{result['method']}: {result['attack']['summary']}", soft_wrap=True)
    console.print(f"{question_words(request)}; data {result['data']['name']}, {result['data']['unit']}", soft_wrap=True)
    table = Table(
        "sample", "label", "predicted", "adversarial radius" if search else "broken", "adversarial class", "margin"
    )
    for row in result["samples"][:SHOWN]:
        table.add_row(
            str(row["index"]),
            words.labels(row["label"]),
            words.labels(row["predicted"]),
            _radius(row) if search else {True: "yes", False: "not found", None: "-"}[row["broken"]],
            "-" if row["adversarial_class"] is None else words.labels(row["adversarial_class"]),
            "-" if row["margin"] is None else f"{row['margin']:.4g}",
        )
    console.print(table)
    if len(result["samples"]) > SHOWN:
        console.print(f"... and {len(result['samples']) - SHOWN} more (--json or --out has all)")
    parts = [f"{result['correct']} of {result['count']} classified correctly"]
    if search:
        parts.append(f"adversarial inputs found for {result['found']}, none for {result['not_found']}")
        if result["mean_radius"] is not None:
            parts.append(f"radius: mean {result['mean_radius']:.5g}, median {result['median_radius']:.5g}")
    else:
        parts.append(f"{result['broken']} broken")
    parts.append(f"{result['seconds']:.2f} s for the attack")
    console.print("; ".join(parts), soft_wrap=True)
    console.print(result["meaning"].capitalize() + ".", soft_wrap=True)
    if out is not None:
        console.print(f"Saved: {out}", soft_wrap=True)


def question_words(request: dict[str, Any]) -> str:
    """The question in a few words."""
    asked = f"{request['input_set']} of the data"
    if request["norm"] is not None:
        whole = request["input_set"] == "sequence"
        balls = "one l_{} ball around the sequence, frames {}" if whole else "l_{} balls on frames {}"
        asked = balls.format(request["norm"], request["frames"])
        if request["radius"] is not None:
            asked += f", radius {request['radius']!r}"
        if request["radius_db"] is not None:
            asked += f", radius {request['radius_db']!r} dB of each sample's peak"
        if request["clip"] is not None:
            asked += f", clip {request['clip'][0]:g} to {request['clip'][1]:g}"
    if request["spec"] is not None:
        return f"{asked}, rows of {request['spec']}"
    return f"{asked}, " + (request["target"] if request["top_k"] is None else f"top {request['top_k']}")


def _radius(row: dict[str, Any]) -> str:
    if row["radius"] is None:
        return "none found"
    return f"{row['radius']:.5g}" if row["correct"] else "0 (misclassified)"

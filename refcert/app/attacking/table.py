"""The outcome of `refcert attack` for people. Everything in it is in the JSON, too."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, Context
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from refcert.app.report import words
from refcert.app.tables import SHOWN

Row = dict[str, Any]
NO_QUESTION: Final = "no question"
OVERFLOW: Final = "overflow"
_DIGITS: Final = 5


def print_attack(console: Console, result: Row, out: Path | None) -> None:
    """One row a sample, then counts and means."""
    request = result["request"]
    search = "found" in result
    console.print(result["model"]["description"], soft_wrap=True)
    console.print(f"{result['method']}: {result['attack']['summary']}", soft_wrap=True)
    console.print(f"{question_words(request)}; data {result['data']['name']}, {result['data']['unit']}", soft_wrap=True)
    columns = _columns(result)
    table = Table(*columns)
    for row in result["samples"][:SHOWN]:
        table.add_row(*(shown(row) for shown in columns.values()))
    console.print(table)
    for row in result["samples"][:SHOWN]:
        if row["reason"] is not None:
            console.print(f"sample {row['index']}: {row['reason']}", soft_wrap=True)
    if len(result["samples"]) > SHOWN:
        console.print(f"... and {len(result['samples']) - SHOWN} more (--json or --out has all)")
    parts = [f"{result['correct']} of {result['count']} classified correctly", *overflow_words(result)]
    if search:
        if result["correct"] + result["overflowed"] < result["count"] and request["spec"] is None:
            parts[0] += ", those misclassified have radius 0"
        parts.append(f"adversarial inputs found for {result['found']}, none for {result['not_found']}")
        if result["without_question"]:
            parts.append(f"no question about {result['without_question']}")
        if result["mean_radius"] is not None:
            parts.append(f"radius: mean {_up(result['mean_radius'])}, median {_up(result['median_radius'])}")
        if result.get("mean_grid_radius") is not None:
            grid = result["attack"]["grid"]
            parts.append(
                f"in whole steps of 1/{grid}: {result['found_on_grid']}, mean {_up(result['mean_grid_radius'])}"
            )
    else:
        parts.append(f"{result['broken']} broken")
    parts.append(f"{result['seconds']:.2f} s for the attack")
    console.print("; ".join(parts), soft_wrap=True)
    console.print(result["meaning"][:1].upper() + result["meaning"][1:] + ".", soft_wrap=True)
    if out is not None:
        console.print(f"Saved: {out}", soft_wrap=True)


def _columns(result: Row) -> dict[str, Callable[[Row], str]]:
    """Head and reader of every column that this result has."""
    columns: dict[str, Callable[[Row], str]] = {
        "sample": lambda row: str(row["index"]),
        "label": lambda row: words.labels(row["label"]),
        "predicted": predicted_words,
    }
    if "found" in result:
        columns["adversarial radius"] = _radius
    else:
        if result["request"]["radius_db"] is not None:
            columns["radius"] = lambda row: "-" if row["radius"] is None else f"{row['radius']:.5g}"
        columns["broken"] = lambda row: {True: "yes", False: "not found", None: none_words(row)}[row["broken"]]
    if result["request"]["spec"] is not None:
        columns["row"] = lambda row: "-" if row["row"] is None else str(row["row"])
    columns["adversarial class"] = lambda row: (
        "-" if row["adversarial_class"] is None else words.labels(row["adversarial_class"])
    )
    columns["margin"] = lambda row: "-" if row["margin"] is None else f"{row['margin']:.4g}"
    rows = result["samples"]
    if "grid_radius" in rows[0]:
        grid = result["attack"]["grid"]
        columns[f"in steps of 1/{grid}"] = lambda row: "-" if row["grid_radius"] is None else _up(row["grid_radius"])
    if "status" in rows[0]:
        columns["search ended"] = lambda row: row["status"] or "-"
    return columns


def question_words(request: Row) -> str:
    """The question in a few words. request: its JSON; a radius may be missing where there is none."""
    asked = f"{request['input_set']} of the data"
    if request["norm"] is not None:
        whole = request["input_set"] == "sequence"
        balls = "one l_{} ball around the sequence, frames {}" if whole else "l_{} balls on frames {}"
        asked = balls.format(request["norm"], request["frames"])
        if request.get("radius") is not None:
            asked += f", radius {request['radius']!r}"
        if request.get("radius_db") is not None:
            asked += f", radius {request['radius_db']!r} dB of each sample's peak"
        if request["clip"] is not None:
            asked += f", clip {request['clip'][0]:g} to {request['clip'][1]:g}"
    if request["spec"] is not None:
        return f"{asked}, rows of {request['spec']}"
    if request["top_k"] is not None:
        return f"{asked}, label among the {request['top_k']} largest"
    target = request["target"]
    return f"{asked}, " + _TARGETS.get(target, f"against class {target}")


_TARGETS: Final = {"untargeted": "untargeted", "all": "against each other class by itself"}


def predicted_words(row: Row) -> str:
    """What the network predicts, a dash where its outputs overflow."""
    return "-" if row["predicted"] is None else words.labels(row["predicted"])


def none_words(row: Row) -> str:
    """Why a sample has no answer: nothing is asked about it, or its outputs overflow."""
    return NO_QUESTION if row["reason"] is None else OVERFLOW


def overflow_words(result: Row) -> list[str]:
    """How many samples overflow, for the summary; nothing where none does."""
    number = result["overflowed"]
    return [f"no answer for {words.plural(number, 'sample')}, where numbers overflow"] if number else []


def _radius(row: Row) -> str:
    if row["found"] is None:
        return none_words(row)
    if row["radius"] is None:
        return "none found"
    if row["radius"]:
        return _up(row["radius"])
    return f"0 (row {row['row']} broken)" if row.get("row") is not None else "0 (misclassified)"


def _up(radius: float) -> str:
    """Five digits, rounded up: an upper bound stays one."""
    return f"{Context(prec=_DIGITS, rounding=ROUND_CEILING).create_decimal_from_float(radius).normalize():f}"

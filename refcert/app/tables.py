"""Tables for people in a terminal. Everything in them is in the JSON, too."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from refcert.app.report import words

if TYPE_CHECKING:
    from proofs.lemma import LemmaResult

# Longer lists are cut on the screen, never in the JSON or the run folder.
SHOWN = 20


def print_certify(console: Console, summary: dict[str, Any]) -> None:
    """The outcome of `refcert certify`."""
    request = summary["request"]
    search = words.searches(request)
    console.print(summary["model"]["description"], soft_wrap=True)
    console.print(
        f"{_asked(request)}; data {summary['data']['name']}, {summary['data']['unit']}",
        soft_wrap=True,
    )
    decibel = ("radius",) if request["radius_db"] is not None else ()
    verdict = "certified radius" if search else "certified"
    table = Table("sample", "label", "predicted", *decibel, verdict, "margin >=")
    for row in summary["samples"][:SHOWN]:
        value = _radius(request, row) if search else {True: "yes", False: "no", None: "-"}[row["certified"]]
        given = ["-" if row["radius"] is None else f"{row['radius']:.4g}"] if decibel else []
        margin = "-" if row["margin"] is None else f"{row['margin']:.4g}"
        table.add_row(
            str(row["index"]), words.labels(row["label"]), words.labels(row["predicted"]), *given, value, margin
        )
    console.print(table)
    if len(summary["samples"]) > SHOWN:
        console.print(f"... and {len(summary['samples']) - SHOWN} more (--json or the run folder has all)")
    parts = [f"{summary['correct']} of {summary['count']} {_correct(request)}"]
    if search and summary["mean_radius"] is not None:
        parts.append(
            f"certified radius: mean {_down(summary['mean_radius'])}, median {_down(summary['median_radius'])}"
        )
    elif not search:
        parts.append(f"{summary['certified']} certified")
    parts.append(f"{summary['seconds']:.2f} s for the bounds")
    console.print("; ".join(parts), soft_wrap=True)
    if "certificates" in summary:
        console.print(f"certificates: {summary['certificates']} written; refcert check proves them", soft_wrap=True)
    if "planes" in summary:
        console.print("planes: " + _counts(summary["planes"]), soft_wrap=True)
        if summary["planes"].get("not_audited"):
            console.print("NOT AUDITED: the run keeps neither planes nor verdicts; certify again into another --out")


def print_demo(console: Console, summary: dict[str, Any]) -> None:
    """The outcome of `refcert demo`."""
    print_certify(console, summary)
    console.print(f"\nReport: {summary['report']}", soft_wrap=True)


def _asked(request: dict[str, Any]) -> str:
    """The question in a few words."""
    asked = {"box": "boxes of the data", "substitutions": "substitutions of the data"}.get(request["input_set"], "")
    if words.has_ball(request):
        whole = "one l_{} ball around the sequence, frames {}" if request["input_set"] == "sequence" else ""
        asked = (whole or "l_{} balls on frames {}").format(request["norm"], request["frames"])
        if words.searches(request):
            asked += f", search, tolerance {request['tolerance']!r}"
        elif request["radius_db"] is not None:
            asked += f", radius {request['radius_db']!r} dB of each sample's peak"
        else:
            asked += f", radius {request['radius']!r}"
        if request["clip"] is not None:
            simple = "" if request["clip_bound"] == "exact" else f" ({request['clip_bound']} bound)"
            asked += f", clip {request['clip'][0]:g} to {request['clip'][1]:g}{simple}"
    if request["spec"] is not None:
        asked += f", rows of {request['spec']}"
    elif request["top_k"] is not None:
        asked += f", label among the {request['top_k']} largest"
    else:
        asked += f", {request['target']}" + (", bounds per class" if request["criterion"] == "per-class" else "")
    return f"{asked}, relaxation {request['relaxation']}"


def _correct(request: dict[str, Any]) -> str:
    return (
        "classified correctly" if request["top_k"] is None else f"with the label among the {request['top_k']} largest"
    )


def _radius(request: dict[str, Any], row: dict[str, Any]) -> str:
    if row["radius"] is None:
        return "-"
    return _down(row["radius"]) if row["correct"] or not words.about_label(request) else "0 (misclassified)"


def _down(radius: float) -> str:
    """Five decimals, never more than what was proved."""
    return str(Decimal(radius).quantize(Decimal("0.00001"), ROUND_FLOOR))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items())


def print_lemmas(console: Console, results: list[LemmaResult]) -> None:
    """One line per lemma."""
    table = Table("lemma", "verdict", "steps", "false variants rejected", "seconds")
    for result in results:
        verdict = "proved" if result.ok else "FAILED"
        table.add_row(
            result.name,
            verdict,
            str(len(result.steps)),
            str(len(result.controls_rejected)),
            f"{result.seconds:.2f}",
        )
    console.print(table)
    for result in results:
        if not result.ok:
            console.print(f"{result.name}: {result.message}", soft_wrap=True)
    console.print(f"{sum(r.ok for r in results)} of {len(results)} lemmas proved")

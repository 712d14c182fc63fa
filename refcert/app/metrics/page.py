"""The page about a model's metrics, made from the object that `refcert metrics --json` prints alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from refcert.app.metrics import words
from refcert.app.metrics.bootstrap import ALONE, SAME
from refcert.app.metrics.card import model_card
from refcert.app.metrics.estimates import ACCURACY, MEAN
from refcert.app.metrics.figures import Band, Sandwiches, band, sandwiches
from refcert.app.report import words as report_words
from refcert.app.report.pages import render_page

_TABLE_ROWS: Final = 500


@dataclass(frozen=True)
class MetricsView:
    """What the page shows."""

    result: Mapping[str, Any]
    question: str
    size: str
    started: str
    level: str
    accuracy: Mapping[str, Any]
    mean: Mapping[str, Any]
    rows: tuple[tuple[str, str, str, str, str, str], ...]
    methods: tuple[str, ...]
    single: tuple[tuple[str, str, str, str, str], ...]
    samples: tuple[Mapping[str, Any], ...]
    left_out: int
    band: Band
    sandwiches: Sandwiches | None
    meanings: tuple[tuple[str, str], ...]
    details: tuple[tuple[str, str], ...]
    card: str
    command: str


def render(result: Mapping[str, Any]) -> str:
    """The page as one string. Everything from the result is escaped."""
    return render_page(
        "metrics.html",
        "compare.css",
        "metrics.css",
        view=collect(result),
        interval=words.interval,
        end=_end,
        sentence=words.sentence,
        labels=report_words.labels,
    )


def _end(value: float, up: bool | None) -> str:
    """A radius, rounded away from what is not known."""
    return words.figure(MEAN, value, up=up)


def collect(result: Mapping[str, Any]) -> MetricsView:
    """The object of `refcert metrics --json` as everything the page says."""
    shape, data = result["data"]["shape"], result["data"]
    metrics = result["metrics"]
    accuracies = [row for row in metrics if row["metric"] == ACCURACY]
    return MetricsView(
        result=result,
        question=report_words.question(
            {**result["request"], "radius": None},
            str(data["unit"]),
            shape[1],
            ragged=data["lengths"] is not None,
            per_frame=result["model"]["readout"] == "every",
        ),
        size=f"{shape[0]:,} samples of {shape[1]} frames of {shape[2]} values",
        started=result["started"].replace("T", " ").replace("+00:00", " UTC"),
        level=f"{result['request']['confidence'] * 100:g} %",
        accuracy=accuracies[len(accuracies) // 2],
        mean=next(row for row in metrics if row["metric"] == MEAN),
        rows=tuple(
            (
                words.name_of(row),
                words.interval(row),
                words.confidence(row),
                *words.sources(row),
                _note(row),
            )
            for row in metrics
        ),
        single=tuple(
            (
                words.name_of(row),
                row["estimator"],
                words.value(row),
                row["is"],
                words.confidence(row),
            )
            for row in result["by_estimator"]
        ),
        methods=next((tuple(s["attacks"]) for s in result["samples"] if s["attacks"]), ()),
        samples=tuple(result["samples"][:_TABLE_ROWS]),
        left_out=max(0, len(result["samples"]) - _TABLE_ROWS),
        band=band(result),
        sandwiches=sandwiches(result),
        meanings=tuple((words.NAMES[name], words.MEANINGS[name]) for name in words.NAMES),
        details=tuple(report_words.details(result["request"])),
        card=model_card(result),
        command=command_line(result["request"], "OUT"),
    )


def _note(row: Mapping[str, Any]) -> str:
    undefined = row["confidence"]["undefined_resamples"]
    method = row["confidence"]["method"]
    parts = [row["note"] or "", f"confidence: {method}" if method in (ALONE, SAME) else ""]
    parts.append(f"{undefined:.1%} of the resamples have no value" if undefined else "")
    return "; ".join(part for part in parts if part)


def command_line(request: Mapping[str, Any], out: str) -> str:
    """The `refcert metrics` call that asks the same again."""
    line = ["refcert", "metrics", "--model", str(request["model"]), "--data", str(request["data"])]
    methods = request["methods"]
    line += ["--methods", ",".join(method["name"] for method in methods)]
    for name in ("steps", "restarts"):
        number = next((method[name] for method in methods if method[name] is not None), None)
        line += [] if number is None else [f"--{name}", str(number)]
    if request["clip"] is not None:
        line += ["--clip", *(repr(value) for value in request["clip"]), "--clip-bound", request["clip_bound"]]
    if request["thresholds"] is not None:
        line += ["--thresholds", ",".join(map(repr, request["thresholds"]))]
    if request["score"] is not None:
        line += ["--score", "--score-samples", str(request["score"]["samples"])]
        line += ["--score-batches", str(request["score"]["batches"])]
    given = ("count", "structure", "readout", "top_k", "spec", "memory")
    always = (
        *("input_set", "norm", "frames", "target", "criterion", "relaxation", "dtype", "device", "batch_size"),
        *("tolerance", "resamples", "confidence", "seed"),
    )
    for name in (*(name for name in given if request[name] is not None), *always):
        line += [f"--{name.replace('_', '-')}", str(request[name])]
    return shlex.join([*line, "--out", out])

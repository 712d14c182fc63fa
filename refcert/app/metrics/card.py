"""The metrics as a piece of Markdown for a model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from refcert.app.attacking.table import question_words
from refcert.app.metrics import words


def model_card(result: Mapping[str, Any]) -> str:
    """A heading, the question, a table of intervals, and what they rest on."""
    data, level = result["data"], f"{result['request']['confidence'] * 100:g} %"
    rows = [
        "| " + " | ".join((words.name_of(row), words.interval(row), words.confidence(row))) + " |"
        for row in result["metrics"]
    ]
    sides = "; ".join(f"{_escaped(side['name'])} ({side['is']})" for side in result["estimators"])
    lines = [
        "## Robustness",
        "",
        f"{result['model']['description']}, weights SHA-256 `{result['model']['digest']}`.",
        f"Question: {_escaped(question_words(result['request']))}; radii in {_escaped(data['unit'])}.",
        f"Data: {_escaped(data['name'])} (SHA-256 `{data['digest']}`); {words.samples(result)}.",
        "",
        f"| metric | interval that holds the value for these samples | {level} confidence interval |",
        "|---|---|---|",
        *rows,
        "",
        *(f"- {words.name_of(row)}: {_escaped(row['note'])}" for row in result["metrics"] if row["note"]),
        *([""] if any(row["note"] for row in result["metrics"]) else []),
        f"Estimators: {sides}.",
        *(f"Not carried out: {_escaped(row['name'])}: {_escaped(row['reason'])}." for row in result["failed"]),
        "Lower ends of robust accuracy and of pointwise robustness are certified; "
        + ("upper ends are by actual adversarial inputs." if words.attacked(result) else _NO_ATTACK),
        "The metrics are those of Bastani et al. (2016); a misclassified sample has radius 0. Confidence",
        f"intervals: bootstrap over samples, seed {result['request']['seed']}. Made by refcert "
        f"{result['versions']['refcert']}.",
        "",
    ]
    return "\n".join(lines)


_NO_ATTACK: Final = "no attack was carried out, so upper ends only count the misclassified samples."


def _escaped(text: str) -> str:
    """Text of the user's that must not begin markup."""
    for mark in "\\`*_|<>[]":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")

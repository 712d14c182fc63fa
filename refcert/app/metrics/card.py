"""The metrics as a piece of Markdown for a model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
        f"{result['count']} samples of {_escaped(data['name'])} (SHA-256 `{data['digest']}`), "
        f"{result['correct']} classified correctly.",
        "",
        f"| metric | interval that holds the value for these samples | {level} confidence interval |",
        "|---|---|---|",
        *rows,
        "",
        f"Estimators: {sides}.",
        *(f"Not carried out: {_escaped(row['name'])}: {_escaped(row['reason'])}." for row in result["failed"]),
        "Lower ends of robust accuracy and of pointwise robustness are certified; upper ends are by actual adversarial",
        "inputs. The metrics are those of Bastani et al. (2016); a misclassified sample has radius 0. Confidence",
        f"intervals: bootstrap over samples, seed {result['request']['seed']}. Made by refcert "
        f"{result['versions']['refcert']}.",
        "",
    ]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Text of the user's that must not begin markup."""
    for mark in "\\`*_|<>[]":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")

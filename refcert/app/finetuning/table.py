"""The metrics before and after for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_finetune(console: Console, summary: dict[str, Any]) -> None:
    """The outcome of `refcert finetune`."""
    before, after, recipe = summary["before"], summary["after"], summary["request"]["recipe"]
    console.print(summary["model"]["description"], soft_wrap=True)
    how = recipe["method"] or f"{recipe['certified']} bounds"
    console.print(
        f"trained by {how}, radius {recipe['radius']:g}, l_{recipe['p']}, {recipe['rounds']} rounds of "
        f"{recipe['epochs']} epochs on {summary['training']['count']} samples; measured on {after['count']} others",
        soft_wrap=True,
    )
    if recipe["certified"]:
        reached = next(
            done["number"] for done in summary["rounds"] if done["radius"] == summary["rounds"][-1]["radius"]
        )
        console.print(f"the radius trained on grew until round {reached}; networks of earlier rounds are unfinished")
    table = Table(f"at radius {recipe['radius']:g}", "before", "after")
    table.add_row("accuracy", _share(before["accuracy"]), _share(after["accuracy"]))
    for name in after["attacks"]:
        first, second = before["attacks"][name], after["attacks"][name]
        if "error" in second:
            continue
        table.add_row(f"adversarial frequency by {name}, at least", *(_share(m["frequency"]) for m in (first, second)))
        table.add_row(f"adversarial severity by {name}, estimate", *(_number(m["severity"]) for m in (first, second)))
        table.add_row(f"median radius of {name}, at most", *(_number(m["median_radius"]) for m in (first, second)))
    table.add_row("certified accuracy, at least", *(_share(m["certified_accuracy"]) for m in (before, after)))
    console.print(table)
    for name, metrics in after["attacks"].items():
        if "error" in metrics:
            console.print(f"{name} was not measured: {metrics['error']}", soft_wrap=True)
    console.print(f"{summary['result']}; {summary['seconds']:.0f} s of training", soft_wrap=True)


def _share(value: float) -> str:
    return f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"

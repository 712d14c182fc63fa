"""The metrics before and after for people."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from refcert.app.metrics.estimates import ACCURACY, MEDIAN, SEVERITY
from refcert.app.metrics.words import figure
from refcert.app.report.words import plural


def print_finetune(console: Console, summary: dict[str, Any]) -> None:
    """The outcome of `refcert finetune`."""
    before, after, recipe = summary["before"], summary["after"], summary["request"]["recipe"]
    console.print(summary["model"]["description"], soft_wrap=True)
    how = recipe["method"] or f"{recipe['certified']} bounds"
    console.print(
        f"trained by {how}, radius {recipe['radius']:g}, l_{recipe['p']}, {plural(recipe['rounds'], 'round')} of "
        f"{plural(recipe['epochs'], 'epoch')} on {plural(summary['training']['count'], 'sample')}; "
        f"measured on {after['count']:,} others",
        soft_wrap=True,
    )
    if recipe["certified"]:
        reached = next(
            done["number"] for done in summary["rounds"] if done["radius"] == summary["rounds"][-1]["radius"]
        )
        console.print(f"the radius trained on grew until round {reached}; networks of earlier rounds are unfinished")
    table = Table(f"at radius {recipe['radius']:g}", "before", "after")
    table.add_row("accuracy", *(figure(ACCURACY, m["accuracy"]) for m in (before, after)))
    for name in after["attacks"]:
        # An attack can fail on one of the two networks only.
        both = [None if "error" in m["attacks"][name] else m["attacks"][name] for m in (before, after)]
        if both == [None, None]:
            continue
        for words, key, shown in _OF_ATTACKS:
            table.add_row(words.format(name), *(_NONE if m is None else shown(m[key]) for m in both))
    table.add_row("certified accuracy, at least", *(_at_least(m["certified_accuracy"]) for m in (before, after)))
    console.print(table)
    for when, measured in (("before", before), ("after", after)):
        for name, metrics in measured["attacks"].items():
            if "error" in metrics:
                console.print(f"{name} was not measured {when}: {metrics['error']}", soft_wrap=True)
    console.print(f"{summary['result']}; {summary['seconds']:.0f} s of training", soft_wrap=True)


def _at_least(share: float) -> str:
    """Rounded down: what is shown is a lower bound, too."""
    return figure(ACCURACY, share, up=False)


def _at_most(radius: float | None) -> str:
    """Rounded up: what is shown is an upper bound, too."""
    return figure(MEDIAN, radius, up=True)


_NONE: Final = "-"
_OF_ATTACKS: Final[tuple[tuple[str, str, Callable[[Any], str]], ...]] = (
    ("adversarial frequency by {}, at least", "frequency", _at_least),
    ("adversarial severity by {}, estimate", "severity", partial(figure, SEVERITY)),
    ("median radius of {}, at most", "median_radius", _at_most),
)

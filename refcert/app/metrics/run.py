"""`refcert metrics`: from a request to the JSON object, the page and the model card's snippet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from refcert.app.errors import InputError
from refcert.app.metrics.card import model_card
from refcert.app.metrics.options import MetricsRequest
from refcert.app.metrics.page import render
from refcert.app.metrics.sides import Row, Side, Sides, gather
from refcert.app.metrics.values import alone, between
from refcert.app.new_folder import new_folder
from refcert.app.opening import open_request
from refcert.app.progress import Progress
from refcert.app.rescue import Rescue, rescued
from refcert.app.storage import json_bytes, write_file

JSON_NAME: Final = "metrics.json"
PAGE_NAME: Final = "metrics.html"
CARD_NAME: Final = "model_card.md"


def run_metrics(
    asked: MetricsRequest, *, out: Path | None, progress: Progress, rescue: Rescue | None = None
) -> dict[str, Any]:
    """Carry it out; returns what `--json` prints and `metrics.json` holds.

    Raises InputError or EngineError on bad input, OutputError when writing fails (then nothing is left in `out`, and
    `rescue` has shown what was computed), and
    SoundnessFault where an attack lies in a certified ball: its evidence is saved in `out`, else in this folder.
    """
    opened = open_request(asked.request)
    with new_folder(out) as folder:
        evidence = Path.cwd() if folder is None else folder
        sides = gather(opened, asked.methods, asked.score, evidence=evidence, progress=progress)
        if not sides.kept:
            raise InputError("no sample has a question here, so there is nothing to measure; choose other frames")
        result = _result(asked, sides) | opened.identity | {"request": asked.to_json()}
        result["samples"] = _samples(sides)
        if folder is None:
            return result
        with rescued(result, rescue):
            write_file(folder / JSON_NAME, json_bytes(result))
            write_file(folder / PAGE_NAME, render(result).encode())
            write_file(folder / CARD_NAME, model_card(result).encode())
    return result


def _result(asked: MetricsRequest, sides: Sides) -> dict[str, Any]:
    attack, how = sides.least_attack(), asked.resampling
    estimators = [sides.certified, *sides.attacks, *([] if sides.score is None else [sides.score])]
    given = asked.thresholds
    thresholds = _round_thresholds(sides.certified, attack) if given is None else given
    rows = [sides.rows[k] for k in sides.kept]
    return {
        "count": len(rows),
        "correct": sum(row["correct"] for row in rows),
        "without_question": len(sides.rows) - len(rows),
        "thresholds": list(thresholds),
        "estimators": [
            {
                "name": side.name,
                "is": side.nature,
                "what": side.what,
                "found": int(np.isfinite(side.radii).sum()),
                "seconds": round(side.seconds, 6),
            }
            | ({"ended": dict(side.ended)} if side.ended else {})
            for side in estimators
        ],
        "failed": list(sides.failed),
        "check": {
            "compared": sides.compared,
            "nothing_found": sides.nothing_found,
            "contradictions": 0,  # one of them would have ended the run
            "withdrawn": [row | {"method": side.name} for side in sides.attacks for row in side.withdrawn],
        },
        "metrics": between(sides.certified, attack, thresholds, how),
        "by_estimator": [row for side in estimators for row in alone(side, thresholds, how)],
    }


def _round_thresholds(certified: Side, attack: Side) -> Sequence[float]:
    """0, and numbers of one digit near half the median certified radius, near it, near an attack's and between them."""
    low = float(np.median(certified.radii))
    found = attack.radii[np.isfinite(attack.radii)]
    high = float(np.median(found)) if len(found) else low
    near = {low / 2, low, math.sqrt(low * high), high}
    return (0.0, *sorted({float(f"{value:.0e}") for value in near} - {0.0}))


def _samples(sides: Sides) -> list[Row]:
    least = sides.least_attack()
    places = {k: place for place, k in enumerate(sides.kept)}
    samples = []
    for k, row in enumerate(sides.rows):
        place = places.get(k)
        mine: Row = {**row, "attack": None, "attacks": None}
        if place is not None:
            mine["attack"] = _finite(least.radii[place])
            mine["attacks"] = {side.name: _finite(side.radii[place]) for side in sides.attacks}
        if sides.score is not None:
            mine["score"] = None if place is None else _finite(sides.score.radii[place])
        samples.append(mine)
    return samples


def _finite(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None

"""What an attack found as one record per sample, as the JSON has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from refcert.app.attacking.work import Part
from refcert.app.request import Request

Row = dict[str, Any]


def attack_records(request: Request, parts: list[Part]) -> list[Row]:
    """One record per sample, in order of the data: `searched` or `fixed`."""
    rows = [row for part in parts for row in _part(request, part)]
    # What only some attacks say is null of a sample that they were not asked about.
    said = [name for name in ("status", "programs", "grid_radius") if any(name in row for row in rows)]
    return [dict.fromkeys(said) | row for row in rows]


def _part(request: Request, part: Part) -> list[Row]:
    rows = [dict(row) for row in part.decided]
    of: Callable[[Request, Part, Tensor, Row], Row] = _searched if request.search else _fixed
    for k, row in enumerate(rows):
        mine = (part.questions.sample == k).nonzero()[:, 0]
        row |= of(request, part, mine, row) if len(mine) else _no_question(request)
    return rows


def best_question(request: Request, part: Part, mine: Tensor) -> int:
    """Of a sample's questions the one with the smallest radius, at a fixed radius with the least margin."""
    if not request.search:
        return int(mine[part.margin[mine].argmin()])
    least = mine[part.radius[mine] == part.radius[mine].min()]
    return int(least[part.margin[least].argmin()])


def _no_question(request: Request) -> Row:
    row: Row = {"found": None, "radius": None} if request.search else {"broken": None}
    row |= {} if request.about_label else {"row": None}
    if request.radius_db is not None:
        row["radius"] = None
    if listed(request):
        row[list_name(request)] = None
    return row | {"adversarial_class": None, "margin": None}


def _searched(request: Request, part: Part, mine: Tensor, decided: Row) -> Row:
    """found: null without a question; radius: of the smallest perturbation over the sample's questions."""
    best = best_question(request, part, mine)
    radius = _finite(float(part.radius[best]))
    found = radius is not None
    row: Row = {"found": found, "radius": radius, **_row(request, part, best, broken=found)}
    if listed(request):
        row[list_name(request)] = _list(part, mine, [_finite(value) for value in part.radius[mine].tolist()])
    row |= _ends(part, best)
    if part.grid is not None:
        row["grid_radius"] = _finite(float(part.grid.radius[mine].min()))
    row["adversarial_class"] = _class(part, best) if found else None
    # Of a misclassified sample also where the one class that was asked about is not above the label.
    row["margin"] = float(part.margin[best]) if found and bool(part.broken[best]) else None
    return row


def _fixed(request: Request, part: Part, mine: Tensor, decided: Row) -> Row:
    """broken: whether an input of the set breaks a question; margin: the least that was found."""
    worst = best_question(request, part, mine)
    broken = bool(part.broken[mine].any()) or (request.about_label and not decided["correct"])
    row: Row = {"broken": broken, **_row(request, part, worst, broken=broken)}
    if request.radius_db is not None:
        row["radius"] = float(part.radius[mine[0]])
    if listed(request):
        row[list_name(request)] = _list(part, mine, part.margin[mine].tolist())
    return row | {
        **_ends(part, worst),
        "adversarial_class": _class(part, worst) if broken else None,
        "margin": float(part.margin[worst]),
    }


def _row(request: Request, part: Part, question: int, *, broken: bool) -> Row:
    """Of the user's own rows, counted from 0, the least at the adversarial input; None where none is broken."""
    if request.about_label:
        return {}
    return {"row": int(part.least_row[question]) if broken else None}


def _ends(part: Part, question: int) -> Row:
    """How the search ended, and how many of its programs ended how, of an attack that says so."""
    row: Row = {"status": part.status[question]} if part.status else {}
    return row | ({"programs": dict(part.programs[question])} if part.programs else {})


def _class(part: Part, question: int) -> int | list[int]:
    """What the network predicts at the input; one a frame where it answers each."""
    outputs = part.outputs[question]
    if outputs.ndim == 1:
        return int(outputs.argmax())
    lengths = part.questions.lengths
    real = len(outputs) if lengths is None else int(lengths[question])
    classes: list[int] = outputs[:real].argmax(1).tolist()
    return classes


def _list(part: Part, mine: Tensor, values: list[float | None]) -> list[float | None]:
    """In order of the questions; one per frame of the data, null behind the sequence's end."""
    asked = part.questions.asked
    if asked.frame is None:
        return values
    found: list[float | None] = [None] * asked.moves.shape[1]
    for frame, value in zip(asked.frame[mine].tolist(), values, strict=True):
        found[frame] = value
    return found


def listed(request: Request) -> bool:
    """Whether a sample has a question per frame or per class."""
    return request.frames == "each" or request.target == "all"


def list_name(request: Request) -> str:
    """frame_radii, frame_margins, target_radii or target_margins."""
    return f"{'frame' if request.frames == 'each' else 'target'}_{'radii' if request.search else 'margins'}"


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def outcome(request: Request, rows: list[Row], *, grid: bool = False) -> Row:
    """Counts, and the mean and median radius of what was found for correctly classified samples.

    grid: whether finds were rounded to whole levels, too.
    """
    counts: Row = {
        "count": len(rows),
        "correct": sum(row["correct"] for row in rows),
        "overflowed": sum(row["reason"] is not None for row in rows),
    }
    if not request.search:
        return counts | {"broken": sum(bool(row["broken"]) for row in rows)}
    asked = [row for row in rows if row["found"] is not None and (row["correct"] or not request.about_label)]
    found = [row["radius"] for row in asked if row["found"]]
    whole = [row["grid_radius"] for row in asked if row.get("grid_radius") is not None]
    of_grid = {"found_on_grid": len(whole), "mean_grid_radius": float(np.mean(whole)) if whole else None}
    return counts | {
        "found": len(found),
        "not_found": len(asked) - len(found),
        "without_question": sum(row["found"] is None and row["reason"] is None for row in rows),
        "mean_radius": float(np.mean(found)) if found else None,
        "median_radius": float(np.median(found)) if found else None,
        **(of_grid if grid else {}),
    }

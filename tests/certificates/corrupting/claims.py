"""Corruptions of what is claimed: margin, input set, question."""

from __future__ import annotations

import math

from tests.certificates.corrupting.values import moved, put
from tests.certificates.corrupting.work import Work


def change_margin(work: Work) -> None:
    body, draw = work.draft.body, work.draw
    margin = float.fromhex(body["margin"])
    new = draw.choice((moved(draw, margin), math.nextafter(margin, math.inf), margin * (1 + 1e-6), 2 * margin))
    body["margin"] = new.hex()


def change_inputs(work: Work) -> None:
    """Another centre, radius, end, candidate, norm, range, or kind of set; mostly one of them, sometimes several."""
    for _ in range(work.draw.choice((1, 1, 1, 2, 4))):
        change_input(work)


def change_input(work: Work) -> None:
    draw, inputs = work.draw, work.draft.body["inputs"]
    tables = work.tables("center", "radius", "lower", "upper", "candidates")
    how = draw.randrange(10)
    if how <= 4:
        table = draw.choice(tables)
        for k in range(len(table.values)) if draw.random() < 0.3 else [draw.randrange(len(table.values))]:
            put(table, k, moved(draw, table.values[k]))
    elif how == 5 and "p" in inputs:
        p = draw.choice((1.0, 1.5, 2.0, 3.0, 1 + 2.0**-52, 0.5, 1e300, 7.25))
        inputs["p"] = draw.choice(("inf", p.hex()))
    elif how == 6 and "radius" in work.draft.tensors:
        cut_at(work)
    elif how == 7 and "radius" in work.draft.tensors:
        time = work.draft.tensors["center"].shape[0]
        if inputs["kind"] == "frame_balls":
            radius = work.draft.tensors["radius"]
            radius.shape, radius.values = (1,), radius.values[:1]
            inputs["kind"] = "sequence_ball"
        inputs["moves"] = sorted(draw.sample(range(time), draw.randint(0, time)))
    elif how == 8 and "counts" in inputs:
        draw.shuffle(inputs["counts"])
    else:
        table = draw.choice(tables)  # frames change places, or one more stands behind them
        if draw.random() < 0.5 and len(table.shape) == 2:
            rows = [table.values[k : k + table.shape[1]] for k in range(0, len(table.values), table.shape[1])]
            draw.shuffle(rows)
            table.values = [x for row in rows for x in row]
        else:
            first = table.values[: table.shape[-1]] if len(table.shape) == 2 else table.values[:1]
            table.values = table.values + first
            table.shape = (table.shape[0] + 1, *table.shape[1:])


def cut_at(work: Work) -> None:
    """Another range, mostly one with the centre on its border, perhaps with a radius and a norm that are extreme."""
    draw, inputs, tensors = work.draw, work.draft.body["inputs"], work.draft.tensors
    center, radius = tensors["center"].values, tensors["radius"]
    wide = [1 + max(map(abs, center)), 1e300, 1.0]
    low, high = draw.choice(((min(center), max(center)), (-draw.choice(wide), draw.choice(wide))))
    inputs["clip"] = [float(low).hex(), float(high).hex()]
    if draw.random() < 0.3:
        del inputs["clip"]
    if draw.random() < 0.5:
        inputs["p"] = draw.choice((1.0, 1.5, 2.0, 2.5, 1 + 2.0**-52, 1e300)).hex()
        for k in range(len(radius.values)):
            put(radius, k, draw.choice((0.0, 5e-324, 2.0**-1000, 2.0**-200, 2.0**-60, 1e-9, 1.0, 1e300)))


def change_question(work: Work) -> None:
    """Another label, target, k, row, or kind of specification."""
    draw, body = work.draw, work.draft.body
    asked = body["specification"]
    rows = work.tables("rows.")
    if rows and draw.random() < 0.7:
        table = draw.choice(rows)
        k = draw.randrange(len(table.values))
        put(table, k, moved(draw, table.values[k]))
        return
    small = [0, 1, 2, 3]
    if draw.random() < 0.5 and asked["kind"] != "rows":
        for key in ("label", "target", "k"):
            if key in asked:
                asked[key] = draw.choice(small)
        if "labels" in asked:
            asked["labels"] = [draw.choice(small[:3]) for _ in asked["labels"]]
        return
    label = asked.get("label", 1)
    body["specification"] = draw.choice(
        (
            {"kind": "untargeted", "label": label},
            {"kind": "targeted", "label": label, "target": draw.choice(small)},
            {"kind": "top_k", "label": label, "k": draw.choice(small)},
            {"kind": "untargeted_steps", "labels": [1] * draw.choice(small)},
            {"kind": "rows"},
        )
    )

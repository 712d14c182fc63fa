"""Corruptions of the body's fields and of the list of steps."""

from __future__ import annotations

import copy
from typing import Any

from tests.certificates.corrupting.data import WEIRD
from tests.certificates.corrupting.work import Work
from tests.certificates.tiny_certificates import Array


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of the JSON value with each of its keys."""
    found, waiting = [], [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            found.append((one, key))
            waiting.append(one[key])
    return found


def swap_fields(work: Work) -> None:
    """Two values of the body change places, mostly two of a kind."""
    spots = places(work.draft.body)
    a, i = work.draw.choice(spots)
    alike = [(b, j) for b, j in spots if type(b[j]) is type(a[i]) and (b, j) != (a, i) and b[j] != a[i]]
    b, j = work.draw.choice(alike if alike and work.draw.random() < 0.8 else spots)
    a[i], b[j] = copy.deepcopy(b[j]), copy.deepcopy(a[i])


def change_field(work: Work) -> None:
    """A value becomes another one, is missing, stands under another key, or has something beside it."""
    draw = work.draw
    holder, key = draw.choice(places(work.draft.body))
    how = draw.randrange(6)
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[
            draw.choice(("", "of", "sets", "part", "clip", "moves", "label", "file", "structure", "é", key + " "))
        ] = 0
    elif how == 2 and type(holder[key]) is int:
        holder[key] = max(0, holder[key] + draw.choice((-1, 1, 2, 8)))
    elif how == 3 and isinstance(holder[key], str) and holder[key]:
        text = holder[key]
        at = draw.randrange(len(text))
        holder[key] = (
            text[:at] + draw.choice(("", "0", "1", "f", "|", ">", "/", "relu/", text[at] * 2)) + text[at + 1 :]
        )
    elif how == 4 and isinstance(holder[key], list) and holder[key]:
        holder[key] = draw.choice((holder[key][::-1], holder[key][:-1], holder[key] * 2, holder[key][0]))
    else:
        holder[key] = copy.deepcopy(draw.choice(WEIRD))


# Steps


IN_BLOCKS = {
    "suppose.row": ("row",),
    "suppose.below": ("of", "unit"),
    "suppose.above": ("of", "unit"),
    "again": (),
    "diagonals.supposed": ("of", "part", "sets"),
    "box.supposed": ("of", "sets"),
    "closed.row": ("sets",),
    "closed.empty": ("of", "unit", "sets"),
    "closed.split": (),
}


def tables_of_steps(work: Work) -> list[Array | None]:
    return [work.draft.tensors.pop(f"step.{k}", None) for k in range(len(work.steps))]


def put_back(work: Work, tables: list[Array | None]) -> None:
    work.draft.tensors.update({f"step.{k}": table for k, table in enumerate(tables) if table is not None})


def reorder_steps(work: Work) -> None:
    draw, tables = work.draw, tables_of_steps(work)
    together = list(zip(work.steps, tables, strict=True))
    how = draw.randrange(4)
    a, b = draw.randrange(len(together)), draw.randrange(len(together))
    if how == 0:
        together[a], together[b] = together[b], together[a]
    elif how == 1:
        together.insert(b, together.pop(a))
    elif how == 2:
        draw.shuffle(together)
    elif how == 3 and len(together) > 1:
        a = draw.randrange(len(together) - 1)
        together[a], together[a + 1] = together[a + 1], together[a]
    work.steps[:] = [step for step, _ in together]
    put_back(work, [table for _, table in together])


def remove_step(work: Work) -> None:
    tables = tables_of_steps(work)
    for _ in range(min(work.draw.choice((1, 1, 2, 5)), len(tables) - 1)):
        k = work.draw.randrange(len(tables))
        del work.steps[k], tables[k]
    put_back(work, tables)


def repeat_step(work: Work) -> None:
    """A step stands twice, perhaps with another number in the copy."""
    tables = tables_of_steps(work)
    k = work.draw.randrange(len(tables))
    at = work.draw.choice((k, k + 1, work.draw.randrange(len(tables) + 1)))
    step = copy.deepcopy(work.steps[k])
    if "set" in step and work.draw.random() < 0.5:
        step["set"] = (step["set"] + 1) % 8
    work.steps.insert(at, step)
    tables.insert(at, copy.deepcopy(tables[k]))
    put_back(work, tables)


def change_step(work: Work) -> None:
    """Another rule, variable, part or set."""
    draw, step = work.draw, work.draw.choice(work.steps)
    boxes = ("box.interval", "box.substitution", "box.intersection")
    rules = ("diagonals", "planes", *boxes, "margin", "margin.per_class", "magic", *IN_BLOCKS)
    if draw.random() < 0.3:
        step["rule"] = draw.choice(rules)
        own = {
            "planes": ("of", "part", "set"),
            "diagonals": ("of", "part", "sets"),
            "box.interval": ("of",),
        } | IN_BLOCKS
        wanted = own.get(step["rule"], ("of", "sets"))
        wanted = ("sets",) if step["rule"].startswith("margin") else wanted
        for key in ("of", "part", "set", "sets", "row", "unit"):
            if key in wanted:
                step.setdefault(key, [0] if key == "sets" else 0)
            else:
                step.pop(key, None)
        return
    keys = [key for key in step if key != "rule"]
    if not keys:
        step["rule"] = draw.choice(["again", "closed.split", "magic"])
        return
    key = draw.choice(keys)
    if key == "sets":
        step["sets"] = sorted(set(draw.choices(range(9), k=draw.choice((0, 1, 2, 3)))))
    else:
        step[key] = max(0, draw.choice((step[key] - 1, step[key] + 1, 0, draw.randrange(9), draw.randrange(40))))

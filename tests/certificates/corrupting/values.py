"""Corruptions of the numbers of planes and boxes."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

from tests.certificates.corrupting.data import nothing_to_change
from tests.certificates.corrupting.work import Work
from tests.certificates.tiny_certificates import Array


def place_of(work: Work, *prefixes: str) -> tuple[Array, int] | None:
    """A tensor and a position in it, at random; tensors of steps, of the claim or of the network."""
    found = work.tables(*prefixes)
    if not found:
        return None
    table = work.draw.choice(found)
    return table, work.draw.randrange(len(table.values))


def put(table: Array, position: int, value: float) -> None:
    """Write a number; the tensor gets the type that holds all."""
    table.values[position] = value
    table.dtype = "F64"


def ulp(draw: random.Random, value: float) -> float:
    return math.nextafter(value, draw.choice((-math.inf, math.inf)))


SPECIAL = (
    *(0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 2.0**-1022, 2.0**-200, 1e-30, 1e30, 1e154, 1e300),
    *(1.7976931348623157e308, -1.7976931348623157e308, math.nan, math.inf, -math.inf),
)


def moved(draw: random.Random, value: float) -> float:
    """A number near this one, or far from it."""
    how = draw.randrange(8)
    if how <= 2:
        return ulp(draw, value)
    if how <= 5:
        return value + draw.choice((-1, 1)) * 10.0 ** draw.randint(-16, 1) * max(abs(value), 1e-3)
    return -value if how == 6 else draw.choice(SPECIAL)


def change_number(work: Work) -> None:
    """Any number of a step, near or far."""
    for _ in range(work.draw.choice((1, 1, 3))):
        table, k = place_of(work, "step.") or (None, 0)
        if table is None:
            return
        if work.draw.random() < 0.1:
            table.values, table.dtype = [work.draw.choice(SPECIAL) for _ in table.values], "F64"
        else:
            put(table, k, moved(work.draw, table.values[k]))


def inward_rows(step: dict[str, Any], table: Array) -> list[tuple[int, int]]:
    """Rows of a step's tensor that bound something, and the way inward: lower offsets and ends up, upper ones down."""
    if step["rule"] == "planes":
        lower, upper = {4: (1, 3), 5: (2, 4), 6: (2, 5)}[table.shape[0]]
        return [(lower, 1), (upper, -1)]
    if step["rule"].startswith("suppose."):
        return [(0, 1 if step["rule"] == "suppose.above" else -1)]
    if step["rule"].startswith("diagonals"):
        return [(0, 1), (1, -1), (2, 1), (3, -1)]
    return [(0, 1), (1, -1)]


def tighten(work: Work) -> None:
    """An offset of a plane or an end of a box moves inward: by one place in the last digit, or by far more."""
    tables = work.draft.tensors
    with_tables = [(s, tables[f"step.{k}"]) for k, s in enumerate(work.steps) if f"step.{k}" in tables]
    if not with_tables:
        return nothing_to_change(work)
    steps = with_tables if work.draw.random() < 0.1 else [work.draw.choice(with_tables)]
    share = work.draw.choice((0, 0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 0.1, 1.0))
    for step, table in steps:
        units = table.shape[1]
        for row, way in work.draw.choice((inward_rows(step, table), [work.draw.choice(inward_rows(step, table))])):
            some = range(units) if work.draw.random() < 0.3 else [work.draw.randrange(units)]
            for unit in some:
                old = table.values[row * units + unit]
                new = math.nextafter(old, way * math.inf) if share == 0 else old + way * share * max(abs(old), 0.01)
                put(table, row * units + unit, new)
    return None


def swap_numbers(work: Work) -> None:
    """Rows or units of a step's tensor, or whole tensors of steps, change places."""
    draw, tables = work.draw, [t for t in work.tables("step.") if len(t.shape) == 2]
    if not tables:
        return nothing_to_change(work)
    table = draw.choice(tables)
    grid = np.array(table.values).reshape(table.shape)
    how = draw.randrange(4)
    if how == 0:
        grid[[*range(len(grid))]] = grid[draw.sample(range(len(grid)), len(grid))]
    elif how == 1:
        a, b = draw.randrange(len(grid)), draw.randrange(len(grid))
        grid[[a, b]] = grid[[b, a]]
    elif how == 2:
        a, b = draw.randrange(grid.shape[1]), draw.randrange(grid.shape[1])
        grid[:, [a, b]] = grid[:, [b, a]]
    else:
        other = draw.choice([t for t in tables if t.shape == table.shape])
        table.values, other.values = other.values, table.values
        table.dtype = other.dtype = "F64"
        return None
    table.values, table.dtype = grid.ravel().tolist(), "F64"
    return None

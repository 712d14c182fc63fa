"""Certificates with blocks, made by hand as those of tiny_certificates, with the naive checker's procedures.

Multipliers come from a short list: for each end the one that gives most. The claimed margin of one is more than its
planes prove without a block, that of another more than one round in a block proves.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from tests.certificates.naive_checker import Bound, Bounds, Supposition
from tests.certificates.naive_network import Form, Program, read_inputs, read_specification
from tests.certificates.tiny_certificates import (
    CENTER,
    INF,
    UNTARGETED,
    Draft,
    Question,
    above,
    array,
    below,
    cell,
    head,
    naive,
    relu_planes,
)

ROW, SPLIT, EMPTY = "block, two rounds", "block, split", "block, nothing left"
MULTIPLIERS = [Fraction(k, 8) for k in (0, 1, 2, 4, 8, 16, 32)]

Table = list[list[float]]


class Script:
    """A certificate about a ReLU network that is being written, with all that its steps have proved."""

    def __init__(self, question: Question, margin: float) -> None:
        given = naive(question.tensors)
        inputs = read_inputs(question.inputs, given)
        self.question, self.margin = question, margin
        self.program = Program(question.structure, naive(question.weights), inputs)
        self.rows = read_specification(question.specification, self.program, given)
        self.steps: list[dict[str, Any]] = []
        self.tables: dict[int, Table] = {}
        self.open = [Bounds(self.program)]
        self.relus = [v for v, one in enumerate(self.program.variables) if one.relu_of is not None]

    @property
    def bounds(self) -> Bounds:
        return self.open[-1]

    def step(self, rule: str, table: Table | None = None, **keys: Any) -> None:
        if table is not None:
            self.tables[len(self.steps)] = table
        self.steps.append({"rule": rule, **keys})

    def unit(self, v: int, unit: int, sign: int) -> Form:
        return {v: [Fraction(sign * (i == unit)) for i in range(self.program.variables[v].size)]}

    def reached(self, row: int) -> Bound:
        """What set 0 proves of a row here."""
        return self.bounds.largest(*self.rows[row], [0])

    # steps

    def planes(self, v: int) -> None:
        table = relu_planes(self.bounds.box(self.program.variables[v].relu_of), 0)
        self.bounds.planes[v, 0] = [[Fraction(x) for x in row] for row in table]
        self.step("planes", table, of=v, part=0, set=0)

    def box(self, v: int) -> None:
        """`box.supposed`: for each end the multipliers of one supposition that give most, unless the box does."""
        had, units = self.bounds.box(v), range(self.program.variables[v].size)
        ends: Table = [[], []]
        factors: list[list[list[Fraction]]] = [[], []]
        for unit in units:
            for side, sign in enumerate((1, -1)):
                best: Bound = sign * had[unit][side]
                chosen = [Fraction(0)] * len(self.bounds.suppositions)
                for multipliers in self.candidates():
                    value = self.end(v, unit, sign)(multipliers)
                    if value > best:
                        best, chosen = value, multipliers
                ends[side].append(below(best) if sign > 0 else above(-best))
                factors[side].append(chosen)
        rows = [[float(mu) for mu in row] for side in factors for row in zip(*side, strict=True)]
        assert all(low <= high for low, high in zip(*ends, strict=True))
        self.bounds.boxes[v] = [(Fraction(low), Fraction(high)) for low, high in zip(*ends, strict=True)]
        self.step("box.supposed", ends + rows, of=v, sets=[0])

    def candidates(self) -> list[list[Fraction]]:
        count = len(self.bounds.suppositions)
        return [[mu if i == k else Fraction(0) for i in range(count)] for k in range(count) for mu in MULTIPLIERS]

    def suppose_row(self, row: int) -> None:
        form, constant = self.rows[row]
        self.open.append(self.bounds.under(Supposition(form, constant - Fraction(self.margin), row=row)))
        self.step("suppose.row", row=row)

    def suppose(self, side: str, v: int, unit: int, s: float) -> None:
        """suppose.below or suppose.above."""
        sign = 1 if side == "below" else -1
        inside = self.bounds.under(Supposition(self.unit(v, unit, sign), -sign * Fraction(s)))
        low, high = inside.boxes[v][unit]
        inside.boxes[v] = list(inside.boxes[v])
        inside.boxes[v][unit] = (low, min(high, Fraction(s))) if sign > 0 else (max(low, Fraction(s)), high)
        self.open.append(inside)
        self.step(f"suppose.{side}", [[s]], of=v, unit=unit)

    def round(self, again: bool = False) -> None:
        """Boxes of arguments, and planes on them."""
        if again:
            self.step("again")
        for v in self.relus:
            self.box(self.program.variables[v].relu_of)
            self.planes(v)

    def close(self, how: str, table: Table | None = None, **keys: Any) -> None:
        self.step(f"closed.{how}", table, **keys)
        self.open.pop()

    def close_somehow(self, row: int) -> None:
        """By the row, or because no value is left for a unit."""
        if self.reached(row) >= self.margin:
            self.close("row", sets=[0])
            return
        for v in (self.program.variables[relu].relu_of for relu in self.relus):
            for unit in range(self.program.variables[v].size):
                best = [max(self.candidates(), key=self.end(v, unit, sign)) for sign in (1, -1)]
                low, high = self.bounds.box(v)[unit]
                low = max(low, self.end(v, unit, 1)(best[0]))
                high = min(high, -self.end(v, unit, -1)(best[1]))
                if low > high:
                    self.close("empty", [[float(mu) for mu in row] for row in best], of=v, unit=unit, sets=[0])
                    return
        raise AssertionError(f"row {row} reaches {float(self.reached(row))}")

    def end(self, v: int, unit: int, sign: int) -> Callable[[list[Fraction]], Bound]:
        """What multipliers give for one end."""
        return lambda multipliers: self.bounds.supposed(self.unit(v, unit, sign), multipliers, [0])

    def draft(self) -> Draft:
        """The certificate, its last step written as well."""
        question = self.question
        self.step("margin", sets=[0])
        body = {
            "format": "refcert certificate",
            "version": 1,
            "network": {"structure": question.structure},
            "inputs": question.inputs,
            "specification": question.specification,
            "steps": self.steps,
            "margin": self.margin.hex(),
        }
        tensors = question.tensors | {f"step.{k}": array(*table) for k, table in self.tables.items()}
        tensors |= {f"network.{key}": weight for key, weight in question.weights.items()}
        draft = Draft(body, tensors, question.weights, question.structure)
        draft.digest()
        draft.claim()
        return copy.deepcopy(draft)


def question(specification: dict[str, Any]) -> Question:
    """A question whose planes leave much room."""
    weights = cell(107, 0, 0, 2, 2) | head(187, 0, 2, 3) | {"after.0.bias": array(0.0, 4.0, 0.0)}
    balls = {"center": CENTER, "radius": array(1.25, 1.25)}
    return Question("|rnn_relu>|final|dense", weights, INF, balls, specification)


def begun(specification: dict[str, Any], margin: float) -> Script:
    """Planes alone; rows 0 and 1 reach about 1.074 and 1.048 by them."""
    script = Script(question(specification), margin)
    for v in script.relus:
        script.planes(v)
    return script


def two_rounds() -> Draft:
    """Steps 0, 1 planes; 2 opens; 3 to 6 and 8 to 11 boxes and planes, 7 begins the second round; 12 closes."""
    script = begun({"kind": "targeted", "label": 1, "target": 0}, 1.4375)
    script.suppose_row(0)
    script.round()
    assert script.reached(0) < script.margin
    script.round(again=True)
    assert script.reached(0) >= script.margin
    script.close("row", sets=[0])
    return script.draft()


def halves() -> Draft:
    """Row 1 is the one that may stay below. Step 2 opens, 3 to 6 are a round; 7 to 11 is the lower half, 12 to 16 the
    upper one, 17 closes both; each half makes one box and planes on it, and one more box and planes.
    """
    script = begun({"kind": "top_k", "label": 1, "k": 2}, 1.4375)
    script.suppose_row(0)
    script.round()
    assert script.reached(0) < script.margin
    v, unit = 4, 1
    for side in ("below", "above"):
        script.suppose(side, v, unit, 0.0)
        script.box(2)
        script.planes(3)
        script.planes(5)
        script.close_somehow(0)
    script.close("split")
    return script.draft()


def nothing_left() -> Draft:
    """Only row 1 needs a block. Step 2 opens it, 3 and 4 are a box and planes on it, 5 closes it."""
    script = begun(UNTARGETED, 1.0625)
    script.suppose_row(1)
    script.close_somehow(1)
    return script.draft()


@functools.cache
def made(name: str) -> Draft:
    return {ROW: two_rounds, SPLIT: halves, EMPTY: nothing_left}[name]()

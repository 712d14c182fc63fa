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

from tests.certificates import diagonal_vectors
from tests.certificates.diagonal_vectors import Planted, doubled, drop, exact, exchanged, keys, planes_of
from tests.certificates.engine_corruptions import shifted
from tests.certificates.naive_checker import Bound, Bounds, Supposition, include
from tests.certificates.naive_network import Form, Part, Program, read_inputs, read_specification
from tests.certificates.planted_corruptions import UNREADABLE, Corruption, put_in
from tests.certificates.tiny_certificates import (
    CENTER,
    INF,
    UNTARGETED,
    Draft,
    Question,
    Vector,
    above,
    array,
    below,
    cell,
    head,
    naive,
    relu_planes,
)

ROW, SPLIT, EMPTY, LSTM = "block, two rounds", "block, split", "block, nothing left", "block, lstm with diagonals"
FAR_OFF = "block, split far off"
NAMES = (ROW, SPLIT, EMPTY, LSTM, FAR_OFF)
MULTIPLIERS = [Fraction(k, 8) for k in (0, 1, 2, 4, 8, 16, 32)]

Table = list[list[float]]


class Script:
    """A certificate about a ReLU network that is being written, with all that its steps have proved."""

    def __init__(self, question: Question, margin: float) -> None:
        given = naive(question.tensors)
        inputs = read_inputs(question.inputs, given)
        self.question, self.margin = question, margin
        self.program = Program(question.structure, naive(question.weights), inputs, products=True)
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

    def products(self, rule: str) -> None:
        """Diagonals and planes of every product."""
        for v, variable in enumerate(self.program.variables):
            for number, part in enumerate(variable.parts):
                self.diagonals(rule, v, number, part)
            for number, part in enumerate(variable.parts):
                cuts = zip(*self.bounds.diagonals[v, number], strict=True)
                ends = [(*self.bounds.arguments(part, unit), list(cut)) for unit, cut in enumerate(cuts)]
                table = [list(row) for row in zip(*(planes_of(part.kind, *one) for one in ends), strict=True)]
                self.bounds.planes[v, 0, number] = exact(table)
                self.step("planes", table, of=v, part=number, set=0)

    def diagonals(self, rule: str, v: int, number: int, part: Part) -> None:
        """Of one part, each end with the multipliers that give most."""
        size, count = self.program.variables[v].size, len(self.bounds.suppositions)
        table: Table = [[] for _ in range(4 + 4 * count)]
        for unit in range(size):
            (v_low, v_high), (z_low, z_high) = self.bounds.arguments(part, unit)
            added = {
                (1, 1): v_low + z_low,
                (-1, -1): -v_high - z_high,
                (1, -1): v_low - z_high,
                (-1, 1): z_low - v_high,
            }
            for k, ((a, b), sum_of_ends) in enumerate(added.items()):
                form: Form = {}
                for (u, first), sign in ((part.v, -a if part.negate else a), (part.z, b)):
                    include(
                        form, u, [Fraction(sign * (i == first + unit)) for i in range(self.program.variables[u].size)]
                    )
                reach = functools.partial(self.bounds.supposed, form, sets=[0])
                best = max(self.candidates() or [[]], key=reach)
                value = max(sum_of_ends, reach(best))
                table[k].append(below(value) if k % 2 == 0 else above(-value))
                for i, mu in enumerate(best):
                    table[4 + k * count + i].append(float(mu))
        self.bounds.diagonals[v, number] = exact(table[:4])
        self.step(rule, table, of=v, part=number, sets=[0])

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
    """Row 1 is the one that may stay below. Step 2 opens, 3 to 6 are a round; 7 to 11 are the lower half, 12 to 16 the
    upper one, each of a box and two steps of planes; 17 closes what 2 opened.
    """
    script = begun({"kind": "top_k", "label": 1, "k": 2}, 1.4375)
    script.suppose_row(0)
    script.round()
    assert script.reached(0) < script.margin
    for side in ("below", "above"):
        script.suppose(side, 4, 0, 0.0)
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
    script.box(2)
    script.planes(3)
    script.close_somehow(1)
    assert script.steps[-1]["rule"] == "closed.empty"
    return script.draft()


def of_products() -> Draft:
    """An LSTM: steps 0 to 9 are diagonals and planes of its products; 10 opens a block, in which they stand again; 21
    closes it.
    """
    found = diagonal_vectors.made(diagonal_vectors.LSTM)
    asked = diagonal_vectors.questions()[diagonal_vectors.LSTM]
    script = Script(asked, 0.0)
    script.products("diagonals")
    least = min(range(len(script.rows)), key=script.reached)
    script.margin = float(Fraction(float.fromhex(found.body["margin"])) + Fraction(1, 64))
    script.suppose_row(least)
    script.products("diagonals.supposed")
    assert [k for k, row in enumerate(script.rows) if script.open[0].largest(*row, [0]) < script.margin] == [least]
    script.close("row", sets=[0])
    return script.draft()


def far_off() -> Draft:
    """As the first one; then a split so far away that nothing lies below it: 12 opens and 13 closes this half, 14 and
    15 the other one, 16 closes what 2 opened.
    """
    draft = two_rounds()
    put_in(12, {"rule": "suppose.below", "of": 2, "unit": 0}, array([-100.0]))(draft)
    put_in(13, {"rule": "closed.empty", "of": 2, "unit": 0, "sets": [0]}, array([0.0, 0.0], [0.0, 0.0]))(draft)
    put_in(14, {"rule": "suppose.above", "of": 2, "unit": 0}, array([-100.0]))(draft)
    put_in(16, {"rule": "closed.split"})(draft)
    return draft


@functools.cache
def made(name: str) -> Draft:
    return {ROW: two_rounds, SPLIT: halves, EMPTY: nothing_left, LSTM: of_products, FAR_OFF: far_off}[name]()


# What is rejected


def only(*steps: int) -> Corruption:
    """These steps alone, in this order, each with its tensor."""

    def corrupt(draft: Draft) -> None:
        entries = draft.body["steps"]
        tables = [draft.tensors.pop(f"step.{k}", None) for k in range(len(entries))]
        draft.body["steps"] = [copy.deepcopy(entries[k]) for k in steps]
        draft.tensors |= {f"step.{n}": copy.deepcopy(table) for n, k in enumerate(steps) if (table := tables[k])}

    return corrupt


def multiplier(step: int, row: int, value: float) -> Corruption:
    """Of the first unit."""

    def corrupt(draft: Draft) -> None:
        table = draft.tensors[f"step.{step}"]
        table.values[row * table.shape[1]] = value

    return corrupt


def deep(at: int, blocks: int) -> Corruption:
    def corrupt(draft: Draft) -> None:
        for _ in range(blocks):
            opens("below", at)(draft)

    return corrupt


def opens(side: str, at: int, s: float = 0.0) -> Corruption:
    return put_in(at, {"rule": f"suppose.{side}", "of": 2, "unit": 0}, array([s]))


def again(at: int) -> Corruption:
    return put_in(at, {"rule": "again"})


def row(at: int) -> Corruption:
    return put_in(at, {"rule": "suppose.row", "row": 0})


FAR = 2.0**-30  # what ends are moved by
SPLIT_STEPS = range(19)

TABLE = [
    Planted("box.supposed: a negative multiplier", ROW, multiplier(3, 2, -0.125)),
    Planted("box.supposed: a multiplier for no supposition", ROW, exchanged(3, 0, 1, 2, 3, 3), UNREADABLE),
    Planted("box.supposed: no multipliers of upper ends", ROW, exchanged(3, 0, 1, 2), UNREADABLE),
    Planted("box.supposed: multipliers exchanged", ROW, exchanged(8, 0, 1, 3, 2)),
    Planted("box.supposed: lower end too high", ROW, shifted(8, 0, FAR)),
    Planted("box.supposed: upper end too low, in a half", SPLIT, shifted(8, 1, -FAR)),
    Planted("box.supposed: ends exchanged", ROW, exchanged(3, 1, 0, 2, 3)),
    Planted("box.supposed: only a set without planes", ROW, keys(8, sets=[5])),
    Planted(
        "box.supposed: outside of blocks",
        ROW,
        put_in(0, {"rule": "box.supposed", "of": 2, "sets": [0]}, array([-9.0, -9.0], [9.0, 9.0])),
    ),
    Planted("diagonals.supposed: a negative multiplier", LSTM, multiplier(13, 4, -0.125)),
    Planted("diagonals.supposed: seven rows", LSTM, exchanged(11, 0, 1, 2, 3, 4, 5, 6), UNREADABLE),
    Planted("diagonals.supposed: lower end of the sum too high", LSTM, shifted(13, 0, FAR)),
    Planted("diagonals.supposed: upper end of the difference too low", LSTM, shifted(19, 3, -FAR)),
    Planted("diagonals.supposed: outside of blocks", LSTM, keys(0, rule="diagonals.supposed")),
    Planted("planes: without the diagonals of the block", LSTM, drop(11)),
    Planted(
        "planes: behind a block",
        ROW,
        put_in(13, {"rule": "planes", "of": 5, "part": 0, "set": 1}, array(*[[0.0] * 2] * 4)),
    ),
    Planted("planes: twice in a round", ROW, doubled(4)),
    Planted("again: not there", ROW, drop(7)),
    Planted("again: first of all", ROW, again(0)),
    Planted("again: outside of blocks", EMPTY, again(1)),
    Planted("again: behind a block", ROW, again(13)),
    Planted("suppose.row: no such row", ROW, keys(2, row=1), UNREADABLE),
    Planted("suppose.row: inside a block", ROW, row(12)),
    Planted("suppose.row: inside a block, lstm", LSTM, row(21)),
    Planted("suppose.row: inside a half", SPLIT, only(*SPLIT_STEPS[:11], 2, 18)),
    Planted("suppose.below: outside of blocks", ROW, opens("below", 13)),
    Planted("suppose.below: outside of blocks, nothing left", EMPTY, opens("below", 6)),
    Planted("suppose.below: outside of blocks, lstm", LSTM, opens("below", 22)),
    Planted("suppose.below: no such unit", SPLIT, keys(7, unit=2), UNREADABLE),
    Planted("suppose.below: of a frame", SPLIT, keys(7, of=1), UNREADABLE),
    Planted("suppose.below: two numbers", FAR_OFF, exchanged(12, 0, 0), UNREADABLE),
    Planted("suppose.below: 65 blocks", ROW, deep(12, 64), UNREADABLE),
    Planted("suppose.below: 64 blocks", ROW, deep(12, 63)),
    Planted("suppose.above: outside of blocks", ROW, opens("above", 13)),
    Planted("suppose.above: outside of blocks, nothing left", EMPTY, opens("above", 6)),
    Planted("suppose.above: outside of blocks, lstm", LSTM, opens("above", 22)),
    Planted("closed.row: not there", ROW, drop(12)),
    Planted("closed.row: after one round", ROW, only(*range(7), 12, 13)),
    Planted("closed.row: only a set without planes", ROW, keys(12, sets=[5])),
    Planted("closed.row: twice", ROW, put_in(13, {"rule": "closed.row", "sets": [0]})),
    Planted("closed.row: by planes of a block that is closed", SPLIT, only(*range(12), 16, 18)),
    Planted("closed.row: of an empty half", FAR_OFF, only(*range(13), *range(15, 18))),
    Planted("closed.empty: a negative multiplier", EMPTY, multiplier(5, 0, -0.125)),
    Planted("closed.empty: too early", EMPTY, only(0, 1, 2, 5, 6)),
    Planted("closed.empty: only a set without planes", EMPTY, keys(5, sets=[5])),
    Planted("closed.empty: of another unit", EMPTY, keys(5, unit=1)),
    Planted("closed.empty: outside of blocks", EMPTY, doubled(5), UNREADABLE),
    Planted("closed.empty: one row of multipliers", EMPTY, exchanged(5, 0), UNREADABLE),
    Planted("closed.split: another number", SPLIT, multiplier(12, 0, 0.125)),
    Planted("closed.split: one half", SPLIT, only(*range(12), 17, 18)),
    Planted("closed.split: one half twice", SPLIT, only(*range(12), *range(7, 12), 17, 18)),
    Planted("closed.split: the upper half first", SPLIT, only(*range(7), *range(12, 17), *range(7, 12), 17, 18)),
    Planted("closed.split: a step between", SPLIT, again(12)),
    Planted("closed.split: a step behind", SPLIT, again(17)),
    Planted("closed.split: of no blocks", FAR_OFF, only(*range(12), 16, 17)),
    Planted("margin: a block that is open", SPLIT, drop(17)),
    Planted("margin: no block", EMPTY, only(0, 1, 6)),
    Planted("per class: with a block", EMPTY, keys(6, rule="margin.per_class")),
]


def accepted() -> list[Vector]:
    return [copy.deepcopy(made(name)).vector(name, "VALID") for name in NAMES]


def rejected() -> list[tuple[Vector, str]]:
    """The vectors, each with the name of its origin."""
    found = []
    for entry in TABLE:
        draft = copy.deepcopy(made(entry.origin))
        entry.corrupt(draft)
        found.append((draft.vector(entry.name, entry.verdict), entry.origin))
    return found

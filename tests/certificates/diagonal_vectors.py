"""Certificates with `diagonals`, made by hand as those of tiny_certificates: an LSTM and a GRU, numbers in quarters.

Ends of diagonals are the tightest binary64 numbers that the naive checker's procedures reach. Planes are tangent
planes, lifted above a grid of points of their domain and a little more; that they hold is the kernel's to say.
"""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tests.certificates.engine_corruptions import shifted
from tests.certificates.naive_checker import Bounds
from tests.certificates.naive_container import Vector as Numbers
from tests.certificates.naive_network import Form, Part, Program, read_inputs, read_specification
from tests.certificates.naive_products import Ends, inside, product, second, sigma
from tests.certificates.planted_corruptions import INVALID, UNREADABLE, Corruption, put_in
from tests.certificates.tiny_certificates import (
    INF,
    UNTARGETED,
    Arrays,
    Draft,
    Plan,
    Question,
    Vector,
    above,
    array,
    below,
    draft_of,
    head,
    naive,
    proved_margin,
    quarters,
)

LSTM, GRU = "lstm with diagonals", "gru with diagonals"
RELU = "one layer: planes alone"
ROOM = Fraction(1, 1024)  # of a plane above the points that were looked at
FAR = 2.0**-8  # what planted corruptions move a number by


def gated(seed: int, gates: int, hidden: int = 1, width: int = 2) -> Arrays:
    """Weights of the one direction of an `lstm` or a `gru`."""
    at = "layers.0.0"
    return {
        f"{at}.weight_ih": quarters(seed, gates * hidden, width),
        f"{at}.weight_hh": quarters(seed + 1, gates * hidden, hidden),
        f"{at}.bias_ih": quarters(seed + 2, gates * hidden),
        f"{at}.bias_hh": quarters(seed + 3, gates * hidden),
    }


def questions() -> dict[str, Question]:
    """Both, with balls so wide that the corners of boxes matter."""
    balls = {"center": array([0.5, -0.25], [0.25, 0.75]), "radius": array(0.5, 0.5)}
    return {
        LSTM: Question("|lstm>|final|dense", gated(210, 4) | head(90, 0, 1, 3), INF, balls, UNTARGETED),
        GRU: Question("|gru>|final|dense", gated(220, 3, 2) | head(93, 0, 2, 3), INF, balls, UNTARGETED),
    }


@functools.cache
def made(name: str) -> Draft:
    """The certificate: for every product diagonals, then planes; boxes are those of interval arithmetic."""
    question, sets = questions()[name], [0]
    given = naive(question.tensors)
    inputs = read_inputs(question.inputs, given)
    program = Program(question.structure, naive(question.weights), inputs, products=True)
    rows = read_specification(question.specification, program, given)
    bounds = Bounds(program)
    steps: list[dict[str, Any]] = []
    tables: list[list[list[float]]] = []
    for v, variable in enumerate(program.variables):
        for number, part in enumerate(variable.parts):
            ends = [diagonals_of(bounds, part, unit, sets) for unit in range(variable.size)]
            tables.append([list(row) for row in zip(*ends, strict=True)])
            steps.append({"rule": "diagonals", "of": v, "part": number, "sets": sets})
            bounds.diagonals[v, number] = exact(tables[-1])
        for number, part in enumerate(variable.parts):
            cuts = zip(*bounds.diagonals[v, number], strict=True)
            planes = [planes_of(part.kind, *bounds.arguments(part, unit), list(cut)) for unit, cut in enumerate(cuts)]
            tables.append([list(row) for row in zip(*planes, strict=True)])
            steps.append({"rule": "planes", "of": v, "part": number, "set": 0})
            bounds.planes[v, 0, number] = exact(tables[-1])
    margin = below(proved_margin(bounds, rows, question.specification, Plan(), sets))
    assert margin > 0, (name, margin)
    body = {
        "format": "refcert certificate",
        "version": 1,
        "network": {"structure": question.structure},
        "inputs": question.inputs,
        "specification": question.specification,
        "steps": [*steps, {"rule": "margin", "sets": sets}],
        "margin": margin.hex(),
    }
    tensors = question.tensors | {f"step.{k}": array(*table) for k, table in enumerate(tables)}
    tensors |= {f"network.{key}": weight for key, weight in question.weights.items()}
    draft = Draft(body, tensors, question.weights, question.structure)
    draft.digest()
    draft.claim()
    return draft


def exact(table: list[list[float]]) -> list[Numbers]:
    return [[Fraction(x) for x in row] for row in table]


def diagonals_of(bounds: Bounds, part: Part, unit: int, sets: list[int]) -> list[float]:
    """The ends of v + z and v - z, as far as they can be reached."""
    (v_low, v_high), (z_low, z_high) = bounds.arguments(part, unit)
    added = {(1, 1): v_low + z_low, (-1, -1): -v_high - z_high, (1, -1): v_low - z_high, (-1, 1): z_low - v_high}
    best = {}
    for (a, b), known in added.items():
        form: Form = {}
        for (u, first), sign in ((part.v, -a if part.negate else a), (part.z, b)):
            term = [Fraction(sign * (i == first + unit)) for i in range(bounds.variables[u].size)]
            form[u] = [x + y for x, y in zip(form[u], term, strict=True)] if u in form else term
        best[a, b] = max(known, bounds.largest(form, Fraction(0), sets))
    return [below(best[1, 1]), above(-best[-1, -1]), below(best[1, -1]), above(-best[-1, 1])]


def planes_of(kind: str, v: Ends, z: Ends, cut: Numbers) -> list[float]:
    """Lower and upper plane, both parallel to the tangent plane at the middle of the domain."""
    points = list(inside(v, z, cut, 3 * GRID))
    x, y = (float(sum(axis) / len(points)) for axis in zip(*points, strict=True))
    s, t = 1 / (1 + math.exp(-x)), math.tanh(y)
    g, dg = (t, 1 - t * t) if kind == "sigmoid_times_tanh" else (y, 1.0)
    slopes = [round(64 * s * (1 - s) * g) / 64, round(64 * s * dg) / 64]
    gaps = []
    for p, q in points:
        gaps += [end - Fraction(slopes[0]) * p - Fraction(slopes[1]) * q for end in product(sigma(p), second(kind, q))]
    return [*slopes, below(min(gaps) - ROOM), *slopes, above(max(gaps) + ROOM)]


GRID = 8


# What is rejected


@dataclass(frozen=True)
class Planted:
    """A corruption of an accepted certificate."""

    name: str
    origin: str
    corrupt: Corruption
    verdict: str = INVALID


def exchanged(step: int, *rows: int) -> Corruption:
    """The rows of a step's tensor in this order."""

    def corrupt(draft: Draft) -> None:
        table = draft.tensors[f"step.{step}"]
        size = table.shape[1]
        table.values[:] = [x for row in rows for x in table.values[row * size : (row + 1) * size]]
        table.shape = (len(rows), size)

    return corrupt


def of_the_gate_itself(step: int) -> Corruption:
    """v + z and v - z for the gate that is not negated: minus v - z and minus v + z."""

    def corrupt(draft: Draft) -> None:
        exchanged(step, 3, 2, 1, 0)(draft)
        table = draft.tensors[f"step.{step}"]
        table.values[:] = [-x for x in table.values]

    return corrupt


def keys(step: int, **changed: Any) -> Corruption:
    return lambda draft: draft.body["steps"][step].update(changed)


def doubled(step: int) -> Corruption:
    def corrupt(draft: Draft) -> None:
        entry, table = draft.body["steps"][step], draft.tensors[f"step.{step}"]
        put_in(step + 1, copy.deepcopy(entry), copy.deepcopy(table))(draft)

    return corrupt


def drop(step: int) -> Corruption:
    return lambda draft: draft.drop(step)


def swap(a: int, b: int) -> Corruption:
    return lambda draft: draft.swap(a, b)


# The steps of the LSTM, frame by frame: 0 diagonals, 1 planes of the cell; 2, 3 of the hidden state; then 4, 5
# diagonals and 6, 7 planes of both parts of the cell; 8, 9. Of the GRU: 0, 1 of the reset gate's product; 2, 3 of the
# hidden state; 4, 5; then 6, 7 diagonals and 8, 9 planes of both parts of the hidden state.
TABLE = [
    Planted("diagonals: lower end of the sum too high", LSTM, shifted(0, 0, FAR)),
    Planted("diagonals: upper end of the sum too low", LSTM, shifted(4, 1, -FAR)),
    Planted("diagonals: lower end of the difference too high", LSTM, shifted(8, 2, FAR)),
    Planted("diagonals: upper end of the difference too low, negated gate", GRU, shifted(6, 3, -FAR)),
    Planted("diagonals: of the gate that is not negated", GRU, of_the_gate_itself(2)),
    Planted("diagonals: sum and difference exchanged", LSTM, exchanged(0, 2, 3, 0, 1)),
    Planted("diagonals: ends exchanged", LSTM, exchanged(0, 1, 0, 2, 3)),
    Planted("diagonals: behind planes", LSTM, swap(5, 6)),
    Planted("diagonals: twice for one part", LSTM, doubled(4)),
    Planted("diagonals: only a set without planes", LSTM, keys(4, sets=[5])),
    Planted("diagonals: no set", LSTM, keys(0, sets=[]), UNREADABLE),
    Planted("diagonals: three rows", LSTM, exchanged(0, 0, 1, 2), UNREADABLE),
    Planted("diagonals: part one of one", LSTM, keys(0, part=1), UNREADABLE),
    Planted(
        "diagonals: of one argument",
        RELU,
        put_in(
            0,
            {"rule": "diagonals", "of": 3, "part": 0, "sets": [0]},
            array([0.0, 0.0], [9.0, 9.0], [0.0, 0.0], [9.0, 9.0]),
        ),
        UNREADABLE,
    ),
    Planted("planes: violated inside the octagon", LSTM, shifted(1, 5, -FAR)),
    Planted("planes: that hold on the octagon alone, lstm", LSTM, drop(0)),
    Planted("planes: that hold on the octagon alone, gru", GRU, drop(2)),
]


def accepted() -> list[Vector]:
    return [copy.deepcopy(made(name)).vector(name, "VALID") for name in (LSTM, GRU)]


def rejected() -> list[tuple[Vector, str]]:
    """The vectors, each with the name of its origin."""
    found = []
    for entry in TABLE:
        draft = draft_of(RELU) if entry.origin == RELU else copy.deepcopy(made(entry.origin))
        entry.corrupt(draft)
        found.append((draft.vector(entry.name, entry.verdict), entry.origin))
    return found

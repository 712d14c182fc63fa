"""The program of a network, by the text of section 4 of `proofs/spec/certificate_v1.md` alone, in ball arithmetic.

Nothing of the engine is used, so that a writer that numbers variables or joins vectors in another way than the text
says is found out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flint import arb, arb_mat


@dataclass(frozen=True)
class Frame:
    t: int
    size: int


@dataclass(frozen=True)
class Affine:
    """bias (size, 1) plus the sum of matrix (size, size of the variable) times variable."""

    size: int
    bias: arb_mat
    terms: list[tuple[int, arb_mat]]


@dataclass(frozen=True)
class Part:
    """kind(v) or kind(v, z): each argument is (variable, first unit); sign: -1 where v is minus those units."""

    kind: str
    v: tuple[int, int]
    z: tuple[int, int] | None = None
    sign: int = 1


@dataclass(frozen=True)
class Nonlinear:
    size: int
    parts: list[Part]


@dataclass(frozen=True)
class Program:
    variables: list[Frame | Affine | Nonlinear]
    answers: list[int]


def matrix(values) -> arb_mat:
    values = np.asarray(values, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    return arb_mat(values.shape[0], values.shape[1], [float(value) for value in values.reshape(-1)])


def unit_matrix(size: int, factor: arb | int = 1) -> arb_mat:
    return arb_mat(size, size, [factor if i == j else 0 for i in range(size) for j in range(size)])


class _Builder:
    def __init__(self, structure: str, weights: dict[str, np.ndarray], time: int) -> None:
        self.weights, self.time = weights, time
        self.before, self.layers, self.readout, self.after = structure.split("|")
        first = "before.0.weight" if self.before.startswith("dense") else None
        if first is None:
            kinds = self.before.split("/") if self.before else []
            dense = [f"before.{k}.weight" for k, kind in enumerate(kinds) if kind == "dense"]
            first = dense[0] if dense else "layers.0.0.weight_ih"
        self.variables: list = [Frame(t, weights[first].shape[1]) for t in range(time)]

    def add(self, variable) -> int:
        self.variables.append(variable)
        return len(self.variables) - 1

    def size(self, vector: list[int]) -> int:
        return sum(self.variables[k].size for k in vector)

    def through(self, weight: np.ndarray, vector: list[int]) -> list[tuple[int, np.ndarray]]:
        """weight times the joined vector, as one matrix for each variable."""
        found, column = [], 0
        for k in vector:
            found.append((k, weight[:, column : column + self.variables[k].size]))
            column += self.variables[k].size
        assert column == weight.shape[1]
        return found

    def affine(self, size: int, terms, biases) -> int:
        """terms: (variable, matrix, first row); biases: (vector, first row)."""
        total = arb_mat(size, 1)
        for bias, row in biases:
            total = total + matrix(_placed(bias[:, None], row, size))
        return self.add(Affine(size, total, [(k, matrix(_placed(m, row, size))) for k, m, row in terms]))

    def blocks(self, where: str, text: str, vector: list[int]) -> list[int]:
        for k, kind in enumerate(text.split("/") if text else []):
            if kind == "dense":
                weight, bias = self.weights[f"{where}.{k}.weight"], self.weights[f"{where}.{k}.bias"]
                terms = [(*term, 0) for term in self.through(weight, vector)]
                vector = [self.affine(len(bias), terms, [(bias, 0)])]
            else:
                vector = [self.add(Nonlinear(self.variables[k].size, [Part(kind, (k, 0))])) for k in vector]
        return vector

    def build(self) -> Program:
        frames = [self.blocks("before", self.before, [t]) for t in range(self.time)]
        finals: list[int] = []
        for k, layer in enumerate(self.layers.split(";")):
            runs = []
            finals = []
            for j, direction in enumerate(layer.split(",")):
                cell, backward = direction[:-1], direction[-1] == "<"
                order = list(range(self.time))[:: -1 if backward else 1]
                states = self.direction(f"layers.{k}.{j}.", cell, frames, order)
                finals.append(states[order[-1]])
                runs.append([states[t] for t in range(self.time)])
            frames = [[run[t] for run in runs] for t in range(self.time)]
        directions = range(len(finals))
        if self.readout == "final":
            read = [finals]
        elif self.readout == "last_frame":
            read = [frames[-1]]
        elif self.readout == "mean":
            read = [[self.mean([frame[j] for frame in frames]) for j in directions]]
        elif self.readout == "max":
            read = [[self.maximum([frame[j] for frame in frames]) for j in directions]]
        else:
            read = frames
        return Program(self.variables, [self.blocks("after", self.after, vector)[0] for vector in read])

    def direction(self, name: str, cell: str, frames, order) -> dict[int, int]:
        w = {key.removeprefix(name): value for key, value in self.weights.items() if key.startswith(name)}
        hidden = self.start(w.get("initial_hidden"))
        state = self.start(w.get("initial_cell"))
        states = {}
        for t in order:
            if cell == "lstm":
                hidden, state = self.lstm(w, frames[t], hidden, state)
            elif cell.startswith("gru"):
                hidden = (self.gru if cell == "gru" else self.gru_reset_before)(w, frames[t], hidden)
            else:
                argument = self.gates(w, slice(None), frames[t], hidden)
                size = self.variables[argument].size
                hidden = self.add(Nonlinear(size, [Part(cell.removeprefix("rnn_"), (argument, 0))]))
            states[t] = hidden
        return states

    def start(self, value) -> int | None:
        return None if value is None or not value.any() else self.affine(len(value), [], [(value, 0)])

    def gates(self, w, rows: slice, x, hidden) -> int:
        terms = [(*term, 0) for term in self.through(w["weight_ih"][rows], x)]
        if hidden is not None:
            terms.append((hidden, w["weight_hh"][rows], 0))
        size = len(w["bias_ih"][rows])
        return self.affine(size, terms, [(w["bias_ih"][rows], 0), (w["bias_hh"][rows], 0)])

    def lstm(self, w, x, hidden, state) -> tuple[int, int]:
        h = len(w["bias_ih"]) // 4
        gates = self.gates(w, slice(None), x, hidden)
        i, f, g, o = ((gates, k * h) for k in range(4))
        parts = [Part("sigmoid_times_tanh", i, g)]
        if state is not None:
            parts.append(Part("sigmoid_times_identity", f, (state, 0)))
        cell = self.add(Nonlinear(h, parts))
        hidden = self.add(Nonlinear(h, [Part("sigmoid_times_tanh", o, (cell, 0))]))
        if "weight_hr" in w:
            hidden = self.affine(len(w["weight_hr"]), [(hidden, w["weight_hr"], 0)], [])
        return hidden, cell

    def gru(self, w, x, hidden) -> int:
        h = len(w["bias_ih"]) // 3
        terms = [(*term, 0) for term in self.through(w["weight_ih"][: 2 * h], x)]
        if hidden is not None:
            terms.append((hidden, w["weight_hh"], 0))
        gates = self.affine(3 * h, terms, [(w["bias_ih"][: 2 * h], 0), (w["bias_hh"], 0)])
        reset = self.add(Nonlinear(h, [Part("sigmoid_times_identity", (gates, 0), (gates, 2 * h))]))
        terms = [(*term, 0) for term in self.through(w["weight_ih"][2 * h :], x)]
        candidate = self.affine(h, [*terms, (reset, np.eye(h), 0)], [(w["bias_ih"][2 * h :], 0)])
        return self.update(h, gates, h, candidate, hidden)

    def gru_reset_before(self, w, x, hidden) -> int:
        h = len(w["bias_ih"]) // 3
        gates = self.gates(w, slice(0, 2 * h), x, hidden)
        reset = None
        if hidden is not None:
            reset = self.add(Nonlinear(h, [Part("sigmoid_times_identity", (gates, 0), (hidden, 0))]))
        candidate = self.gates(w, slice(2 * h, None), x, reset)
        return self.update(h, gates, h, candidate, hidden)

    def update(self, size: int, gates: int, z: int, candidate: int, hidden) -> int:
        parts = [Part("sigmoid_times_tanh", (gates, z), (candidate, 0), sign=-1)]
        if hidden is not None:
            parts.append(Part("sigmoid_times_identity", (gates, z), (hidden, 0)))
        return self.add(Nonlinear(size, parts))

    def mean(self, states: list[int]) -> int:
        size = self.variables[states[0]].size
        share = unit_matrix(size, arb(1) / len(states))
        return self.add(Affine(size, arb_mat(size, 1), [(k, share) for k in states]))

    def maximum(self, states: list[int]) -> int:
        while len(states) > 1:
            pairs = [self.larger(a, b) for a, b in zip(states[::2], states[1::2], strict=False)]
            states = pairs + ([states[-1]] if len(states) % 2 else [])
        return states[0]

    def larger(self, a: int, b: int) -> int:
        size = self.variables[a].size
        plus, minus = unit_matrix(size), unit_matrix(size, -1)
        difference = self.add(Affine(size, arb_mat(size, 1), [(b, plus), (a, minus)]))
        rise = self.add(Nonlinear(size, [Part("relu", (difference, 0))]))
        return self.add(Affine(size, arb_mat(size, 1), [(a, plus), (rise, plus)]))


def _placed(rows: np.ndarray, first: int, size: int) -> np.ndarray:
    whole = np.zeros((size, rows.shape[1]))
    whole[first : first + len(rows)] = rows
    return whole


def program(structure: str, weights: dict[str, np.ndarray], time: int) -> Program:
    """The variables of section 4 in their order."""
    return _Builder(structure, weights, time).build()


# values


def function(kind: str, v: arb, z: arb | None) -> arb:
    if kind == "relu":
        return v.max(arb(0))
    if kind == "tanh":
        return v.tanh()
    sigmoid = 1 / (1 + (-v).exp())
    if kind == "sigmoid":
        return sigmoid
    return sigmoid * (z.tanh() if kind == "sigmoid_times_tanh" else z)


def values(found: Program, x: np.ndarray) -> list[list[arb]]:
    """Every variable at the input x (time, input), unit by unit."""
    known: list[list[arb]] = []
    for variable in found.variables:
        if isinstance(variable, Frame):
            known.append([arb(float(value)) for value in x[variable.t]])
        elif isinstance(variable, Affine):
            total = variable.bias
            for k, weight in variable.terms:
                total = total + weight * arb_mat(len(known[k]), 1, known[k])
            known.append(total.entries())
        else:
            known.append(
                [
                    sum(function(part.kind, *arguments(part, unit, known)) for part in variable.parts)
                    for unit in range(variable.size)
                ]
            )
    return known


def arguments(part: Part, unit: int, known) -> tuple[arb, arb | None]:
    v = part.sign * known[part.v[0]][part.v[1] + unit]
    return v, None if part.z is None else known[part.z[0]][part.z[1] + unit]

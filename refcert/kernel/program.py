"""The network unrolled: numbered variables, each defined by those before it (certificate_v1.md, section 4)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from flint import arb_mat

from refcert.kernel.container import Table
from refcert.kernel.errors import UnreadableError
from refcert.kernel.network import Direction, Network

MAX_UNITS: Final = 1 << 24
MAX_VARIABLES: Final = 1 << 20
MAX_FRAMES: Final = 1 << 16

Form = Mapping[tuple[int, int], float]
"""A linear form: coefficients by variable and unit."""


class Matrix:
    """A block of a weight as exact balls: `ball` (rows, columns) and the absolute values."""

    def __init__(self, table: Table, rows: range, columns: range) -> None:
        self.rows, self.columns = len(rows), len(columns)
        width = table.shape[1]
        entries: list[float] = []
        for k in rows:
            entries += table.values[k * width + columns.start : k * width + columns.stop]
        self.entries = entries
        self.ball = arb_mat(self.rows, self.columns, entries)
        self.size = arb_mat(self.rows, self.columns, [abs(x) for x in entries])


class View(NamedTuple):
    """Units first .. first + size - 1 of a variable."""

    variable: int
    first: int
    size: int

    def part(self, k: int, parts: int) -> View:
        """Part k of equally many units each."""
        size = self.size // parts
        return View(self.variable, self.first + k * size, size)


class Term(NamedTuple):
    """matrix @ source, or source / divisor, added to the units from `row` on."""

    source: View
    matrix: Matrix | None = None
    row: int = 0
    divisor: int = 1


class Constant(NamedTuple):
    """Values added to the units from `row` on."""

    values: array[float]
    row: int = 0


class Part(NamedTuple):
    """kind(v) or kind(v, z); with `negate`, minus v takes the place of v."""

    kind: str
    v: View
    z: View | None = None
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A frame (neither terms, constants nor parts), an affine variable, or a nonlinear one (parts)."""

    label: str
    size: int
    terms: tuple[Term, ...] = ()
    constants: tuple[Constant, ...] = ()
    parts: tuple[Part, ...] = ()


@dataclass(slots=True)
class Program:
    """variables by number, the first `frames` of them frames; answers: one view each."""

    frames: int
    variables: list[Variable] = field(default_factory=list)
    answers: list[View] = field(default_factory=list)
    units: int = 0

    def add(self, variable: Variable) -> View:
        self.units += variable.size
        if self.units > MAX_UNITS or len(self.variables) >= MAX_VARIABLES:
            raise UnreadableError(
                f"the network has over {MAX_UNITS} units or {MAX_VARIABLES} variables for {self.frames} frames"
            )
        self.variables.append(variable)
        return View(len(self.variables) - 1, 0, variable.size)


def unroll(network: Network, frames: int) -> Program:
    """The program for `frames` frames, in the order of the recipe. Raises UnreadableError where it is too large."""
    if frames > MAX_FRAMES:
        raise UnreadableError(f"there are {frames} frames; at most {MAX_FRAMES} are allowed")
    return _Recipe(network, frames).run()


class _Recipe:
    def __init__(self, network: Network, frames: int) -> None:
        self.network, self.frames = network, frames
        self.program = Program(frames)
        self.matrices: dict[tuple[str, range, range], Matrix] = {}

    def run(self) -> Program:
        read = [[self.program.add(Variable(f"frame {t}", self.network.input_size))] for t in range(self.frames)]
        read = [self.blocks("before", self.network.before, views, t) for t, views in enumerate(read)]
        finals: list[View] = []
        for k, layer in enumerate(self.network.layers):
            runs = [self.direction(direction, read, k) for direction in layer]
            finals = [run[0 if one.reverse else -1] for one, run in zip(layer, runs, strict=True)]
            read = [[run[t] for run in runs] for t in range(self.frames)]
        readout = self.network.readout
        if readout == "final":
            read = [finals]
        elif readout == "last_frame":
            read = read[-1:]
        elif readout != "every":
            pool = self.mean if readout == "mean" else self.maximum
            read = [[pool([views[j] for views in read]) for j in range(len(finals))]]
        for t, views in enumerate(read):
            self.program.answers += self.blocks("after", self.network.after, views, t)
        return self.program

    # pieces of affine variables

    def product(self, name: str, sources: Sequence[View], rows: range | None = None) -> list[Term]:
        """These rows of a weight times the sources joined; one term a source."""
        table = self.network.weights[name]
        rows = range(table.shape[0]) if rows is None else rows
        terms, column = [], 0
        for source in sources:
            key = name, rows, range(column, column + source.size)
            if key not in self.matrices:
                self.matrices[key] = Matrix(table, rows, key[2])
            terms.append(Term(source, self.matrices[key]))
            column += source.size
        return terms

    def bias(self, name: str, rows: range | None = None) -> Constant:
        values = self.network.weights[name].values
        return Constant(values if rows is None else values[rows.start : rows.stop])

    def affine(self, label: str, size: int, terms: Sequence[Term], constants: Sequence[Constant] = ()) -> View:
        return self.program.add(Variable(label, size, tuple(terms), tuple(constants)))

    def nonlinear(self, label: str, *parts: Part) -> View:
        return self.program.add(Variable(label, parts[0].v.size, parts=parts))

    # blocks and readouts

    def blocks(self, where: str, blocks: Sequence[str], views: list[View], t: int) -> list[View]:
        for k, block in enumerate(blocks):
            label = f"{where} {k}, frame {t}"
            if block == "dense":
                bias = self.bias(f"{where}.{k}.bias")
                views = [self.affine(label, len(bias.values), self.product(f"{where}.{k}.weight", views), [bias])]
            else:
                views = [self.nonlinear(label, Part(block, view)) for view in views]
        return views

    def mean(self, views: list[View]) -> View:
        return self.affine("mean", views[0].size, [Term(view, divisor=len(views)) for view in views])

    def maximum(self, views: list[View]) -> View:
        """By pairs: max(a, b) = a + relu(b - a)."""
        while len(views) > 1:
            pairs = [self.larger(a, b) for a, b in zip(views[::2], views[1::2], strict=False)]
            views = pairs + views[len(views) - len(views) % 2 :]
        return views[0]

    def larger(self, a: View, b: View) -> View:
        difference = self.affine("difference", a.size, [Term(b), Term(a, divisor=-1)])
        rise = self.nonlinear("rise", Part("relu", difference))
        return self.affine("maximum", a.size, [Term(a), Term(rise)])

    # cells

    def direction(self, one: Direction, read: list[list[View]], layer: int) -> list[View]:
        """The outputs of one direction, by frame."""
        where = f"layer {layer}{' backward' if one.reverse else ''}"
        hidden = self.initial(f"initial hidden state, {where}", one.prefix + "initial_hidden")
        cell = self.initial(f"initial cell state, {where}", one.prefix + "initial_cell")
        outputs: dict[int, View] = {}
        for t in range(self.frames - 1, -1, -1) if one.reverse else range(self.frames):
            at = f", {where}, frame {t}"
            if one.cell == "lstm":
                hidden, cell = self.lstm(one, read[t], hidden, cell, at)
            elif one.cell == "gru":
                hidden = self.gru(one, read[t], hidden, at)
            elif one.cell == "gru_reset_before":
                hidden = self.gru_reset_before(one, read[t], hidden, at)
            else:
                hidden = self.vanilla(one, read[t], hidden, at)
            outputs[t] = hidden
        return [outputs[t] for t in range(self.frames)]

    def initial(self, label: str, name: str) -> View | None:
        """An initial state; none where it is absent or all zero."""
        table = self.network.weights.get(name)
        if table is None or not any(table.values):
            return None
        return self.affine(label, table.shape[0], (), [Constant(table.values)])

    def gates(
        self, one: Direction, x: list[View], hidden: View | None, rows: range, label: str, own: range | None = None
    ) -> View:
        """W_ih x + b_ih for the rows `own` (all, if not given), which come first, + W_hh h + b_hh for all rows."""
        own = rows if own is None else own
        terms = self.product(one.prefix + "weight_ih", x, own)
        if hidden is not None:
            terms += self.product(one.prefix + "weight_hh", [hidden], rows)
        constants = [self.bias(one.prefix + "bias_ih", own), self.bias(one.prefix + "bias_hh", rows)]
        return self.affine(label, len(rows), terms, constants)

    def vanilla(self, one: Direction, x: list[View], hidden: View | None, at: str) -> View:
        argument = self.gates(one, x, hidden, range(one.hidden), "argument" + at)
        return self.nonlinear("hidden" + at, Part(one.cell.removeprefix("rnn_"), argument))

    def lstm(self, one: Direction, x: list[View], hidden: View | None, cell: View | None, at: str) -> tuple[View, View]:
        gates = self.gates(one, x, hidden, range(4 * one.hidden), "gates" + at)
        i, f, g, o = (gates.part(k, 4) for k in range(4))
        parts = [Part("sigmoid_times_tanh", i, g)]
        if cell is not None:
            parts.append(Part("sigmoid_times_identity", f, cell))
        cell = self.nonlinear("cell" + at, *parts)
        output = self.nonlinear("hidden" + at, Part("sigmoid_times_tanh", o, cell))
        if one.prefix + "weight_hr" in self.network.weights:
            output = self.affine("projected" + at, one.output, self.product(one.prefix + "weight_hr", [output]))
        return output, cell

    def gru(self, one: Direction, x: list[View], hidden: View | None, at: str) -> View:
        size = one.hidden
        gates = self.gates(one, x, hidden, range(3 * size), "gates" + at, range(2 * size))
        r, z, s = (gates.part(k, 3) for k in range(3))
        reset = self.nonlinear("reset" + at, Part("sigmoid_times_identity", r, s))
        own = range(2 * size, 3 * size)
        terms = [*self.product(one.prefix + "weight_ih", x, own), Term(reset)]
        return self.update(z, terms, [self.bias(one.prefix + "bias_ih", own)], hidden, at)

    def gru_reset_before(self, one: Direction, x: list[View], hidden: View | None, at: str) -> View:
        size = one.hidden
        gates = self.gates(one, x, hidden, range(2 * size), "gates" + at)
        r, z = (gates.part(k, 2) for k in range(2))
        own = range(2 * size, 3 * size)
        terms = self.product(one.prefix + "weight_ih", x, own)
        if hidden is not None:
            reset = self.nonlinear("reset" + at, Part("sigmoid_times_identity", r, hidden))
            terms += self.product(one.prefix + "weight_hh", [reset], own)
        biases = [self.bias(one.prefix + "bias_ih", own), self.bias(one.prefix + "bias_hh", own)]
        return self.update(z, terms, biases, hidden, at)

    def update(self, z: View, terms: list[Term], biases: list[Constant], hidden: View | None, at: str) -> View:
        """sigmoid(-z) tanh(candidate) + sigmoid(z) h."""
        candidate = self.affine("candidate" + at, z.size, terms, biases)
        parts = [Part("sigmoid_times_tanh", z, candidate, negate=True)]
        if hidden is not None:
            parts.append(Part("sigmoid_times_identity", z, hidden))
        return self.nonlinear("hidden" + at, *parts)

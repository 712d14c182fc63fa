"""Sections 4 to 6 of proofs/spec/certificate_v1.md for the naive checker: input set, network and specification.

What is read is exact: an input set is its `least`, a network the list of its variables, a specification its rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.certificates.naive_container import Tensors, Vector, kind_of, natural, naturals, need, number, rising

Form = dict[int, Vector]  # a sum over variables of a . variable

MAX_FRAMES, MAX_UNITS = 2**16, 2**24  # section 5
ZERO, ONE = Fraction(0), Fraction(1)


class NotCovered(Exception):
    """The file may be right, but holds a cell, an activation or a norm that the naive checker does not know."""


def dot(a: Iterable[Fraction], b: Iterable[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), ZERO)


# Section 5: input sets


@dataclass
class Inputs:
    """X: the number and size of its frames, and `least` of a form over them."""

    frames: int
    width: int
    least: Callable[[Form], Fraction]


def read_inputs(thing: Any, tensors: Tensors) -> Inputs:
    """Section 5."""
    keys = {"frame_balls": ["p"], "sequence_ball": ["p"], "boxes": [], "substitutions": ["counts"]}
    kind = kind_of(thing, keys, {"frame_balls": ["clip"], "sequence_ball": ["clip", "moves"]})
    center = tensors.take("lower" if kind == "boxes" else "center", None, None)
    (T, n), points = center.shape, center.rows()
    need(T <= MAX_FRAMES, f"{T} frames")
    if kind == "boxes":
        ends = [list(zip(*pair, strict=True)) for pair in zip(points, tensors.take("upper", T, n).rows(), strict=True)]
        need(all(low <= high for frame in ends for low, high in frame), "a lower end exceeds its upper end")
        return Inputs(T, n, lambda form: least_of_box(form, ends))
    if kind == "substitutions":
        counts = naturals(thing["counts"])
        need(len(counts) == T, f"{len(counts)} counts for {T} frames")
        words = tensors.take("candidates", sum(counts), n).rows() if any(counts) else []
        choices = [[x, *words[sum(counts[:t]) : sum(counts[: t + 1])]] for t, x in enumerate(points)]
        return Inputs(T, n, lambda form: sum((min(dot(a, x) for x in choices[t]) for t, a in form.items()), ZERO))
    radius = tensors.take("radius", T if kind == "frame_balls" else 1).vector()
    need(min(radius) >= 0, "a negative radius")
    moves = rising(thing.get("moves", list(range(T))), T)
    clip = thing.get("clip")
    if clip is not None:
        need(isinstance(clip, list) and len(clip) == 2, "`clip` is not a list of two numbers")
        clip = [number(end) for end in clip]
        need(clip[0] <= clip[1], "`clip`: the second is below the first")
        need(all(clip[0] <= x <= clip[1] for point in points for x in point), "`clip`: the center lies outside")
    p = thing["p"] if thing["p"] == "inf" else number(thing["p"])
    need(p == "inf" or p >= 1, f"p = {p}")
    balls = [([t], radius[t]) for t in range(T)] if kind == "frame_balls" else [(moves, radius[0])]
    if p == 1:
        return Inputs(T, n, lambda form: least_of_one_norm(form, points, balls, clip))
    if p != "inf":
        raise NotCovered(f"p = {p}")
    reach = {t: r for frames, r in balls for t in frames}
    ends = [[(x - reach.get(t, ZERO), x + reach.get(t, ZERO)) for x in point] for t, point in enumerate(points)]
    if clip is not None:
        ends = [[(max(low, clip[0]), min(high, clip[1])) for low, high in frame] for frame in ends]
    return Inputs(T, n, lambda form: least_of_box(form, ends))


def least_of_box(form: Form, ends: list[list[tuple[Fraction, Fraction]]]) -> Fraction:
    """Sections 5 and 8: the least of a form over vectors between lower and upper ends, coordinate by coordinate."""
    terms = ((k, end) for v, a in form.items() for k, end in zip(a, ends[v], strict=True))
    return sum((k * end[k < 0] for k, end in terms), ZERO)


def least_of_one_norm(
    form: Form, center: list[Vector], balls: list[tuple[list[int], Fraction]], clip: Vector | None
) -> Fraction:
    """Section 5, p = 1: each radius is spent where it lowers the form most, as far as the clip leaves room."""
    least = sum((dot(a, center[t]) for t, a in form.items()), ZERO)
    for frames, left in balls:
        slopes = [(abs(a), a > 0, x) for t in frames if t in form for a, x in zip(form[t], center[t], strict=True)]
        for slope, falls, x in sorted(slopes, reverse=True):
            room = left if clip is None else min(left, x - clip[0] if falls else clip[1] - x)
            least, left = least - slope * room, left - room
    return least


# Section 4: the network


@dataclass
class Part:
    """A product: its kind, the variable and first unit of v and of z, and whether v stands for minus what it reads."""

    kind: str
    v: tuple[int, int]
    z: tuple[int, int]
    negate: bool = False


@dataclass
class Variable:
    """A frame, an affine variable (a constant, and terms: variable -> matrix), relu of a variable, or products."""

    size: int
    constant: Vector | None = None
    terms: dict[int, list[Vector]] = field(default_factory=dict)
    relu_of: int | None = None
    parts: list[Part] = field(default_factory=list)

    def is_frame(self) -> bool:
        return self.constant is None and self.relu_of is None and not self.parts


Block = tuple[list[Vector], Vector] | None  # `dense` (weight, bias), or `relu`


class Program:
    """Section 4: the variables that the recipe makes, and the answers; weights are taken in the digest's order.

    products: whether the cells `lstm` and `gru` are covered.
    """

    def __init__(self, structure: Any, weights: Tensors, inputs: Inputs, products: bool = False) -> None:
        self.weights, self.inputs, self.units = weights, inputs, 0
        self.variables: list[Variable] = []
        need(isinstance(structure, str) and structure.count("|") == 3, "not BEFORE|LAYERS|READOUT|AFTER")
        before, layers, readout, after = structure.split("|")
        need(readout in ("final", "last_frame", "mean", "max", "every"), f"readout {readout}")
        self.every = readout == "every"
        heard = [[self.add(Variable(inputs.width))] for _ in range(inputs.frames)]  # what the next layer reads
        if "embedding" in weights.left:
            weights.take("embedding", None, inputs.width)
        if before:
            blocks, _ = self.read_blocks("before", before, inputs.width)
            heard = [self.apply(blocks, frame) for frame in heard]
        for k, layer in enumerate(layers.split(";")):
            names = layer.split(",")
            for name in names:
                need(re.fullmatch("(lstm|gru|gru_reset_before|rnn_(tanh|relu|sigmoid))[<>]", name) is not None, name)
            backward = [name.endswith("<") for name in names]
            need(len(names) == len({*backward}), f"the directions of {layer}")
            covered = {"rnn_relu": self.direction} | ({"lstm": self.lstm, "gru": self.gru} if products else {})
            if any(name[:-1] not in covered for name in names):
                raise NotCovered(f"the cells of {layer}")
            tracks = [covered[name[:-1]](f"layers.{k}.{j}", name.endswith("<"), heard) for j, name in enumerate(names)]
            heard = [list(states) for states in zip(*tracks, strict=True)]
        heads = heard if self.every else heard[-1:]
        if readout == "final":
            heads = [[track[0 if falls else -1] for track, falls in zip(tracks, backward, strict=True)]]
        if readout == "mean":
            heads = [[self.combine(dict.fromkeys(track, ONE / inputs.frames)) for track in tracks]]
        if readout == "max":
            heads = [[self.maximum(track) for track in tracks]]
        blocks, self.classes = self.read_blocks("after", after, self.width(heads[0]))
        need(blocks[-1] is not None, "the last block is not dense")
        self.answers = [self.apply(blocks, head)[0] for head in heads]

    def add(self, variable: Variable) -> int:
        self.units += variable.size
        need(self.units <= MAX_UNITS, "the program has too many units")
        self.variables.append(variable)
        return len(self.variables) - 1

    def width(self, joined: list[int]) -> int:
        return sum(self.variables[v].size for v in joined)

    def dense(self, weight: list[Vector], joined: list[int], bias: Vector) -> int:
        """W [a, b, ..] + bias: each variable gets its columns."""
        terms, at = {}, 0
        for v in joined:
            terms[v] = [row[at : at + self.variables[v].size] for row in weight]
            at += self.variables[v].size
        return self.add(Variable(len(bias), bias, terms))

    def combine(self, factors: dict[int, Fraction]) -> int:
        """A sum of multiples of variables of one size."""
        size = self.width([next(iter(factors))])
        terms = {v: [[k * (i == j) for j in range(size)] for i in range(size)] for v, k in factors.items()}
        return self.add(Variable(size, [ZERO] * size, terms))

    def relu(self, v: int) -> int:
        return self.add(Variable(self.variables[v].size, relu_of=v))

    def read_blocks(self, where: str, text: str, width: int) -> tuple[list[Block], int]:
        """Section 4: the blocks BEFORE or AFTER with their weights, and the size of what they give."""
        blocks: list[Block] = []
        for k, block in enumerate(text.split("/")):
            need(block in ("dense", "relu", "sigmoid", "tanh"), f"block {block!r}")
            if block in ("sigmoid", "tanh"):
                raise NotCovered(f"block {block}")
            if block == "dense":
                weight = self.weights.take(f"{where}.{k}.weight", None, width)
                width = weight.shape[0]
                blocks.append((weight.rows(), self.weights.take(f"{where}.{k}.bias", width).vector()))
            else:
                blocks.append(None)
        return blocks, width

    def apply(self, blocks: list[Block], joined: list[int]) -> list[int]:
        """Recipe 1 and 4: `dense` joins, an activation makes one variable for each of the joined vectors."""
        for block in blocks:
            joined = [self.relu(v) for v in joined] if block is None else [self.dense(block[0], joined, block[1])]
        return joined

    def direction(self, at: str, backward: bool, heard: list[list[int]]) -> list[int]:
        """Recipe 2 for `rnn_relu`: the states in order of time."""
        take = self.weights.take
        ih = take(f"{at}.weight_ih", None, self.width(heard[0])).rows()
        hh = take(f"{at}.weight_hh", len(ih), len(ih)).rows()
        biases = [take(f"{at}.bias_{end}", len(ih)).vector() for end in ("ih", "hh")]
        bias = [a + b for a, b in zip(*biases, strict=True)]
        state: list[int] = []  # a state that is absent or zero is left out
        if f"{at}.initial_hidden" in self.weights.left:
            hidden = take(f"{at}.initial_hidden", len(ih)).vector()
            state = [self.add(Variable(len(ih), hidden))] if any(hidden) else []
        states = {}
        for t in sorted(range(len(heard)), reverse=backward):
            weight = [a + b for a, b in zip(ih, hh, strict=True)] if state else ih
            state = [self.relu(self.dense(weight, heard[t] + state, bias))]
            states[t] = state[0]
        return [states[t] for t in sorted(states)]

    def gated(self, at: str, gates: int, heard: list[list[int]]) -> tuple[list[Vector], ...]:
        """The weights of an `lstm` or a `gru`, and its biases as columns."""
        ih = self.weights.take(f"{at}.weight_ih", None, self.width(heard[0])).rows()
        need(len(ih) % gates == 0, f"{at}: {len(ih)} rows")
        projected = gates == 4 and f"{at}.weight_hr" in self.weights.left
        states = self.weights.left[f"{at}.weight_hr"].shape[0] if projected else len(ih) // gates
        hh = self.weights.take(f"{at}.weight_hh", len(ih), states).rows()
        biases = [self.weights.take(f"{at}.bias_{end}", len(ih)).vector() for end in ("ih", "hh")]
        return ih, hh, *biases

    def start(self, name: str, size: int) -> list[int]:
        """A start state; none if it is absent or zero."""
        if name not in self.weights.left:
            return []
        values = self.weights.take(name, size).vector()
        return [self.add(Variable(size, values))] if any(values) else []

    def lstm(self, at: str, backward: bool, heard: list[list[int]]) -> list[int]:
        """Recipe 2 for `lstm`."""
        ih, hh, bias_ih, bias_hh = self.gated(at, 4, heard)
        size = len(ih) // 4
        out: list[Vector] = []
        if f"{at}.weight_hr" in self.weights.left:
            out = self.weights.take(f"{at}.weight_hr", len(hh[0]), size).rows()
        bias = [a + b for a, b in zip(bias_ih, bias_hh, strict=True)]
        hidden, cell = self.start(f"{at}.initial_hidden", len(hh[0])), self.start(f"{at}.initial_cell", size)
        states = {}
        for t in sorted(range(len(heard)), reverse=backward):
            weight = [a + b for a, b in zip(ih, hh, strict=True)] if hidden else ih
            gates = self.dense(weight, heard[t] + hidden, bias)
            parts = [Part("sigmoid_times_tanh", (gates, 0), (gates, 2 * size))]
            parts += [Part("sigmoid_times_identity", (gates, size), (c, 0)) for c in cell]
            cell = [self.add(Variable(size, parts=parts))]
            output = Part("sigmoid_times_tanh", (gates, 3 * size), (cell[0], 0))
            hidden = [self.add(Variable(size, parts=[output]))]
            if out:
                hidden = [self.dense(out, hidden, [ZERO] * len(out))]
            states[t] = hidden[0]
        return [states[t] for t in sorted(states)]

    def gru(self, at: str, backward: bool, heard: list[list[int]]) -> list[int]:
        """Recipe 2 for `gru`."""
        ih, hh, bias_ih, bias_hh = self.gated(at, 3, heard)
        size, width = len(ih) // 3, len(ih[0])
        read = [row if i < 2 * size else [ZERO] * width for i, row in enumerate(ih)]
        bias = [b + (a if i < 2 * size else ZERO) for i, (a, b) in enumerate(zip(bias_ih, bias_hh, strict=True))]
        unit = [[Fraction(i == j) for j in range(size)] for i in range(size)]
        state = self.start(f"{at}.initial_hidden", size)
        states = {}
        for t in sorted(range(len(heard)), reverse=backward):
            weight = [a + b for a, b in zip(read, hh, strict=True)] if state else read
            gates = self.dense(weight, heard[t] + state, bias)
            reset = self.add(Variable(size, parts=[Part("sigmoid_times_identity", (gates, 0), (gates, 2 * size))]))
            weight = [a + b for a, b in zip(ih[2 * size :], unit, strict=True)]
            candidate = self.dense(weight, [*heard[t], reset], bias_ih[2 * size :])
            parts = [Part("sigmoid_times_tanh", (gates, size), (candidate, 0), negate=True)]
            parts += [Part("sigmoid_times_identity", (gates, size), (h, 0)) for h in state]
            state = [self.add(Variable(size, parts=parts))]
            states[t] = state[0]
        return [states[t] for t in sorted(states)]

    def maximum(self, track: list[int]) -> int:
        """Recipe 3, `max`: neighbours in pairs until one is left."""
        while len(track) > 1:
            pairs = [track[i : i + 2] for i in range(0, len(track), 2)]
            track = [self.larger(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        return track[0]

    def larger(self, a: int, b: int) -> int:
        return self.combine({a: ONE, self.relu(self.combine({b: ONE, a: -ONE})): ONE})


# Section 6: the specification


def read_specification(thing: Any, program: Program, tensors: Tensors) -> list[tuple[Form, Fraction]]:
    """Section 6: the rows, forms over the answers and constants."""
    keys = {"untargeted": ["label"], "targeted": ["label", "target"], "top_k": ["label", "k"], "rows": []}
    kind = kind_of(thing, {**keys, "untargeted_steps": ["labels"]}, {})
    answers, classes = program.answers, program.classes

    def margin(y: int, label: int, other: int) -> tuple[Form, Fraction]:
        return {y: [Fraction((i == label) - (i == other)) for i in range(classes)]}, ZERO

    if kind == "rows":
        C = tensors.take("rows.C", None, classes * len(answers))
        parts = [[row[i : i + classes] for i in range(0, len(row), classes)] for row in C.rows()]
        return [
            (dict(zip(answers, part, strict=True)), d)
            for part, d in zip(parts, tensors.take("rows.d", len(parts)).vector(), strict=True)
        ]
    need(classes >= 2, f"{kind} needs at least two classes")
    if kind == "untargeted_steps":
        labels = naturals(thing["labels"], classes)
        need(program.every and len(labels) == len(answers), "`labels`: one for each frame, readout `every`")
        return [margin(y, i, j) for y, i in zip(answers, labels, strict=True) for j in range(classes) if j != i]
    need(not program.every, f"{kind} needs a readout with one answer")
    label = natural(thing["label"], 0, classes)
    others = [j for j in range(classes) if j != label]
    if kind == "targeted":
        others = [natural(thing["target"], 0, classes)]
        need(others != [label], "label and target are the same")
    if kind == "top_k":
        natural(thing["k"], 1, classes)
    return [margin(answers[0], label, j) for j in others]

"""Small certificates made by hand from proofs/spec/certificate_v1.md, for ReLU networks with weights in quarters.

`accepted()` gives vectors: the files of one certificate and the verdict that it must get. The containers and digests
are written here a second time; the bounds come from the naive checker's procedures, rounded outward.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import math
import random
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.certificates.naive_checker import Bounds
from tests.certificates.naive_container import Tensor, Tensors
from tests.certificates.naive_network import Program, read_inputs, read_specification

CODES = {"F64": "d", "F32": "f", "F16": "e"}
P = {1: "0x1.0000000000000p+0", 2: "0x1.0000000000000p+1", "inf": "inf"}


def stem(name: str) -> str:
    """What a vector's files are called."""
    return re.sub("[^a-z0-9]+", "-", name)


@dataclass
class Array:
    """A tensor: its shape, its values row-major, and the type in which it is written."""

    shape: tuple[int, ...]
    values: list[float]
    dtype: str = "F64"

    def raw(self, dtype: str | None = None) -> bytes:
        dtype = dtype or self.dtype
        if dtype == "BF16":
            return b"".join(struct.pack("<f", value)[2:] for value in self.values)
        return b"".join(struct.pack("<" + CODES[dtype], value) for value in self.values)


def array(*rows: list[float] | float, dtype: str = "F64") -> Array:
    """A matrix from its rows, or a vector from its numbers."""
    if isinstance(rows[0], list):
        return Array((len(rows), len(rows[0])), [x for row in rows for x in row], dtype)
    return Array((len(rows),), list(rows), dtype)


Arrays = dict[str, Array]


@dataclass(frozen=True)
class Vector:
    """One certificate: its files by name, the certificate's first, and the verdict (or UNREADABLE).

    undecided_allowed: HOLEY is as good as INVALID, section 8 on a `p` < infinity cut by a `clip`.
    """

    name: str
    files: dict[str, bytes]
    expected: str
    undecided_allowed: bool = False

    @property
    def allowed(self) -> set[str]:
        """The verdicts that a checker may give."""
        return {self.expected, "HOLEY"} if self.undecided_allowed else {self.expected}

    def write(self, folder: Path) -> Path:
        """Write the files and give the certificate's path."""
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        return folder / next(iter(self.files))


@dataclass
class Draft:
    """A certificate that can still be changed. The last three edit its body's text, its header's text and its bytes."""

    body: dict[str, Any]
    tensors: Arrays
    weights: Arrays
    structure: str
    file: Arrays | None = None  # the tensors of the network's file, if it has one
    file_body: dict[str, Any] = field(default_factory=dict)
    text: Callable[[str], str] = str
    header: Callable[[str], str] = str
    data: Callable[[bytes], bytes] = bytes

    def digest(self) -> None:
        """Write the network's digest (section 4), from the weights that the draft was made with or changed to."""
        source = self.file if self.file is not None else self.tensors
        prefix = "" if self.file is not None else "network."
        out = hashlib.sha256(f"{self.structure}\n".encode())
        for name in sorted(self.weights, key=place):
            weight = source[prefix + name]
            out.update(f"{name}:{weight.shape}\n".encode() + weight.raw("F64"))
        self.body["network"]["digest"] = out.hexdigest()

    def claim(self) -> None:
        """Write the claim's digest (section 9)."""
        body, lines = self.body, ["refcert claim 1", f"network {self.body['network']['digest']}"]
        for key in ("inputs", "specification"):
            lines.append(f"{key} " + json.dumps(body[key], sort_keys=True, separators=(",", ":")))
        lines.append(f"margin {body['margin']}")
        for name in sorted(self.tensors):
            if name.split(".")[0] not in ("network", "step"):
                raw = self.tensors[name].raw("F64")
                lines.append(f"tensor {name} {self.tensors[name].shape} {hashlib.sha256(raw).hexdigest()}")
        body["claim"] = hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest()

    def drop(self, position: int) -> None:
        """Take a step out; the tensors of those behind it are named anew."""
        del self.body["steps"][position]
        kept = [self.tensors.pop(f"step.{k}", None) for k in range(len(self.body["steps"]) + 1)]
        del kept[position]
        self.tensors.update({f"step.{k}": table for k, table in enumerate(kept) if table is not None})

    def swap(self, a: int, b: int) -> None:
        """Exchange two steps and their tensors."""
        steps = self.body["steps"]
        steps[a], steps[b] = steps[b], steps[a]
        tables = [self.tensors.pop(f"step.{k}", None) for k in (b, a)]
        self.tensors.update({f"step.{k}": t for k, t in zip((a, b), tables, strict=True) if t is not None})

    def step(self, rule: str, at: int = 0) -> int:
        """The position of the `at`-th step of a rule."""
        return [k for k, step in enumerate(self.body["steps"]) if step["rule"] == rule][at]

    def cut_ball(self) -> bool:
        """Is the input set a ball of a `p` < infinity that a `clip` cuts?"""
        inputs = self.body.get("inputs", {})
        return "clip" in inputs and inputs.get("p") != "inf"

    def vector(self, name: str, expected: str) -> Vector:
        """The files; those of different vectors can lie in one folder."""
        body, weights = dict(self.body), f"{stem(name)}.network.safetensors"
        if self.file is not None:
            body["network"] = body["network"] | {"file": body["network"]["file"].replace(NETWORK_FILE, weights)}
        files = {f"{stem(name)}.safetensors": self.data(encode(body, self.tensors, self.text, self.header))}
        if self.file is not None:
            files[weights] = encode(self.file_body, self.file)
        return Vector(name, files, expected, expected == "INVALID" and self.cut_ball())


# The order of weights in a network's digest (section 4).
PARTS = ("before", "layers", "after")
KINDS = (
    "weight",
    "bias",
    "weight_ih",
    "weight_hh",
    "bias_ih",
    "bias_hh",
    "weight_hr",
    "initial_hidden",
    "initial_cell",
)


def place(name: str) -> tuple[int, ...]:
    """What to sort weights by: the part of the network, the block, or layer and direction, and the kind."""
    part, *numbers, kind = name.split(".") if "." in name else ("", name)
    return (PARTS.index(part), *map(int, numbers), KINDS.index(kind)) if part else (-1,)


NETWORK_FILE = "network.safetensors"  # stands for a name of the vector's own


def encode(body: Any, tensors: Arrays, text: Callable[[str], str] = str, header: Callable[[str], str] = str) -> bytes:
    """The container of section 2."""
    entries: dict[str, Any] = {"__metadata__": {"refcert": text(json.dumps(body))}}
    raw = b""
    for name, tensor in tensors.items():
        part = tensor.raw()
        entries[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [len(raw), len(raw) + len(part)],
        }
        raw += part
    head = header(json.dumps(entries, separators=(",", ":"))).encode()
    return len(head).to_bytes(8, "little") + head + raw


# Bounds, rounded outward


def below(x: Fraction) -> float:
    """The greatest binary64 number that is at most x."""
    y = float(x)
    return math.nextafter(y, -math.inf) if Fraction(y) > x else y


def above(x: Fraction) -> float:
    return -below(-x)


def relu_planes(box: list[tuple[Fraction, Fraction]], which: int) -> list[list[float]]:
    """Lower slope and offset, upper slope and offset for each unit; the sets differ in the lower slope."""
    rows: list[list[float]] = [[], [], [], []]
    for low, high in box:
        if low >= 0 or high <= 0:
            slopes = [float(low >= 0)] * 2
        else:
            lower = [float(-low <= high), 0.0, 1.0, 0.25][which]
            slopes = [lower, above(high / (high - low))]
        points = [low, high] + ([Fraction(0)] if low < 0 < high else [])
        gaps = [[max(x, Fraction(0)) - Fraction(slope) * x for x in points] for slope in slopes]
        for row, value in zip(rows, (slopes[0], below(min(gaps[0])), slopes[1], above(max(gaps[1]))), strict=True):
            row.append(value)
    return rows


@dataclass(frozen=True)
class Plan:
    """Which steps a certificate shall have: how many sets of planes, which box rules, which margin rule."""

    sets: int = 1
    argument_boxes: str | None = None
    relu_boxes: str | None = None
    margin: str = "margin"


@dataclass
class Question:
    """A network, an input set and a specification."""

    structure: str
    weights: Arrays
    inputs: dict[str, Any]
    tensors: Arrays
    specification: dict[str, Any]
    in_file: bool = False


def naive(tensors: Arrays) -> Tensors:
    return Tensors({name: Tensor(t.dtype, t.shape, tuple(t.values)) for name, t in tensors.items()})


@dataclass
class Derived:
    """The steps before the last one, their tables, and the largest margin that the last one proves."""

    steps: list[dict[str, Any]]
    tables: list[list[list[float]]]
    margin: Fraction


def derive(question: Question, plan: Plan) -> Derived:
    """Bounds of every variable from below."""
    given = naive(question.tensors)
    inputs = read_inputs(question.inputs, given)
    program = Program(question.structure, naive(question.weights), inputs)
    rows = read_specification(question.specification, program, given)
    bounds, sets = Bounds(program), list(range(plan.sets))
    steps: list[dict[str, Any]] = []
    tables: list[list[list[float]]] = []

    def reached(rule: str, v: int, unit: int, sign: int) -> Fraction:
        """The lower end of sign * unit that the rule reaches."""
        ends = []
        if rule != "box.substitution":
            low, high = bounds.interval(v)[unit]
            ends.append(low if sign > 0 else -high)
        if rule != "box.interval":
            size = program.variables[v].size
            ends.append(bounds.largest({v: [Fraction(sign * (i == unit)) for i in range(size)]}, Fraction(0), sets))
        return max(ends)

    arguments = {variable.relu_of for variable in program.variables}
    for v in range(inputs.frames, len(program.variables)):
        variable = program.variables[v]
        for which in sets if variable.relu_of is not None else []:
            table = relu_planes(bounds.box(variable.relu_of), which)
            bounds.planes[v, which] = [[Fraction(x) for x in row] for row in table]
            steps.append({"rule": "planes", "of": v, "part": 0, "set": which})
            tables.append(table)
        rule = plan.relu_boxes if variable.relu_of is not None else plan.argument_boxes if v in arguments else None
        if rule is not None:
            units = range(variable.size)
            table = [[below(reached(rule, v, i, 1)) for i in units], [above(-reached(rule, v, i, -1)) for i in units]]
            bounds.boxes[v] = [(Fraction(low), Fraction(high)) for low, high in zip(*table, strict=True)]
            steps.append({"rule": rule, "of": v} | ({} if rule == "box.interval" else {"sets": sets}))
            tables.append(table)
    return Derived(steps, tables, proved_margin(bounds, rows, question.specification, plan, sets))


def build(question: Question, plan: Plan) -> Draft:
    """The certificate."""
    found = derive(question, plan)
    margin = below(found.margin)
    assert margin > 0, (question.structure, margin)
    tensors = question.tensors | {f"step.{k}": array(*table) for k, table in enumerate(found.tables)}
    body: dict[str, Any] = {
        "format": "refcert certificate",
        "version": 1,
        "network": {},
        "inputs": question.inputs,
        "specification": question.specification,
        "steps": [*found.steps, {"rule": plan.margin, "sets": list(range(plan.sets))}],
        "margin": margin.hex(),
    }
    draft = Draft(body, tensors, question.weights, question.structure)
    if question.in_file:
        body["network"]["file"] = NETWORK_FILE
        draft.file = dict(question.weights)
        draft.file_body = {"format": "refcert network", "version": 1, "structure": question.structure}
    else:
        body["network"]["structure"] = question.structure
        draft.tensors |= {f"network.{name}": weight for name, weight in question.weights.items()}
    draft.digest()
    draft.claim()
    return copy.deepcopy(draft)


def proved_margin(bounds: Bounds, rows: Any, specification: dict[str, Any], plan: Plan, sets: list[int]) -> Fraction:
    """The largest margin that the last step proves."""
    proved = []
    for form, constant in rows:
        forms = [form]
        if plan.margin == "margin.per_class":
            forms = [{v: [f(k, Fraction(0)) for k in a] for v, a in form.items()} for f in (max, min)]
        proved.append(constant + sum(bounds.largest(part, Fraction(0), sets) for part in forms))
    return sorted(proved)[specification.get("k", 1) - 1]


# The questions


def quarters(seed: int, *shape: int) -> Array:
    """Pseudo-random quarters between -1 and 1."""
    source = random.Random(seed)
    return Array(shape, [source.randint(-4, 4) / 4 for _ in range(math.prod(shape))])


def head(seed: int, at: int, width: int, classes: int, label: int | None = 1) -> Arrays:
    """A dense block whose bias favours one class."""
    bias = [0.0 if j != label else 9.0 for j in range(classes)]
    return {f"after.{at}.weight": quarters(seed, classes, width), f"after.{at}.bias": array(*bias)}


def cell(seed: int, layer: int, direction: int, width: int, hidden: int, start: list[float] | None = None) -> Arrays:
    at = f"layers.{layer}.{direction}"
    weights = {
        f"{at}.weight_ih": quarters(seed, hidden, width),
        f"{at}.weight_hh": quarters(seed + 1, hidden, hidden),
        f"{at}.bias_ih": quarters(seed + 2, hidden),
        f"{at}.bias_hh": quarters(seed + 3, hidden),
    }
    return weights | ({f"{at}.initial_hidden": array(*start)} if start else {})


def lengthened(seed: int, weight: Array) -> Array:
    """The same weights, moved a little: their sums and products are no binary64 numbers."""
    source = random.Random(1000 + seed)
    return Array(weight.shape, [value + source.random() / 8 for value in weight.values])


def typed(weights: Arrays, dtypes: list[str]) -> Arrays:
    """The same weights, their types by turns."""
    return {
        name: Array(weight.shape, weight.values, dtypes[k % len(dtypes)])
        for k, (name, weight) in enumerate(weights.items())
    }


CENTER = array([0.5, -0.25], [0.25, 0.75])
CENTER3 = array([0.5, -0.25], [0.25, 0.75], [-0.5, 1.0])
BALLS = {"center": CENTER, "radius": array(0.25, 0.125)}
INF = {"kind": "frame_balls", "p": "inf"}
UNTARGETED = {"kind": "untargeted", "label": 1}
CLIP = [(-0.5).hex(), (1.0).hex()]
ONE_LAYER = cell(10, 0, 0, 2, 2)
MIRROR = {  # hidden = relu(x + h'/4), y = hidden: the answer follows the frame
    "layers.0.0.weight_ih": array([1.0, 0.0], [0.0, 1.0]),
    "layers.0.0.weight_hh": array([0.25, 0.0], [0.0, 0.25]),
    "layers.0.0.bias_ih": array(0.0, 0.0),
    "layers.0.0.bias_hh": array(0.25, -0.25),
}
IDENTITY = {"after.0.weight": array([1.0, 0.0], [0.0, 1.0]), "after.0.bias": array(0.0, 0.0)}


def questions() -> dict[str, Question]:
    """Every kind of structure, input set and specification that the naive checker covers."""
    final = "|rnn_relu>|final|dense"
    both = cell(20, 0, 0, 2, 2) | cell(30, 0, 1, 2, 1)
    stacked = cell(40, 0, 0, 2, 2) | cell(50, 0, 1, 2, 1) | cell(60, 1, 0, 3, 2, [0.5, -0.25]) | cell(70, 1, 1, 3, 1)
    turned = array([2.0, 0.0], [0.0, 2.0], [2.0, 0.25])
    labels = {"kind": "untargeted_steps", "labels": [0, 1, 0]}
    sequence = {"kind": "sequence_ball", "p": P[1]}
    return {
        "one layer": Question(final, ONE_LAYER | head(90, 0, 2, 3), INF, BALLS, UNTARGETED),
        "p one": Question(final, ONE_LAYER | head(91, 0, 2, 3), {"kind": "frame_balls", "p": P[1]}, BALLS, UNTARGETED),
        "clipped, backward, targeted, in a file": Question(
            "|rnn_relu<|final|dense",
            typed(cell(11, 0, 0, 2, 2, [0.25, 0.0]) | head(92, 0, 2, 3), ["F16", "F64", "F32", "BF16"]),
            INF | {"clip": CLIP},
            {"center": Array((2, 2), CENTER.values, "F32"), "radius": array(1.0, 0.5)},
            {"kind": "targeted", "label": 1, "target": 2},
            in_file=True,
        ),
        "p one clipped, two directions, top k": Question(
            "|rnn_relu<,rnn_relu>|last_frame|dense",
            both | head(93, 0, 3, 3) | {"after.0.bias": array(0.0, 4.0, 9.0)},
            {"kind": "frame_balls", "p": P[1], "clip": CLIP},
            {"center": CENTER, "radius": array(0.75, 0.5)},
            {"kind": "top_k", "label": 1, "k": 2},
        ),
        "sequence ball, p one, mean of three": Question(
            "|rnn_relu>,rnn_relu<|mean|dense",
            both | head(94, 0, 3, 2),
            sequence,
            {"center": CENTER3, "radius": array(0.5)},
            UNTARGETED,
        ),
        "sequence ball, p one, clip, moves, max of three": Question(
            "|rnn_relu>,rnn_relu<|max|relu/dense",
            both | head(95, 1, 3, 2),
            sequence | {"moves": [0, 2], "clip": CLIP},
            {"center": CENTER3, "radius": array(0.5)},
            UNTARGETED,
        ),
        "sequence ball, p inf, moves, every": Question(
            "|rnn_relu>|every|dense",
            MIRROR | IDENTITY,
            {"kind": "sequence_ball", "p": "inf", "moves": [0, 2]},
            {"center": turned, "radius": array(0.25)},
            labels,
            in_file=True,
        ),
        "every, both directions, activation": Question(
            "|rnn_relu<,rnn_relu>|every|relu/dense/relu/dense",
            both | head(96, 1, 3, 2, None) | head(97, 3, 2, 2, 0),
            {"kind": "boxes"},
            {"lower": array([0.25, -0.5], [0.0, 0.5]), "upper": array([0.5, -0.25], [0.0, 0.75])},
            {"kind": "untargeted_steps", "labels": [0, 0]},
        ),
        "boxes, stacked, rows over every answer": Question(
            "|rnn_relu>,rnn_relu<;rnn_relu<,rnn_relu>|every|dense",
            stacked | head(98, 0, 3, 2),
            {"kind": "boxes"},
            {
                "lower": array([0.25, -0.5], [0.0, 0.5]),
                "upper": array([0.5, -0.25], [0.0, 0.75]),
                "rows.C": array([1.0, 0.5, -0.25, 0.75], [0.0, 0.25, 0.0, 0.25]),
                "rows.d": array(0.5, 3.0, dtype="F32"),
            },
            {"kind": "rows"},
        ),
        "substitutions, blocks before and after": Question(
            "dense/relu/relu|rnn_relu>|final|dense/relu/dense",
            {"embedding": quarters(5, 4, 2), "before.0.weight": quarters(6, 3, 2), "before.0.bias": quarters(7, 3)}
            | cell(80, 0, 0, 3, 2)
            | head(99, 0, 2, 2, None)
            | head(100, 2, 2, 3),
            {"kind": "substitutions", "counts": [2, 0, 1]},
            {"center": CENTER3, "candidates": array([0.25, -0.5], [1.0, 0.0], [-0.25, 1.0])},
            UNTARGETED,
        ),
        "no substitutions, relu of frames, zero state": Question(
            "relu|rnn_relu>;rnn_relu<|max|dense",
            cell(81, 0, 0, 2, 1, [0.0]) | cell(85, 1, 0, 1, 2, [0.0, 0.5]) | head(101, 0, 2, 2),
            {"kind": "substitutions", "counts": [0, 0]},
            {"center": CENTER},
            UNTARGETED,
        ),
        "numbers of 53 bits, boxes": Question(
            final,
            {name: lengthened(k, weight) for k, (name, weight) in enumerate((ONE_LAYER | head(103, 0, 2, 3)).items())},
            {"kind": "boxes"},
            {"lower": array([0.1, -0.7], [-0.3, 0.4]), "upper": array([0.3, 0.2], [0.6, 0.5])},
            UNTARGETED,
        ),
        "one frame, mean, joined after": Question(
            "|rnn_relu>,rnn_relu<|mean|relu/dense",
            both | head(102, 1, 3, 2),
            INF,
            {"center": array([0.5, -0.25]), "radius": array(0.0)},
            UNTARGETED,
        ),
    }


PLANS = {
    "planes alone": Plan(),
    "interval boxes": Plan(1, "box.interval", "box.interval"),
    "substitution boxes": Plan(2, "box.substitution"),
    "intersected boxes": Plan(3, "box.intersection", "box.intersection"),
    "substituted relu, four sets": Plan(4, "box.intersection", "box.substitution"),
    "per class": Plan(2, "box.interval", None, "margin.per_class"),
}


@functools.cache
def drafts() -> dict[str, Draft]:
    """Every question with every plan that fits it; made once, so copy what you change."""
    made = {}
    for what, question in questions().items():
        for how, plan in PLANS.items():
            if plan.margin == "margin" or question.specification["kind"] in ("untargeted", "targeted"):
                made[f"{what}: {how}"] = build(question, plan)
    return made


def in_every_step(draft: Draft, rule: str, **keys: Any) -> None:
    """Change keys of every step of a rule."""
    for step in draft.body["steps"]:
        if step["rule"] == rule:
            step.update(keys)


def remarked(draft: Draft) -> None:
    draft.body["about"] = {"remark": 'no checker reads \u00fcmlauts, \U0001f600, \\, " or \n'}


def modest(draft: Draft) -> None:
    draft.body["margin"] = math.ulp(0.0).hex()


def in_single_precision(draft: Draft) -> None:
    for tensor in draft.tensors.values():
        if all(struct.unpack("<f", struct.pack("<f", value))[0] == value for value in tensor.values):
            tensor.dtype = "F32"


def in_half_precision(draft: Draft) -> None:
    for k, name in enumerate(draft.weights):
        draft.tensors[f"network.{name}"].dtype = ["F16", "BF16"][k % 2]


def in_other_words(draft: Draft) -> None:
    draft.tensors = dict(reversed(draft.tensors.items()))
    draft.header = lambda text: text.replace('{"__metadata__":', '{ "__metadata__" :\n') + "   "
    draft.text = lambda text: text.replace(", ", ",") + "   "


def negative_zeros(draft: Draft) -> None:
    """A start state of negative zeros is none, as one of zeros is."""
    draft.tensors["network.layers.0.0.initial_hidden"] = draft.weights["layers.0.0.initial_hidden"] = array(-0.0, -0.0)
    draft.digest()


def without_states(draft: Draft) -> None:
    """The answer is the bias alone, so that no planes are needed."""
    weight = draft.tensors["network.after.0.weight"]
    weight.values[:] = [0.0] * len(weight.values)
    while draft.body["steps"][0] != {"rule": "box.interval", "of": 3}:
        draft.drop(0)
    while len(draft.body["steps"]) > 2:
        draft.drop(1)
    draft.body["margin"] = (9.0).hex()
    draft.digest()


def nothing_moves(draft: Draft) -> None:
    draft.body["inputs"]["moves"] = []


# Certificates that are VALID though something about them is unusual: (name, draft, change).
UNUSUAL: list[tuple[str, str, Callable[[Draft], object]]] = [
    ("remarks", "one layer: interval boxes", remarked),
    ("a subnormal margin", "one layer: interval boxes", modest),
    ("all that can be in single precision", "one layer: interval boxes", in_single_precision),
    ("weights in half precision", "one layer: interval boxes", in_half_precision),
    ("spaces in JSON, another order of tensors", "one layer: interval boxes", in_other_words),
    ("a start state of negative zeros", "one layer: interval boxes", negative_zeros),
    ("margin: no planes where no state is read", "one layer: interval boxes", without_states),
    ("no frame moves", "sequence ball, p one, mean of three: planes alone", nothing_moves),
    (
        "substitution: a set without planes beside others",
        "one layer: substitution boxes",
        lambda draft: in_every_step(draft, "box.substitution", sets=[0, 1, 2]),
    ),
    (
        "margin: a set without planes beside another",
        "one layer: planes alone",
        lambda draft: in_every_step(draft, "margin", sets=[0, 1]),
    ),
    (
        "per class: a set without planes beside others",
        "one layer: per class",
        lambda draft: in_every_step(draft, "margin.per_class", sets=[0, 1, 5]),
    ),
]


def draft_of(name: str) -> Draft:
    """A draft of its own that is VALID: one of `drafts`, or an unusual one."""
    for unusual, base, change in UNUSUAL:
        if unusual == name:
            draft = draft_of(base)
            change(draft)
            draft.claim()
            return draft
    return copy.deepcopy(drafts()[name])


def accepted() -> list[Vector]:
    """Certificates that are VALID."""
    return [draft_of(name).vector(name, "VALID") for name in [*drafts(), *(name for name, _, _ in UNUSUAL)]]

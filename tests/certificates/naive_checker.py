"""A second checker of certificates, written from proofs/spec/certificate_v1.md alone: naive, in rational numbers.

It covers ReLU networks (cells `rnn_relu`, blocks `dense` and `relu`) on input sets whose `least` is rational (p = 1,
p = inf, boxes, substitutions); of all else it says `NotCovered`. Within that all is exact: HOLEY is left for unknown
rules and for boxes beyond binary64. It has no budgets: it is for tests with tiny networks. Section numbers are the
specification's. Here are the steps (7, 8) and the file as a whole (3, 9, 10).

    verdict, step = judge(path)  # the step that does not hold; None for VALID, and where a digest differs
    verdict, step = judge(path, products=True)  # also cells `lstm` and `gru`, but their planes are not proved: it
                                                # looks at points of each domain (`naive_products`)
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from tests.certificates.naive_container import (
    Tensor,
    Tensors,
    Unreadable,
    Vector,
    digest,
    fields,
    natural,
    need,
    number,
    read_container,
    rising,
)
from tests.certificates.naive_network import (
    ZERO,
    Form,
    NotCovered,
    Part,
    Program,
    dot,
    least_of_box,
    read_inputs,
    read_specification,
)
from tests.certificates.naive_products import Ends, image, turned, two_planes, violated

__all__ = ["Judged", "NotCovered", "Unreadable", "check", "judge"]

MAX_STEPS, SETS, MAX_OPEN = 2**20, 1024, 64  # sections 3, 7

Bound = Fraction | float  # a number, or NOTHING
Rows = list[tuple[Form, Fraction]]
NOTHING = -math.inf  # section 8: what a set without the planes that are needed proves


class Judged(NamedTuple):
    """VALID, INVALID or HOLEY, and the position of the first step that does not hold."""

    verdict: str
    step: int | None


class Invalid(Exception):
    """Something does not follow: the verdict INVALID."""


class Holey(Exception):
    """Something could not be decided: the verdict HOLEY."""


def prove(true: bool, reason: str) -> None:
    if not true:
        raise Invalid(reason)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Section 8: the two procedures


def outward(low: Fraction, high: Fraction) -> tuple[Fraction, Fraction]:
    """Section 7, boxes: the nearest binary64 numbers outside."""
    try:
        down, up = float(low), float(high)
        down = math.nextafter(down, -math.inf) if Fraction(down) > low else down
        up = math.nextafter(up, math.inf) if Fraction(up) < high else up
        return Fraction(down), Fraction(up)
    except OverflowError as error:  # of float() or of Fraction(inf)
        raise Holey("a box beyond binary64 numbers") from error


class Supposition(NamedTuple):
    """form + constant <= 0. row: of the specification, or split: (rule, variable, unit, s)."""

    form: Form
    constant: Fraction
    row: int | None = None
    split: tuple[str, int, int, Fraction] | None = None


class Bounds:
    """What is proved so far: planes by (variable, set), of products by (variable, set, part), boxes by variable,
    diagonals by (variable, part); and the procedures that read them. In a block: under the suppositions.
    """

    def __init__(self, program: Program) -> None:
        self.variables, self.least = program.variables, program.inputs.least
        self.planes: dict[tuple[int, ...], list[Vector]] = {}
        self.diagonals: dict[tuple[int, int], list[Vector]] = {}
        self.boxes: dict[int, list[tuple[Fraction, Fraction]]] = {}
        self.suppositions: list[Supposition] = []

    def under(self, supposition: Supposition) -> Bounds:
        """Section 7, blocks: a block begins with what is proved where it is opened; all variables have boxes."""
        inside = copy.copy(self)
        for v in range(len(self.variables)):
            self.box(v)
        inside.planes, inside.diagonals, inside.boxes = dict(self.planes), dict(self.diagonals), dict(self.boxes)
        inside.suppositions = [*self.suppositions, supposition]
        return inside

    def supposed(self, form: Form, multipliers: Vector, sets: list[int]) -> Bound:
        """The largest `substitution` with multipliers."""
        form, constant = dict(form), ZERO
        for mu, (more, add, *_) in zip(multipliers, self.suppositions, strict=True):
            constant += mu * add
            for v, a in more.items():
                include(form, v, [mu * x for x in a])
        return self.largest(form, constant, sets)

    def box(self, v: int) -> list[tuple[Fraction, Fraction]]:
        """Section 7, boxes: its step's, else `interval`'s. As `of` never falls, what a step reads has come to rest."""
        if v not in self.boxes:
            self.boxes[v] = [outward(*ends) for ends in self.interval(v)]
        return self.boxes[v]

    def interval(self, v: int) -> list[tuple[Fraction, Fraction]]:
        """Section 8: `interval`, exact; of products by enclosures."""
        variable = self.variables[v]
        if variable.parts:
            parts = [
                [image(part.kind, *self.arguments(part, i)) for i in range(variable.size)] for part in variable.parts
            ]
            return [tuple(map(sum, zip(*ends, strict=True))) for ends in zip(*parts, strict=True)]
        if variable.relu_of is not None:
            return [(max(low, ZERO), max(high, ZERO)) for low, high in self.box(variable.relu_of)]
        return [(self.least_unit(v, i, 1), -self.least_unit(v, i, -1)) for i in range(variable.size)]

    def arguments(self, part: Part, unit: int) -> tuple[Ends, Ends]:
        """The box of v and z of one unit, as the part sees it."""
        (v, at_v), (z, at_z) = part.v, part.z
        return turned(part, self.box(v)[at_v + unit]), self.box(z)[at_z + unit]

    def least_unit(self, v: int, unit: int, sign: int) -> Fraction:
        """Section 8: `interval`'s lower end of sign * unit, for a frame or an affine variable."""
        variable = self.variables[v]
        if variable.is_frame():
            return self.least({v: [Fraction(sign * (i == unit)) for i in range(variable.size)]})
        rows = {u: [sign * k for k in matrix[unit]] for u, matrix in variable.terms.items()}
        frames = {u: row for u, row in rows.items() if self.variables[u].is_frame()}
        inner = {u: row for u, row in rows.items() if u not in frames}
        return (
            sign * variable.constant[unit] + self.least(frames) + least_of_box(inner, {u: self.box(u) for u in inner})
        )

    def substitution(self, form: Form, constant: Fraction, which: int) -> Bound:
        """Section 8: `substitution` of constant + form with the set `which`, from the highest variable down."""
        form = dict(form)
        for v in range(len(self.variables) - 1, -1, -1):
            variable = self.variables[v]
            if v not in form or variable.is_frame():
                continue
            a = form.pop(v)
            if variable.constant is not None:
                constant += dot(a, variable.constant)
                for u, matrix in variable.terms.items():
                    include(form, u, [dot(a, column) for column in zip(*matrix, strict=True)])
            elif variable.parts and any(a):
                for number, part in enumerate(variable.parts):
                    if (v, which, number) not in self.planes:
                        return NOTHING
                    planes = [two_planes(self.planes[v, which, number], i)[k < 0] for i, k in enumerate(a)]
                    for end, row, sign in ((part.v, 0, -1 if part.negate else 1), (part.z, 1, 1)):
                        term = [ZERO] * self.variables[end[0]].size
                        term[end[1] : end[1] + variable.size] = [
                            sign * k * plane[row] for k, plane in zip(a, planes, strict=True)
                        ]
                        include(form, end[0], term)
                    constant += dot(a, [plane[2] for plane in planes])
            elif any(a):
                if (v, which) not in self.planes:
                    return NOTHING
                planes = self.planes[v, which]
                include(form, variable.relu_of, [k * planes[2 * (k < 0)][i] for i, k in enumerate(a)])
                constant += dot(a, [planes[2 * (k < 0) + 1][i] for i, k in enumerate(a)])
        return constant + self.least(form)

    def largest(self, form: Form, constant: Fraction, sets: list[int]) -> Bound:
        return max([self.substitution(form, constant, which) for which in sets])


def include(form: Form, v: int, a: Vector) -> None:
    """Add the term a . v to a form."""
    form[v] = [x + y for x, y in zip(form[v], a, strict=True)] if v in form else a


# Section 7: the steps

STEPS = {
    "diagonals": ["of", "part", "sets"],
    "planes": ["of", "part", "set"],
    "box.interval": ["of"],
    "box.substitution": ["of", "sets"],
    "box.intersection": ["of", "sets"],
    "suppose.row": ["row"],
    "suppose.below": ["of", "unit"],
    "suppose.above": ["of", "unit"],
    "again": [],
    "diagonals.supposed": ["of", "part", "sets"],
    "box.supposed": ["of", "sets"],
    "closed.row": ["sets"],
    "closed.empty": ["of", "unit", "sets"],
    "closed.split": [],
    "margin": ["sets"],
    "margin.per_class": ["sets"],
}


def read_steps(steps: Any, program: Program, tensors: Tensors, rows: int) -> list[list[Vector]]:
    """Section 7: keys, ranges and shapes; the steps' tensors (empty where a step has none)."""
    need(isinstance(steps, list) and 1 <= len(steps) <= MAX_STEPS, "`steps` is not a list of 1 to 2^20 objects")
    tables: list[list[Vector]] = [[] for _ in steps]
    opened = 0
    for k, step in enumerate(steps):
        need(isinstance(step, dict) and isinstance(step.get("rule"), str), f"step {k} has no rule")
        if step["rule"] not in STEPS:
            tensors.left.pop(f"step.{k}", None)
            continue
        keys = fields(step, ["rule", *STEPS[step["rule"]]]).keys()
        need("sets" not in keys or rising(step["sets"], SETS) != [], f"step {k}: no set")
        need("row" not in keys or natural(step["row"], 0, rows) >= 0, f"step {k}: row")
        if "of" in keys:
            variable = program.variables[natural(step["of"], program.inputs.frames, len(program.variables))]
            count, width = 2 if "box" in step["rule"] else 4, variable.size
            count *= 1 + opened if step["rule"].endswith(".supposed") else 1
        if "part" in keys:
            need(variable.relu_of is not None or variable.parts != [], f"step {k}: the variable is not nonlinear")
            natural(step["part"], 0, max(1, len(variable.parts)))
            need("set" not in keys or natural(step["set"], 0, SETS) >= 0, f"step {k}: set")
            need(step["rule"] == "planes" or variable.parts != [], f"step {k}: diagonals of one argument")
            if step["rule"] == "planes" and variable.parts:
                count = 5 if f"step.{k}" in tensors.left and tensors.left[f"step.{k}"].shape[0] == 5 else 6
        if "unit" in keys:
            natural(step["unit"], 0, variable.size)
            count, width = (1, 1) if "suppose" in step["rule"] else (2, opened)
        if "of" in keys:
            tables[k] = tensors.take(f"step.{k}", count, width).rows()
        opened = max(opened + step["rule"].startswith("suppose.") - step["rule"].startswith("closed."), 0)
        need(opened <= MAX_OPEN, f"step {k}: block {opened} inside each other")
    return tables


class Order:
    """Section 7, "Order": may this step stand here?"""

    def __init__(self) -> None:
        self.of: float = 0
        self.seen: set[tuple[int | str, ...]] = set()  # rule, variable, part, set

    def follow(self, step: dict[str, Any]) -> None:
        of = step["of"]
        prove(of >= self.of, f"`of` falls from {self.of} to {of}")
        prove(("box", of) not in self.seen, f"variable {of} has its box")
        planes = any(what[:2] == ("planes", of) for what in self.seen)
        rule = step["rule"].removesuffix(".supposed")
        prove(rule != "diagonals" or not planes, f"variable {of} has planes already")
        what: tuple[int | str, ...] = ("box", of)
        if "part" in step:
            what = (rule, of, step["part"], step.get("set", 0))
        prove(what not in self.seen, f"variable {of} has {what}")
        self.of = of
        self.seen.add(what)


def prove_planes(bounds: Bounds, step: dict[str, Any], planes: list[Vector]) -> None:
    """Section 7, `planes`: relu minus a plane is least and greatest at an end of the box or at the kink."""
    v = step["of"]
    for unit, (low, high) in enumerate(bounds.box(bounds.variables[v].relu_of)):
        lower_slope, lower, upper_slope, upper = (row[unit] for row in planes)
        for x in (low, high, *([ZERO] if low < 0 < high else [])):
            prove(lower_slope * x + lower <= max(x, ZERO), f"the lower plane of unit {unit} at {x}")
            prove(upper_slope * x + upper >= max(x, ZERO), f"the upper plane of unit {unit} at {x}")
    bounds.planes[v, step["set"]] = planes


def look_at_planes(bounds: Bounds, step: dict[str, Any], planes: list[Vector]) -> None:
    """Section 7, `planes` of a product: INVALID if one is violated in a point of its domain that is looked at."""
    v, number = step["of"], step["part"]
    part, cut = bounds.variables[v].parts[number], bounds.diagonals.get((v, number))
    for unit in range(bounds.variables[v].size):
        ends = None if cut is None else [row[unit] for row in cut]
        for upper, plane in enumerate(two_planes(planes, unit)):
            wrong = violated(part.kind, *bounds.arguments(part, unit), ends, plane, bool(upper))
            prove(not wrong, f"a plane of unit {unit}")
    bounds.planes[v, step["set"], number] = planes


def prove_diagonals(bounds: Bounds, step: dict[str, Any], rows: list[Vector]) -> None:
    """Section 7, `diagonals`: each end by adding ends of the box, or by a substitution."""
    v, number = step["of"], step["part"]
    part = bounds.variables[v].parts[number]
    turn = Fraction(-1 if part.negate else 1)
    known = bounds.diagonals.get((v, number)) if step["rule"] == "diagonals.supposed" else None
    for unit in range(bounds.variables[v].size):
        (v_low, v_high), (z_low, z_high) = bounds.arguments(part, unit)
        ends = [row[unit] for row in rows[:4]]
        prove(ends[0] <= ends[1] and ends[2] <= ends[3], f"the diagonals of unit {unit} are empty")
        # (the end as a lower bound, what the box gives, the signs of v and z in the form)
        for k, (end, added, a, b) in enumerate(
            (
                (ends[0], v_low + z_low, 1, 1),
                (-ends[1], -(v_high + z_high), -1, -1),
                (ends[2], v_low - z_high, 1, -1),
                (-ends[3], -(v_high - z_low), -1, 1),
            )
        ):
            form: Form = {}
            for (u, first), sign in ((part.v, a * turn), (part.z, Fraction(b))):
                size = bounds.variables[u].size
                include(form, u, [sign * (i == first + unit) for i in range(size)])
            reached = max(added, bounds.supposed(form, multipliers_of(bounds, step, rows[4:], k, unit), step["sets"]))
            if known is not None:
                reached = max(reached, known[k][unit] * (1 if k % 2 == 0 else -1))
            prove(reached >= end, f"a diagonal of unit {unit}")
    bounds.diagonals[v, number] = rows[:4]


def multipliers_of(bounds: Bounds, step: dict[str, Any], rows: list[Vector], end: int, unit: int) -> Vector:
    """Section 7, multipliers: those of one end; none are 0."""
    count = len(bounds.suppositions)
    if not step["rule"].endswith(".supposed"):
        return [ZERO] * count
    prove(all(mu >= 0 for row in rows for mu in row), "a negative multiplier")
    return [row[unit] for row in rows[end * count : (end + 1) * count]]


def prove_box(bounds: Bounds, step: dict[str, Any], box: list[Vector]) -> None:
    """Section 7, the box rules: for each end, does what the rule allows reach it?"""
    v, size, box, rest = step["of"], len(box[0]), box[:2], box[2:]
    had = bounds.box(v) if step["rule"] == "box.supposed" else []
    for unit, (low, high) in enumerate(zip(*box, strict=True)):
        prove(low <= high, f"the box of unit {unit} is empty")
    interval, unknown = [], None
    try:
        interval = bounds.interval(v) if step["rule"] != "box.substitution" else []
    except Holey as error:  # what it reads has no box: the sets alone must do
        unknown = error
    for unit, (low, high) in enumerate(zip(*box, strict=True)):
        for side, (sign, end) in enumerate(((1, low), (-1, -high))):
            reached: list[Bound] = [sign * had[unit][side]] if had else [NOTHING]
            if interval:
                reached.append(interval[unit][0] if sign > 0 else -interval[unit][1])
            if "sets" in step:
                form = {v: [Fraction(sign * (i == unit)) for i in range(size)]}
                multipliers = multipliers_of(bounds, step, rest, side, unit)
                reached.append(bounds.supposed(form, multipliers, step["sets"]))
            if unknown is not None and max(reached) < end:
                raise unknown
            prove(max(reached) >= end, f"the {'lower' if sign > 0 else 'upper'} end of unit {unit}")
    bounds.boxes[v] = list(zip(*box, strict=True))


def prove_margin(bounds: Bounds, step: dict[str, Any], rows: Rows, m: Fraction, asked: Any, known: set[int]) -> None:
    """Section 7, `margin`, and `margin.per_class`, which bounds both classes of a row by themselves."""
    per_class, proved = step["rule"] == "margin.per_class", []
    prove(not per_class or asked["kind"] in ("untargeted", "targeted"), f"margin.per_class for {asked['kind']}")
    for i, (form, constant) in enumerate(rows):
        if i in known and not per_class:
            continue
        signs = [max, min] if per_class else [lambda k, zero: k]
        parts = [{y: [sign(k, ZERO) for k in a] for y, a in form.items()} for sign in signs]
        least = [bounds.largest(part, ZERO, step["sets"]) for part in parts]
        proved.append(NOTHING if NOTHING in least else constant + sum(least))
    spare = asked["k"] - 1 if asked["kind"] == "top_k" else 0
    prove(sum(b < m for b in proved) <= spare, f"margin: {proved}")


# Section 7: blocks


class Block:
    """An open block, or the certificate as a whole. inside: the blocks in it that count for `closed.split`."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds, self.order, self.empty = bounds, Order(), False
        self.inside: list[Supposition] = []


class Checker:
    """The steps, one after the other."""

    def __init__(self, bounds: Bounds, rows: Rows, m: Fraction, asked: Any) -> None:
        self.rows, self.m, self.asked = rows, m, asked
        self.open, self.proved = [Block(bounds)], set[int]()

    def take(self, step: dict[str, Any], table: list[Vector], last: bool) -> None:
        if step["rule"] not in STEPS:
            raise Holey(f"the rule {step['rule']} is unknown")
        prove(("margin" in step["rule"]) == last, "the last step, and no other, is a margin")
        block, rule, inside = self.open[-1], step["rule"], len(self.open) > 1
        bounds = block.bounds
        prove(not inside or not last, "a block is open")
        prove(not block.empty or rule == "closed.empty", "the block begins with an empty box")
        prove(rule != "suppose.row" or not inside, "suppose.row inside a block")
        only = rule in ("suppose.below", "suppose.above", "again") or rule.startswith("closed.")
        prove(inside or not (only or rule.endswith(".supposed")), f"{rule} outside of blocks")
        if rule in ("suppose.row", "suppose.below", "suppose.above"):
            self.begin(block, step, table)
            return
        if rule.startswith("closed."):
            self.end(block, step, table)
            return
        block.inside = []
        if rule == "again":
            block.order = Order()
        elif last:
            prove_margin(bounds, step, self.rows, self.m, self.asked, self.proved)
        else:
            block.order.follow(step)
            if rule.startswith("diagonals"):
                prove_diagonals(bounds, step, table)
            elif rule == "planes" and bounds.variables[step["of"]].parts:
                look_at_planes(bounds, step, table)
            elif rule == "planes":
                prove_planes(bounds, step, table)
            else:
                prove_box(bounds, step, table)

    def begin(self, block: Block, step: dict[str, Any], table: list[Vector]) -> None:
        """Section 7: the suppositions, and what a block begins with."""
        if step["rule"] == "suppose.row":
            form, constant = self.rows[step["row"]]
            block.order.of = math.inf  # behind it stand only blocks and the last step
            self.open.append(Block(block.bounds.under(Supposition(form, constant - self.m, row=step["row"]))))
            return
        v, unit, s = step["of"], step["unit"], table[0][0]
        below = step["rule"] == "suppose.below"
        sign = Fraction(1 if below else -1)
        form = {v: [sign * (i == unit) for i in range(block.bounds.variables[v].size)]}
        new = Block(block.bounds.under(Supposition(form, -sign * s, split=(step["rule"], v, unit, s))))
        box = list(new.bounds.boxes[v])
        low, high = box[unit]
        box[unit] = (low, min(high, s)) if below else (max(low, s), high)
        new.bounds.boxes[v], new.empty = box, box[unit][0] > box[unit][1]
        self.open.append(new)

    def end(self, block: Block, step: dict[str, Any], table: list[Vector]) -> None:
        """Section 7: the three rules that close a block."""
        bounds = block.bounds
        if step["rule"] == "closed.row":
            number = bounds.suppositions[0].row
            assert number is not None
            prove(bounds.largest(*self.rows[number], step["sets"]) >= self.m, f"row {number} stays below the margin")
        elif step["rule"] == "closed.empty":
            prove(all(mu >= 0 for row in table for mu in row), "a negative multiplier")
            v, unit = step["of"], step["unit"]
            a, b = bounds.box(v)[unit]
            forms = [{v: [Fraction(sign * (i == unit)) for i in range(bounds.variables[v].size)]} for sign in (1, -1)]
            a = max(a, bounds.supposed(forms[0], table[0], step["sets"]))
            b = min(b, -bounds.supposed(forms[1], table[1], step["sets"]))
            prove(a > b, f"unit {unit} may lie between {a} and {b}")
        else:
            below, above = ([None, None] + [one.split for one in block.inside])[-2:]
            prove(below is not None and above is not None, "no two blocks")
            assert below is not None and above is not None
            prove((below[0], above[0]) == ("suppose.below", "suppose.above"), "not below and above")
            prove(below[1:] == above[1:], "another variable, unit or number")
        self.open.pop()
        self.open[-1].inside.append(bounds.suppositions[-1])
        if len(self.open) == 1:
            number = bounds.suppositions[0].row
            assert number is not None
            self.proved.add(number)


# Sections 3, 4 and 9: the file as a whole


def network_digest(structure: str, weights: dict[str, Tensor]) -> str:
    """Section 4; the weights stand in the order in which they were taken."""
    listed = (f"{name}:{tensor.shape}\n".encode() + tensor.binary64() for name, tensor in weights.items())
    return sha256(structure.encode() + b"\n" + b"".join(listed))


def claim_digest(body: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Section 9."""
    plain = {key: json.dumps(body[key], separators=(",", ":"), sort_keys=True) for key in ("inputs", "specification")}
    lines = ["refcert claim 1", f"network {body['network']['digest']}", *map(" ".join, plain.items())]
    lines += [f"margin {body['margin']}"]
    lines += [f"tensor {name} {t.shape} {sha256(t.binary64())}" for name, t in sorted(tensors.items())]
    return sha256("".join(line + "\n" for line in lines).encode())


def read_network(thing: Any, tensors: Tensors, folder: Path) -> tuple[Any, Tensors]:
    """Section 4: the structure and the weights, of the certificate or of the file that it names."""
    need(isinstance(thing, dict), "`network` is not an object")
    fields(thing, ["digest", "file" if "file" in thing else "structure"])
    digest(thing["digest"])
    if "structure" in thing:
        names = [name for name in tensors.left if name.startswith("network.")]
        return thing["structure"], Tensors({name.removeprefix("network."): tensors.left.pop(name) for name in names})
    name = thing["file"]
    need(isinstance(name, str) and re.fullmatch(r"(?!\.)[A-Za-z0-9_.-]{1,255}", name) is not None, f"file {name!r}")
    need((folder / name).is_file() and not (folder / name).is_symlink(), f"{name} is no file of this folder")
    body, weights = read_container(folder / name)
    fields(body, ["format", "version", "structure"])
    need(body["format"] == "refcert network" and body["version"] == 1, f"{name} is no network")
    return body["structure"], weights


def check(path: Path | str) -> str:
    """VALID, INVALID or HOLEY; raises `Unreadable` (no verdict) and `NotCovered`."""
    return judge(path).verdict


def judge(path: Path | str, products: bool = False) -> Judged:
    """Sections 1, 3 and 10: all is read, then the digests and the steps are looked at one by one."""
    body, tensors = read_container(Path(path))
    keys = ["format", "version", "network", "inputs", "specification", "steps", "margin", "claim"]
    fields(body, keys, ["about"])
    need(body["format"] == "refcert certificate" and body["version"] == 1, "not a certificate of version 1")
    about = body.get("about", {})
    need(isinstance(about, dict) and all(isinstance(text, str) for text in about.values()), "`about`")
    m = number(body["margin"])
    need(m > 0, f"margin {m}")
    digest(body["claim"])
    structure, weights = read_network(body["network"], tensors, Path(path).parent)
    need(all(t.dtype in ("F64", "F32") for t in tensors.left.values()), "a narrow type outside of a network")
    inputs = read_inputs(body["inputs"], tensors)
    program = Program(structure, weights, inputs, products)
    rows = read_specification(body["specification"], program, tensors)
    claimed = dict(tensors.taken)
    tables = read_steps(body["steps"], program, tensors, len(rows))
    need(not tensors.left and not weights.left, f"tensors without a place: {[*tensors.left, *weights.left][:3]}")
    k = None
    try:
        prove(network_digest(structure, weights.taken) == body["network"]["digest"], "the network's digest")
        prove(claim_digest(body, claimed) == body["claim"], "the claim's digest")
        checker, count = Checker(Bounds(program), rows, m, body["specification"]), len(body["steps"])
        for k, (step, table) in enumerate(zip(body["steps"], tables, strict=True)):
            checker.take(step, table, last=k == count - 1)
    except Invalid:
        return Judged("INVALID", k)
    except Holey:
        return Judged("HOLEY", k)
    return Judged("VALID", None)

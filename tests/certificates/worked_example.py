"""The worked example of proofs/spec/certificate_v1.md: the file, and section 11, whose numbers are read from the file.

`python -m tests.certificates.worked_example` prints the section; a test compares it with the text.
"""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.certificates.naive_checker import Bounds, claim_digest, network_digest, sha256
from tests.certificates.naive_container import Tensors, Vector, read_container
from tests.certificates.naive_network import ZERO, Program, dot, read_inputs
from tests.certificates.tiny_certificates import Arrays, Draft, array

NAME = "worked example"
FILE = Path(__file__).parents[2] / "proofs" / "vectors" / "accepted" / "worked-example.safetensors"

WEIGHTS: Arrays = {
    "layers.0.0.weight_ih": array([1.0]),
    "layers.0.0.weight_hh": array([-1.0]),
    "layers.0.0.bias_ih": array(0.5),
    "layers.0.0.bias_hh": array(0.0),
    "after.0.weight": array([-1.0], [1.0]),
    "after.0.bias": array(8.0, 0.0),
}
TENSORS: Arrays = {
    "center": array([0.5], [2.0]),
    "radius": array(2.0, 0.5),
    "step.0": array([0.5], [0.0], [0.75], [0.75]),
    "step.1": array([-1.0], [3.0]),
    "step.2": array([0.0], [0.0], [0.75], [0.75]),
}


def draft() -> Draft:
    """The certificate, written down number by number."""
    body: dict[str, Any] = {
        "format": "refcert certificate",
        "version": 1,
        "network": {"structure": "|rnn_relu>|final|dense"},
        "inputs": {"kind": "frame_balls", "p": "inf"},
        "specification": {"kind": "untargeted", "label": 0},
        "steps": [
            {"rule": "planes", "of": 3, "part": 0, "set": 0},
            {"rule": "box.interval", "of": 4},
            {"rule": "planes", "of": 5, "part": 0, "set": 0},
            {"rule": "margin", "sets": [0]},
        ],
        "margin": (1.25).hex(),
    }
    weights, tensors = deepcopy((WEIGHTS, TENSORS))  # a corruption changes arrays where they are
    tensors |= {f"network.{name}": weight for name, weight in weights.items()}
    made = Draft(body, tensors, weights, body["network"]["structure"])
    made.digest()
    made.claim()
    return made


# The section


def plain(x: Fraction) -> str:
    """A number with few binary digits as an exact decimal fraction."""
    assert Fraction(float(x)) == x
    text = repr(float(x))
    assert Fraction(text) == x
    return text.removesuffix(".0")


def listed(values: Vector) -> str:
    return "(" + ", ".join(map(plain, values)) + ")"


def interval(ends: tuple[Fraction, Fraction]) -> str:
    return "[" + ", ".join(map(plain, ends)) + "]"


def summed(terms: list[tuple[Fraction, str]], constant: Fraction = ZERO) -> str:
    """a x + b y + c with the signs of the numbers between the terms, without those that are zero."""
    parts = [(k, name if abs(k) == 1 else f"{plain(abs(k))} {name}") for k, name in terms if k]
    parts += [(constant, plain(abs(constant)))] if constant or not parts else []
    text = "".join((" - " if k < 0 else " + ") + part for k, part in parts)
    return text[3:] if text.startswith(" + ") else "-" + text[3:]


def name_of(v: int, frames: int) -> str:
    return f"x_{v}" if v < frames else f"v_{v}"


class Example:
    """The file as it was read. All its variables but the answer have one unit."""

    def __init__(self, path: Path) -> None:
        self.body, tensors = read_container(path)
        left = tensors.left
        self.weights = {name.removeprefix("network."): left[name] for name in left if name.startswith("network.")}
        self.inputs = read_inputs(self.body["inputs"], tensors)
        self.claimed = dict(tensors.taken)
        structure = self.body["network"]["structure"]
        self.program = Program(structure, Tensors(dict(self.weights)), self.inputs)
        self.tables = {k: left[f"step.{k}"].rows() for k in range(len(self.body["steps"])) if f"step.{k}" in left}
        self.bounds = Bounds(self.program)
        self.frames, self.variables = self.inputs.frames, self.program.variables

    def affine(self, v: int, unit: int = 0) -> str:
        """The definition of a unit of an affine variable."""
        variable = self.variables[v]
        terms = [(rows[unit][0], name_of(u, self.frames)) for u, rows in variable.terms.items()]
        return summed(terms, variable.constant[unit])

    def planes(self, k: int) -> list[str]:
        """The text of a `planes` step; it proves the planes."""
        step, (lower, low, upper, high) = self.body["steps"][k], [row[0] for row in self.tables[k]]
        argument = self.variables[step["of"]].relu_of
        (box,) = self.bounds.box(argument)
        lines = [
            f"Step {k}, `planes` of variable {step['of']}: `{summed([(lower, 'v')], low)} <= max(v, 0) <= "
            f"{summed([(upper, 'v')], high)}` for all `v` in the box of variable {argument}, {interval(box)}. Lines "
            "and `max(v, 0)` are straight between the box's ends and 0, so three points decide:",
            "",
            "| `v` | lower plane | `max(v, 0)` | upper plane |",
            "| --- | --- | --- | --- |",
        ]
        for v in (box[0], ZERO, box[1]):
            middle = max(v, ZERO)
            assert lower * v + low <= middle <= upper * v + high
            lines.append(f"| {plain(v)} | {plain(lower * v + low)} | {plain(middle)} | {plain(upper * v + high)} |")
        self.bounds.planes[step["of"], step["set"]] = self.tables[k]
        return [*lines, ""]

    def box(self, k: int) -> list[str]:
        """The text of the `box.interval` step; it proves the box."""
        v = self.body["steps"][k]["of"]
        ends = tuple(row[0] for row in self.tables[k])
        (found,) = self.bounds.interval(v)
        assert ends == found
        ((u, (row,)),) = [(u, matrix) for u, matrix in self.variables[v].terms.items() if u >= self.frames]
        (own,) = self.bounds.box(u)
        turned = tuple(sorted(row[0] * end for end in own))
        rest = (found[0] - turned[0], found[1] - turned[1])
        self.bounds.boxes[v] = [ends]
        return [
            f"Step {k}, `box.interval` of variable {v}: {interval(ends)}. No step gives variable {u} a box, so it has "
            f"{interval(own)}, the least and the greatest value of `max(v, 0)` on {interval(self.bounds.box(2)[0])}. "
            f"Its term `{summed([(row[0], name_of(u, self.frames))])}` lies in "
            f"{interval(turned)}, the rest of `{name_of(v, self.frames)}` on `X` in {interval(rest)}; together "
            f"{interval(found)}, which reaches both claimed ends.",
            "",
        ]

    def margin(self, k: int) -> list[str]:
        """The text of the `margin` step: the substitution of the only row, variable by variable."""
        (which,), label = self.body["steps"][k]["sets"], self.body["specification"]["label"]
        (answer,) = self.program.answers
        form = {answer: [Fraction(1 if j == label else -1) for j in range(self.program.classes)]}
        constant = ZERO
        lines = [
            f"Step {k}, `margin`: the substitution of the only row with set {which}.",
            "",
            "| removed | by | what is left |",
            "| --- | --- | --- |",
            f"| | | `y[{label}] - y[{1 - label}]` |",
        ]
        for v in range(len(self.variables) - 1, self.frames - 1, -1):
            a, variable = form.pop(v), self.variables[v]
            if variable.relu_of is None:
                how = "its definition"
                constant += dot(a, variable.constant)
                parts = {
                    u: [dot(a, column) for column in zip(*rows, strict=True)] for u, rows in variable.terms.items()
                }
            else:
                table = self.bounds.planes[v, which]
                how = f"`{plain(a[0])} < 0`: its upper plane" if a[0] < 0 else f"`{plain(a[0])} >= 0`: its lower plane"
                constant += a[0] * table[2 * (a[0] < 0) + 1][0]
                parts = {variable.relu_of: [a[0] * table[2 * (a[0] < 0)][0]]}
            assert not parts.keys() & form.keys()
            form |= parts
            left = [(form[u][0], name_of(u, self.frames)) for u in sorted(form, reverse=True)]
            lines.append(f"| `v_{v}` | {how} | `{summed(left, constant)}` |")
        least, ends = self.inputs.least(form), [self.bounds.box(t)[0] for t in range(self.frames)]
        bound, margin = constant + least, Fraction(float.fromhex(self.body["margin"]))
        assert bound == margin == self.bounds.largest({answer: [Fraction(1), Fraction(-1)]}, ZERO, [which])
        corner = " + ".join(
            f"({plain(form[t][0])}) ({plain(ends[t][form[t][0] < 0])})" for t in sorted(form, reverse=True)
        )
        return [
            *lines,
            "",
            f"`least` is reached where every frame is at the end that its coefficient's sign asks for: `{corner} = "
            f"{plain(least)}`. The bound is `{plain(constant)} - {plain(-least)} = {plain(bound)} >= m`: VALID.",
        ]


def section(path: Path = FILE) -> str:
    """Section 11 behind its title."""
    example = Example(path)
    body, weights, frames = example.body, example.weights, example.frames
    center, radius = (example.claimed[name].vector() for name in ("center", "radius"))
    boxes = ", ".join(f"`x_{t}` in {interval(example.bounds.box(t)[0])}" for t in range(frames))
    (answer,), label = example.program.answers, body["specification"]["label"]
    named = {name: listed(weight.vector()) for name, weight in weights.items()}
    variables = []
    for v in range(frames, len(example.variables)):
        relu_of = example.variables[v].relu_of
        rows = [example.affine(v, unit) for unit in range(example.variables[v].size)] if relu_of is None else []
        what = f"max(v_{relu_of}, 0)" if relu_of is not None else ", ".join(rows)
        variables.append(f"`v_{v} = {'(' + what + ')' if len(rows) > 1 else what}`")
    claim = {key: json.dumps(body[key], separators=(",", ":"), sort_keys=True) for key in ("inputs", "specification")}
    assert claim_digest(body, example.claimed) == body["claim"]
    assert network_digest(body["network"]["structure"], weights) == body["network"]["digest"]
    hashed = [f"{name}:{weight.shape}\n    {weight.binary64().hex()}" for name, weight in weights.items()]
    tensors = [f"tensor {name} {t.shape} {sha256(t.binary64())}" for name, t in sorted(example.claimed.items())]
    lines = [
        f"`proofs/vectors/accepted/{path.name}`: one unit, {frames} frames of one number, {example.program.classes} "
        "classes, and numbers so short that every step can be followed by hand. (A test writes this section from the "
        "file.)",
        "",
        "**Body**, with line breaks put in:",
        "",
        "```",
        broken(body),
        "```",
        "",
        "**Network.** " + ", ".join(f"`{name}` {value}" for name, value in named.items()) + ". "
        f"The frames are `x_0`, `x_1`; variable `k` is `v_k`. Before the first frame there is no state. {answer + 1} "
        f"variables: {', '.join(variables)}. `v_{answer}` is the answer `y`. The digest is that of these lines, each "
        "ended by a newline; an indented one stands for the bytes that it writes in hexadecimal, without a newline:",
        "",
        "```",
        body["network"]["structure"],
        *hashed,
        "```",
        "",
        f"**Input set.** `center` {listed(center)}, `radius` {listed(radius)}, `p` infinite: {boxes}.",
        "",
        f"**Claim.** `y[{label}] - y[{1 - label}] >= {plain(Fraction(float.fromhex(body['margin'])))}`. Its digest is "
        "that of these lines:",
        "",
        "```",
        "refcert claim 1",
        f"network {body['network']['digest']}",
        *(f"{key} {text}" for key, text in claim.items()),
        f"margin {body['margin']}",
        *tensors,
        "```",
        "",
        "**Steps.** "
        f"No step gives variable 2 a box, so it has the one of `interval`, {interval(example.bounds.box(2)[0])}.",
        "",
    ]
    for k, step in enumerate(body["steps"]):
        kind = {"planes": example.planes, "box.interval": example.box, "margin": example.margin}[step["rule"]]
        lines += kind(k)
    return "\n".join(lines) + "\n"


def broken(body: dict[str, Any]) -> str:
    """The body's JSON with a line for each key and each step."""
    rows = []
    for key, value in body.items():
        if key == "steps":
            steps = ",\n".join("  " + json.dumps(step) for step in value)
            rows.append(f'"steps": [\n{steps}]')
        else:
            rows.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{" + ",\n ".join(rows) + "}"


if __name__ == "__main__":
    sys.stdout.write(section())

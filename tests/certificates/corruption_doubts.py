"""Is what a certificate claims true? Asked without the kernel: to catch it where it says VALID of a false claim.

Three ways, each of which can only contradict: the naive checker (exact, ReLU networks; where there are diagonals also
others, whose planes it looks at in points), a second replay of all steps in 300 bits (boxes and margins by
`tests/engine/certificate_replay.py`, planes by the audit's branch and bound), and points of the set at which the rows
are evaluated (random extreme points, and steps down along each row's gradient).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refcert.audit.branching.search import check_plane_by_branching
from refcert.kernel.ball import float_above, float_below
from refcert.kernel.claims import PlaneClaim, Status
from refcert.reference.networks import Dense, Network, Recurrent, logits
from tests.certificates import naive_checker
from tests.certificates.tiny_certificates import Arrays, Draft
from tests.engine.certificate_files import File
from tests.engine.certificate_program import Part
from tests.engine.certificate_replay import Replay, both_planes, follow, precise, rows_of

Array = NDArray[np.float64]

# Points are computed in float64, a little inside of the set; what is below by less is no contradiction.
ALLOWED = 1e-9
INSIDE = 1 - 1e-12


def contradiction(path: Path, draft: Draft) -> str | None:
    """Why the claim of this file is false, or does not follow; None where nothing speaks against it."""
    used = {step["rule"] for step in draft.body["steps"]}
    more = bool(used & {"diagonals", "suppose.row"})
    try:
        found = naive_checker.judge(path, products=more).verdict
        return None if found == "VALID" else f"the naive checker says {found}"
    except naive_checker.NotCovered:
        pass
    except naive_checker.Unreadable as error:
        return f"the naive checker cannot read it: {error}"
    arrays = {name: np.array(table.values).reshape(table.shape) for name, table in draft.tensors.items()}
    weights = arrays_of(draft)
    file = File({}, draft.body, arrays)
    # The second replay does not know blocks.
    replayed = None if "suppose.row" in used else not_replayed(file, draft.structure, weights)
    return replayed or point_below(file, draft.structure, weights)


def arrays_of(draft: Draft) -> dict[str, Array]:
    """The network's weights by name."""
    source: Arrays = draft.tensors if draft.file is None else draft.file
    prefix = "network." if draft.file is None else ""
    return {name: np.array(source[prefix + name].values).reshape(source[prefix + name].shape) for name in draft.weights}


# The steps again


def not_replayed(file: File, structure: str, weights: dict[str, Array]) -> str | None:
    """The first step that does not follow; None where all do, or where this replay does not cover the input set."""
    inputs = file.body["inputs"]
    if "clip" in inputs and inputs["p"] != "inf":
        return None
    with precise():
        try:
            replay, compared = follow(file, structure, weights)
        except KeyError:
            return None  # a set without the planes that a row needs
        for one in compared:
            if not one.holds:
                claimed, shown = float(one.claimed), float(one.shown.mid())
                return f"step {one.step}, {one.rule}: {claimed!r} is claimed, {shown!r} follows"
        for position, step in enumerate(file.body["steps"]):
            if step["rule"] == "planes":
                part = replay.program.variables[step["of"]].parts[step["part"]]
                cut = replay.diagonals.get((step["of"], step["part"]))
                bad = false_plane(replay, part, file.tensors[f"step.{position}"], cut)
                if bad is not None:
                    return f"step {position}: {bad}"
    return None


def false_plane(replay: Replay, part: Part, tensor: Array, cut: Array | None) -> str | None:
    """A plane of the step that the audit's second method refutes; cut: the ends of its diagonals, (4, units)."""
    first, units = part.v[1], tensor.shape[1]
    box_v = [floats(ends) for ends in replay.box(part.v[0])[first : first + units]]
    box_v = box_v if part.sign > 0 else [(-high, -low) for low, high in box_v]
    box_z = [(0.0, 0.0)] * units
    if part.z is not None:
        box_z = [floats(ends) for ends in replay.box(part.z[0])[part.z[1] : part.z[1] + units]]
    for side, plane in zip(("lower", "upper"), both_planes(tensor, part.z is not None), strict=True):
        for unit in range(units):
            numbers = [float(row[unit]) for row in plane]
            ends = None if cut is None else tuple(float(end) for end in cut[:, unit])
            claim = PlaneClaim(part.kind, side, *box_v[unit], *box_z[unit], *numbers, diagonals=ends)
            if check_plane_by_branching(claim).status is Status.REFUTED:
                return f"the {side} plane of unit {unit} is violated: {claim}"
    return None


def floats(ends) -> tuple[float, float]:
    return float_below(ends[0]), float_above(ends[1])


# Points of the set


def point_below(file: File, structure: str, weights: dict[str, Array]) -> str | None:
    """A point at which the rows fall below the margin."""
    network = network_of(structure, weights)
    body, margin = file.body, float.fromhex(file.body["margin"])
    generator = np.random.default_rng(0)
    center = file.tensors["lower" if body["inputs"]["kind"] == "boxes" else "center"]
    C, d, spare = None, None, 0
    lowest: Array | None = None

    def look(x: Array) -> Array | None:
        nonlocal C, d, lowest
        with np.errstate(all="ignore"):
            try:
                y = np.asarray(logits(network, x)).ravel()
            except OverflowError:
                return None
        if not np.isfinite(y).all():
            return None
        if C is None:
            C, d = rows_of(file, y.size // (len(center) if network.readout == "every" else 1))
            lowest = np.full(len(C), np.inf)
        values = C @ y + d
        lowest = np.minimum(lowest, values + ALLOWED * (1 + np.abs(C) @ np.abs(y) + np.abs(d)))
        return values

    def gradient(x: Array, row: int) -> Array:
        slopes, here = np.zeros(x.size), look(x)
        for k in range(x.size):
            step = np.zeros(x.size)
            step[k] = 1e-6 * (1 + abs(x.ravel()[k]))
            with np.errstate(all="ignore"):
                y = np.asarray(logits(network, x + step.reshape(x.shape))).ravel()
            slopes[k] = ((C @ y + d)[row] - here[row]) / step[k] if here is not None else 0.0
        return np.nan_to_num(slopes).reshape(x.shape)

    start = center if body["inputs"]["kind"] != "boxes" else (center + file.tensors["upper"]) / 2
    look(start)
    for _ in range(12):
        look(extreme(file, generator.normal(size=center.shape)))
    if C is None:
        return None
    if center.size <= 64:
        for row in range(len(C)):
            x = start
            for _ in range(2):
                x = extreme(file, gradient(x, row))
                look(x)
    if body["specification"]["kind"] == "top_k":
        spare = body["specification"]["k"] - 1
    below = np.flatnonzero(lowest < margin)
    if len(below) <= spare:
        return None
    return f"row {below[0]} falls to {lowest[below[0]]!r}, the margin is {margin!r}"


def extreme(file: File, gradient: Array) -> Array:
    """A point of the set, little inside of it, where gradient . x is (nearly) least."""
    inputs, tensors = file.body["inputs"], file.tensors
    if inputs["kind"] == "boxes":
        return np.where(gradient > 0, tensors["lower"], tensors["upper"])
    center = tensors["center"]
    if inputs["kind"] == "substitutions":
        words = iter(tensors.get("candidates", ()))
        choices = [[x, *(next(words) for _ in range(count))] for x, count in zip(center, inputs["counts"], strict=True)]
        return np.stack([min(some, key=lambda x: float(a @ x)) for some, a in zip(choices, gradient, strict=True)])
    p = math.inf if inputs["p"] == "inf" else float.fromhex(inputs["p"])
    if inputs["kind"] == "sequence_ball":
        moving = np.zeros(len(center), dtype=bool)
        moving[inputs.get("moves", list(range(len(center))))] = True
        step = steepest((gradient * moving[:, None]).ravel(), p).reshape(center.shape) * tensors["radius"][0]
    else:
        step = np.stack([steepest(row, p) for row in gradient]) * tensors["radius"][:, None]
    x = center - step * INSIDE
    return np.clip(x, *(float.fromhex(end) for end in inputs["clip"])) if "clip" in inputs else x


def steepest(gradient: Array, p: float) -> Array:
    """The vector of p-norm 1 or less along which the form rises most."""
    size = np.abs(gradient)
    largest = size.max(initial=0.0)
    if largest == 0:
        return np.zeros_like(gradient)
    if p == 1:
        return np.where(np.arange(size.size) == size.argmax(), np.sign(gradient), 0.0)
    if math.isinf(p):
        return np.sign(gradient)
    with np.errstate(under="ignore"):
        vector = (size / largest) ** (1 / (p - 1))
        return np.sign(gradient) * vector / np.sum(vector**p) ** (1 / p)


def network_of(structure: str, weights: dict[str, Array]) -> Network:
    """The network as the reference computes it."""
    before, layers, readout, after = structure.split("|")

    def blocks(where: str, text: str):
        kinds = text.split("/") if text else []
        return tuple(
            Dense(weights[f"{where}.{k}.weight"], weights[f"{where}.{k}.bias"]) if kind == "dense" else kind
            for k, kind in enumerate(kinds)
        )

    def direction(name: str, text: str) -> Recurrent:
        own = {key.removeprefix(name): value for key, value in weights.items() if key.startswith(name)}
        return Recurrent(text[:-1], **own, reverse=text.endswith("<"))

    found = tuple(
        tuple(direction(f"layers.{k}.{j}.", text) for j, text in enumerate(layer.split(",")))
        for k, layer in enumerate(layers.split(";"))
    )
    return Network(found, blocks("after", after), blocks("before", before), readout)

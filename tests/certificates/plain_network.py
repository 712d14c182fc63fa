"""What the vectors are about, written down a second time without programs or bounds: points of X, and y = F(x).

Rational and exact; for the ReLU networks and input sets of tiny_certificates.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from fractions import Fraction

from tests.certificates.tiny_certificates import Array, P, Question

Point = list[list[Fraction]]  # frames


def matrix(tensor: Array) -> Point:
    values, width = vector(tensor), tensor.shape[-1]
    return [values[i : i + width] for i in range(0, len(values), width)]


def vector(tensor: Array) -> list[Fraction]:
    return [Fraction(value) for value in tensor.values]


def joined(vectors: Iterable[list[Fraction]]) -> list[Fraction]:
    return list(itertools.chain.from_iterable(vectors))


def share(source: random.Random) -> Fraction:
    """A number between 0 and 1, often an end."""
    return Fraction(source.choice([0.0, 1.0, 1.0, source.randrange(17) / 16]))


def point(question: Question, source: random.Random) -> Point:
    """A point of the input set; often a corner."""
    kind, tensors = question.inputs["kind"], question.tensors
    if kind == "boxes":
        pairs = zip(matrix(tensors["lower"]), matrix(tensors["upper"]), strict=True)
        return [[a + share(source) * (b - a) for a, b in zip(*frame, strict=True)] for frame in pairs]
    x = matrix(tensors["center"])
    if kind == "substitutions":
        words = iter(matrix(tensors["candidates"])) if "candidates" in tensors else iter(())
        counts = question.inputs["counts"]
        return [source.choice([row, *itertools.islice(words, k)]) for row, k in zip(x, counts, strict=True)]
    radius = vector(tensors["radius"])
    moves = question.inputs.get("moves", list(range(len(x))))
    balls = [(moves, radius[0])] if kind == "sequence_ball" else [([t], r) for t, r in enumerate(radius)]
    for frames, left in balls:
        coordinates = [(t, i) for t in frames for i in range(len(x[t]))]
        for t, i in source.sample(coordinates, len(coordinates)):
            way = share(source) * left
            left -= way if question.inputs["p"] == P[1] else 0
            x[t][i] += source.choice((-1, 1)) * way
    if "clip" in question.inputs:  # towards the center, which lies inside: no norm grows
        low, high = (Fraction(float.fromhex(end)) for end in question.inputs["clip"])
        x = [[min(max(value, low), high) for value in row] for row in x]
    return x


def relu(v: list[Fraction]) -> list[Fraction]:
    return [max(value, Fraction(0)) for value in v]


def dense(weight: Array, v: list[Fraction]) -> list[Fraction]:
    return [sum((a * b for a, b in zip(row, v, strict=True)), Fraction(0)) for row in matrix(weight)]


def add(*vectors: list[Fraction]) -> list[Fraction]:
    return [sum(values, Fraction(0)) for values in zip(*vectors, strict=True)]


def forward(question: Question, x: Point) -> list[list[Fraction]]:
    """The answers of the network for one point: one, or one for each frame."""
    weights = question.weights
    before, layers, readout, after = question.structure.split("|")

    def blocks(where: str, names: str, v: list[Fraction]) -> list[Fraction]:
        for k, name in enumerate(names.split("/") if names else []):
            if name == "relu":
                v = relu(v)
            else:
                v = add(dense(weights[f"{where}.{k}.weight"], v), vector(weights[f"{where}.{k}.bias"]))
        return v

    frames = [blocks("before", before, frame) for frame in x]
    for k, layer in enumerate(layers.split(";")):
        tracks, ends = [], []
        for j, name in enumerate(layer.split(",")):
            cell = {key.split(".")[3]: weight for key, weight in weights.items() if key.startswith(f"layers.{k}.{j}.")}
            start = cell.get("initial_hidden")
            h = vector(start) if start else [Fraction(0)] * cell["bias_hh"].shape[0]
            track = []
            for frame in frames[::-1] if name.endswith("<") else frames:
                reads, keeps = dense(cell["weight_ih"], frame), dense(cell["weight_hh"], h)
                h = relu(add(reads, keeps, vector(cell["bias_ih"]), vector(cell["bias_hh"])))
                track.append(h)
            ends.append(h)
            tracks.append(track[::-1] if name.endswith("<") else track)
        frames = [joined(states) for states in zip(*tracks, strict=True)]
    heads = {
        "final": [joined(ends)],
        "last_frame": frames[-1:],
        "mean": [[value / len(frames) for value in add(*frames)]],
        "max": [[max(values) for values in zip(*frames, strict=True)]],
        "every": frames,
    }[readout]
    return [blocks("after", after, head) for head in heads]


def margin(question: Question, answers: list[list[Fraction]]) -> Fraction:
    """What the specification asks to be large, for one point."""
    asked = question.specification
    if asked["kind"] == "rows":
        rows, constants = matrix(question.tensors["rows.C"]), vector(question.tensors["rows.d"])
        y = joined(answers)
        return min(d + sum(a * b for a, b in zip(row, y, strict=True)) for row, d in zip(rows, constants, strict=True))
    labels = asked["labels"] if asked["kind"] == "untargeted_steps" else [asked["label"]]
    gaps = []
    for y, label in zip(answers, labels, strict=True):
        others = [asked["target"]] if asked["kind"] == "targeted" else [j for j in range(len(y)) if j != label]
        gaps += [y[label] - y[j] for j in others]
    return sorted(gaps)[asked.get("k", 1) - 1]

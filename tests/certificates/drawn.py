"""Hypothesis strategies for tiny ReLU certificates that are VALID, and random corruptions of them.

No twin of `refcert.strategies`: what is drawn is the content of a file, in the format's own words and without the
engine, also where the engine never writes it so; certificates of public questions are in `test_honest`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.certificates.planted_corruptions import further, nearer
from tests.certificates.tiny_certificates import Array, Arrays, Draft, P, Plan, Question, array, build, derive

RULES = ("box.interval", "box.substitution", "box.intersection")
PLANS = st.builds(
    Plan,
    st.integers(1, 2),
    st.sampled_from([None, *RULES]),
    st.sampled_from([None, *RULES]),
    st.sampled_from(["margin", "margin.per_class"]),
)
CLIP = (-1.0, 1.5)  # centers lie inside


class Numbers:
    """Quarters, or numbers of 53 bits, from a seed."""

    def __init__(self, seed: int, short: bool) -> None:
        self.source, self.short = random.Random(seed), short

    def one(self, low: float = -1.0, high: float = 1.0) -> float:
        if self.short:
            return self.source.randint(math.ceil(4 * low), math.floor(4 * high)) / 4
        return self.source.uniform(low, high)

    def array(self, *shape: int, low: float = -1.0, high: float = 1.0) -> Array:
        return Array(shape, [self.one(low, high) for _ in range(math.prod(shape))])


@st.composite
def questions(draw: Any) -> Question:
    """Up to three frames of up to two numbers, up to two layers or directions, two or three classes."""
    numbers = Numbers(draw(st.integers(0, 2**32 - 1)), draw(st.booleans()))
    frames, width = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    weights: Arrays = {}
    before = draw(st.sampled_from(["", "", "relu", "dense", "dense/relu"]))
    below = width
    if before.startswith("dense"):
        below = draw(st.integers(1, 2))
        weights |= {"before.0.weight": numbers.array(below, width), "before.0.bias": numbers.array(below)}
    layers = draw(st.sampled_from([[">"], [">"], ["<"], [">", "<"], [">;", ">"], ["<;", ">"]]))
    layout = "".join(layers).replace("><", ">,<").replace("<>", "<,>")
    for k, layer in enumerate(layout.split(";")):
        sizes = [draw(st.integers(1, 2)) for _ in layer.split(",")]
        for j, hidden in enumerate(sizes):
            weights |= _cell(numbers, f"layers.{k}.{j}", below, hidden, draw(st.booleans()))
        below = sum(sizes)
    readout = draw(st.sampled_from(["final", "last_frame", "mean", "max", "every"]))
    after = draw(st.sampled_from(["dense", "dense", "relu/dense", "dense/relu/dense"]))
    classes = draw(st.integers(2, 3))
    for k, block in enumerate(after.split("/")):
        if block == "dense":
            size = classes if k == after.count("/") else 2
            weights |= {f"after.{k}.weight": numbers.array(size, below), f"after.{k}.bias": numbers.array(size)}
            below = size
    structure = f"{before}|{layout.replace('>', 'rnn_relu>').replace('<', 'rnn_relu<')}|{readout}|{after}"
    inputs, tensors = draw(input_sets(numbers, frames, width))
    asked, rows = draw(specifications(numbers, frames, classes, readout))
    return Question(structure, weights, inputs, tensors | rows, asked, draw(st.booleans()))


def _cell(numbers: Numbers, at: str, below: int, hidden: int, started: bool) -> Arrays:
    cell = {
        f"{at}.weight_ih": numbers.array(hidden, below),
        f"{at}.weight_hh": numbers.array(hidden, hidden),
        f"{at}.bias_ih": numbers.array(hidden),
        f"{at}.bias_hh": numbers.array(hidden),
    }
    return cell | ({f"{at}.initial_hidden": numbers.array(hidden)} if started else {})


@st.composite
def input_sets(draw: Any, numbers: Numbers, frames: int, width: int) -> tuple[dict[str, Any], Arrays]:
    kind = draw(st.sampled_from(["frame_balls", "sequence_ball", "boxes", "substitutions"]))
    center = numbers.array(frames, width)
    if kind == "boxes":
        return {"kind": kind}, {"lower": center, "upper": Array(center.shape, [x + 0.5 for x in center.values])}
    if kind == "substitutions":
        counts = draw(st.lists(st.integers(0, 2), min_size=frames, max_size=frames))
        words = {"candidates": numbers.array(sum(counts), width)} if any(counts) else {}
        return {"kind": kind, "counts": counts}, {"center": center} | words
    inputs: dict[str, Any] = {"kind": kind, "p": draw(st.sampled_from([P[1], "inf"]))}
    if draw(st.booleans()):
        inputs["clip"] = [end.hex() for end in CLIP]
    if kind == "sequence_ball" and draw(st.booleans()):
        inputs["moves"] = sorted(draw(st.sets(st.integers(0, frames - 1))))
    radius = numbers.array(frames if kind == "frame_balls" else 1, low=0.0)
    return inputs, {"center": center, "radius": radius}


@st.composite
def specifications(
    draw: Any, numbers: Numbers, frames: int, classes: int, readout: str
) -> tuple[dict[str, Any], Arrays]:
    every = readout == "every"
    kind = draw(st.sampled_from(["untargeted_steps", "rows"] if every else ["untargeted", "targeted", "top_k", "rows"]))
    label = draw(st.integers(0, classes - 1))
    if kind == "rows":
        outputs = classes * (frames if every else 1)
        return {"kind": kind}, {"rows.C": numbers.array(2, outputs), "rows.d": numbers.array(2)}
    keys: dict[str, Any] = {"label": label}
    if kind == "untargeted_steps":
        keys = {"labels": [label] * frames}
    elif kind == "targeted":
        keys["target"] = (label + 1) % classes
    elif kind == "top_k":
        keys["k"] = draw(st.integers(1, classes - 1))
    return {"kind": kind} | keys, {}


@st.composite
def certificates(draw: Any) -> Draft:
    """A question, raised so that it holds, with steps of a plan."""
    question, plan = draw(questions()), draw(PLANS)
    if question.specification["kind"] not in ("untargeted", "targeted"):
        plan = replace(plan, margin="margin")
    reached = derive(question, plan).margin
    if reached <= 0:
        _raise(question, math.ceil(-reached) + 1.0)
    return build(question, plan)


def _raise(question: Question, by: float) -> None:
    """Raise the rows' constants, or the bias of the label; no other step changes."""
    asked = question.specification
    if asked["kind"] == "rows":
        values = question.tensors["rows.d"].values
        values[:] = [x + by for x in values]
        return
    last = max(name for name in question.weights if name.endswith("bias") and name.startswith("after"))
    question.weights[last].values[asked["label"] if "label" in asked else asked["labels"][0]] += by


# Corruptions

NUMBERS = (0.0, -0.0, -1.0, 8.0, 2.0**-30, -(2.0**40), 2.0**1000, 5e-324)
EXTREME = 2.0**200  # larger numbers, and small ones, can exhaust the precision of a checker with balls


@dataclass(frozen=True)
class Corruption:
    """What is done, and whether the digests are written anew behind it."""

    change: Callable[[Draft, random.Random], object]
    seed: int
    anew: bool

    def __call__(self, draft: Draft) -> None:
        self.change(draft, random.Random(self.seed))
        if self.anew:
            draft.digest()
            draft.claim()


def _tensor(draft: Draft, source: random.Random) -> Array:
    names = sorted(draft.tensors)
    if draft.file is not None and source.random() < 0.2:
        return draft.file[source.choice(sorted(draft.file))]
    return draft.tensors[source.choice(names)]


def place_changed(draft: Draft, source: random.Random) -> None:
    tensor = _tensor(draft, source)
    k = source.randrange(len(tensor.values))
    tensor.values[k] = source.choice((nearer, further))(tensor.values[k])


def number_changed(draft: Draft, source: random.Random) -> None:
    tensor = _tensor(draft, source)
    k = source.randrange(len(tensor.values))
    tensor.values[k] = source.choice((*NUMBERS, -tensor.values[k], 2 * tensor.values[k], tensor.values[k] + 0.25))


def numbers_exchanged(draft: Draft, source: random.Random) -> None:
    tensor = _tensor(draft, source)
    a, b = (source.randrange(len(tensor.values)) for _ in range(2))
    tensor.values[a], tensor.values[b] = tensor.values[b], tensor.values[a]


def step_dropped(draft: Draft, source: random.Random) -> None:
    draft.drop(source.randrange(len(draft.body["steps"])))


def steps_exchanged(draft: Draft, source: random.Random) -> None:
    count = len(draft.body["steps"])
    draft.swap(source.randrange(count), source.randrange(count))


def key_changed(draft: Draft, source: random.Random) -> None:
    step = source.choice(draft.body["steps"])
    key = source.choice(sorted(step))
    if key == "rule":
        step["rule"] = source.choice((*RULES, "planes", "margin", "margin.per_class", "magic"))
        rules_with_sets = ("box.substitution", "box.intersection", "margin", "margin.per_class")
        if step["rule"] in rules_with_sets:
            step.setdefault("sets", [0])
        else:
            step.pop("sets", None)
    elif key == "sets":
        step["sets"] = sorted(source.sample(range(4), source.randint(1, 2)))
    else:
        step[key] = max(0, step[key] + source.choice((-1, 1, 2)))


def margin_changed(draft: Draft, source: random.Random) -> None:
    change = source.choice((further, nearer, lambda m: 2 * m, lambda m: m / 2, lambda m: m + 0.25))
    draft.body["margin"] = change(float.fromhex(draft.body["margin"])).hex()


def inputs_changed(draft: Draft, source: random.Random) -> None:
    inputs = draft.body["inputs"]
    how = source.randrange(3)
    if how == 0 and "p" in inputs:
        inputs["p"] = P[1] if inputs["p"] == "inf" else "inf"
    elif how == 1 and "p" in inputs:
        inputs.update(clip=[end.hex() for end in CLIP]) if "clip" not in inputs else inputs.pop("clip")
    elif inputs["kind"] == "sequence_ball":
        inputs.update(moves=[0]) if "moves" not in inputs else inputs.pop("moves")


def question_changed(draft: Draft, source: random.Random) -> None:
    asked = draft.body["specification"]
    keys = sorted(asked.keys() & {"label", "target", "k"})
    if keys:
        key = source.choice(keys)
        asked[key] = max(0, asked[key] + source.choice((-1, 1)))
    if "labels" in asked:
        asked["labels"][0] += 1


def structure_changed(draft: Draft, source: random.Random) -> None:
    old, new = source.choice((("rnn_relu>", "rnn_relu<"), ("final", "mean"), ("max", "last_frame"), ("relu/", "")))
    draft.structure = draft.structure.replace(old, new, 1)
    if draft.file is not None:
        draft.file_body["structure"] = draft.structure
    else:
        draft.body["network"]["structure"] = draft.structure


def bits_flipped(draft: Draft, source: random.Random) -> None:
    seed = source.random()

    def flip(whole: bytes) -> bytes:
        again, flipped = random.Random(seed), bytearray(whole)
        for _ in range(again.choice((1, 1, 3))):
            flipped[again.randrange(len(flipped))] ^= 1 << again.randrange(8)
        return bytes(flipped)

    draft.data = flip


CHANGES = (
    *(place_changed, number_changed, numbers_exchanged, step_dropped, steps_exchanged, key_changed),
    *(margin_changed, inputs_changed, question_changed, structure_changed, bits_flipped),
)

CORRUPTIONS = st.builds(
    Corruption, st.sampled_from(CHANGES), st.integers(0, 2**32 - 1), st.sampled_from([True, True, True, False])
)


def is_extreme(draft: Draft) -> bool:
    """Has it numbers that a checker with balls of bounded precision need not decide?"""
    numbers = [abs(x) for tensor in [*draft.tensors.values(), *(draft.file or {}).values()] for x in tensor.values if x]
    return max(numbers) > EXTREME or min(numbers) < 1 / EXTREME


def has_thirds(draft: Draft) -> bool:
    """Does it divide by three? Thirds are no balls without a radius, so that ties stay undecided."""
    frames = draft.tensors.get("center", draft.tensors.get("lower", array(0.0))).shape[0]
    return "|mean|" in draft.structure and frames == 3

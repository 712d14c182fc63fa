"""The 27 certificates that are corrupted: every cell, several input sets, readouts, specifications and rules.

Seven come from `tiny_certificates` (ReLU networks, of which the naive checker knows the truth), two from
`diagonal_vectors` and five from `block_vectors` (of which it knows all, but of planes of products only that they hold
in the points that it looks at), the others from the engine: twelve of small random
networks, and one of a shipped classifier of digits.
"""

from __future__ import annotations

import functools
import json
import math
import pickle
import random
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions
from gpu_engine.loading import load_model
from gpu_engine.model import GATES, Activation, Block, Dense, Direction, RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import Specification, matrix, per_class, targeted, top_k, untargeted, untargeted_steps
from refcert.app.datasets import load_sequences
from refcert.app.pretrained import pretrained_path
from tests.certificates import block_vectors, diagonal_vectors, tiny_certificates
from tests.certificates.tiny_certificates import NETWORK_FILE, Array, Arrays, Draft, questions

CERTIFICATE = "certificate.safetensors"

TINY = (
    "one layer: intersected boxes",
    "clipped, backward, targeted, in a file: planes alone",
    "p one clipped, two directions, top k: substituted relu, four sets",
    "sequence ball, p one, clip, moves, max of three: substitution boxes",
    "sequence ball, p inf, moves, every: interval boxes",
    "boxes, stacked, rows over every answer: planes alone",
    "substitutions, blocks before and after: per class",
)

DIAGONALS = (diagonal_vectors.LSTM, diagonal_vectors.GRU)
BLOCKS = block_vectors.NAMES

# One in so many corruptions is one of the real certificate, which takes a hundred times as long to check.
REAL_WEIGHT, SMALL_WEIGHT = 1, 40


@dataclass(frozen=True)
class Seed:
    """An honest certificate. files: by name, the certificate's first; draft: the same, pickled; claim: its digest."""

    name: str
    files: dict[str, bytes]
    draft: bytes
    claim: str
    weight: int

    def copy(self) -> Draft:
        """A draft to change."""
        return pickle.loads(self.draft)


REAL = "digits, gru, final"


def seed_of(name: str, files: dict[str, bytes], weight: int = SMALL_WEIGHT) -> Seed:
    draft = draft_of(files)
    return Seed(name, files, pickle.dumps(draft), draft.body["claim"], weight)


@functools.cache
def seed(name: str) -> Seed:
    """The same one in every process and every run."""
    if name == REAL:
        return seed_of(name, digits(), REAL_WEIGHT)
    if name in (*DIAGONALS, *BLOCKS):
        made = diagonal_vectors.made if name in DIAGONALS else block_vectors.made
        return seed_of(name, {CERTIFICATE: next(iter(made(name).vector(name, "VALID").files.values()))})
    return seed_of(name, written(name, *PLANS[name]) if name in PLANS else tiny(name))


def seeds() -> tuple[Seed, ...]:
    """All of them."""
    return tuple(seed(name) for name in (*TINY, *PLANS, *DIAGONALS, *BLOCKS, REAL))


def tiny(name: str) -> dict[str, bytes]:
    """The certificate under the name that all have here; a network keeps the name that the certificate gives it."""
    question, plan = name.split(": ")
    files = tiny_certificates.build(questions()[question], tiny_certificates.PLANS[plan]).vector(name, "VALID").files
    first, *others = files
    return {CERTIFICATE: files[first]} | {other: files[other] for other in others}


# Reading, without the kernel


def draft_of(files: Mapping[str, bytes]) -> Draft:
    """A certificate, the first of these files, in a form that can be changed. Raises KeyError, ValueError and others
    where it is none.
    """
    body, tensors = unpacked(next(iter(files.values())))
    network = body["network"]
    if "file" in network:
        file_body, file = unpacked(files[network["file"]])
        weights, structure = file, file_body["structure"]
    else:
        file_body, file, structure = {}, None, network["structure"]
        weights = {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
    ordered = {name: weights[name] for name in sorted(weights, key=digest_order)}
    return Draft(body, tensors, ordered, structure, file, file_body)


def unpacked(data: bytes) -> tuple[dict[str, Any], Arrays]:
    """Body and tensors of a container that is well made."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    body = json.loads(header.pop("__metadata__")["refcert"])
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = Array(tuple(entry["shape"]), values(entry["dtype"], data[start + begin : start + end]))
        tensors[name].dtype = entry["dtype"]
    return body, tensors


def values(dtype: str, raw: bytes) -> list[float]:
    if dtype == "BF16":
        return list(
            struct.unpack(f"<{len(raw) // 2}f", b"".join(b"\0\0" + raw[k : k + 2] for k in range(0, len(raw), 2)))
        )
    code, width = {"F64": ("d", 8), "F32": ("f", 4), "F16": ("e", 2)}[dtype]
    return list(struct.unpack(f"<{len(raw) // width}{code}", raw))


OF_A_DIRECTION = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "initial_hidden", "initial_cell")


def digest_order(name: str) -> tuple[int, ...]:
    """Where a weight stands in the digest, section 4."""
    fields = name.split(".")
    if fields[0] == "layers":
        return 2, int(fields[1]), int(fields[2]), OF_A_DIRECTION.index(fields[3])
    if fields[0] == "embedding":
        return (0,)
    return {"before": 1, "after": 3}[fields[0]], int(fields[1]), ("weight", "bias").index(fields[2])


# The engine's certificates


@dataclass(frozen=True)
class Plan:
    """A small network. layers: directions as `cell>` or `cell<`; blocks: a size for a dense one, or an activation."""

    layers: tuple[tuple[str, ...], ...]
    readout: str
    before: tuple[str | int, ...] = ()
    after: tuple[str | int, ...] = ()
    hidden: int = 3
    classes: int = 3
    projected: bool = False
    started: bool = False
    embedded: bool = False
    options: Options = field(default_factory=Options)


class Numbers:
    """Normal numbers from one seed."""

    def __init__(self, seed: str) -> None:
        self.source = random.Random(seed)

    def normal(self, *shape: int, scale: float = 0.7) -> torch.Tensor:
        drawn = [self.source.gauss(0, scale) for _ in range(math.prod(shape))]
        return torch.tensor(drawn, dtype=torch.float64).reshape(shape)


SIZE, FRAMES, LABEL = 2, 3, 1


def network(plan: Plan, numbers: Numbers) -> RecurrentClassifier:
    before, below = blocks(plan.before, SIZE, numbers)
    layers = []
    for texts in plan.layers:
        layer = tuple(direction(text, plan, below, numbers) for text in texts)
        below = sum(one.output_size for one in layer)
        layers.append(layer)
    after, below = blocks(plan.after, below, numbers)
    bias = torch.zeros(plan.classes, dtype=torch.float64)
    bias[LABEL] = 3.1
    head = Dense(numbers.normal(plan.classes, below), bias)
    return RecurrentClassifier(tuple(layers), (*after, head), before, plan.readout)


def blocks(kinds: Iterable[str | int], below: int, numbers: Numbers) -> tuple[tuple[Block, ...], int]:
    found: list[Block] = []
    for kind in kinds:
        if isinstance(kind, str):
            found.append(Activation(kind))
        else:
            found.append(Dense(numbers.normal(kind, below), numbers.normal(kind)))
            below = kind
    return tuple(found), below


def direction(text: str, plan: Plan, below: int, numbers: Numbers) -> Direction:
    cell, hidden = text[:-1], plan.hidden
    projected = plan.projected and cell == "lstm"
    output, rows = hidden - 1 if projected else hidden, GATES[cell] * hidden
    return Direction(
        cell,
        numbers.normal(rows, below),
        numbers.normal(rows, output),
        numbers.normal(rows),
        numbers.normal(rows),
        weight_hr=numbers.normal(output, hidden) if projected else None,
        initial_hidden=numbers.normal(output) if plan.started else None,
        initial_cell=numbers.normal(hidden) if plan.started and cell == "lstm" else None,
        reverse=text.endswith("<"),
    )


def frames(radius: float, p: float = math.inf, clip: tuple[float, float] | None = None) -> Any:
    def made(center: torch.Tensor) -> InputSet:
        if clip is not None:
            center = center.clamp(*clip)
        return FrameBalls(center, torch.full(center.shape[:2], radius, dtype=torch.float64), p, clip)

    return made


def sequence(radius: float, p: float, clip: tuple[float, float] | None = None, still: tuple[int, ...] = ()) -> Any:
    def made(center: torch.Tensor) -> InputSet:
        if clip is not None:
            center = center.clamp(*clip)
        moves = torch.ones(center.shape[:2], dtype=torch.bool)
        moves[:, list(still)] = False
        return SequenceBall(center, torch.tensor([radius], dtype=torch.float64), p, clip, moves if still else None)

    return made


def boxes(width: float) -> Any:
    return lambda center: Boxes(center - width, center + torch.linspace(0, width, center.shape[2]).double())


def substituted(width: float) -> Any:
    def made(center: torch.Tensor) -> InputSet:
        words = torch.stack((center + width, center - width, center * (1 - width)), 2)
        allowed = torch.ones(words.shape[:3], dtype=torch.bool)
        allowed[:, 0, 1:] = False
        allowed[:, 1] = False
        return Substitutions(center, words, allowed)

    return made


def asked(kind: str, **more: Any) -> Any:
    """The specification, from the number of classes and of frames."""
    label = torch.tensor([LABEL])

    def rows(classes: int, time: int, many: int) -> Specification:
        if kind == "rows":
            C = torch.zeros(2, classes * many, dtype=torch.float64)
            C[0, LABEL], C[0, 0], C[1, LABEL], C[1, -1] = 1.0, -0.5, 0.25, 0.125
            return matrix(C, torch.tensor([0.0, 1.0], dtype=torch.float64), batch=1)
        if kind == "steps":
            return untargeted_steps(torch.full((1, time), LABEL), classes)
        return {
            "untargeted": lambda: untargeted(label, classes),
            "targeted": lambda: targeted(label, torch.tensor([2]), classes),
            "top_k": lambda: top_k(label, 2, classes),
            "per_class": lambda: per_class(label, classes),
        }[kind]()

    return rows


UNIT = (-1.0, 1.0)
PLANS: dict[str, tuple[Plan, Any, Any]] = {
    "lstm, final": (Plan((("lstm>",),), "final"), frames(0.1, clip=UNIT), asked("untargeted")),
    "lstm projected, both directions, mean": (
        Plan((("lstm>", "lstm<"),), "mean", projected=True, started=True, hidden=2),
        frames(0.1, 2.0),
        asked("targeted"),
    ),
    "lstm, several sets of planes": (
        Plan((("lstm>",),), "last_frame", embedded=True, hidden=2, options=Options("best")),
        frames(0.05),
        asked("untargeted"),
    ),
    "gru, clipped ball": (
        Plan((("gru>",),), "final", started=True),
        frames(0.2, 2.0, UNIT),
        asked("per_class"),
    ),
    "gru, both directions, last frame": (
        Plan((("gru<", "gru>"),), "last_frame", hidden=2),
        sequence(0.2, 1.5, still=(1,)),
        asked("top_k"),
    ),
    "gru reset before, max": (Plan((("gru_reset_before>",),), "max"), boxes(0.1), asked("rows")),
    "gru reset before, every": (
        Plan((("gru_reset_before<",),), "every", hidden=2, started=True, embedded=True),
        frames(0.1, 3.0),
        asked("rows"),
    ),
    "tanh, every": (Plan((("rnn_tanh>",),), "every"), frames(0.05), asked("steps")),
    "tanh backward, blocks": (
        Plan((("rnn_tanh<",),), "final", ("tanh", 3), ("tanh", 2)),
        sequence(0.1, 2.0, UNIT),
        asked("per_class"),
    ),
    "sigmoid, blocks, substitutions": (
        Plan((("rnn_sigmoid>",),), "final", (3, "sigmoid"), ("relu",)),
        substituted(0.2),
        asked("untargeted"),
    ),
    "relu, two layers, mean": (
        Plan((("rnn_relu>",), ("rnn_relu>", "rnn_relu<")), "mean", hidden=2),
        sequence(0.1, math.inf, UNIT),
        asked("untargeted"),
    ),
    "lstm under gru, max": (
        Plan((("lstm>",), ("gru>",)), "max", hidden=2, options=Options("lines")),
        frames(0.05, 1.0),
        asked("untargeted"),
    ),
}


def written(name: str, plan: Plan, inputs: Any, specification: Any) -> dict[str, bytes]:
    """The files of the engine's certificate."""
    numbers = Numbers(name)
    model = network(plan, numbers)
    center = numbers.normal(1, FRAMES, SIZE, scale=0.5)
    rows = specification(plan.classes, FRAMES, FRAMES if plan.readout == "every" else 1)
    return engine_files(model, inputs(center), rows, plan.options, None if plan.embedded else NETWORK_FILE)


def engine_files(
    model: RecurrentClassifier, inputs: InputSet, rows: Specification, options: Options, file: str | None
) -> dict[str, bytes]:
    described, found = Network(model, file), []
    certify(
        model, inputs, rows, options, batch_sink=lambda batch: found.append(Certificates(batch, described).write(0))
    )
    files = {CERTIFICATE: found[0]}
    return files if file is None else files | {file: described.content()}


def digits() -> dict[str, bytes]:
    """The shipped GRU on the first digit that it knows."""
    model = load_model(pretrained_path("digits_gru"))
    data = load_sequences("digits", input_size=model.input_size, count=20, classes=model.classes)
    x, labels = torch.from_numpy(data.x), torch.from_numpy(data.labels)
    first = int(np.argmax((model.logits(x).argmax(1) == labels).numpy()))
    x, labels = x[first : first + 1], labels[first : first + 1]
    radius = torch.full(x.shape[:2], 0.01, dtype=torch.float64)
    balls = FrameBalls(x, radius, clip=(0.0, 1.0))
    return engine_files(model, balls, untargeted(labels, model.classes), Options(), NETWORK_FILE)

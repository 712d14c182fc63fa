"""The conformance vectors in proofs/vectors: their list, and what each file is about, read from the file itself.

Only the standard library: whoever writes a checker in another language needs vectors.json and the files alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.certificates.naive_container import Tensor, Unreadable, read_container

FOLDER = Path(__file__).parents[2] / "proofs" / "vectors"
INDEX = FOLDER / "vectors.json"

RULES = (
    *("diagonals", "planes", "box.interval", "box.substitution", "box.intersection", "margin", "margin.per_class"),
    *("suppose.row", "suppose.below", "suppose.above", "again", "diagonals.supposed", "box.supposed"),
    *("closed.row", "closed.empty", "closed.split"),
)
CELLS = ("lstm", "gru", "gru_reset_before", "rnn_tanh", "rnn_relu", "rnn_sigmoid")
READOUTS = ("final", "last_frame", "mean", "max", "every")
BLOCKS = ("dense", "relu", "sigmoid", "tanh")
INPUTS = ("frame_balls", "sequence_ball", "boxes", "substitutions")
NORMS = ("p 1", "p 1.5", "p 2", "p inf")
SPECIFICATIONS = ("untargeted", "targeted", "top_k", "untargeted_steps", "rows")


@dataclass(frozen=True)
class Entry:
    """A vector as vectors.json lists it. Paths are relative to its folder.

    verdict: VALID, INVALID, HOLEY or UNREADABLE; undecided_allowed: HOLEY as well as INVALID. step: the position of
    the first step that does not hold, None where a digest differs or there is no verdict. features: see `features`.
    Of a rejected one, `origin` is the accepted file that it comes from, and `about` what was corrupted.
    """

    file: str
    name: str
    verdict: str
    writer: str
    rules: tuple[str, ...]
    features: tuple[str, ...]
    network: str | None = None
    undecided_allowed: bool = False
    step: int | None = None
    origin: str | None = None
    about: str | None = None

    @property
    def path(self) -> Path:
        return FOLDER / self.file

    @property
    def allowed(self) -> set[str]:
        """The verdicts that a checker may give."""
        return {self.verdict, "HOLEY"} if self.undecided_allowed else {self.verdict}

    @property
    def paths(self) -> list[Path]:
        """Its files, the certificate's first."""
        return [FOLDER / name for name in (self.file, self.network) if name is not None]


def entries() -> list[Entry]:
    """All vectors."""
    listed = json.loads(INDEX.read_text())["vectors"]
    return [
        Entry(**{key: tuple(value) if isinstance(value, list) else value for key, value in one.items()})
        for one in listed
    ]


def index_text(found: Iterable[Entry]) -> str:
    """The content of vectors.json: a line for each vector, without what is as usual."""
    lines = []
    for entry in found:
        fields = {key: value for key, value in vars(entry).items() if value is not None and value is not False}
        lines.append("  " + json.dumps(fields))
    return '{"format": "refcert vectors", "version": 1, "vectors": [\n' + ",\n".join(lines) + "\n]}\n"


def network_file(path: Path) -> str | None:
    """The name of the network's file, if the certificate is readable and names one that is there."""
    try:
        network = read_container(path)[0]["network"]
        return network["file"] if (path.parent / network["file"]).is_file() else None
    except (Unreadable, KeyError, TypeError):
        return None


def rules(path: Path) -> tuple[str, ...]:
    """The rules that a readable certificate's steps name."""
    body = read_container(path)[0]
    return tuple(sorted({step["rule"] for step in body["steps"]}))


def features(path: Path) -> tuple[str, ...]:
    """What a readable certificate makes use of: cells, readout, blocks, input set, norm, question, forms of a file."""
    body, tensors = read_container(path)
    found = _of_inputs(body["inputs"]) | {f"specification {body['specification']['kind']}"}
    weights = {name.removeprefix("network."): t for name, t in tensors.left.items() if name.startswith("network.")}
    structure = body["network"].get("structure")
    if structure is None:
        found.add("network in its own file")
        network, stored = read_container(path.parent / body["network"]["file"])
        structure, weights = network["structure"], stored.left
    found |= _of_structure(structure) | _of_weights(weights) | _of_steps(body["steps"], tensors.left)
    found |= {f"{tensor.dtype} tensor" for tensor in (*tensors.left.values(), *weights.values())}
    return tuple(sorted(found | ({"about"} if "about" in body else set())))


def _of_structure(structure: str) -> set[str]:
    before, layers, readout, after = structure.split("|")
    found = {f"readout {readout}"} | {f"before {block}" for block in before.split("/") if block}
    found |= {f"after {block}" for block in after.split("/")}
    for layer in layers.split(";"):
        directions = layer.split(",")
        found |= {f"cell {direction[:-1]}" for direction in directions}
        found |= {"two directions"} if len(directions) > 1 else {"one backward direction"} if "<" in layer else set()
        found |= {"two cells in a layer"} if len({direction[:-1] for direction in directions}) > 1 else set()
    return found | ({"two layers"} if ";" in layers else set())


def _of_weights(weights: dict[str, Tensor]) -> set[str]:
    marks = {"weight_hr": "projection", "initial_hidden": "start state", "initial_cell": "start cell"}
    found = {marks[name.split(".")[-1]] for name in weights if name.split(".")[-1] in marks}
    return found | ({"embedding"} if "embedding" in weights else set())


def _of_inputs(inputs: dict[str, Any]) -> set[str]:
    found = {f"inputs {inputs['kind']}"} | ({"clip", "moves"} & inputs.keys())
    if "p" in inputs:
        found.add(f"p {inputs['p'] if inputs['p'] == 'inf' else format(float.fromhex(inputs['p']), 'g')}")
    return found


def _of_steps(steps: list[dict[str, Any]], tensors: dict[str, Tensor]) -> set[str]:
    found = {"several sets"} if any(step.get("set", 0) > 0 for step in steps) else set()
    for k, step in enumerate(steps):
        if step["rule"] == "planes" and f"step.{k}" in tensors:
            found.add(f"planes of {tensors[f'step.{k}'].shape[0]} rows")
    return found

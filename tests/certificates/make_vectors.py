"""Write the conformance vectors.

    python -m tests.certificates.make_vectors            all but the engine's, byte by byte the same everywhere
    python -m tests.certificates.make_vectors --engine   also the engine's, which differ with the version of torch

The engine's files are kept as they are without `--engine`; the rejected ones that come from them are made from the
files.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.certificates import (
    block_vectors,
    diagonal_vectors,
    engine_corruptions,
    planted_corruptions,
    tiny_certificates,
    worked_example,
)
from tests.certificates.naive_checker import judge
from tests.certificates.tiny_certificates import Vector, stem
from tests.certificates.vectors import FOLDER, INDEX, Entry, features, index_text, network_file, rules

BY_HAND, BY_ENGINE = "tests/certificates", "gpu_engine/certificates"

ACCEPTED = (
    "one layer: planes alone",
    "one layer: interval boxes",
    "one layer: substitution boxes",
    "one layer: intersected boxes",
    "one layer: per class",
    "p one: substituted relu, four sets",
    "clipped, backward, targeted, in a file: planes alone",
    "p one clipped, two directions, top k: planes alone",
    "sequence ball, p one, mean of three: planes alone",
    "sequence ball, p one, clip, moves, max of three: interval boxes",
    "sequence ball, p inf, moves, every: planes alone",
    "every, both directions, activation: intersected boxes",
    "boxes, stacked, rows over every answer: planes alone",
    "substitutions, blocks before and after: planes alone",
    "no substitutions, relu of frames, zero state: interval boxes",
    "numbers of 53 bits, boxes: intersected boxes",
    "one frame, mean, joined after: per class",
    *(name for name, _, _ in tiny_certificates.UNUSUAL),
)

# Of planted_corruptions; what is about the JSON, the container and single keys is tested there, and here by examples.
REJECTED = (
    "planes: upper offset too low",
    "planes: lower offset too high",
    "planes: lower and upper exchanged",
    "planes: twice for one set",
    "planes: of a higher variable first",
    "planes: behind the variable's box",
    "planes: of an affine variable",
    "planes: half precision",
    "interval: lower end too high",
    "interval: upper end of relu too low",
    "interval: ends exchanged",
    "interval: named for what substitution gives",
    "interval: twice",
    "substitution: lower end too high",
    "substitution: upper end too low",
    "substitution: ends exchanged",
    "substitution: only a set without planes",
    "substitution: sets fall",
    "intersection: lower end too high",
    "intersection: box of relu too small",
    "intersection: ends exchanged",
    "margin: too large by one unit in the last place",
    "margin: too large for two sets",
    "margin: too large for top k",
    "margin: too large for steps",
    "margin: too large for rows",
    "margin: too large for substitutions",
    "margin: only a set without planes",
    "margin: twice",
    "margin: not there",
    "per class: margin too large",
    "per class: the margin of rows",
    "per class: only a set without planes",
    "per class: for top k",
    "unknown rule",
    "box beyond binary64: planes on it",
    "box beyond binary64: interval arithmetic reads it",
    "claim: larger radius",
    "claim: another label",
    "claim: all frames move",
    "claim: another digest",
    "claim: smaller margin, old digest",
    "network: another weight",
    "network: another in the file",
    "network: backward, and its digest",
    "network: a wider second direction",
    "network: no file",
    "network: one class",
    "inputs: negative radius",
    "inputs: center outside of the clip",
    "inputs: clip with a negative zero",
    "specification: untargeted for every frame",
    "specification: label is target",
    "number: digits left out",
    "json: repeated key",
    "json: fraction",
    "json: a surrogate",
    "header: gap",
    "header: unknown tensor",
    "header: not a number",
    "file: a byte too many",
)

# The input set is a cut ball, but the step fails whatever a checker knows of `least`.
CERTAIN = ("per class: for top k", "planes: gru, of the gate that is not negated")

# What a corruption is about, by the first words of its name; else these words.
ABOUT = {
    "interval": "box.interval",
    "substitution": "box.substitution",
    "intersection": "box.intersection",
    "per class": "margin.per_class",
}


def accepted() -> list[Vector]:
    """The accepted ones that are written by hand."""
    made = {vector.name: vector for vector in tiny_certificates.accepted()}
    ours = [worked_example.draft().vector(worked_example.NAME, "VALID"), *(made[name] for name in ACCEPTED)]
    return ours + diagonal_vectors.accepted() + block_vectors.accepted()


def rejected() -> list[tuple[Vector, str]]:
    """The rejected ones that come from ours, each with the name of its origin."""
    tables = [*planted_corruptions.SEMANTIC, *planted_corruptions.RAW]
    bases = {name: base for name, base, _, _ in tables}
    made = {vector.name: vector for vector in planted_corruptions.rejected()}
    return [(made[name], bases[name]) for name in REJECTED] + diagonal_vectors.rejected() + block_vectors.rejected()


def files(engine: Path = FOLDER / "accepted") -> dict[str, bytes]:
    """All files by their paths, but those that the engine writes: they lie in the folder `engine`."""
    corrupted = [vector for vector, _ in rejected()] + engine_corruptions.rejected(engine)
    made: dict[str, bytes] = {}
    for sub, vectors in (("accepted", accepted()), ("rejected", corrupted)):
        for vector in vectors:
            (name, content), *network = vector.files.items()
            made[f"{sub}/{name}"] = content
            # A network's file that its certificate does not name is left out.
            made |= {f"{sub}/{other}": data for other, data in network if f'"{other}' in content.decode("latin-1")}
    return made


def listed() -> list[Entry]:
    """What vectors.json says of the files as they lie there."""
    entries = [entry("accepted", vector, BY_HAND, steps=judged) for vector in accepted()]
    for name in engine_corruptions.NAMES:
        entries.append(entry("accepted", Vector(name, {f"{stem(name)}.safetensors": b""}, "VALID"), BY_ENGINE))
    for vector, origin in rejected():
        entries.append(entry("rejected", vector, BY_HAND, origin, judged))
    corrupted = engine_corruptions.rejected(FOLDER / "accepted")
    for vector, planted in zip(corrupted, engine_corruptions.TABLE, strict=True):
        entries.append(entry("rejected", vector, BY_ENGINE, planted.origin, lambda path, known=planted.step: known))
    return entries


def judged(path: Path) -> int | None:
    """The step that does not hold, by the naive checker."""
    return judge(path, products=True).step


def entry(
    sub: str,
    vector: Vector,
    writer: str,
    origin: str | None = None,
    steps: Callable[[Path], int | None] = lambda path: None,
) -> Entry:
    """The line of a vector. steps: says which step does not hold."""
    path = FOLDER / sub / next(iter(vector.files))
    readable, network, about = vector.expected != "UNREADABLE", network_file(path), vector.name.split(":")[0]
    return Entry(
        file=f"{sub}/{path.name}",
        name=vector.name,
        verdict=vector.expected,
        writer=writer,
        rules=rules(path) if readable else (),
        features=features(path) if readable else (),
        network=None if network is None else f"{sub}/{network}",
        undecided_allowed=vector.undecided_allowed and vector.name not in CERTAIN,
        step=steps(path) if readable else None,
        origin=None if origin is None else f"accepted/{stem(origin)}.safetensors",
        about=None if origin is None else ABOUT.get(about, about),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write proofs/vectors.")
    parser.add_argument("--engine", action="store_true", help="also the engine's files; needs torch")
    options = parser.parse_args(arguments)
    made: dict[str, bytes] = {}
    (FOLDER / "accepted").mkdir(parents=True, exist_ok=True)
    (FOLDER / "rejected").mkdir(exist_ok=True)
    if options.engine:
        from tests.certificates.engine_vectors import written

        made |= {f"accepted/{name}": data for vector in written() for name, data in vector.files.items()}
    for name, data in made.items():  # first, because corruptions start from them
        (FOLDER / name).write_bytes(data)
    for name, data in files().items():
        (FOLDER / name).write_bytes(data)
    INDEX.write_text(index_text(listed()))


if __name__ == "__main__":
    main()

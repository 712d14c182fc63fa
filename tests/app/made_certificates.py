"""Small certificates for the tests of `check` and `explain`: accepted ones, ones with a fault, and one of an LSTM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.certificates.tiny_certificates import PLANS, UNTARGETED, Array, Draft, build, questions


def draft(question: str = "one layer", plan: str = "intersected boxes") -> Draft:
    """One that is VALID."""
    return build(questions()[question], PLANS[plan])


def write(folder: Path, name: str, made: Draft) -> Path:
    """Write a certificate and, if it names one, its network's file; returns the certificate's path."""
    folder.mkdir(parents=True, exist_ok=True)
    return made.vector(name, "").write(folder)


def invalid() -> Draft:
    """The first box's first lower end is far too high, and still below its upper end."""
    made = draft()
    table = made.tensors["step.0"]
    table.values[0] = np.nextafter(table.values[table.shape[1]], -np.inf)
    return made


def holey() -> Draft:
    """A rule that nobody knows."""
    made = draft()
    made.body["steps"][0]["rule"] = "box.guess"
    return made


def truncated(path: Path) -> Path:
    """The file without its last byte."""
    path.write_bytes(path.read_bytes()[:-1])
    return path


def random(seed: int, *shape: int) -> Array:
    return Array(shape, np.random.default_rng(seed).normal(size=shape).ravel().tolist())


class InThisProcess:
    """Stands for the processes of a check where a test is about something else: they take half a second to begin."""

    def __init__(self, count: int, work: Callable[[Any], Any], *_: object, **__: object) -> None:
        self.work = work

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def results(self, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        return ((task, self.work(task)) for task in tasks)


FRAMES, INPUT, HIDDEN, CLASSES = 2, 3, 4, 3


def recurrent(cell: str) -> Draft:
    """Of an 'lstm' or a 'gru', with every kind of step; what its steps say does not follow, but has the right form."""
    gates = {"lstm": 4, "gru": 3}[cell]
    structure = f"|{cell}>|final|dense"
    weights = {
        "layers.0.0.weight_ih": random(1, gates * HIDDEN, INPUT),
        "layers.0.0.weight_hh": random(2, gates * HIDDEN, HIDDEN),
        "layers.0.0.bias_ih": random(3, gates * HIDDEN),
        "layers.0.0.bias_hh": random(4, gates * HIDDEN),
        "after.0.weight": random(5, CLASSES, HIDDEN),
        "after.0.bias": random(6, CLASSES),
    }
    inputs = {"kind": "boxes"}
    center = random(7, FRAMES, INPUT)
    upper = Array(center.shape, [x + 0.5 for x in center.values])
    tensors = {"lower": center, "upper": upper} | {f"network.{name}": value for name, value in weights.items()}
    # The frames are 0 and 1, the first frame's gates are 2. LSTM: cell 3, hidden 4, gates 5, cell 6, hidden 7.
    # GRU: reset 3, candidate 4, hidden 5.
    if cell == "lstm":
        about = [("box.interval", 2, None), ("planes", 3, 0), ("box.substitution", 3, None), ("planes", 6, 1)]
        rows = [2, 6, 2, 5]
    else:
        about = [("box.interval", 2, None), ("planes", 3, 0), ("box.intersection", 4, None), ("planes", 5, 0)]
        rows = [2, 5, 2, 6]
    steps = []
    for k, ((rule, variable, part), count) in enumerate(zip(about, rows, strict=True)):
        more = {} if rule == "box.interval" else {"sets": [0, 2]} if part is None else {"part": part, "set": 2}
        steps.append({"rule": rule, "of": variable, **more})
        tensors[f"step.{k}"] = random(10 + k, count, gates * HIDDEN if variable == 2 else HIDDEN)
    steps.append({"rule": "margin.per_class", "sets": [2]})
    body = {
        "format": "refcert certificate",
        "version": 1,
        "network": {"structure": structure},
        "inputs": inputs,
        "specification": UNTARGETED,
        "steps": steps,
        "margin": (0.125).hex(),
    }
    made = Draft(body, tensors, weights, structure)
    made.digest()
    made.claim()
    return made

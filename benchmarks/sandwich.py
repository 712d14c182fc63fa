"""Certified radius, CLEVER-RNN, C&W-Ada and PGD side by side, in the shape of the POPQORN paper's table 5.

    python -m benchmarks.sandwich [--models ...] [--norms ...] [--methods ...] [--count 100] [--work FILE]
    python -m benchmarks.sandwich --render     # the tables from what the file holds

`targeted` is protocol P2: a random target for each of the first `count` test images that the model classifies
correctly, one radius on every frame, no clip range. `clipped` is protocols P1 and P3: every other class, l_inf, pixels
kept in [0, 1], those of the first `count` test images that are classified correctly. Networks called mnist_rnn and
mnist_gru are those of `examples/train_mnist.py`, the others are shared ones.

Every measurement (a protocol, a model, a norm, a method) is appended to FILE as a line when it is done; a later call
with the same numbers leaves it out. Every radius of an attack is checked against the certified one: a contradiction
stops the run and is saved beside FILE.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import first_correct, samples, shared_model, trained_model
from benchmarks.sandwich_tables import METHODS, NORMS, SHARED, TRAINED, Key, render
from examples.train_mnist import model_folder
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.attacks.registry import attack_entry
from gpu_engine.inputs import Clip
from gpu_engine.model import RecurrentClassifier
from gpu_engine.scores.clever_rnn import clever_rnn
from gpu_engine.search.certify import Options
from gpu_engine.search.radius import certified_radius
from gpu_engine.spec import targeted, untargeted
from refcert.app.sandwich.check import check_sandwich


@dataclass(frozen=True)
class Asked:
    """One protocol on one model in one norm."""

    model: RecurrentClassifier
    question: Question
    family: BallFamily


def asked(protocol: str, name: str, norm: str, arguments: argparse.Namespace) -> Asked:
    """The samples, the question and the balls."""
    model = trained_model(name) if name in TRAINED else shared_model(name)
    clip: Clip | None = None
    if protocol == "targeted":
        x, labels = samples(name, model, 2 * arguments.count)
        x, labels = first_correct(model, x, labels, arguments.count)
        generator = torch.Generator().manual_seed(arguments.seed)
        others = torch.randint(1, model.classes, labels.shape, generator=generator)
        rows = targeted(labels, (labels + others) % model.classes, model.classes)
    else:
        x, labels = samples(name, model, arguments.count)
        correct = model.logits(x).argmax(1) == labels
        x, labels, clip = x[correct], labels[correct], (0.0, 1.0)
        rows = untargeted(labels, model.classes)
    weight = torch.ones(x.shape[:2], dtype=torch.float64)
    return Asked(model, Question(model, rows), BallFamily(x, weight, NORMS[norm], clip))


def measure(key: Key, certified: Sequence[float] | None, arguments: argparse.Namespace) -> list[float]:
    """One method's radii. certified: what an attack's are checked against."""
    protocol, name, norm, method = key
    here = asked(protocol, name, norm, arguments)
    family, generator = here.family, torch.Generator().manual_seed(arguments.seed)
    if method == "certified":
        found = certified_radius(
            here.model,
            family.center,
            family.weight,
            here.question.specification,
            p=family.p,
            clip=family.clip,
            tolerance=arguments.tolerance,
            options=Options(arguments.relaxation),
        )
        return _list(found.proved)
    if method == "clever":
        points = {"samples": arguments.clever_samples, "batches": arguments.clever_batches}
        return _list(clever_rnn(here.question, family, generator, **points).radius)
    steps, restarts = (arguments.steps, arguments.restarts) if method == "pgd" else (arguments.cw_steps, None)
    smallest = attack_entry(method).builder(steps, restarts).smallest(here.question, family, generator)
    if certified is None:
        raise SystemExit(f"{key}: attacks are checked against certified radii; ask for --methods certified as well")
    bounds = torch.tensor(certified, dtype=torch.float64)

    def about(k: int) -> Mapping[str, Any]:
        return {"protocol": protocol, "model": name, "method": method, "sample": k}

    folder = Path(arguments.work).parent
    checked = check_sandwich(here.question, family, bounds, smallest, folder=folder, about=about)
    return _list(checked.found.radius)


def _list(radii: Tensor) -> list[float]:
    return [float(radius) for radius in radii]


def settings(method: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The numbers on which a measurement depends: one with others is made again."""
    by_method = {
        "certified": {"relaxation": arguments.relaxation, "tolerance": arguments.tolerance},
        "clever": {"samples": arguments.clever_samples, "batches": arguments.clever_batches},
        "cw": {"steps": arguments.cw_steps},
        "pgd": {"steps": arguments.steps, "restarts": arguments.restarts},
    }
    return {"count": arguments.count, "seed": arguments.seed, **by_method[method]}


def read(arguments: argparse.Namespace) -> dict[Key, dict[str, Any]]:
    """The file's lines with the settings asked for, the last one of each key."""
    path, found = Path(arguments.work), {}
    lines = path.read_text().splitlines() if path.exists() else []
    for line in map(json.loads, lines):
        protocol, model, norm, method = line["key"]
        if line["settings"] == settings(method, arguments):
            found[protocol, model, norm, method] = line
    return found


def work(arguments: argparse.Namespace) -> None:
    """Measure what the file does not hold yet."""
    for protocol in arguments.protocols:
        for name in arguments.models:
            for norm in arguments.norms if protocol == "targeted" else ["inf"]:
                for method in [m for m in METHODS if m in arguments.methods]:
                    key = protocol, name, norm, method
                    known = read(arguments)
                    if key in known:
                        continue
                    certified = known.get((protocol, name, norm, "certified"))
                    began = time.process_time()
                    radii = measure(key, None if certified is None else certified["radii"], arguments)
                    seconds = time.process_time() - began
                    line = {"key": key, "settings": settings(method, arguments), "radii": radii, "seconds": seconds}
                    with Path(arguments.work).open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    print(*key, f"mean {statistics.fmean(radii):.4f}, {seconds / len(radii):.2f} s/sample", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work",
        default=model_folder().parent / "sandwich.jsonl",
        help="file that measurements are appended to, one JSON value a line",
    )
    parser.add_argument(
        "--render", action="store_true", help="print the tables of what the file holds; measure nothing"
    )
    parser.add_argument("--models", type=_names, default=[*SHARED, *TRAINED])
    parser.add_argument("--norms", type=_names, default=list(NORMS))
    parser.add_argument("--methods", type=_names, default=list(METHODS))
    parser.add_argument("--protocols", type=_names, default=["targeted", "clipped"])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--relaxation", default="parallel")
    parser.add_argument("--tolerance", type=float, default=0.01, help="of the certified radius")
    parser.add_argument("--steps", type=int, default=None, help="of PGD; its own default where not given")
    parser.add_argument("--restarts", type=int, default=None, help="of PGD; likewise")
    parser.add_argument("--cw-steps", type=int, default=None, help="of C&W-Ada; its own default where not given")
    parser.add_argument("--clever-samples", type=int, default=64)
    parser.add_argument("--clever-batches", type=int, default=50)
    arguments = parser.parse_args()
    for what, known in (("norms", NORMS), ("methods", METHODS), ("protocols", ("targeted", "clipped"))):
        unknown = [name for name in getattr(arguments, what) if name not in known]
        if unknown:
            parser.error(f"--{what} {unknown[0]}: known are {', '.join(known)}")
    if not arguments.render:
        work(arguments)
    render(read(arguments), arguments)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    main()

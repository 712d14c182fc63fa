"""`refcert tightness`: what single planes, back-substitution and boxes cost the samples of a run.

The run's own planes are read from its folder, proved on boxes that the reference derives again, and handed to
`audit.network_lp`. Nothing in the folder is changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gpu_engine.errors import EngineError
from gpu_engine.inputs import InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.spec import AllRows, Specification
from refcert.app import runs
from refcert.app.errors import InputError
from refcert.app.input_sets import family, fixed_radius
from refcert.app.opening import open_model, open_samples
from refcert.app.progress import Progress
from refcert.app.questions import ask
from refcert.app.reference_forms import Columns, planes_of, reference_network, reference_set, starts_of
from refcert.app.request import Request
from refcert.app.samples import Samples
from refcert.audit.network_lp import DEFAULT_RUNGS, RUNGS, Ladder, network_ladder
from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.given_planes import COLUMNS, DIAGONALS, given_from_columns

# What the rung `several` gives every neuron, beside the run's own planes.
SEVERAL: Final = ("planes", "parallel", "mccormick", "lines")
FOUND: Final = "found"


@dataclass(frozen=True)
class Question:
    """One sample's question in the engine's types, batches of one. time: its frames; margin: what the run reports."""

    index: int
    time: int
    radius: float | None
    margin: float
    inputs: InputSet
    specification: Specification


@dataclass(frozen=True)
class SampleLadder:
    """The ladder of one sample; margins: the question's margin at every rung, in order."""

    question: Question
    ladder: Ladder

    @property
    def margins(self) -> list[float]:
        return [
            float(self.question.specification.margins(torch.from_numpy(rung.certified)[None])[0])
            for rung in self.ladder.rungs
        ]

    def to_json(self) -> dict[str, Any]:
        """index, radius, the run's own margin, and per rung its margin, rows, gap at the worst row and seconds."""
        rungs = [
            {
                "name": rung.name,
                "margin": margin,
                "bound": rung.name != FOUND,
                "rows": [value if math.isfinite(value) else None for value in rung.certified.tolist()],
                "gap": None if rung.name == FOUND else rung.gap,
                "seconds": round(rung.seconds, 6),
                "programs": rung.programs,
                "note": rung.note,
            }
            for rung, margin in zip(self.ladder.rungs, self.margins, strict=True)
        ]
        return {
            "index": self.question.index,
            "radius": self.question.radius,
            "margin": self.question.margin,
            "moved": self.ladder.moved,
            "rungs": rungs,
        }


@dataclass(frozen=True)
class RunLadders:
    """The ladders of some samples of a run."""

    source: str
    relaxation: str
    samples: tuple[SampleLadder, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "relaxation": self.relaxation,
            "samples": [sample.to_json() for sample in self.samples],
        }


def ladder_of_run(
    path: Path,
    samples: Sequence[int],
    *,
    rungs: Sequence[str] = DEFAULT_RUNGS,
    rounds: int = 12,
    tolerance: float = 1e-4,
    seed: int = 0,
    progress: Progress | None = None,
) -> RunLadders:
    """The ladders of the samples with these indices. rounds, tolerance: of the cutting planes of the rung `hull`.

    Raises InputError where the run keeps no planes, its model or data have changed, or a sample has no question.
    """
    unknown = [name for name in rungs if name not in RUNGS]
    if unknown or not rungs:
        raise InputError(f"--rungs {','.join(unknown)}: known are {', '.join(RUNGS)}")
    if not samples:
        raise InputError("no sample is asked for; give one with --sample")
    if seed < 0:
        raise InputError(f"--seed is {seed}; give 0 or more")
    run = runs.open_run(path)
    request = Request.from_json(run.request["request"])
    if request.optimize or request.suppose:
        option = f"--optimize {request.optimize}" if request.optimize else f"--suppose {request.suppose}"
        raise InputError(
            f"{path} was made with {option}: every bound has planes of its own there, and the programs have one set "
            "for all; give a run without it"
        )
    try:
        model, data = _reopened(run, request)
        questions = [_question(run, request, model, data, index) for index in samples]
    except EngineError as error:
        raise InputError(str(error)) from error
    network = reference_network(model)
    found = []
    with (progress or Progress(None)).task("linear programs", len(questions), unit="samples") as tick:
        for question in questions:
            starts = starts_of(_planes(run, request, question.index))
            given = [given_from_columns(network, question.time, start) for start in starts]
            more = [
                given_from_columns(network, question.time, planes_of(RELAXATIONS[name], starts[0]))
                for name in (SEVERAL if "several" in rungs else ())
            ]
            rows = question.specification
            try:
                ladder = network_ladder(
                    network,
                    reference_set(question.inputs),
                    rows.C[0].numpy(),
                    rows.d[0].numpy(),
                    given,
                    more,
                    rungs,
                    worst_only=isinstance(rows.reading, AllRows),
                    rounds=rounds,
                    tolerance=tolerance,
                    seed=seed,
                )
            except (ReferenceInputError, ReferenceFailureError) as error:
                raise InputError(f"sample {question.index}: {error}") from error
            found.append(SampleLadder(question, ladder))
            tick(1)
    return RunLadders(str(path), request.relaxation, tuple(found))


def _reopened(run: runs.RunFolder, request: Request) -> tuple[RecurrentClassifier, Samples]:
    """The run's model and data. Raises InputError where they are not what was certified."""
    stored = run.request
    model = open_model(request.model, request.structure, request.readout)
    if model.digest() != stored["model"]["digest"]:
        raise InputError(f"{request.model} is not the model that {run.path} certified; give that one back its place")
    data, samples = open_samples(request, model)
    if data.digest != stored["data"]["digest"]:
        raise InputError(f"{request.data} is not the data that {run.path} certified; give it back its place")
    return model, samples


def _question(run: runs.RunFolder, request: Request, model: RecurrentClassifier, data: Samples, index: int) -> Question:
    if not 0 <= index < len(data):
        raise InputError(f"--sample {index}: the run has samples 0 to {len(data) - 1}")
    record = next((row for row in run.samples() if row["index"] == index), None)
    if record is None:
        raise InputError(f"--sample {index} is not finished in {run.path}; continue the run with --resume")
    part = data.part(index, index + 1)
    questions = ask(request, model, part)
    if len(questions.sample) != 1:
        raise InputError(
            f"sample {index} has {len(questions.sample)} questions; choose a run that asks one per sample (no --frames "
            "each, no --target all) and a sample that has one"
        )
    if record["margin"] is None or (request.search and not record["radius"]):
        raise InputError(f"sample {index} has no certified radius, so no planes stand behind one; choose another")
    radius = torch.tensor([record["radius"]], dtype=torch.float64) if request.search else fixed_radius(request, part)
    inputs = family(request, part, questions.sample, questions.asked.moves)(radius)
    time = int(part.real_frames()[0])
    rows = questions.specification
    rows = Specification(rows.C[..., : model.outputs(time)], rows.d, rows.reading)
    asked = float(radius[0]) if request.search or request.radius is not None or request.radius_db is not None else None
    return Question(index, time, asked, float(record["margin"]), inputs.first_frames(time), rows)


def _planes(run: runs.RunFolder, request: Request, index: int) -> Columns:
    part = index // request.batch_size
    if part not in run.plane_parts():
        raise InputError(f"{run.path} keeps no planes of sample {index}; certify again without --no-planes")
    table = run.planes(part)
    here = np.flatnonzero(table.origin.get("sample", np.zeros(0)) == index)
    if not len(here):
        raise InputError(f"{run.path} has no planes of sample {index}; certify again into another --out")
    both = {**table.columns, **table.origin}
    return {name: both[name][here].tolist() for name in (*COLUMNS, *DIAGONALS) if name in both}


# Each stands by itself; short enough for a console of 80 columns, beside the numbers.
NAMES: Final = {
    "back_substitution": "one pair, substituted",
    "one_pair": "one pair, as a program",
    "boxes": "one pair and all boxes",
    "several": "all planes and boxes",
    "least_volume": "planes of least volume",
    "hull": "every plane that helps",
    "tightened": "every plane, tighter boxes",
    FOUND: "found by an attack",
}
# So that no rung's own name is ever cut.
_KEYS: Final = max(len(f"({name})") for name in NAMES)


def print_ladder(console: Console, ladders: RunLadders) -> None:
    """One table for each sample: the margin at every rung, what it gained, the certified gap, seconds.

    Bounds are marked >=, what an attack found <=.
    """
    for sample in ladders.samples:
        question = sample.question
        at = "" if question.radius is None else f", radius {question.radius:.6g}"
        said = f"sample {question.index}{at}: the run's margin {question.margin:.6g} ({ladders.relaxation})"
        console.print(said, soft_wrap=True)
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1))
        table.add_column("relaxation (rung)", min_width=_KEYS)
        for head in ("margin", "gain", "gap", "programs", "seconds"):
            table.add_column(head, justify="right", no_wrap=True)
        before: float | None = None
        for rung, margin in zip(sample.ladder.rungs, sample.margins, strict=True):
            bound = rung.name != FOUND
            table.add_row(
                f"{NAMES[rung.name]}\n({rung.name})",
                f"{'>=' if bound else '<='} {margin:.6g}",
                f"{margin - before:+.4g}" if bound and before is not None else "",
                f"{rung.gap:.1e}" if bound else "",
                str(rung.programs) if bound else "",
                f"{rung.seconds:.2f}",
            )
            before = margin
        console.print(table)
        for rung in sample.ladder.rungs:
            if rung.note and rung.name != FOUND:
                console.print(f"{rung.name}: {rung.note}", soft_wrap=True)
        if sample.ladder.moved:
            console.print(f"{sample.ladder.moved} planes did not hold on the boxes derived again and were moved")
    console.print("each relaxation knows all that the ones above it know")

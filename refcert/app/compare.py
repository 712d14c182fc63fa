"""`refcert compare`: the same question put to several relaxations, and how tight their planes are on the same boxes.

Every row of the answer is what `refcert certify --relaxation NAME` gives. The relaxations run one after the other in
one process with the same batches, each after a warm-up of one sample that is not counted, so that times compare.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search.certify import Options
from refcert.app import certify_run, opening, runs
from refcert.app.compare_boxes import BOXES_OF, Measured, measure
from refcert.app.compare_volume import volume_ratios
from refcert.app.errors import InputError
from refcert.app.input_sets import family, fixed_radius
from refcert.app.new_folder import new_folder
from refcert.app.options import BALLS
from refcert.app.progress import Progress
from refcert.app.questions import ask, check_fits, enumerate_questions
from refcert.app.report.compare import render
from refcert.app.request import Request

JSON_NAME: Final = "compare.json"
PAGE_NAME: Final = "compare.html"
KNOWN: Final = (*RELAXATIONS, "best")


@dataclass(frozen=True)
class Comparison:
    """What is compared and how.

    request: the common question; its `relaxation` is not used. samples_volume: how many planes are drawn for the
    volumes. box_radius: radius of the boxes that gaps and volumes are measured on; None for `request.radius`, and in a
    search the largest mean radius found.
    Raises InputError.
    """

    request: Request
    relaxations: tuple[str, ...]
    samples_volume: int
    box_radius: float | None = None

    def __post_init__(self) -> None:
        if self.samples_volume < 0:
            raise InputError(f"--samples-volume is {self.samples_volume}; give 0 or more planes")
        if self.request.seed < 0:
            raise InputError(f"seed is {self.request.seed}; give 0 or more")
        if self.box_radius is not None and not (self.box_radius > 0 and np.isfinite(self.box_radius)):
            raise InputError(f"--box-radius is {self.box_radius}; give a finite number > 0, in the unit of the data")
        if self.box_radius is not None and self.request.input_set not in BALLS:
            raise InputError(
                f"--box-radius {self.box_radius} does not go with --input-set {self.request.input_set}, which has no "
                "radius; leave it out"
            )

    def to_json(self) -> dict[str, Any]:
        """The request with the relaxations' names in place of the one."""
        plain = self.request.to_json()
        del plain["relaxation"]
        return plain | {
            "relaxations": list(self.relaxations),
            "samples_volume": self.samples_volume,
            "box_radius": self.box_radius,
        }


def parse_relaxations(text: str) -> tuple[str, ...]:
    """'planes,lines' -> names, each known and named once."""
    names = tuple(name.strip() for name in text.split(","))
    if not any(names):
        raise InputError(f"--relaxations is {text!r}; give names such as planes,lines. Known: {', '.join(KNOWN)}")
    for name in names:
        if name not in KNOWN:
            raise InputError(f"relaxation {name!r} is not known; choose among {', '.join(KNOWN)}")
    repeated = [name for name, number in Counter(names).items() if number > 1]
    if repeated:
        raise InputError(f"--relaxations names {repeated[0]!r} more than once; name each relaxation once")
    return names


def run_compare(comparison: Comparison, *, out: Path | None, progress: Progress) -> dict[str, Any]:
    """Carry out the comparison; returns what `--json` prints and `compare.json` holds.

    Raises InputError or EngineError on bad input, OutputError when writing fails; then nothing is left in `out`.
    """
    if out is not None:
        runs.check_free(out)
    _warm_up(comparison)
    with new_folder(out) as folder:
        result = _carry_out(comparison, progress)
        if folder is not None:
            runs.write_file(folder / JSON_NAME, _json(result))
            runs.write_file(folder / PAGE_NAME, render(result).encode())
    return result


def _json(result: dict[str, Any]) -> bytes:
    return (json.dumps(result, indent=1, allow_nan=False) + "\n").encode()


def _carry_out(comparison: Comparison, progress: Progress) -> dict[str, Any]:
    request = comparison.request
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    summaries = {name: _certified(request, name, progress) for name in comparison.relaxations}
    first = summaries[comparison.relaxations[0]]
    radius = comparison.box_radius or _box_radius(request, summaries)
    nowhere = request.search and radius is None
    correct = [row["index"] for row in first["samples"] if row["correct"]]
    measured, ratios, drawn = None, None, None
    if correct and not nowhere:
        measured = _measured(comparison, radius, correct, progress)
        ratios, drawn = volume_ratios(measured.drawn, progress)
    result: dict[str, Any] = {"count": first["count"], "correct": first["correct"]}
    if request.search:
        result["tolerance"] = request.tolerance
    result["relaxations"] = [
        _row(request, name, summaries[name], measured, None if ratios is None else ratios[name])
        for name in comparison.relaxations
    ]
    result["boxes"] = {
        "radius": radius,
        "relaxation": BOXES_OF,
        "samples": len(correct) if measured is not None else 0,
        "nonlinearities": {} if measured is None else dict(measured.counts),
        "planes": drawn,
    }
    return result | {
        "model": first["model"],
        "request": comparison.to_json(),
        "data": first["data"],
        "versions": opening.versions(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, device {request.device}",
        "started": started,
    }


def _certified(request: Request, name: str, progress: Progress) -> dict[str, Any]:
    """The summary of `refcert certify` for one relaxation."""
    asked = replace(request, relaxation=name)
    return certify_run.run(
        asked, out=None, resume=False, audit=False, keep_planes=False, workers=None, progress=progress
    )


def _warm_up(comparison: Comparison) -> None:
    """One sample at radius 0 for every relaxation, not counted: first calls of torch and of a device are slow."""
    request = comparison.request
    model = opening.open_model(request.model, request.structure, request.readout)
    _, samples = opening.open_samples(request, model)
    check_fits(request, model, samples)
    asked = enumerate_questions(request, samples, model.classes).sample.tolist()
    # The first sample that has a question; without one, the run itself says what is wrong.
    small = replace(request, count=min(asked, default=len(samples) - 1) + 1)
    if request.input_set in BALLS:
        small = replace(small, radius=0.0, radius_db=None)
    for name in comparison.relaxations:
        _certified(small, name, Progress(None))


def _box_radius(request: Request, summaries: Mapping[str, dict[str, Any]]) -> float | None:
    """The radius of the question, if it has one; in a search the largest mean radius, None if no radius is positive.

    The largest: there the boxes are those of a proof at its limit. At the smallest, the loosest relaxation would
    decide: its radius can be so small that all others look alike, and leaving it out would change their figures.
    """
    if not request.search:
        return request.radius
    found = [summary["mean_radius"] for summary in summaries.values()]
    return max((radius for radius in found if radius), default=None)


def _measured(comparison: Comparison, radius: float | None, correct: Sequence[int], progress: Progress) -> Measured:
    """radius: of the boxes, None for the sets as the question has them."""
    request = replace(comparison.request, target="untargeted")  # boxes do not depend on the class asked about
    if radius is not None:
        request = replace(request, radius=radius, radius_db=None)
    model = opening.open_model(request.model, request.structure, request.readout)
    _, samples = opening.open_samples(request, model)
    questions = ask(request, model, samples)
    kept = torch.isin(questions.sample, torch.tensor(correct)).nonzero()[:, 0]
    sets = family(request, samples, questions.sample, questions.asked.moves)
    inputs = sets(fixed_radius(request, samples)[questions.sample]).select(kept)
    with progress.task("measuring planes", len(kept), unit="input sets") as tick:
        return measure(
            comparison.relaxations,
            model,
            inputs,
            questions.specification.select(kept),
            Options(BOXES_OF, request.dtype, request.device, chunk=request.batch_size, memory=request.memory),
            lengths=None if questions.lengths is None else questions.lengths[kept],
            planes=comparison.samples_volume,
            seed=request.seed,
            progress=tick,
        )


def _row(
    request: Request,
    name: str,
    summary: Mapping[str, Any],
    measured: Measured | None,
    ratios: Sequence[tuple[str, float]] | None,
) -> dict[str, Any]:
    row: dict[str, Any] = {"relaxation": name}
    if request.search:
        row |= {"mean_radius": summary["mean_radius"], "median_radius": summary["median_radius"]}
    else:
        row |= {"certified": summary["certified"], "share": summary["certified"] / summary["count"]}
    row["mean_gap"] = dict(measured.mean_gap[name]) if measured is not None and measured.mean_gap else None
    row |= _ratios(ratios or ())
    row["seconds"] = summary["seconds"] / summary["count"]
    row["samples"] = summary["samples"]
    return row


def _ratios(ratios: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """The geometric mean as `volume_ratio`, as is right for ratios, and the whole distribution in a few numbers."""
    values = np.array([ratio for _, ratio in ratios])
    if not len(values):
        return {"volume_ratio": None, "volume_ratios": None}
    least, quarter, median, three_quarters, largest = np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist()
    kinds = sorted({kind for kind, _ in ratios})
    return {
        "volume_ratio": statistics.geometric_mean(values.tolist()),
        "volume_ratios": {
            "least": least,
            "lower_quartile": quarter,
            "median": median,
            "upper_quartile": three_quarters,
            "largest": largest,
            "mean": float(values.mean()),
            "by_kind": {kind: statistics.geometric_mean([r for k, r in ratios if k == kind]) for kind in kinds},
        },
    }

"""`refcert score`: CLEVER-RNN scores of a run's samples. Every figure in it is an estimate without guarantee."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_engine.errors import EngineError
from gpu_engine.scores.clever_rnn import CONSTANTS, NAME, clever_rnn
from refcert.app import runs
from refcert.app.attacking.work import device_family, device_question
from refcert.app.errors import InputError, OutputError
from refcert.app.opening import Opened, open_request
from refcert.app.progress import Progress
from refcert.app.questions import ask, enumerate_questions
from refcert.app.request import Request
from refcert.app.rescue import Rescue, rescued
from refcert.app.samples import Samples
from refcert.app.scoring_records import score_records
from refcert.app.storage import json_bytes, output_errors, write_file


@dataclass(frozen=True)
class Scoring:
    """The question and how it is sampled: points in each batch, batches, radius of the ball, kind of constants.

    ball_radius: None for the default of `scores.clever_rnn`. Raises InputError.
    """

    request: Request
    samples: int
    batches: int
    ball_radius: float | None = None
    constants: str = "frames"

    def __post_init__(self) -> None:
        for option, value in (("--samples", self.samples), ("--batches", self.batches)):
            if value < 1:
                raise InputError(f"{option} is {value}; give at least 1")
        if self.ball_radius is not None and not (self.ball_radius > 0 and math.isfinite(self.ball_radius)):
            raise InputError(f"--ball-radius is {self.ball_radius}; give a finite number > 0, in the unit of the data")
        if self.constants not in CONSTANTS:
            raise InputError(f"--constants {self.constants!r} is not known; known: {', '.join(CONSTANTS)}")
        if self.request.seed < 0:
            raise InputError(f"seed is {self.request.seed}; give 0 or more")

    def to_json(self) -> dict[str, Any]:
        """The request with what it says of the sampling, without what a score does not use."""
        plain = self.request.to_json()
        for name in ("relaxation", "tolerance", "clip_bound", "criterion", "memory", "radius", "radius_db"):
            del plain[name]
        return plain | {
            "samples": self.samples,
            "batches": self.batches,
            "ball_radius": self.ball_radius,
            "constants": self.constants,
        }


def run_score(
    scoring: Scoring, *, out: Path | None, progress: Progress, rescue: Rescue | None = None
) -> dict[str, Any]:
    """The scores as `--json` prints them. out: a file that gets the same object.

    Raises InputError or EngineError on bad input, OutputError when writing fails: before the work where the place takes
    no file, after it once `rescue` has shown the scores.
    """
    if out is not None:
        runs.check_free(out)
        if not out.absolute().parent.is_dir():
            raise OutputError(f"cannot write {out}: {out.parent} is not a folder; make it or choose another place")
        with output_errors(out):
            probe = out.with_name(out.name + ".partial")
            probe.touch()
            probe.unlink()
    request = scoring.request
    opened = open_request(request)
    began = time.perf_counter()
    rows: list[dict[str, Any]] = []
    size, samples = request.batch_size, opened.samples
    total = len(enumerate_questions(request, samples, opened.model.classes))
    with progress.task("scoring", total, unit="questions") as tick:
        for first in range(0, len(samples), size):
            rows += _part(scoring, opened, samples.part(first, first + size), first, tick)
    seconds = time.perf_counter() - began
    radii = [row["radius"] for row in rows if (row["correct"] or not request.about_label) and row["radius"] is not None]
    result: dict[str, Any] = {
        "count": len(rows),
        "correct": sum(row["correct"] for row in rows),
        "estimator": NAME,
        "guarantee": False,
        "mean_radius": float(np.mean(radii)) if radii else None,
        "median_radius": float(np.median(radii)) if radii else None,
        "fits": {name: sum(row["fits"][name] for row in rows) for name in rows[0]["fits"]},
        "seconds": round(seconds, 6),
    }
    result |= opened.identity | {"request": scoring.to_json(), "samples": rows}
    if out is not None:
        with rescued(result, rescue):
            write_file(out, json_bytes(result))
    return result


def _part(scoring: Scoring, opened: Opened, samples: Samples, first: int, tick: Any) -> list[dict[str, Any]]:
    request = scoring.request
    questions = ask(request, opened.model, samples)
    logits = samples.logits(opened.model)
    if not len(questions.sample):
        return score_records(request, questions, None, first, samples, logits)
    try:
        score = clever_rnn(
            device_question(opened, questions),
            device_family(opened, samples, questions),
            torch.Generator().manual_seed(request.seed),  # the same for every part: results do not depend on parts
            samples=scoring.samples,
            batches=scoring.batches,
            ball=scoring.ball_radius,
            constants=scoring.constants,
            progress=tick,
        )
    except EngineError as error:
        raise InputError(str(error)) from error
    return score_records(request, questions, score, first, samples, logits)

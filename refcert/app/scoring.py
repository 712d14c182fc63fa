"""`refcert score`: CLEVER-RNN scores of a run's samples. Every figure in it is an estimate without guarantee."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_engine.errors import EngineError, NumericalError
from gpu_engine.scores.clever_rnn import CONSTANTS, NAME, clever_rnn
from gpu_engine.scores.weibull import FEWEST
from refcert.app import records as certified
from refcert.app import runs
from refcert.app.attacked import OVERFLOWS, overflowing, point_question, questions_about
from refcert.app.attacking.work import device_family, device_question, require_some
from refcert.app.errors import InputError, OutputError
from refcert.app.opening import Opened, open_request
from refcert.app.progress import Progress
from refcert.app.questions import Questions, ask, enumerate_questions
from refcert.app.request import Request
from refcert.app.rescue import Rescue, rescued
from refcert.app.samples import Samples
from refcert.app.scoring_records import OVERFLOW, overflow_record, score_record
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
        if self.samples < 1:
            raise InputError(f"--samples is {self.samples}; give at least 1")
        require_batches("--batches", self.batches)
        if self.ball_radius is not None and not (self.ball_radius > 0 and math.isfinite(self.ball_radius)):
            raise InputError(f"--ball-radius is {self.ball_radius}; give a finite number > 0, in the unit of the data")
        if self.constants not in CONSTANTS:
            raise InputError(f"--constants {self.constants!r} is not known; known: {', '.join(CONSTANTS)}")
        if self.request.seed < 0:
            raise InputError(f"seed is {self.request.seed}; give 0 or more")

    def to_json(self) -> dict[str, Any]:
        """The request with what it says of the sampling, without what a score does not use."""
        plain = self.request.to_json()
        unused = ("relaxation", "tolerance", "clip_bound", "criterion", "memory", "optimize", "suppose")
        for name in (*unused, "radius", "radius_db"):
            del plain[name]
        return plain | {
            "samples": self.samples,
            "batches": self.batches,
            "ball_radius": self.ball_radius,
            "constants": self.constants,
        }


def require_batches(option: str, batches: int) -> None:
    """Raise InputError for fewer maxima than a fit takes: no score could rest on one."""
    if batches < FEWEST:
        raise InputError(
            f"{option} is {batches}; each batch gives one maximum, and a reverse Weibull distribution has three "
            f"parameters: give at least {FEWEST}, better 50 or more"
        )


def run_score(
    scoring: Scoring, *, out: Path | None, progress: Progress, rescue: Rescue | None = None
) -> dict[str, Any]:
    """The scores as `--json` prints them. out: a file that gets the same object.

    A sample that overflows is named in its record. Raises InputError or EngineError on bad input, NumericalError where
    all of them overflow, OutputError when writing fails: before the work where the place takes no file, after it once
    `rescue` has shown the scores.
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
    require_some(sum(row["radius"] is not None for row in rows), rows)
    radii = [row["radius"] for row in rows if (row["correct"] or not request.about_label) and row["radius"] is not None]
    result: dict[str, Any] = {
        "count": len(rows),
        "correct": sum(row["correct"] for row in rows),
        "overflowed": sum(row["status"] == OVERFLOW for row in rows),
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
    """The records of some neighbouring samples; one that overflows takes no other with it."""
    request, model = opened.request, opened.model
    asked, logits = ask(request, model, samples), samples.logits(model)
    decided = certified.records(request, asked, None, first, samples, logits)
    at_center = overflowing(model, samples, asked, logits).tolist()
    rows = []
    for k, decision in enumerate(decided):
        questions = questions_about(asked, torch.arange(len(samples)) == k)
        if at_center[k]:
            rows.append(overflow_record(request, {**decision, "predicted": None, "correct": False}, OVERFLOWS))
            tick(len(questions.sample))
        elif not len(questions.sample):
            rows.append(score_record(request, decision, questions, None, None))
        else:
            rows.append(_one(scoring, opened, samples, questions, decision, tick))
    return rows


def _one(
    scoring: Scoring, opened: Opened, samples: Samples, questions: Questions, decision: Mapping[str, Any], tick: Any
) -> dict[str, Any]:
    """The record of one sample, whose questions these are."""
    request = scoring.request
    try:
        score = clever_rnn(
            device_question(opened, questions),
            device_family(opened, samples, questions),
            torch.Generator().manual_seed(request.seed),  # the same for every sample: none depends on the others
            samples=scoring.samples,
            batches=scoring.batches,
            ball=scoring.ball_radius,
            constants=scoring.constants,
        )
    except EngineError as error:
        raise InputError(str(error)) from error
    except NumericalError as error:
        return overflow_record(request, decision, str(error))
    finally:
        tick(len(questions.sample))
    at_center = point_question(opened.model, questions)
    with torch.no_grad():
        least_row = at_center.rows(samples.x[questions.sample]).argmin(1)
    return score_record(request, decision, questions, score, least_row)

"""The frame-by-frame run inside a run, and the pictures of the most sensitive frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.datasets import KNOWN, load_sequences
from refcert.app.errors import InputError
from refcert.app.report import words
from refcert.app.report.pictures import Picture, draw, scale_of
from refcert.app.report.planes import Audit, read_audit
from refcert.app.report.reading import asked_for as asked_for_by
from refcert.app.report.reading import checked_samples, command_of
from refcert.app.runs import RunFolder, open_run

# So many samples are pictured.
PICTURES: Final = 24
# The folder of a run's frame-by-frame part, as `refcert demo` makes it.
FOLDER: Final = "frames"


@dataclass(frozen=True)
class Frames:
    """The pictures of the most sensitive frames. problem: why images are missing; total: samples with radii."""

    pictures: tuple[Picture, ...]
    legend: tuple[tuple[str, str], ...]
    images: bool
    problem: str
    total: int


@dataclass(frozen=True)
class SubRun:
    """The frame-by-frame run in a run's own folder."""

    command: str
    audit: Audit
    finished: int
    total: int


def read_frames(path: Path, asked_for: Mapping[str, Any]) -> tuple[RunFolder | None, SubRun | None, str]:
    """The run inside the run at `path`, if there is one; else, or if it cannot be used, None and why."""
    folder = path / FOLDER
    if not (folder / "request.json").is_file():
        return None, None, ""
    try:
        run = open_run(folder)
        samples = checked_samples(run)
        said = run.request
        if said["model"]["digest"] != asked_for["model"]["digest"]:
            raise InputError(f"{FOLDER}/ is a run of another model")
        asked = [row["index"] for row in samples if row["margin"] is not None]
        audit = read_audit(run, asked, said["request"]["batch_size"], name="frames", show=False)
        command = command_of(run, f"{path.resolve().name}/{FOLDER}", bool(asked))
    except InputError as error:
        return None, None, str(error)
    return run, SubRun(command, audit, len(samples), said["data"]["shape"][0]), ""


def picture_frames(run: RunFolder) -> Frames | None:
    """The pictures of a run that was made frame by frame; None if it was not, or nothing was certified."""
    samples = [row for row in run.samples() if row.get("frame_radii")]
    for row in samples:  # behind a sequence's end there are none
        row["frame_radii"] = [radius for radius in row["frame_radii"] if radius is not None]
    scale = scale_of([row["frame_radii"] for row in samples])
    if scale is None:
        return None
    said = asked_for_by(run)
    about_label = words.about_label(said["request"])
    images, problem = _images(said)
    decimals = max(words.decimals_for(radius for row in samples for radius in row["frame_radii"]) - 1, 0)
    pictures = tuple(
        draw(
            index=row["index"],
            label=words.labels(row["label"]),
            predicted=words.labels(row["predicted"]),
            correct=bool(row["correct"]) or not about_label,
            radii=list(row["frame_radii"]),
            image=None if images is None else images[row["index"]],
            scale=scale,
            decimals=decimals,
        )
        for row in samples[:PICTURES]
    )
    return Frames(pictures, scale.legend(decimals), images is not None, problem, len(samples))


def _images(said: Mapping[str, Any]) -> tuple[NDArray[np.float64] | None, str]:
    """The inputs as images (count, side, side) if the data are images, else None; and what is wrong with them."""
    if said["request"]["data"] not in KNOWN:
        return None, ""
    count, frames, size = (int(n) for n in said["data"]["shape"])
    side = math.isqrt(frames * size)
    try:
        data = load_sequences(said["request"]["data"], input_size=size, count=count)
    except InputError as error:
        return None, f"The images are not available here, so only the bars are shown ({error})."
    if data.digest != said["data"]["digest"]:
        return None, ("The data have changed since the run (their digest is another one), so only the bars are shown.")
    return data.x.reshape(count, side, side), ""


def rows_per_frame(frames: int, size: int) -> str:
    """For images: how many of their rows a frame is."""
    return words.plural(size // (math.isqrt(frames * size) or 1), "row")

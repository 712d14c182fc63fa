"""`refcert demo`: the main job on what is shipped, end to end, within a minute."""

from __future__ import annotations

from itertools import count as counter
from pathlib import Path
from typing import Any

from refcert.app.certify_run import run
from refcert.app.errors import InputError
from refcert.app.progress import Progress
from refcert.app.report import write_report
from refcert.app.report.frames import FOLDER
from refcert.app.request import Request

MODEL = "digits_lstm"
# Digits whose frames are certified one by one, for the picture of the most sensitive frames.
PICTURED = 10


def run_demo(out: Path | None, count: int, workers: int | None, progress: Progress) -> dict[str, Any]:
    """Radii of the first test digits, all frames moving; then frame by frame for a few; every plane audited."""
    folder = out if out is not None else _free_folder()
    if folder.exists():
        raise InputError(f"{folder} exists; choose another --out")
    summary = _certify(folder, count, "all", workers, progress)
    frames = _certify(folder / FOLDER, min(PICTURED, count), "each", workers, progress)
    for key, number in frames["planes"].items():
        summary["planes"][key] += number
    summary["report"] = str(write_report(folder, None))
    return summary


def _certify(folder: Path, count: int, frames: str, workers: int | None, progress: Progress) -> dict[str, Any]:
    request = Request(
        model=MODEL,
        data="digits",
        count=count,
        norm=float("inf"),
        radius=None,
        frames=frames,
        clip=(0.0, 1.0),
        target="untargeted",
        relaxation="parallel",
        dtype="float64",
        device="cpu",
        batch_size=50,
        tolerance=1e-3,
        seed=0,
    )
    return run(
        request,
        out=folder,
        resume=False,
        audit=True,
        keep_planes=True,
        workers=workers,
        progress=progress,
    )


def _free_folder() -> Path:
    for number in counter(1):
        folder = Path("refcert-demo" if number == 1 else f"refcert-demo-{number}")
        if not folder.exists():
            return folder
    raise AssertionError("unreachable")

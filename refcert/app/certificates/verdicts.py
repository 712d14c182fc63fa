"""A run's `certificates/verdicts.json`: what the kernel said of each of its certificates.

A verdict is about a file's content, so each one names the SHA-256 of the file that was checked: it is worth something
only beside a file that still has it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from refcert.app.certificates.files import FOLDER
from refcert.app.certificates.outcome import OTHER_NETWORK, Outcome
from refcert.app.errors import InputError

NAME: Final = "verdicts.json"
FORMAT: Final = 1


def verdicts_path(run: Path) -> Path:
    """The file of a run folder."""
    return run / FOLDER / NAME


def runs_of(outcomes: Sequence[Outcome]) -> list[Path]:
    """The run folders that outcomes come from."""
    return list(dict.fromkeys(outcome.file.run for outcome in outcomes if outcome.file.run is not None))


def write_verdicts(outcomes: Sequence[Outcome], kernel: str) -> None:
    """Keep the verdicts in their runs; those of files that were not checked now stay. Raises OutputError.

    kernel: the version that gave them.
    """
    for run in runs_of(outcomes):
        # It brings numpy and pyarrow, which no check needs.
        from refcert.app.storage import json_bytes, write_file

        now = {
            outcome.file.path.name: {
                "sha256": outcome.sha256,
                "verdict": outcome.verdict,
                "claim": outcome.claim,
                "margin": outcome.margin,
                "kernel": kernel,
            }
            for outcome in outcomes
            if outcome.file.run == run and outcome.verdict != OTHER_NETWORK  # that one was not checked
        }
        write_file(
            verdicts_path(run), json_bytes({"format": FORMAT, "files": dict(sorted((_before(run) | now).items()))})
        )


def _before(run: Path) -> dict[str, Any]:
    """Earlier verdicts of files that are still there; none where they cannot be read."""
    from refcert.app.storage import read_json

    path = verdicts_path(run)
    if not path.is_file():  # nor is a pipe waited for
        return {}
    with contextlib.suppress(InputError, RecursionError):  # somebody else's file may nest as deep as it likes
        stored = read_json(path)
        files = stored.get("files")
        if stored.get("format") == FORMAT and isinstance(files, dict):
            return {name: entry for name, entry in files.items() if (run / FOLDER / name).is_file()}
    return {}

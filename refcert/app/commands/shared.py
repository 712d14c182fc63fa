"""What the commands share: readers of values, progress bars, printing, exit codes."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console

from refcert.app.errors import ExitCode, OutputError
from refcert.app.progress import Progress


def as_number(text: str) -> float:
    """A number, or a usage error."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number; give one such as 0.1") from None


def as_whole(text: str | int) -> int:
    """A whole number, or a usage error."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number; give one such as 20") from None


def as_positive(text: str | int) -> int:
    """A whole number from 1 up, or a usage error."""
    found = as_whole(text)
    if found < 1:
        raise typer.BadParameter(f"{found} is too small; give at least 1")
    return found


def as_seed(text: str | int) -> int:
    """A whole number that every generator takes as its seed, or a usage error; whether it may be negative they say."""
    found = as_whole(text)
    if found > _LARGEST_SEED:
        raise typer.BadParameter(f"{found} is too large; give at most {_LARGEST_SEED}")
    return found


_LARGEST_SEED: Final = 2**63 - 1


def as_path(text: str | Path) -> Path:
    """A path that is not empty, or a usage error."""
    if not str(text).strip():
        raise typer.BadParameter(f"{text!r} is empty; give a path")
    return Path(text)


def progress_bars() -> Progress:
    """Bars on standard error."""
    return Progress(Console(stderr=True) if sys.stderr is not None else None)


def print_result(value: Callable[[], dict[str, Any]], table: Callable[[Console], None], *, as_json: bool) -> None:
    """The result on standard output: as one JSON object, or as a table for people."""
    with _standard_output():
        if as_json:
            sys.stdout.write(json.dumps(value(), allow_nan=False) + "\n")
        else:
            # Paths are printed as they are: no markup, no emoji codes, no colours inside.
            width = None if sys.stdout.isatty() else _WIDE
            table(_Paper(markup=False, emoji=False, highlight=False, width=width))


# Columns of a file or a pipe: names in tables are never cut there; no table is stretched to it.
_WIDE: Final = 1000


class _Paper(Console):
    """A console that does not end the program, with the code that means REFUTED, where its pipe is closed."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


@contextlib.contextmanager
def _standard_output() -> Iterator[None]:
    """Whatever keeps the result from standard output, a full disk or a closed pipe, is an output error."""
    if sys.stdout is None:
        raise OutputError("standard output is closed; send it to a file or a pipe")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path that the terminal's encoding lacks
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when the process ends.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(
            f"cannot write to standard output: {error.strerror or error}; send it to a place that takes it"
        ) from error


def audit_exit(counts: dict[str, int] | None, *, asked: bool, parts_missing: int = 0) -> ExitCode:
    """The exit code that counts of verdicts ask for; OK only if every plane that was to be audited is proved.

    counts: None if there are no verdicts; asked: whether an audit was asked for; parts_missing: of an unfinished run.
    """
    if counts is None:
        return ExitCode.UNDECIDED if asked else ExitCode.OK
    if counts["refuted"]:
        return ExitCode.REFUTED
    left = counts["undecided"] + counts.get("not_audited", 0) + parts_missing
    return ExitCode.UNDECIDED if left else ExitCode.OK

"""A new folder for results: there as a whole, or not at all; only evidence of a fault stays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gpu_engine.errors import SoundnessFault
from refcert.app import runs
from refcert.app.storage import output_errors


@contextlib.contextmanager
def new_folder(out: Path | None) -> Iterator[Path | None]:
    """The folder, made with its parents before the work, so that a place that cannot be written shows at once.

    Raises InputError if there is anything at the path, OutputError if it cannot be made. Where the block fails the
    folder is removed, unless the failure is a soundness fault, whose evidence is in it.
    """
    if out is None:
        yield None
        return
    runs.check_free(out)
    made: list[Path] = []
    try:
        with output_errors(out):
            for missing in (*[p for p in reversed(out.parents) if not p.exists()], out):
                missing.mkdir()
                made.insert(0, missing)
        yield out
    except SoundnessFault:
        raise
    except BaseException:
        runs.discard(runs.RunFolder(out, tuple(made)))
        raise

"""`refcert report`: one self-contained HTML page about a run.

The page needs nothing but itself: style and figures are inside, no script, no font, nothing that is loaded. It is
made from the run folder alone, so two reports about the same run are the same bytes; only the pictures of the
frames read the data again, and they say so where it is missing or has changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from refcert.app.report.collect import RunView, collect
from refcert.app.report.pages import render_page
from refcert.app.storage import write_file

__all__ = ["render", "write_report"]

NAME: Final = "report.html"


def write_report(run: Path, out: Path | None) -> Path:
    """Write the page about the run folder `run` and return its path; default: report.html in the folder.

    Unfinished runs are reported as far as they are. Raises InputError for a folder that is no run or has no
    finished samples, OutputError if the page cannot be written; then nothing is left half-written.
    """
    path = out if out is not None else run / NAME
    page = render(collect(run))
    write_file(path, page.encode())
    return path


def render(view: RunView) -> str:
    """The page as one string. Everything from the run is escaped."""
    return render_page("page.html", view=view)

"""`refcert report`: one self-contained HTML page about a run.

The page needs nothing but itself: style and figures are inside, no script, no font, nothing that is loaded. It is
made from the run folder alone, so two reports about the same run are the same bytes; only the pictures of the
frames read the data again, and they say so where it is missing or has changed.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from refcert.app.report import words
from refcert.app.report.collect import RunView, collect
from refcert.app.runs import write_file

__all__ = ["render", "write_report"]

NAME: Final = "report.html"
_TEMPLATES: Final = ("page.html", "figures.html")
_STYLE: Final = "style.css"


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
    files = resources.files(__name__)
    loader = DictLoader({name: (files / name).read_text(encoding="utf-8") for name in _TEMPLATES})
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["count"] = words.count
    style = Markup((files / _STYLE).read_text(encoding="utf-8"))  # noqa: S704 - this package's own file
    return environment.get_template("page.html").render(view=view, style=style)

"""`refcert report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refcert.app.commands.options import Json
from refcert.app.commands.shared import as_path, print_result


def report(
    run: Annotated[Path, typer.Argument(parser=as_path, metavar="DIR", help="A run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(parser=as_path, metavar="FILE", help="Where to write; default: report.html in the folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page about a run."""
    from refcert.app.report import write_report

    path = write_report(run, out)
    print_result(
        lambda: {"report": str(path)},
        lambda console: console.print(f"Report: {path}", soft_wrap=True),
        as_json=as_json,
    )

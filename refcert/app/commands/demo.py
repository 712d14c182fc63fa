"""`refcert demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refcert.app.commands.options import Json, Workers
from refcert.app.commands.shared import as_path, as_positive, audit_exit, print_result, progress_bars


def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            parser=as_path, metavar="DIR", help="Run folder; default: the first free refcert-demo folder here."
        ),
    ] = None,
    count: Annotated[int, typer.Option(parser=as_positive, metavar="N", help="How many test digits to certify.")] = 60,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Certify the shipped LSTM on handwritten digits, prove every plane, and write a report."""
    from refcert.app.demo import run_demo
    from refcert.app.tables import print_demo

    summary = run_demo(out=out, count=count, workers=workers, progress=progress_bars())
    print_result(lambda: summary, lambda console: print_demo(console, summary), as_json=as_json)
    raise typer.Exit(audit_exit(summary.get("planes"), asked=True))

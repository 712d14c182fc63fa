"""`refcert explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refcert.app.commands.options import Json
from refcert.app.commands.shared import as_path, as_whole, print_result


def explain(
    file: Annotated[Path, typer.Argument(parser=as_path, metavar="FILE", help="A certificate.")],
    step: Annotated[
        int | None, typer.Option(parser=as_whole, metavar="N", help="Show the numbers of step N, counted from 0.")
    ] = None,
    units: Annotated[
        bool, typer.Option("--units", help="With --step: all units of it, not only the first ones.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a certificate claims, and how each of its steps has to follow. It proves nothing: refcert check does."""
    from refcert.app.certificates.explain import explain as read_and_explain
    from refcert.app.certificates.explain_print import print_explanation

    found = read_and_explain(file, step)
    print_result(found.to_json, lambda console: print_explanation(console, found, units=units), as_json=as_json)

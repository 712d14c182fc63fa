"""`refcert check`."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path
from typing import Annotated

import typer

from refcert.app.commands.options import Json
from refcert.app.commands.shared import as_number, as_path, as_positive, print_result, progress_bars


def _as_seconds(text: str | float) -> float:
    found = as_number(str(text))
    if not 0 < found < math.inf:
        raise typer.BadParameter(f"{text!r} is no time; give seconds such as 60")
    return found


def _as_digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise typer.BadParameter(
            f"{text!r} is no digest; give the network's 64 hexadecimal digits, as refcert explain or --json shows them"
        )
    return text.lower()


def check(
    files: Annotated[
        list[Path],
        typer.Argument(
            parser=as_path, metavar="FILE...", help="Certificates, folders of certificates, or run folders."
        ),
    ],
    seconds: Annotated[
        float | None,
        typer.Option(parser=_as_seconds, metavar="S", help="Budget of time for each file; over it means HOLEY."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Memory of each process, as 500MB, 2GB or bytes; over it means HOLEY."),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(parser=_as_digest, metavar="HEX", help="Demand certificates about the network of this digest."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(parser=as_positive, metavar="N", help="Files checked at the same time; default: all cores."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Replay certificates with the trusted kernel: VALID, INVALID or HOLEY. A run keeps the verdicts.

    Exit codes: 0 all are VALID; else 1 one is INVALID; else 2 one cannot be read, or is about another network; else 3
    one is HOLEY. See docs/certificates.md.
    """
    from refcert.app.certificates.checking import CheckOptions, check_certificates
    from refcert.app.certificates.table import print_check
    from refcert.app.sizes import parse_memory

    options = CheckOptions(seconds, None if memory is None else parse_memory(memory), workers, network)
    report = check_certificates(files, options, progress_bars())
    with contextlib.ExitStack() as later:
        # Printed whatever becomes of the run's file.
        later.callback(print_result, report.to_json, lambda console: print_check(console, report), as_json=as_json)
        report.write_verdicts()
    raise typer.Exit(report.exit_code)

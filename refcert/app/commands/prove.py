"""`refcert prove`."""

from __future__ import annotations

import typer

from refcert.app.commands.options import Json
from refcert.app.commands.shared import print_result, progress_bars
from refcert.app.errors import ExitCode


def prove(as_json: Json = False) -> None:
    """Run the lemmas behind every bound, each with false variants that must be rejected."""
    from dataclasses import asdict

    from proofs.registry import LEMMAS, run_all
    from refcert.app.tables import print_lemmas

    with progress_bars().task("proving", len(LEMMAS), unit="lemmas") as tick:
        results = run_all(lambda _: tick(1))
    proved = sum(r.ok for r in results)
    value = {
        "summary": {"proved": proved, "failed": len(results) - proved},
        "lemmas": [asdict(r) for r in results],
    }
    print_result(lambda: value, lambda console: print_lemmas(console, results), as_json=as_json)
    raise typer.Exit(ExitCode.OK if all(r.ok for r in results) else ExitCode.REFUTED)

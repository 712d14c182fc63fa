"""`refcert tightness`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refcert.app.commands.options import Json
from refcert.app.commands.shared import as_number, as_path, as_positive, as_seed, as_whole, print_result, progress_bars


def _as_tolerance(text: str | float) -> float:
    found = as_number(str(text))
    if not 0 < found < 1:
        raise typer.BadParameter(f"{found:g} is no share of a box; give a number between 0 and 1, say 0.0001")
    return found


def tightness(
    run: Annotated[Path, typer.Argument(parser=as_path, metavar="DIR", help="A run folder that keeps its planes.")],
    sample: Annotated[
        list[int] | None,
        typer.Option(parser=as_whole, metavar="I", help="Which sample; may be given several times. Default: 0."),
    ] = None,
    rungs: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Of back_substitution, one_pair, boxes, several, least_volume, hull, tightened, found; "
            "tightened is for small networks, and takes minutes.",
        ),
    ] = "back_substitution,one_pair,boxes,several,least_volume,hull,found",
    rounds: Annotated[
        int, typer.Option(parser=as_positive, metavar="N", help="Rounds of cutting planes at most, a row.")
    ] = 12,
    tolerance: Annotated[
        float, typer.Option(parser=_as_tolerance, metavar="T", help="Of cutting planes, in units of a variable's box.")
    ] = 1e-4,
    seed: Annotated[int, typer.Option(parser=as_seed, metavar="N", help="Of the attack's random starts.")] = 0,
    as_json: Json = False,
) -> None:
    """Show what single planes, back-substitution and boxes cost samples of a run, by linear programs."""
    from refcert.app.lp_ladder import ladder_of_run, print_ladder

    names = [name.strip() for name in rungs.split(",") if name.strip()]
    found = ladder_of_run(
        run,
        sample or [0],
        rungs=names,
        rounds=rounds,
        tolerance=tolerance,
        seed=seed,
        progress=progress_bars(),
    )
    print_result(found.to_json, lambda console: print_ladder(console, found), as_json=as_json)

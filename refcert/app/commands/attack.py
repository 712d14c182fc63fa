"""`refcert attack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from refcert.app.commands.options import (
    BatchSize,
    Clip,
    Count,
    Data,
    Device,
    Frames,
    InputSet,
    Json,
    Model,
    Norm,
    RadiusDb,
    Readout,
    Structure,
    Target,
)
from refcert.app.commands.question import request_of
from refcert.app.commands.shared import as_number, as_path, as_seed, as_whole, print_result, progress_bars


class AttackCommand(TyperCommand):
    """Its help names the attacks as the engine's registry has them, which takes an import of torch."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from gpu_engine.attacks.registry import ATTACKS

        for parameter in self.params:
            if parameter.name == "method" and isinstance(parameter, TyperOption):
                parameter.help = "Which attack. " + " ".join(
                    f"{name}: {entry.summary.rstrip('.')}." for name, entry in ATTACKS.items()
                )
        super().format_help(ctx, formatter)


def attack(
    model: Model,
    data: Data,
    method: Annotated[str, typer.Option(metavar="NAME", help="Which attack.")] = "pgd",
    structure: Structure = None,
    readout: Readout = None,
    count: Count = None,
    input_set: InputSet = "frames",
    norm: Norm = "inf",
    radius: Annotated[
        float | None,
        typer.Option(
            parser=as_number,
            metavar="R",
            help="Is anything broken inside this radius? Default: search the smallest perturbation.",
        ),
    ] = None,
    radius_db: RadiusDb = None,
    frames: Frames = "all",
    clip: Clip = None,
    target: Target = "untargeted",
    top_k: Annotated[
        int | None,
        typer.Option(parser=as_whole, metavar="K", help="Push the label out of the K largest outputs."),
    ] = None,
    spec: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Make a row C F(x) + d not positive: an .npz file with C and d."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(parser=as_whole, metavar="N", help="Steps; default: the attack's own.")
    ] = None,
    restarts: Annotated[
        int | None, typer.Option(parser=as_whole, metavar="N", help="Restarts; default: the attack's own.")
    ] = None,
    grid: Annotated[
        int | None,
        typer.Option(
            parser=as_whole,
            metavar="N",
            help="Of lp: also round what was found to whole multiples of 1/N, such as 255 for images.",
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            parser=as_number, metavar="SECONDS", help="Of lp: for the linear programs of each question; default: none."
        ),
    ] = None,
    device: Device = "cpu",
    batch_size: BatchSize = 100,
    seed: Annotated[int, typer.Option(parser=as_seed, metavar="N", help="Decides every random start.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=as_path,
            metavar="DIR",
            help="Folder for the adversarial inputs (npz) and the JSON; it must not exist yet.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Search the smallest adversarial perturbation of every sample: an upper bound of its true robustness."""
    from refcert.app.attacking.method import Method
    from refcert.app.attacking.run import run_attack
    from refcert.app.attacking.table import print_attack

    request = request_of(
        search=radius is None and radius_db is None and input_set in ("frames", "sequence"),
        model=model,
        data=data,
        count=count,
        norm=norm,
        radius=radius,
        radius_db=radius_db,
        input_set=input_set,
        frames=frames,
        clip=clip,
        target=target,
        relaxation="best",  # not used: an attack needs no planes
        dtype="float64",
        device=device,
        batch_size=batch_size,
        tolerance=1e-3,  # not used either
        seed=seed,
        structure=structure,
        readout=readout,
        top_k=top_k,
        spec=spec,
        memory=None,
    )

    def show(result: dict[str, Any], saved: Path | None = None) -> None:
        print_result(lambda: result, lambda console: print_attack(console, result, saved), as_json=as_json)

    asked = Method(method, steps, restarts, grid, time_limit)
    show(run_attack(request, asked, out=out, progress=progress_bars(), rescue=show), out)

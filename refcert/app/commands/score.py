"""`refcert score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from refcert.app.commands.options import (
    Clip,
    Count,
    Data,
    Device,
    Frames,
    FreeBatchSize,
    Json,
    Model,
    Norm,
    Readout,
    Spec,
    Structure,
    Target,
    TopK,
)
from refcert.app.commands.question import request_of
from refcert.app.commands.shared import as_number, as_path, as_seed, as_whole, print_result, progress_bars


def score(
    model: Model,
    data: Data,
    structure: Structure = None,
    readout: Readout = None,
    count: Count = None,
    input_set: Annotated[
        str,
        typer.Option(metavar="SET", help="frames (a ball for each frame) or sequence (one ball around all frames)."),
    ] = "frames",
    norm: Norm = "inf",
    frames: Frames = "all",
    clip: Clip = None,
    target: Target = "untargeted",
    top_k: TopK = None,
    spec: Spec = None,
    samples: Annotated[
        int, typer.Option(parser=as_whole, metavar="N", help="Gradients in each batch, of which the largest counts.")
    ] = 100,
    batches: Annotated[
        int, typer.Option(parser=as_whole, metavar="N", help="Batches: how many maxima each fit has, at least 10.")
    ] = 100,
    ball_radius: Annotated[
        float | None,
        typer.Option(
            parser=as_number,
            metavar="R",
            help="Radius of the ball that gradients are drawn from, and the largest score; default: for each sample, "
            "where its margin's linear approximation reaches zero.",
        ),
    ] = None,
    constants: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="frames (one Lipschitz constant a frame, then their sum; the paper's) or sum (one of the sum itself).",
        ),
    ] = "frames",
    device: Device = "cpu",
    batch_size: FreeBatchSize = 100,
    seed: Annotated[int, typer.Option(parser=as_seed, metavar="N", help="Decides which points are drawn.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(parser=as_path, metavar="FILE", help="Where to keep the JSON; it must not exist yet."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Estimate the robustness of every sample by CLEVER-RNN, from sampled gradients: no guarantee of any kind."""
    from refcert.app.attacked import require_ball
    from refcert.app.scoring import Scoring, run_score
    from refcert.app.scoring_table import print_score

    require_ball(input_set)
    request = request_of(
        search=True,
        radius=None,
        radius_db=None,
        model=model,
        data=data,
        count=count,
        norm=norm,
        input_set=input_set,
        frames=frames,
        clip=clip,
        target=target,
        relaxation="best",  # not used: a score needs no planes
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
        print_result(lambda: result, lambda console: print_score(console, result, saved), as_json=as_json)

    scoring = Scoring(request, samples, batches, ball_radius, constants)
    show(run_score(scoring, out=out, progress=progress_bars(), rescue=show), out)

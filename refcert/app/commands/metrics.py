"""`refcert metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from refcert.app.commands.options import (
    BatchSize,
    Clip,
    ClipBound,
    Count,
    Criterion,
    Data,
    Device,
    Dtype,
    Frames,
    Json,
    Memory,
    Model,
    Norm,
    Readout,
    Spec,
    Structure,
    Target,
    Tolerance,
    TopK,
)
from refcert.app.commands.question import request_of
from refcert.app.commands.shared import as_number, as_path, as_positive, as_seed, as_whole, print_result, progress_bars
from refcert.app.errors import ExitCode


def metrics(
    model: Model,
    data: Data,
    methods: Annotated[
        str, typer.Option(metavar="NAMES", help="Attacks, separated by commas; see `refcert attack`.")
    ] = "pgd,cw",
    thresholds: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Radii for frequency, severity and robust accuracy, such as 0,0.05,0.1; default: round ones that fit.",
        ),
    ] = None,
    structure: Structure = None,
    readout: Readout = None,
    count: Count = None,
    input_set: Annotated[
        str, typer.Option(metavar="SET", help="frames or sequence, as for `refcert certify`.")
    ] = "frames",
    norm: Norm = "inf",
    frames: Frames = "all",
    clip: Clip = None,
    clip_bound: ClipBound = "exact",
    target: Target = "untargeted",
    top_k: TopK = None,
    spec: Spec = None,
    criterion: Criterion = "margins",
    relaxation: Annotated[
        str, typer.Option(metavar="NAME", help="How planes are chosen, as for `refcert certify`.")
    ] = "best",
    steps: Annotated[
        int | None, typer.Option(parser=as_whole, metavar="N", help="Steps of the attacks that have steps.")
    ] = None,
    restarts: Annotated[
        int | None, typer.Option(parser=as_whole, metavar="N", help="Restarts of the attacks that have restarts.")
    ] = None,
    score: Annotated[
        bool, typer.Option("--score", help="Also the CLEVER-RNN score, an estimate without guarantee.")
    ] = False,
    score_samples: Annotated[
        int | None,
        typer.Option(parser=as_positive, metavar="N", help="Points in each batch of the score; default: 100."),
    ] = None,
    score_batches: Annotated[
        int | None,
        typer.Option(parser=as_positive, metavar="N", help="Batches of the score, at least 10; default: 100."),
    ] = None,
    resamples: Annotated[
        int, typer.Option(parser=as_whole, metavar="N", help="Resamples of the bootstrap over samples.")
    ] = 2000,
    confidence: Annotated[
        float, typer.Option(parser=as_number, metavar="L", help="Level of the confidence intervals.")
    ] = 0.95,
    dtype: Dtype = "float64",
    device: Device = "cpu",
    batch_size: BatchSize = 100,
    memory: Memory = None,
    tolerance: Tolerance = 1e-3,
    seed: Annotated[
        int, typer.Option(parser=as_seed, metavar="N", help="Decides every random start and every resample.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=as_path, metavar="DIR", help="Folder for JSON, page and model card; it must not exist yet."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Robustness of a model between certified radii and attacks: robust accuracy, frequency, severity, mean radius."""
    from refcert.app.attacked import require_ball
    from refcert.app.metrics.options import MetricsRequest, methods_of, resampling_of, scored_of, thresholds_of
    from refcert.app.metrics.run import run_metrics
    from refcert.app.metrics.table import print_metrics
    from refcert.app.metrics.words import attacked

    require_ball(input_set)
    request = request_of(
        search=True,
        radius=None,
        radius_db=None,
        model=model,
        data=data,
        count=count,
        input_set=input_set,
        norm=norm,
        frames=frames,
        clip=clip,
        clip_bound=clip_bound,
        target=target,
        top_k=top_k,
        spec=spec,
        criterion=criterion,
        relaxation=relaxation,
        dtype=dtype,
        device=device,
        batch_size=batch_size,
        memory=memory,
        tolerance=tolerance,
        seed=seed,
        structure=structure,
        readout=readout,
    )
    asked = MetricsRequest(
        request,
        methods_of(methods, steps, restarts),
        thresholds_of(thresholds),
        resampling_of(resamples, confidence, seed),
        scored_of(score, score_samples, score_batches),
    )

    def show(result: dict[str, Any], saved: Path | None = None) -> None:
        print_result(lambda: result, lambda console: print_metrics(console, result, saved), as_json=as_json)

    result = run_metrics(asked, out=out, progress=progress_bars(), rescue=show)
    show(result, out)
    if not attacked(result):
        raise typer.Exit(ExitCode.UNDECIDED)

"""`refcert compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refcert.app.commands.options import (
    Clip,
    ClipBound,
    Count,
    Data,
    Device,
    Dtype,
    Frames,
    FreeBatchSize,
    InputSet,
    Json,
    Memory,
    Model,
    Norm,
    Radius,
    RadiusDb,
    Readout,
    Search,
    Structure,
    Target,
    Tolerance,
)
from refcert.app.commands.question import request_of
from refcert.app.commands.shared import as_number, as_path, as_seed, as_whole, print_result, progress_bars


def compare(
    model: Model,
    data: Data,
    relaxations: Annotated[
        str, typer.Option(metavar="NAMES", help="Which to compare, separated by commas.")
    ] = "planes,parallel,mccormick,lines,constants,best",
    structure: Structure = None,
    readout: Readout = None,
    count: Count = None,
    input_set: InputSet = "frames",
    norm: Norm = "inf",
    radius: Radius = None,
    radius_db: RadiusDb = None,
    search: Search = False,
    frames: Frames = "all",
    clip: Clip = None,
    clip_bound: ClipBound = "exact",
    target: Target = "untargeted",
    samples_volume: Annotated[
        int,
        typer.Option(parser=as_whole, metavar="K", help="Planes drawn for the volume ratio; each takes about 0.03 s."),
    ] = 200,
    box_radius: Annotated[
        float | None,
        typer.Option(
            parser=as_number,
            metavar="R",
            help="Radius of the boxes for gaps and volumes; default: --radius, or the largest mean radius found.",
        ),
    ] = None,
    dtype: Dtype = "float64",
    device: Device = "cpu",
    batch_size: FreeBatchSize = 100,
    memory: Memory = None,
    tolerance: Tolerance = 1e-3,
    seed: Annotated[
        int, typer.Option(parser=as_seed, metavar="N", help="Decides which planes are drawn for the volume ratio.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(parser=as_path, metavar="DIR", help="Folder for the JSON and the page; it must not exist yet."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare relaxations on one question: radius or certified samples, tightness of the planes, time."""
    from refcert.app.compare import Comparison, parse_relaxations, run_compare
    from refcert.app.compare_table import print_compare

    names = parse_relaxations(relaxations)
    request = request_of(
        model=model,
        data=data,
        count=count,
        norm=norm,
        radius=radius,
        search=search,
        frames=frames,
        clip=clip,
        target=target,
        relaxation=names[0],
        dtype=dtype,
        device=device,
        batch_size=batch_size,
        tolerance=tolerance,
        seed=seed,
        structure=structure,
        readout=readout,
        input_set=input_set,
        clip_bound=clip_bound,
        radius_db=radius_db,
        memory=memory,
    )
    result = run_compare(Comparison(request, names, samples_volume, box_radius), out=out, progress=progress_bars())
    print_result(lambda: result, lambda console: print_compare(console, result, out), as_json=as_json)

"""`refcert compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refcert.app.commands.question import request_of
from refcert.app.commands.shared import (
    Clip,
    Device,
    Dtype,
    Frames,
    Json,
    Memory,
    Search,
    Target,
    Tolerance,
    as_number,
    as_path,
    as_whole,
    print_result,
    progress_bars,
)


def compare(
    model: Annotated[str, typer.Option(metavar="FILE", help="The model, as for `refcert certify`.")],
    data: Annotated[str, typer.Option(metavar="FILE", help="The data, as for `refcert certify`.")],
    relaxations: Annotated[
        str, typer.Option(metavar="NAMES", help="Which to compare, separated by commas.")
    ] = "planes,parallel,mccormick,lines,constants,best",
    structure: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Layers of the model in order, as for `refcert certify`.")
    ] = None,
    readout: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the head reads, as for `refcert certify`.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(parser=as_whole, metavar="N", help="Only the first samples; default: all.")
    ] = None,
    input_set: Annotated[
        str, typer.Option(metavar="SET", help="frames, sequence, box or substitutions, as for `refcert certify`.")
    ] = "frames",
    norm: Annotated[
        str, typer.Option(metavar="P", help="l_p norm of the perturbation of a frame: inf, 2, 1 or any p >= 1.")
    ] = "inf",
    radius: Annotated[
        float | None,
        typer.Option(
            parser=as_number, metavar="R", help="Certify at this radius, in the data's unit, per frame; or --search."
        ),
    ] = None,
    radius_db: Annotated[
        float | None,
        typer.Option(parser=as_number, metavar="D", help="Certify at this loudness, as for `refcert certify`."),
    ] = None,
    search: Search = False,
    frames: Frames = "all",
    clip: Clip = None,
    clip_bound: Annotated[
        str, typer.Option(metavar="HOW", help="exact or simple, as for `refcert certify`.")
    ] = "exact",
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
    batch_size: Annotated[
        int, typer.Option(parser=as_whole, metavar="N", help="Samples per pass; results do not depend on it.")
    ] = 100,
    memory: Memory = None,
    tolerance: Tolerance = 1e-3,
    seed: Annotated[
        int, typer.Option(parser=as_whole, metavar="N", help="Decides which planes are drawn for the volume ratio.")
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

"""`refcert certify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from refcert.app.commands.options import (
    Clip,
    Count,
    Device,
    Dtype,
    Frames,
    Json,
    Memory,
    Norm,
    Optimize,
    Radius,
    Relaxation,
    Resume,
    Search,
    Spec,
    Suppose,
    Target,
    Tolerance,
    TopK,
    Workers,
)
from refcert.app.commands.question import request_of
from refcert.app.commands.shared import as_number, as_path, as_seed, as_whole, audit_exit, print_result, progress_bars


class CertifyCommand(TyperCommand):
    """Its help names the relaxations as the engine's registry has them, which takes an import of torch."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from gpu_engine.relaxations.registry import BEST, DEFAULT_RELAXATION, RELAXATIONS

        rows = [f"{name}, {relaxation.summary}" for name, relaxation in RELAXATIONS.items()]
        rows.append(f"best, the better of {' and '.join(BEST)} for each unit and each row")
        for parameter in self.params:
            if parameter.name == "relaxation" and isinstance(parameter, TyperOption):
                parameter.help = f"How planes are chosen: {'; '.join(rows)}. Default: {DEFAULT_RELAXATION}."
        super().format_help(ctx, formatter)


def certify(
    model: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="A .safetensors or .onnx file, or shipped: digits_lstm, digits_gru, digits_rnn."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="An .npz file with x (or tokens), labels and perhaps lengths, or: digits, mnist."
        ),
    ],
    structure: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Layers of a .safetensors file in order, if names leave it open: 'fc1 relu lstm fc2'.",
        ),
    ] = None,
    readout: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the head reads: final (default), last_frame, mean, max or every."),
    ] = None,
    count: Count = None,
    input_set: Annotated[
        str,
        typer.Option(
            metavar="SET",
            help="frames (a ball for each frame), sequence (one ball around the whole sequence), or from the data "
            "file: box (lower, upper), substitutions (candidates, allowed).",
        ),
    ] = "frames",
    norm: Norm = "inf",
    radius: Radius = None,
    radius_db: Annotated[
        float | None,
        typer.Option(
            parser=as_number,
            metavar="D",
            help="Certify at this loudness relative to each sample's peak: radius max|x| 10^(D/20).",
        ),
    ] = None,
    search: Search = False,
    frames: Frames = "all",
    clip: Clip = None,
    clip_bound: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="exact (the minimum over ball and range) or simple (the better of both; faster, looser).",
        ),
    ] = "exact",
    target: Target = "untargeted",
    top_k: TopK = None,
    spec: Spec = None,
    criterion: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="margins (bounds of differences) or per-class (POPQORN's own: the label's lower bound against the "
            "others' upper bounds; looser).",
        ),
    ] = "margins",
    relaxation: Relaxation = None,
    optimize: Optimize = 0,
    suppose: Suppose = 0,
    dtype: Dtype = "float64",
    device: Device = "cpu",
    batch_size: Annotated[
        int,
        typer.Option(
            parser=as_whole, metavar="N", help="Samples per pass and per saved part; results do not depend on it."
        ),
    ] = 100,
    memory: Memory = None,
    tolerance: Tolerance = 1e-3,
    seed: Annotated[
        int, typer.Option(parser=as_seed, metavar="N", help="Recorded with the run; nothing here is random so far.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(parser=as_path, metavar="DIR", help="Folder for the run; it must not exist yet."),
    ] = None,
    resume: Resume = False,
    audit: Annotated[bool, typer.Option("--audit", help="Prove every bounding plane in ball arithmetic.")] = False,
    planes: Annotated[bool, typer.Option("--planes/--no-planes", help="Keep all planes in the run folder.")] = True,
    certificates: Annotated[
        bool,
        typer.Option("--certificates", help="Write a certificate of every proved answer to the run folder; see check."),
    ] = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Certify a classifier on data: at one radius, on given sets, or search the largest radius of every sample."""
    from gpu_engine.relaxations.registry import DEFAULT_RELAXATION
    from refcert.app.certify_run import run
    from refcert.app.tables import print_certify

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
        relaxation=DEFAULT_RELAXATION if relaxation is None else relaxation,
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
        top_k=top_k,
        spec=spec,
        criterion=criterion,
        memory=memory,
        optimize=optimize,
        suppose=suppose,
    )
    summary = run(
        request,
        out=out,
        resume=resume,
        audit=audit,
        keep_planes=planes,
        workers=workers,
        progress=progress_bars(),
        certificates=certificates,
    )
    print_result(lambda: summary, lambda console: print_certify(console, summary), as_json=as_json)
    raise typer.Exit(audit_exit(summary.get("planes"), asked=audit))

"""`refcert baseline record`, `compare`, `update`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    InputSet,
    Json,
    Memory,
    Model,
    Norm,
    RadiusDb,
    Readout,
    Relaxation,
    Search,
    Spec,
    Structure,
    Target,
    Tolerance,
    TopK,
    Workers,
)
from refcert.app.commands.question import request_of
from refcert.app.commands.shared import as_number, as_path, as_seed, print_result, progress_bars
from refcert.app.errors import ExitCode, InputError

if TYPE_CHECKING:
    from refcert.app.baseline.changes import Comparison
    from refcert.app.baseline.run import Guarding

baseline = typer.Typer(
    name="baseline",
    help="Guard a model: its certified radii, margins and relaxation gaps in a text file that is committed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ToleranceRadius = Annotated[
    float | None,
    typer.Option(parser=as_number, metavar="T", help="How far a radius may fall, relative; default: as recorded."),
]
ToleranceMargin = Annotated[
    float | None,
    typer.Option(parser=as_number, metavar="T", help="How far a margin may fall, absolute; default: as recorded."),
]
ToleranceGap = Annotated[
    float | None,
    typer.Option(parser=as_number, metavar="T", help="A layer whose mean gap moves further is named; relative."),
]
Audit = Annotated[
    bool,
    typer.Option(
        "--audit",
        help="Prove every bounding plane; a new UNDECIDED fails. Always done where the baseline holds an audit.",
    ),
]
OtherModel = Annotated[
    str | None, typer.Option(metavar="FILE", help="Another model than the baseline names, as for `refcert certify`.")
]
OtherData = Annotated[str | None, typer.Option(metavar="FILE", help="Another data file than the baseline names.")]
Attack = Annotated[str, typer.Option(metavar="NAME", help="Which attack is held against the radii, or none.")]
Seed = Annotated[int, typer.Option(parser=as_seed, metavar="N", help="Decides the attack's random starts.")]
BaselineFile = Annotated[
    Path, typer.Option("--baseline", parser=as_path, metavar="FILE", help="The baseline's text file.")
]
_DEFAULT = Path("refcert-baseline.txt")


@baseline.command()
def record(
    model: Model,
    data: Data,
    out: Annotated[
        Path, typer.Option(parser=as_path, metavar="FILE", help="The baseline's text file; it must not exist yet.")
    ] = _DEFAULT,
    structure: Structure = None,
    readout: Readout = None,
    count: Count = None,
    input_set: InputSet = "frames",
    norm: Norm = "inf",
    radius: Annotated[
        float | None,
        typer.Option(
            parser=as_number, metavar="R", help="Guard margins at this radius, in the data's unit; or --search."
        ),
    ] = None,
    radius_db: RadiusDb = None,
    search: Search = False,
    frames: Frames = "all",
    clip: Clip = None,
    clip_bound: ClipBound = "exact",
    target: Target = "untargeted",
    top_k: TopK = None,
    spec: Spec = None,
    criterion: Criterion = "margins",
    relaxation: Relaxation = None,
    dtype: Dtype = "float64",
    device: Device = "cpu",
    batch_size: BatchSize = 100,
    memory: Memory = None,
    tolerance: Tolerance = 1e-3,
    tolerance_radius: ToleranceRadius = None,
    tolerance_margin: ToleranceMargin = None,
    tolerance_gap: ToleranceGap = None,
    audit: Audit = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Measure a model on data and write the baseline that is to be committed."""
    from gpu_engine.relaxations.registry import DEFAULT_RELAXATION
    from refcert.app.baseline import run
    from refcert.app.baseline.entries import Tolerances
    from refcert.app.baseline.table import print_recorded

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
        seed=0,
        structure=structure,
        readout=readout,
        input_set=input_set,
        clip_bound=clip_bound,
        radius_db=radius_db,
        top_k=top_k,
        spec=spec,
        criterion=criterion,
        memory=memory,
    )
    tolerances = Tolerances().changed(radius=tolerance_radius, margin=tolerance_margin, gap=tolerance_gap)
    found = run.record(request, out, tolerances, audit=audit, workers=workers, progress=progress_bars())
    print_result(
        lambda: {"baseline": str(out), "count": len(found.samples), "measure": found.measure},
        lambda console: print_recorded(console, found, out),
        as_json=as_json,
    )


@baseline.command()
def compare(
    path: BaselineFile = _DEFAULT,
    model: OtherModel = None,
    data: OtherData = None,
    tolerance_radius: ToleranceRadius = None,
    tolerance_margin: ToleranceMargin = None,
    tolerance_gap: ToleranceGap = None,
    other_data: Annotated[
        bool,
        typer.Option("--other-data", help="Changed inputs do not fail by themselves (last digits, other machine)."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Search only where a recorded radius does not hold; finds no improvements.")
    ] = False,
    attack: Attack = "pgd",
    audit: Audit = False,
    device: Device = "cpu",
    batch_size: BatchSize = 100,
    memory: Memory = None,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Compare the model and data as they are now with the baseline; exit code 1 where something is worse."""
    from refcert.app.baseline import run
    from refcert.app.baseline.table import print_comparison

    guarding = _guarding(
        path,
        (tolerance_radius, tolerance_margin, tolerance_gap),
        (device, batch_size, memory, seed),
        search=not quick,
        audit=audit,
        workers=workers,
        attack=attack,
        other_data=other_data,
    )
    found = run.run_compare(path, guarding, model=model, data=data, progress=progress_bars())
    print_result(found.to_json, lambda console: print_comparison(console, found), as_json=as_json)
    raise typer.Exit(exit_code(found))


@baseline.command()
def update(
    path: BaselineFile = _DEFAULT,
    model: OtherModel = None,
    data: OtherData = None,
    tolerance_radius: ToleranceRadius = None,
    tolerance_margin: ToleranceMargin = None,
    tolerance_gap: ToleranceGap = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    attack: Attack = "pgd",
    audit: Audit = False,
    device: Device = "cpu",
    batch_size: BatchSize = 100,
    memory: Memory = None,
    seed: Seed = 0,
    workers: Workers = None,
) -> None:
    """Show what changed, ask, and write the baseline anew; options that are given are recorded."""
    from refcert.app.baseline import run
    from refcert.app.baseline.table import print_comparison
    from refcert.app.baseline.text import text_of

    guarding = _guarding(
        path,
        (tolerance_radius, tolerance_margin, tolerance_gap),
        (device, batch_size, memory, seed),
        audit=audit,
        workers=workers,
        attack=attack,
    )
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = run.run_update(path, guarding, model=model, data=data, progress=progress_bars())
    after = text_of(found.baseline)
    print_result(dict, lambda console: print_comparison(console, found.comparison), as_json=False)
    if exit_code(found.comparison) == ExitCode.FAULT:
        raise typer.Exit(ExitCode.FAULT)  # nothing that is contradicted becomes a baseline
    if before == after:
        typer.echo(f"{path} says the same already; nothing is written")
        return
    typer.echo(_difference(before, after, path))
    if not yes and not _agreed(path):
        typer.echo(f"{path} stays as it was")
        return
    run.save(found.baseline, path)
    typer.echo(f"{path} is written; commit it")


def exit_code(comparison: Comparison) -> ExitCode:
    """0 where nothing is worse, 1 where something is, 70 where an attack lies in a certified ball."""
    from refcert.app.baseline.changes import Kind

    if any(comparison.of(Kind.UNSOUND)):
        return ExitCode.FAULT
    return ExitCode.OK if comparison.passed else ExitCode.REFUTED


def _difference(before: str, after: str, path: Path) -> str:
    import difflib

    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), "updated", lineterm="", n=0)
    return "\n".join(lines)


def _agreed(path: Path) -> bool:
    """The answer of whoever sits at the terminal. Raises InputError where nobody does."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError(f"{path} is not written: nobody can be asked here; give --yes")
    return typer.confirm(f"write {path}?", default=False)


def _guarding(
    path: Path,
    given: tuple[float | None, float | None, float | None],
    how: tuple[str, int, str | None, int],
    **as_they_are: Any,
) -> Guarding:
    from refcert.app.baseline.reading import load
    from refcert.app.baseline.run import Guarding
    from refcert.app.baseline.subject import Computing
    from refcert.app.sizes import parse_memory

    device, batch_size, memory, seed = how
    computing = Computing(device, batch_size, None if memory is None else parse_memory(memory), seed)
    tolerances = load(path).tolerances.changed(**dict(zip(("radius", "margin", "gap"), given, strict=True)))
    return Guarding(computing, tolerances, **as_they_are)

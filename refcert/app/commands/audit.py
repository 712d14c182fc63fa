"""`refcert audit`."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from refcert.app.commands.options import Json, Workers
from refcert.app.commands.shared import as_path, as_positive, as_seed, as_whole, audit_exit, print_result, progress_bars
from refcert.app.errors import InputError, OutputError

if TYPE_CHECKING:
    from refcert.app.audit_report import AuditReport

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}


def _as_source(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter(f"{text!r} is empty; give a path or module:function")
    return text


def _as_seconds(text: str | float) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([smh]?)", str(text).strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else math.nan
    if not 0 < seconds < math.inf:
        raise typer.BadParameter(f"{text!r} is no time; give seconds such as 90, or 15m, or 2h")
    return seconds


def _as_hunt(text: str) -> str:
    from refcert.audit.examine import HUNTS

    if text not in HUNTS:
        raise typer.BadParameter(f"{text!r} is not known; choose from {', '.join(HUNTS)}")
    return text


def audit(
    source: Annotated[
        str,
        typer.Argument(
            parser=_as_source,
            metavar="SOURCE",
            help="A run folder, a planes file (.npz, .parquet, .csv), a directory of them, or module:function.",
        ),
    ],
    kinds: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Of a function: the nonlinearities it is asked for; default: all."),
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Of a function: families of boxes that are drawn, such as random,thin,point,saturated,sign_crossing; "
            "default: all.",
        ),
    ] = None,
    boxes_from: Annotated[
        Path | None,
        typer.Option(parser=as_path, metavar="SOURCE", help="Of a function: boxes of a run or of planes files."),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(parser=as_positive, metavar="N", help="Boxes of each family and kind; default: 1000."),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="Of a function: the boxes' numbers, float64 or float32. Planes may have any float type, and are "
            "judged as the exact values that they are.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(parser=as_seed, metavar="N", help="Decides which boxes are drawn, and where is hunted.")
    ] = 0,
    cross_check: Annotated[
        bool, typer.Option("--cross-check", help="Judge every plane by the second method, too.")
    ] = False,
    falsify: Annotated[
        str,
        typer.Option(
            parser=_as_hunt,
            metavar="WHICH",
            help="Hunt for counter-examples on: none, undecided or all planes (PROVED ones as a check of refcert).",
        ),
    ] = "undecided",
    tightness: Annotated[
        bool, typer.Option("--tightness", help="Measure each plane's volume over that of the least-volume plane.")
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option(
            parser=_as_seconds, metavar="TIME", help="Stop after this time: 90 (seconds), 15m, 2h. See exit code 3."
        ),
    ] = None,
    budget_planes: Annotated[
        int | None, typer.Option(parser=as_positive, metavar="N", help="Stop after so many planes. See exit code 3.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=as_path, metavar="DIR", help="Folder that keeps the audit; it must not exist yet."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the audit in --out.")] = False,
    examples: Annotated[
        int,
        typer.Option(
            parser=as_whole, metavar="N", help="Worst counter-examples that are minimised and printed as Python."
        ),
    ] = 3,
    junit: Annotated[
        Path | None, typer.Option(parser=as_path, metavar="FILE", help="Write JUnit XML for continuous integration.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(parser=as_path, metavar="FILE", help="Write one self-contained HTML page.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            parser=as_path,
            metavar="PATH",
            help="Draw planes: into a .png, .svg or .pdf file the first to look at, into a folder several.",
        ),
    ] = None,
    plots: Annotated[
        int, typer.Option(parser=as_positive, metavar="N", help="At most so many pictures in the folder of --plot.")
    ] = 12,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Prove or refute bounding planes: of a run, of planes files, or of any engine's function.

    The function is called as function(kind, lower_v, upper_v, lower_z, upper_z), arrays with one number per box, and
    returns (lower, upper), each (slope_v, slope_z, offset). See docs/audit.md.
    """
    from refcert.app.audit_run import AuditOptions, audit_source
    from refcert.app.audit_sources.opening import FunctionOptions
    from refcert.app.audit_table import print_audit
    from refcert.audit.examine import Questions

    if examples < 0:
        raise InputError(f"--examples is {examples}; give a whole number from 0 up")
    if seed < 0:
        raise InputError(f"--seed is {seed}; give a whole number from 0 up")
    _check_outputs(source, {"--junit": junit, "--html": html, "--plot": plot})
    found = audit_source(
        source,
        AuditOptions(
            questions=Questions(cross_check, falsify, tightness, seed),
            function=FunctionOptions(kinds, boxes, boxes_from, count, dtype, seed),
            workers=workers,
            budget_seconds=budget,
            budget_planes=budget_planes,
            out=out,
            resume=resume,
            examples=examples,
        ),
        progress_bars(),
    )
    with contextlib.ExitStack() as later:
        # Printed whatever becomes of the files; the first of their errors decides how the command ends.
        later.callback(print_result, found.to_json, lambda console: print_audit(console, found, out), as_json=as_json)
        _write(found, junit, html, plot, plots, resumable=out is not None)
    raise typer.Exit(audit_exit(found.counts, asked=True, parts_missing=found.parts_missing))


def _write(
    found: AuditReport, junit: Path | None, html: Path | None, plot: Path | None, plots: int, *, resumable: bool
) -> None:
    from refcert.app.storage import write_file

    if junit is not None:
        from refcert.app.junit import junit_xml

        write_file(junit, junit_xml(found))
    if html is not None:
        from refcert.app.report.audit_page import audit_page

        write_file(html, audit_page(found, resumable=resumable).encode())
    if plot is not None:
        from refcert.app.report.audit_plots import write_plots

        write_plots(found, plot, plots)


def _check_outputs(source: str, outputs: dict[str, Path | None]) -> None:
    """Before hours of work: every output has a place, and none is the source or another output."""
    taken = {Path(source).resolve(): f"the source {source}"}
    module, colon, _ = source.partition(":")
    if colon:
        taken[Path(module.replace(".", "/") + ".py").resolve()] = f"the module of {source}"
    for option, path in outputs.items():
        if path is None:
            continue
        if path.resolve() in taken:
            raise InputError(f"{option} {path} is also {taken[path.resolve()]}; name another file")
        taken[path.resolve()] = option
        if option == "--plot":
            from refcert.app.report.audit_plots import check_plot_target

            check_plot_target(path)
        elif path.is_dir():
            raise OutputError(f"{option} {path} is a directory; name a file")
        elif not path.parent.is_dir():
            raise OutputError(f"{option} {path}: there is no directory {path.parent}; make it first")

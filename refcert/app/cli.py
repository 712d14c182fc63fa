"""The command line. Results go to standard output, everything else to standard error.

Heavy imports happen inside the commands: `refcert --help` and the audit's worker processes need no torch.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperOption

from refcert.app.errors import ExitCode, InputError, OutputError
from refcert.app.progress import Progress

# Threads of torch wait for each other by spinning for milliseconds, which stops them all as soon as the machine has
# other work (thirty times slower, seen with two busy cores); sleeping at once halves the speed of an idle machine. Some
# tens of microseconds of spinning are right for both. To be set before torch is loaded; the user's own setting wins.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

app = typer.Typer(
    name="refcert",
    help="Certified robustness of recurrent networks, every bounding plane proved.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=(
        "Exit codes: 0 done, all proved; 1 a plane is REFUTED or a lemma failed; 2 bad input, nothing written; "
        "3 a plane is UNDECIDED; 4 output could not be written; 5 numbers overflow; 70 a fault of refcert itself; "
        "130 interrupted."
    ),
)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number; give one such as 0.1") from None


def _whole(text: str | int) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number; give one such as 20") from None


def _positive(text: str | int) -> int:
    number = _whole(text)
    if number < 1:
        raise typer.BadParameter(f"{number} is too small; give at least 1")
    return number


def _path(text: str | Path) -> Path:
    if not str(text).strip():
        raise typer.BadParameter(f"{text!r} is empty; give a path")
    return Path(text)


# Options that several commands share.
Search = Annotated[bool, typer.Option("--search", help="Search the largest certified radius.")]
Frames = Annotated[
    str, typer.Option(metavar="WHICH", help="Which frames move: all, e.g. 0,3, or each (one frame at a time).")
]
Clip = Annotated[
    tuple[str, str] | None, typer.Option(metavar="LOW HIGH", help="Valid range of the data, e.g. --clip 0 1.")
]
Target = Annotated[
    str,
    typer.Option(metavar="WHICH", help="untargeted, all (each other class by itself) or a class number."),
]
Dtype = Annotated[str, typer.Option(metavar="TYPE", help="float64 or float32.")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="Any torch device: cpu, cuda, cuda:1.")]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory for bounds, as 500MB, 2GB or bytes (one sample is the least); results do not depend on it.",
    ),
]
Tolerance = Annotated[
    float, typer.Option(parser=_number, metavar="T", help="Relative width at which the search stops.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", parser=_positive, metavar="N", help="Processes for the audit; default: all cores."),
]


def _progress() -> Progress:
    return Progress(Console(stderr=True) if sys.stderr is not None else None)


def _print(value: Callable[[], dict[str, Any]], table: Callable[[Console], None], *, as_json: bool) -> None:
    """The result on standard output: as one JSON object, or as a table for people."""
    with _standard_output():
        if as_json:
            sys.stdout.write(json.dumps(value(), allow_nan=False) + "\n")
        else:
            # Paths are printed as they are: no markup, no emoji codes, no colours inside.
            table(Console(markup=False, emoji=False, highlight=False))


@contextlib.contextmanager
def _standard_output() -> Iterator[None]:
    """Whatever keeps the result from standard output, a full disk or a closed pipe, is an output error."""
    if sys.stdout is None:
        raise OutputError("standard output is closed; send it to a file or a pipe")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path that the terminal's encoding lacks
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when the process ends.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(
            f"cannot write to standard output: {error.strerror or error}; send it to a place that takes it"
        ) from error


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"refcert {version('refcert')}")
        raise typer.Exit


@app.callback()
def _top(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _audit_exit(counts: dict[str, int] | None) -> ExitCode:
    if counts is None:
        return ExitCode.OK
    if counts["refuted"]:
        return ExitCode.REFUTED
    return ExitCode.UNDECIDED if counts["undecided"] else ExitCode.OK


@app.command()
def demo(
    out: Annotated[
        Path | None,
        typer.Option(parser=_path, metavar="DIR", help="Run folder; default: the first free refcert-demo folder here."),
    ] = None,
    count: Annotated[int, typer.Option(parser=_positive, metavar="N", help="How many test digits to certify.")] = 60,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Certify the shipped LSTM on handwritten digits, prove every plane, and write a report."""
    from refcert.app.demo import run_demo
    from refcert.app.tables import print_demo

    summary = run_demo(out=out, count=count, workers=workers, progress=_progress())
    _print(lambda: summary, lambda console: print_demo(console, summary), as_json=as_json)
    raise typer.Exit(_audit_exit(summary.get("planes")))


class _Certify(TyperCommand):
    """Its help names the relaxations as the engine's registry has them, which takes an import of torch."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from gpu_engine.relaxations.registry import BEST, DEFAULT_RELAXATION, RELAXATIONS

        rows = [f"{name}, {relaxation.summary}" for name, relaxation in RELAXATIONS.items()]
        rows.append(f"best, the better of {' and '.join(BEST)} for each unit and each row")
        for parameter in self.params:
            if parameter.name == "relaxation" and isinstance(parameter, TyperOption):
                parameter.help = f"How planes are chosen: {'; '.join(rows)}. Default: {DEFAULT_RELAXATION}."
        super().format_help(ctx, formatter)


@app.command(cls=_Certify)
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
    count: Annotated[
        int | None, typer.Option(parser=_whole, metavar="N", help="Only the first samples; default: all.")
    ] = None,
    input_set: Annotated[
        str,
        typer.Option(
            metavar="SET",
            help="frames (a ball for each frame), sequence (one ball around the whole sequence), or from the data "
            "file: box (lower, upper), substitutions (candidates, allowed).",
        ),
    ] = "frames",
    norm: Annotated[
        str, typer.Option(metavar="P", help="l_p norm of the perturbation: inf, 2, 1 or any p >= 1.")
    ] = "inf",
    radius: Annotated[
        float | None,
        typer.Option(parser=_number, metavar="R", help="Certify at this radius, in the data's unit; or --search."),
    ] = None,
    radius_db: Annotated[
        float | None,
        typer.Option(
            parser=_number,
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
    top_k: Annotated[
        int | None,
        typer.Option(parser=_whole, metavar="K", help="Ask that the label stays among the K largest outputs."),
    ] = None,
    spec: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Ask that all rows C F(x) + d are positive: an .npz file with C and d."),
    ] = None,
    criterion: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="margins (bounds of differences) or per-class (POPQORN's own: the label's lower bound against the "
            "others' upper bounds; looser).",
        ),
    ] = "margins",
    relaxation: Annotated[str | None, typer.Option(metavar="NAME", help="How planes are chosen.")] = None,
    dtype: Dtype = "float64",
    device: Device = "cpu",
    batch_size: Annotated[
        int,
        typer.Option(
            parser=_whole, metavar="N", help="Samples per pass and per saved part; results do not depend on it."
        ),
    ] = 100,
    memory: Memory = None,
    tolerance: Tolerance = 1e-3,
    seed: Annotated[
        int, typer.Option(parser=_whole, metavar="N", help="Recorded with the run; nothing here is random so far.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(parser=_path, metavar="DIR", help="Folder for the run; it must not exist yet."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    audit: Annotated[bool, typer.Option("--audit", help="Prove every bounding plane in ball arithmetic.")] = False,
    planes: Annotated[bool, typer.Option("--planes/--no-planes", help="Keep all planes in the run folder.")] = True,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Certify a classifier on data: at one radius, on given sets, or search the largest radius of every sample."""
    from gpu_engine.relaxations.registry import DEFAULT_RELAXATION
    from refcert.app.certify_run import run
    from refcert.app.request import BALLS, Request, parse_clip, parse_memory, parse_norm
    from refcert.app.tables import print_certify

    fixed = {"--radius": radius, "--radius-db": radius_db}
    for option, value in fixed.items():
        if value is not None and search:
            raise InputError(f"{option} {value!r} and --search exclude each other; give one of them")
    if search and input_set not in BALLS:
        raise InputError(
            f"--search does not go with --input-set {input_set}, which has no radius; leave it out, or choose "
            f"--input-set {' or '.join(BALLS)}"
        )
    request = Request(
        model=model,
        data=data,
        count=count,
        norm=parse_norm(norm),
        radius=radius,
        frames=frames,
        clip=None if clip is None else parse_clip(*clip),
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
        memory=None if memory is None else parse_memory(memory),
    )
    if request.search and not search:
        raise InputError("neither --radius nor --search is given; give --radius R, --radius-db D or --search")
    summary = run(
        request,
        out=out,
        resume=resume,
        audit=audit,
        keep_planes=planes,
        workers=workers,
        progress=_progress(),
    )
    _print(lambda: summary, lambda console: print_certify(console, summary), as_json=as_json)
    raise typer.Exit(_audit_exit(summary.get("planes")))


@app.command()
def audit(
    source: Annotated[
        Path, typer.Argument(parser=_path, metavar="SOURCE", help="A run folder, or a planes file (.npz).")
    ],
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Prove or refute every bounding plane of a run or of a planes file."""
    from refcert.app.audit_run import audit_source
    from refcert.app.tables import print_audit

    report = audit_source(source, workers, _progress())
    _print(report.to_json, lambda console: print_audit(console, report), as_json=as_json)
    raise typer.Exit(_audit_exit(report.summary))


@app.command()
def prove(as_json: Json = False) -> None:
    """Run the lemmas behind every bound, each with false variants that must be rejected."""
    from dataclasses import asdict

    from proofs.registry import LEMMAS, run_all
    from refcert.app.tables import print_lemmas

    with _progress().task("proving", len(LEMMAS), unit="lemmas") as tick:
        results = run_all(lambda _: tick(1))
    proved = sum(r.ok for r in results)
    value = {
        "summary": {"proved": proved, "failed": len(results) - proved},
        "lemmas": [asdict(r) for r in results],
    }
    _print(lambda: value, lambda console: print_lemmas(console, results), as_json=as_json)
    raise typer.Exit(ExitCode.OK if all(r.ok for r in results) else ExitCode.REFUTED)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(parser=_path, metavar="DIR", help="A run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(parser=_path, metavar="FILE", help="Where to write; default: report.html in the folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page about a run."""
    from refcert.app.report import write_report

    path = write_report(run, out)
    _print(
        lambda: {"report": str(path)},
        lambda console: console.print(f"Report: {path}", soft_wrap=True),
        as_json=as_json,
    )


@app.command()
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
        int | None, typer.Option(parser=_whole, metavar="N", help="Only the first samples; default: all.")
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
            parser=_number, metavar="R", help="Certify at this radius, in the data's unit, per frame; or --search."
        ),
    ] = None,
    radius_db: Annotated[
        float | None,
        typer.Option(parser=_number, metavar="D", help="Certify at this loudness, as for `refcert certify`."),
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
        typer.Option(parser=_whole, metavar="K", help="Planes drawn for the volume ratio; each takes about 0.03 s."),
    ] = 200,
    box_radius: Annotated[
        float | None,
        typer.Option(
            parser=_number,
            metavar="R",
            help="Radius of the boxes for gaps and volumes; default: --radius, or the largest mean radius found.",
        ),
    ] = None,
    dtype: Dtype = "float64",
    device: Device = "cpu",
    batch_size: Annotated[
        int, typer.Option(parser=_whole, metavar="N", help="Samples per pass; results do not depend on it.")
    ] = 100,
    memory: Memory = None,
    tolerance: Tolerance = 1e-3,
    seed: Annotated[
        int, typer.Option(parser=_whole, metavar="N", help="Decides which planes are drawn for the volume ratio.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(parser=_path, metavar="DIR", help="Folder for the JSON and the page; it must not exist yet."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare relaxations on one question: radius or certified samples, tightness of the planes, time."""
    from refcert.app.compare import Comparison, parse_relaxations, run_compare
    from refcert.app.compare_table import print_compare
    from refcert.app.request import BALLS, Request, parse_clip, parse_memory, parse_norm

    for option, value in {"--radius": radius, "--radius-db": radius_db}.items():
        if value is not None and search:
            raise InputError(f"{option} {value!r} and --search exclude each other; give one of them")
    if search and input_set not in BALLS:
        raise InputError(f"--search does not go with --input-set {input_set}, which has no radius; leave it out")
    names = parse_relaxations(relaxations)
    request = Request(
        model=model,
        data=data,
        count=count,
        norm=parse_norm(norm),
        radius=radius,
        frames=frames,
        clip=None if clip is None else parse_clip(*clip),
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
        memory=None if memory is None else parse_memory(memory),
    )
    if request.search and not search:
        raise InputError("neither --radius nor --search is given; give --radius R, --radius-db D or --search")
    result = run_compare(Comparison(request, names, samples_volume, box_radius), out=out, progress=_progress())
    _print(lambda: result, lambda console: print_compare(console, result, out), as_json=as_json)


class _Interrupted(SystemExit):
    """Ctrl-C, past every handler of the command line library: each of its versions has another exit code for it."""


def _interrupt(*_: object) -> None:
    raise _Interrupted


def main() -> None:
    """Entry point: turns expected failures into one clear line and a documented exit code."""
    # Not where the parent process ignores it, nor in a thread.
    mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if mine and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
    try:
        app(standalone_mode=True)
    except _Interrupted:
        _say("interrupted; what is finished stays in --out, and --resume continues it")
        sys.exit(_INTERRUPTED)
    except Exception as error:
        code = _exit_code(error)
        message = str(error)
        if code is None and isinstance(error, OSError) and error.filename is not None:
            code = ExitCode.BAD_INPUT  # a path that cannot even be looked at: too long, no permission
            message = f"{error.filename}: {error.strerror}; give another path"
        if code is None:
            # Never exit code 1 of the interpreter, which here means REFUTED.
            code = ExitCode.FAULT
            message = (
                f"a fault of refcert itself ({type(error).__name__}: {error}), please report it; nothing is claimed"
            )
            if sys.stderr is not None:
                traceback.print_exc()
        _say(message)
        sys.exit(code)
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


# What shells report for a program that Ctrl-C ended.
_INTERRUPTED = 130


def _say(message: str) -> None:
    if sys.stderr is not None:
        print(f"refcert: {message}", file=sys.stderr)  # noqa: T201


def _exit_code(error: Exception) -> ExitCode | None:
    if isinstance(error, InputError):
        return ExitCode.BAD_INPUT
    if isinstance(error, OutputError):
        return ExitCode.OUTPUT_FAILED
    from gpu_engine.errors import EngineError, NumericalError, SoundnessFault
    from refcert.audit.plane_table import PlaneTableError

    if isinstance(error, (EngineError, PlaneTableError)):
        return ExitCode.BAD_INPUT
    if isinstance(error, NumericalError):
        return ExitCode.OVERFLOW
    return ExitCode.FAULT if isinstance(error, SoundnessFault) else None


if __name__ == "__main__":
    main()

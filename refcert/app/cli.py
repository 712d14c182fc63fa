"""The command line. Results go to standard output, everything else to standard error.

Heavy imports happen inside the commands: `refcert --help` and the audit's worker processes need no torch.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from typing import Annotated

import typer

from refcert.app.commands.attack import AttackCommand, attack
from refcert.app.commands.audit import audit
from refcert.app.commands.baseline import baseline
from refcert.app.commands.certify import CertifyCommand, certify
from refcert.app.commands.check import check
from refcert.app.commands.compare import compare
from refcert.app.commands.demo import demo
from refcert.app.commands.explain import explain
from refcert.app.commands.finetune import finetune
from refcert.app.commands.metrics import metrics
from refcert.app.commands.prove import prove
from refcert.app.commands.report import report
from refcert.app.commands.score import score
from refcert.app.commands.tightness import tightness
from refcert.app.errors import ExitCode, InputError, Interrupted, OutputError

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
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    epilog=(
        "Exit codes: 0 done, all proved; 1 a plane is REFUTED, a certificate INVALID, a lemma failed, or something is "
        "worse than its baseline; 2 bad input; 3 a plane is UNDECIDED or was not audited, a certificate is HOLEY, or "
        "no attack that was asked for could be carried out; 4 output could not be written; 5 numbers overflow; "
        "70 a fault of refcert itself; 130 interrupted."
    ),
)


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


app.command()(demo)
app.command(cls=CertifyCommand)(certify)
app.command()(audit)
app.command()(check)
app.command()(explain)
app.command()(prove)
app.command()(report)
app.command(cls=AttackCommand)(attack)
app.command()(score)
app.command()(metrics)
app.command()(finetune)
app.add_typer(baseline)
app.command()(compare)
app.command()(tightness)


def _interrupt(*_: object) -> None:
    raise Interrupted


def main() -> None:
    """Entry point: turns expected failures into one clear line and a documented exit code."""
    # Not where the parent process ignores it, nor in a thread.
    mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if mine and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
    try:
        app(standalone_mode=True)
    except Interrupted:
        _say(_interrupted(sys.argv[1:]))
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


def _interrupted(words: list[str]) -> str:
    """What becomes of a command's work after Ctrl-C."""
    if words[:1] in (["attack"], ["score"], ["metrics"]):
        return "interrupted; nothing is kept and nothing was left in --out. A smaller --count ends sooner"
    if any(word.partition("=")[0] == "--out" for word in words):
        return "interrupted; what is finished stays in --out, and --resume continues it"
    if words[:1] in (["audit"], ["certify"]):
        return "interrupted; with --out what is finished is kept, and --resume continues it"
    if words[:1] == ["check"]:
        return "interrupted; of a run that was named the verdicts so far are kept"
    return "interrupted"


def _say(message: str) -> None:
    if sys.stderr is not None:
        print(f"refcert: {message}", file=sys.stderr)  # noqa: T201


def _exit_code(error: Exception) -> ExitCode | None:
    if isinstance(error, InputError):
        return ExitCode.BAD_INPUT
    if isinstance(error, OutputError):
        return ExitCode.OUTPUT_FAILED
    from gpu_engine.errors import EngineError, NumericalError, SoundnessFault
    from refcert.audit.judge import JudgesDisagreeError
    from refcert.audit.plane_table import PlaneTableError
    from refcert.audit.pool import WorkerError

    if isinstance(error, (EngineError, PlaneTableError, WorkerError)):
        return ExitCode.BAD_INPUT
    if isinstance(error, NumericalError):
        return ExitCode.OVERFLOW
    return ExitCode.FAULT if isinstance(error, (SoundnessFault, JudgesDisagreeError)) else None


if __name__ == "__main__":
    main()

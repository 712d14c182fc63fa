"""`python -m refcert.kernel FILE...`: check certificates with nothing but this package and python-flint."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from refcert.kernel.check import Verdict, check
from refcert.kernel.errors import UnreadableError
from refcert.kernel.network import Network

UNREADABLE: Final = "UNREADABLE"

# In this order: one INVALID file outweighs all others, a HOLEY one counts only where there is nothing worse.
EXIT_CODES: Final = {Verdict.INVALID: 1, UNREADABLE: 2, Verdict.HOLEY: 3, Verdict.VALID: 0}


def exit_code(words: Sequence[str]) -> int:
    """The exit code for these outcomes; 2 if there are none."""
    return next((code for word, code in EXIT_CODES.items() if word in words), 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m refcert.kernel", description="Check certificates.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--seconds", type=float, help="budget of time for each file; over it means HOLEY")
    options = parser.parse_args(arguments)
    if options.seconds is not None and not options.seconds >= 0:  # NaN would be no budget at all
        parser.error(f"--seconds is {options.seconds}; give a number that is not negative")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    known: dict[str, Network] = {}
    words: list[str] = []
    for path in options.files:
        try:
            result = check(path, options.seconds, known)
        except UnreadableError as error:
            words.append(UNREADABLE)
            _say(UNREADABLE, str(error))
            continue
        except MemoryError:  # while it was read; a budget that ends is HOLEY
            words.append(Verdict.HOLEY)
            _say(Verdict.HOLEY, f"{path}: the memory does not hold it")
            continue
        words.append(result.verdict)
        where = "" if result.step is None else f", step {result.step}, {result.rule}"
        why = f"{where}: {result.reason}" if result.reason else f", claim {result.claim.digest}"
        _say(result.verdict, f"{path}{why}")
    return exit_code(words)


def _say(word: str, text: str) -> None:
    """One line, whatever a file is called: a name with a line break must not forge another verdict."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    sys.stdout.write(f"{word} {plain}\n")


if __name__ == "__main__":
    sys.exit(main())

"""The files of a fuzzer's corpus that are worth keeping: each takes the kernel somewhere where no smaller one does.

    python -m tests.certificates.fuzz_minimise FROM TO

Somewhere: a step from one line of `refcert/kernel` to another, together with the verdict in the end; or a verdict with
its rule and reason, without numbers.
libFuzzer's own -merge cannot start a Python module again.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Hashable
from pathlib import Path
from types import FrameType
from typing import Any

import refcert.kernel
from refcert.kernel.check import check
from refcert.kernel.errors import UnreadableError
from tests.certificates.corruption_seeds import CERTIFICATE
from tests.certificates.tiny_certificates import NETWORK_FILE

KERNEL = str(Path(refcert.kernel.__file__).parent)
SECONDS = 20.0


def outcome(path: Path, seconds: float = SECONDS) -> tuple[str, str]:
    """The verdict, or UNREADABLE, and why."""
    try:
        result = check(path, seconds)
    except UnreadableError as error:
        return "UNREADABLE", str(error)
    return result.verdict.value, f"{result.rule}: {result.reason}"


def reached(path: Path) -> set[Hashable]:
    """Where checking this file leads."""
    found: set[Hashable] = set()

    def called(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(KERNEL):
            return None
        last = frame.f_lineno

        def stepped(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            found.add((frame.f_code.co_filename, last, frame.f_lineno))
            last = frame.f_lineno
            return stepped

        return stepped

    sys.settrace(called)
    try:
        word, why = outcome(path)
    finally:
        sys.settrace(None)
    why = re.sub(r"\[.*\]|\{.*\}|'[^']*'", "", why.replace(str(path.parent), ""))
    return {(word, step) for step in found} | {(word, *re.findall("[a-z]{3,}", why)[:6])}


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / NETWORK_FILE, target / NETWORK_FILE)
    known: set[Hashable] = set()
    kept = size = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(source / NETWORK_FILE, folder / NETWORK_FILE)
        for path in sorted(source.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
            shutil.copy(path, folder / CERTIFICATE)
            new = reached(folder / CERTIFICATE) - known
            if new and path.name != NETWORK_FILE:
                known |= new
                shutil.copy(path, target / path.name)
                kept, size = kept + 1, size + path.stat().st_size
    sys.stdout.write(f"{kept} of {len(list(source.iterdir()))} files, {size} bytes\n")


if __name__ == "__main__":
    main()

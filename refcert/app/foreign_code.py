"""Running somebody else's Python code in this process: what it may not do to the program around it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

from refcert.app.errors import Interrupted


def is_ctrl_c(error: BaseException) -> bool:
    """Whether somebody stopped refcert, not the foreign code; the program has an exception of its own for that."""
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, Interrupted) or (plain and isinstance(error, KeyboardInterrupt))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Standard output is refcert's own, and so is the end of its process: a silent one would look like success."""
    leave, mine = os._exit, os.getpid()

    def stay(status: int) -> NoReturn:
        if os.getpid() != mine:  # a process that the foreign code started
            leave(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = stay
    try:
        with contextlib.redirect_stdout(sys.stderr if sys.stderr is not None else io.StringIO()):
            yield
    finally:
        os._exit = leave

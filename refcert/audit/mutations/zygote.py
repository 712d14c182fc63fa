"""A process that has imported the slow third-party packages and forks one child for each run of pytest.

Starting Python, torch and scipy anew costs more than most faults need to be caught; a fork costs nothing, and the child
imports the checkout's own modules, and so the fault, by itself. `serve` runs in the process; `Zygote` talks to it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

PRELOADED: Final = (
    *("numpy", "torch", "torch.nn", "scipy.optimize", "scipy.special", "flint", "mpmath", "sympy", "safetensors.torch"),
    *("sklearn.datasets", "onnx", "onnx.reference", "onnxruntime", "cvxpy", "jinja2", "rich", "pytest"),
)
"""Third-party packages that the tests import; what is not installed is left out."""


class Zygote:
    """One such process; runs follow one another. Use as a context manager."""

    def __init__(
        self, root: Path, environment: Mapping[str, str], bytecode: Path, preload: Sequence[str] = PRELOADED
    ) -> None:
        """bytecode: a folder for the compiled modules of the checkout, shared by all runs."""
        self._bytecode = bytecode
        self._process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "refcert.audit.mutations.zygote", *preload],
            cwd=root,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], output: Path, limit: float) -> int | None:
        """pytest's exit code, minus a signal's number, or None if the time was up; then all its processes are ended."""
        request = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "output": str(output),
            "bytecode": str(self._bytecode),
        }
        child = int(self._ask(json.dumps(request)))
        readers, _, _ = select.select([self._answers], [], [], max(limit, 0.0))
        # What the tests started is ended with the child: it leads a process group of its own.
        if not readers:
            _end(child)
        code = int(self._answers.readline())
        _end(child)
        return code if readers else None

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answers.readline()

    @property
    def _answers(self) -> TextIO:
        answers: Any = self._process.stdout
        return answers  # type: ignore[no-any-return]


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def serve() -> None:
    """Fork a child for each request; answer with its process number, and with its exit code when it ended."""
    for name in sys.argv[1:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(request)
        _say(child)
        _, status = os.waitpid(child, 0)
        _say(os.waitstatus_to_exitcode(status))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _run(request: dict[str, Any]) -> None:
    """The child: never returns."""
    code = 3
    try:
        os.setsid()
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.environ.update(request["environment"])
        # The checkout's modules are compiled once for all runs, but not beside their sources.
        sys.dont_write_bytecode, sys.pycache_prefix = False, request["bytecode"]
        import pytest

        from refcert.audit.mutations.hook import install_from_environment

        install_from_environment()
        sys.argv = ["pytest", *request["arguments"]]
        code = int(pytest.main(request["arguments"]))
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()

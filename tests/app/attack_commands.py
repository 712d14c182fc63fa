"""`refcert attack` and `refcert metrics` as their users call them, in this process; errors come through as they are."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from refcert.app.cli import app


def call(*arguments: object) -> str:
    """Standard output of one call."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        app([str(argument) for argument in arguments], standalone_mode=False)
    return out.getvalue()


def call_json(*arguments: object) -> dict[str, Any]:
    """The one object that `--json` prints; NaN and infinity are refused."""
    value = json.loads(call(*arguments, "--json"), parse_constant=_refuse)
    assert isinstance(value, dict)
    return value


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} in JSON")


def on(folder: Path, *options: object) -> tuple[object, ...]:
    """The model and the data that `tests.app.commands` writes."""
    return ("--model", folder / "tiny.safetensors", "--data", folder / "tiny.npz", *options)

"""Planes that are sound or not, as columns and as files, and engines as modules, for the tests of `refcert audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refcert.audit.plane_table import NUMBERS
from tests.app.commands import Result, refcert

BOX = {"lower_v": -1.0, "upper_v": 1.5, "lower_z": -0.5, "upper_z": 2.0}


def columns(offsets: list[float], kind: str = "tanh", side: str = "upper") -> dict[str, np.ndarray]:
    """Planes with zero slopes over one box: |tanh|, sigmoid and their product are below 1 there."""
    count = len(offsets)
    table = {name: np.full(count, BOX.get(name, 0.0)) for name in NUMBERS}
    return {"kind": np.full(count, kind), "side": np.full(count, side), **table, "offset": np.array(offsets)}


SOUND, UNSOUND = 1.0, 0.25


def save(path: Path, offsets: list[float], **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        **columns(offsets, **{k: v for k, v in more.items() if k in ("kind", "side")}),
        **{k: v for k, v in more.items() if k not in ("kind", "side")},
    )
    return path


def audit(*arguments: object) -> Result:
    """In this process."""
    return refcert("audit", *arguments, "--workers", 1)


CONSTANT = '''
import numpy as np


def planes(kind, lower_v, upper_v, lower_z, upper_z):
    """Constants that hold: every |sigmoid|, |tanh| and their product is at most 1."""
    zero = np.zeros(len(lower_v))
    high = np.ones(len(lower_v))
    if kind == "relu":
        high = np.maximum(np.abs(lower_v), np.abs(upper_v))
    if kind == "sigmoid_times_identity":
        high = np.maximum(np.abs(lower_z), np.abs(upper_z))
    return (zero, zero, -high), (zero, zero, high)
'''


def module(folder: Path, name: str, body: str) -> str:
    """A module with CONSTANT in it and more; the name of its function `faulty` if the body has one, else `planes`."""
    (folder / f"{name}.py").write_text(CONSTANT + body)
    return f"{name}:{'faulty' if 'def faulty' in body else 'planes'}"

"""The command line as its users call it: in this process through `main()`, or as a process of its own.

The tiny model and data make a run a matter of milliseconds; the first sample is misclassified.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file

from gpu_engine.loading import from_state_dict, load_model
from refcert.app.cli import main

SAMPLES, TIME, INPUT, HIDDEN, CLASSES = 7, 3, 3, 4, 3


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output; NaN and infinity are refused."""
        assert self.code in (0, 1, 3), self.err
        value = json.loads(self.out, parse_constant=_refuse)
        assert isinstance(value, dict)
        return value

    @property
    def message(self) -> str:
        """The error; nothing may be on standard output and no traceback anywhere."""
        assert self.out == ""
        assert "Traceback" not in self.err
        return self.err


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} in JSON")


def refcert(*arguments: object) -> Result:
    """One call, in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["refcert", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "refcert.app.cli", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


# A process that hangs is given up; machines that are busy with other work are a dozen times slower than idle ones.
GIVEN_UP = 900


def refcert_process(*arguments: object, **options: Any) -> Result:
    """One call as a process."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=GIVEN_UP, env=environment(), check=False, **options
    )
    return Result(done.returncode, done.stdout, done.stderr)


def write_model(path: Path) -> Path:
    """An LSTM with decisions for more than one class."""
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> torch.Tensor:
        return 1.5 * torch.randn(*shape, generator=generator)

    state = {
        "lstm.weight_ih_l0": random(4 * HIDDEN, INPUT),
        "lstm.weight_hh_l0": random(4 * HIDDEN, HIDDEN),
        "lstm.bias_ih_l0": random(4 * HIDDEN),
        "lstm.bias_hh_l0": random(4 * HIDDEN),
        "linear.weight": random(CLASSES, HIDDEN),
        "linear.bias": torch.zeros(CLASSES),
    }
    logits = from_state_dict(state).logits(torch.from_numpy(data_values()))
    state["linear.bias"] = -logits.mean(0).float()
    save_file(state, path)
    return path


def data_values() -> np.ndarray:
    return np.random.default_rng(5).uniform(0, 1, (SAMPLES, TIME, INPUT))


def write_data(path: Path, model: Path, *, repeat: int = 1) -> Path:
    """The model's own decisions as labels; the first one is wrong: its second choice."""
    x = np.tile(data_values(), (repeat, 1, 1))
    order = load_model(model).logits(torch.from_numpy(x)).argsort(1).numpy()
    labels = order[:, -1].copy()
    assert len(set(labels.tolist())) > 1
    labels[0] = order[0, -2]
    np.savez(path, x=x, labels=labels)
    return path

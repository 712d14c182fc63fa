"""A tiny project with a baseline, changes that users make to its model, and the command as they call it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from refcert.app.commands.baseline import baseline
from tests.app.commands import write_data, write_model

QUESTION = ("--search", "--tolerance", "5e-3", "--relaxation", "constants")


def call(*arguments: object) -> tuple[int, str]:
    """Exit code and standard output; errors come through as they are."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = baseline([str(argument) for argument in arguments], standalone_mode=False)
    return int(code or 0), out.getvalue()


def project(folder: Path) -> Path:
    """model.safetensors and data.npz, the first sample misclassified."""
    write_data(folder / "data.npz", write_model(folder / "model.safetensors"))
    return folder


def record(folder: Path, *question: object, name: str = "refcert-baseline.txt") -> Path:
    out = folder / name
    code, _ = call(
        *("record", "--model", folder / "model.safetensors", "--data", folder / "data.npz", "--out", out),
        *(question or QUESTION),
    )
    assert code == 0
    return out


def _swapped(state):
    """Input and forget gate in each other's place, as an exporter with ONNX's order in mind leaves them."""

    def swap(name, value):
        if not name.startswith("lstm"):
            return value
        i, f, g, o = value.chunk(4)
        return torch.cat((f, i, g, o))

    return {name: swap(name, value) for name, value in state.items()}


def _quantised(state):
    """Six bits and a sign, one scale for each tensor."""
    return {name: (value / (m := value.abs().max() / 63)).round() * m for name, value in state.items()}


def _less_robust(state):
    """Weights as another training could leave them: the decisions stay, every radius falls."""
    generator = torch.Generator().manual_seed(11)
    return {name: value + 0.02 * torch.randn(value.shape, generator=generator) for name, value in state.items()}


CHANGES = {"less robust": _less_robust, "swapped gates": _swapped, "quantised": _quantised}


def change_model(folder: Path, change: str) -> None:
    """The model's file replaced by a worse one."""
    path = folder / "model.safetensors"
    changed = CHANGES[change](load_file(path))
    save_file({name: value.contiguous() for name, value in changed.items()}, path)


def change_preprocessing(folder: Path) -> None:
    """The data's file written again with another scaling, under the same labels."""
    path = folder / "data.npz"
    with np.load(path) as stored:
        x, labels = stored["x"] * 0.98, stored["labels"]
    np.savez(path, x=x, labels=labels)

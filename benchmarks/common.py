"""What every benchmark prints at its head, and the data they share."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from gpu_engine.loading import load_model
from gpu_engine.model import RecurrentClassifier
from refcert.app.datasets import load_sequences
from refcert.app.pretrained import pretrained_path

P1_MODELS = ("mnist_04f_032h_1l", "mnist_07f_032h_1l", "mnist_04f_032h_2l")


def header(title: str) -> str:
    """Title, command, versions and machine."""
    command = " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "python-flint"))
    return (
        f"# {title}\n\n"
        f"Command: `{command}`; refcert {version('refcert')}, {packages}, "
        f"Python {platform.python_version()}; {os.cpu_count()} cores ({platform.machine()}), "
        f"{torch.get_num_threads()} torch threads. No randomness.\n"
    )


def shared_model(name: str) -> RecurrentClassifier:
    """A model of the PROVER paper from REFCERT_DATA, or a shipped one."""
    if name.startswith("digits"):
        return load_model(pretrained_path(name))
    folder = os.environ.get("REFCERT_DATA")
    if not folder:
        sys.exit(f"{name} needs REFCERT_DATA, the folder with data/ and models/; without it use digits_lstm")
    return load_model(Path(folder) / "models" / "prover" / f"{name}.safetensors")


def samples(name: str, model: RecurrentClassifier, count: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    """The first test samples: x (count, time, input), labels (count,)."""
    source = "digits" if name.startswith("digits") else "mnist"
    data = load_sequences(source, input_size=model.input_size, count=count, classes=model.classes)
    return torch.from_numpy(data.x), torch.from_numpy(data.labels)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"

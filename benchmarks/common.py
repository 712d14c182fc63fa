"""What every benchmark prints at its head, and the data they share."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from examples.train_mnist import model_folder
from gpu_engine.loading import load_model
from gpu_engine.model import RecurrentClassifier
from refcert.app.datasets import load_sequences
from refcert.app.pretrained import pretrained_path

P1_MODELS = ("mnist_04f_032h_1l", "mnist_07f_032h_1l", "mnist_04f_032h_2l")


def header(title: str, randomness: str = "No randomness.", extra: Sequence[str] = ()) -> str:
    """Title, command, versions and machine. randomness: what was drawn, and from which seed; extra: packages used."""
    command = " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "python-flint", *extra))
    return (
        f"# {title}\n\n"
        f"Command: `{command}`; refcert {version('refcert')}, {packages}, "
        f"Python {platform.python_version()}; {os.cpu_count()} cores ({platform.machine()}), "
        f"{torch.get_num_threads()} torch threads. {randomness}\n"
    )


def shared_folder(*names: str) -> Path:
    """A folder below REFCERT_DATA. Ends the program where the variable is not set."""
    folder = os.environ.get("REFCERT_DATA")
    if not folder:
        sys.exit(f"{'/'.join(names)} is looked for in REFCERT_DATA, the folder with data/ and models/; set it")
    return Path(folder).joinpath(*names)


def shared_model(name: str) -> RecurrentClassifier:
    """A model of the PROVER paper from REFCERT_DATA, or a shipped one."""
    if name.startswith("digits"):
        return load_model(pretrained_path(name))
    return load_model(shared_folder("models", "prover") / f"{name}.safetensors")


def trained_model(name: str) -> RecurrentClassifier:
    """A model that `examples/train_mnist.py` or `examples/train_trec.py` left in the cache."""
    path = model_folder() / f"{name}.safetensors"
    if not path.exists():
        sys.exit(f"{path} does not exist; make it with python examples/train_{name.partition('_')[0]}.py")
    return load_model(path)


def samples(name: str, model: RecurrentClassifier, count: int | None = 100) -> tuple[torch.Tensor, torch.Tensor]:
    """The first test samples, all for None: x (count, time, input), labels (count,)."""
    source = "digits" if name.startswith("digits") else "mnist"
    data = load_sequences(source, input_size=model.input_size, count=count, classes=model.classes)
    return torch.from_numpy(data.x), torch.from_numpy(data.labels)


def first_correct(
    model: RecurrentClassifier, x: torch.Tensor, labels: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first `count` samples that the model classifies correctly. Ends the program where there are fewer."""
    correct = (model.logits(x).argmax(1) == labels).nonzero()[:count, 0]
    if len(correct) < count:
        sys.exit(f"only {len(correct)} of {len(x)} samples are classified correctly, {count} are needed; ask for fewer")
    return x[correct], labels[correct]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"

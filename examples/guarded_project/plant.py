"""A copy of this project with a regression in it, to see what its tests say.

python plant.py swapped_gates --into FOLDER    then `python -m pytest` in FOLDER
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from model import export, load, train

HERE = Path(__file__).parent


def less_robust(project: Path) -> None:
    """Trained anew, in fewer epochs and without noise: as accurate on the guarded samples, closer to its borders."""
    export(train(epochs=8, noise=0.0), project / "model.safetensors")


def swapped_gates(project: Path) -> None:
    """Input and forget gate in each other's place, as after an export to a format that has them in another order."""
    model = load()
    for name, value in model.lstm.state_dict().items():
        i, f, g, o = value.chunk(4)
        getattr(model.lstm, name).data = torch.cat((f, i, g, o))
    export(model, project / "model.safetensors")


def quantised(project: Path) -> None:
    """Weights of four bits and a sign, one scale for each tensor."""
    model = load()
    for value in model.parameters():
        scale = value.data.abs().max() / 15
        value.data = (value.data / scale).round() * scale
    export(model, project / "model.safetensors")


def unsound_bound(project: Path) -> None:
    """The other engine's next version: its lower lines and its lower bounds are too high, by a millionth."""
    replace(project / "third_party.py", "low = value(lower_v) - slope * lower_v - margin", "{} + 1e-6")
    replace(project / "third_party.py", "np.stack([low for low, _ in asked])", "{} + 1e-6")


def other_preparation(project: Path) -> None:
    """Each image is divided by its own brightest pixel, which is 16 in almost all of them."""
    replace(project / "prepare.py", "images / BRIGHTEST", "images / images.max((1, 2), keepdims=True)")


REGRESSIONS = {f.__name__: f for f in (less_robust, swapped_gates, quantised, unsound_bound, other_preparation)}


def replace(path: Path, old: str, new: str) -> None:
    """Put `new`, in which {} stands for the old text, in the place of `old`, which occurs once."""
    text = path.read_text()
    if text.count(old) != 1:
        raise ValueError(f"{path.name} has {text.count(old)} times {old!r}; the regression does not fit any more")
    path.write_text(text.replace(old, new.replace("{}", old)))


def plant(name: str, project: Path) -> None:
    """Copy this project to a new folder and break the copy."""
    shutil.copytree(HERE, project, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    torch.set_num_threads(1)
    REGRESSIONS[name](project)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A copy of this project with a regression in it.")
    parser.add_argument("name", choices=REGRESSIONS)
    parser.add_argument("--into", type=Path, required=True, help="a folder that does not exist yet")
    arguments = parser.parse_args()
    plant(arguments.name, arguments.into)

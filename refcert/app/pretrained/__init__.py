"""The small trained classifiers that come with the package; `examples/train_digits.py` made them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from refcert.app.errors import InputError

PRETRAINED: Final = ("digits_lstm", "digits_gru", "digits_rnn")


def pretrained_path(name: str) -> Path:
    """Path of a model that comes with the package, a safetensors file with PyTorch's names.

    Each reads 8 frames of 8 pixels in [0, 1] (the data set `digits`) and has 10 classes.
    Raises InputError for an unknown name.
    """
    if name not in PRETRAINED:
        raise InputError(f"no pretrained model is called {name!r}; there are {', '.join(PRETRAINED)}")
    path = Path(str(resources.files(__name__) / f"{name}.safetensors"))
    if not path.is_file():
        raise InputError(
            f"the pretrained model {name} should be at {path}, but is not; install refcert again, "
            "unpacked (not from inside a zip file)"
        )
    return path

"""A user's own network for training: `FILE.py:function`, whose function returns a torch.nn.Module.

The file is run, so it has to be the user's own. The function is called with torch's random generator at the run's
seed, so that a run that is resumed begins with the same weights.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import torch
from torch import nn

from gpu_engine.errors import ModelError
from gpu_engine.training.trainable import TrainableModule
from refcert.app.audit_sources.returned import said_of
from refcert.app.errors import InputError
from refcert.app.foreign_code import is_ctrl_c, quiet


def open_module(text: str, seed: int, structure: str | None, readout: str | None) -> tuple[TrainableModule, str]:
    """The module, and the SHA-256 of its file. Raises InputError."""
    path, colon, name = text.rpartition(":")
    file = Path(path)
    if not colon or not name.isidentifier() or file.suffix != ".py":
        raise InputError(f"--module {text!r} is not understood; give FILE.py:function")
    if not file.is_file():
        raise InputError(f"--module {text}: {file} does not exist; give a Python file and a function in it")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    spec = importlib.util.spec_from_file_location(f"refcert_module_{digest[:16]}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"--module {text}: {file} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            with quiet():
                spec.loader.exec_module(module)
                function = getattr(module, name, None)
                network = function() if callable(function) else None
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            raise InputError(f"--module {text}: {said_of(error)}") from error
    if not callable(function):
        known = sorted(n for n, value in vars(module).items() if callable(value) and not n.startswith("_"))
        raise InputError(f"--module {text}: {file} has no function {name!r}; it has {', '.join(known) or 'nothing'}")
    if not isinstance(network, nn.Module):
        raise InputError(f"--module {text}: it returned a {type(network).__name__}; return a torch.nn.Module")
    try:
        return TrainableModule(network, structure, readout), digest
    except ModelError as error:
        raise InputError(f"--module {text}: {error}") from error

"""A classifier under test: a module, the engine's own form, or a file."""

from __future__ import annotations

import os
from typing import Any

from torch import nn

from gpu_engine.loading import load_model
from gpu_engine.model import RecurrentClassifier
from gpu_engine.module_loading import from_module
from refcert.app.errors import InputError
from refcert.app.opening import open_model


def classifier_of(model: Any, structure: str | None = None, readout: str | None = None) -> RecurrentClassifier:
    """The engine's form of an nn.Module, a RecurrentClassifier, or a path (safetensors, ONNX, a shipped model's name).

    structure, readout: as in `gpu_engine.loading`, where the model does not say them itself. Raises InputError, and
    ModelError where the model is not understood.
    """
    if isinstance(model, RecurrentClassifier):
        if structure is not None or readout is not None:
            raise InputError("structure and readout are for modules and files; a RecurrentClassifier has its own")
        return model
    if isinstance(model, nn.Module):
        return from_module(model, structure=structure, readout=readout)
    if isinstance(model, (str, os.PathLike)):
        if isinstance(model, str):
            return open_model(model, structure, readout)
        if os.fspath(model).lower().endswith(".onnx"):
            return open_model(os.fspath(model), structure, readout)
        return load_model(model, structure, readout)
    raise InputError(f"model is a {type(model).__name__}; give an nn.Module, a RecurrentClassifier or a path")

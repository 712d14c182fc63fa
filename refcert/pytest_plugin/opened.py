"""Models and data that baselines were read with, so that the groups of one baseline read them once.

What a test hands over is known by its content, never by its name or identity: a module that was changed in place, or a
file that was written again between two checks, is another one.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from refcert.app.baseline.entries import Baseline
from refcert.app.baseline.question import question_digest
from refcert.pytest_plugin.settings import Settings

if TYPE_CHECKING:
    from refcert.app.baseline.subject import Data, Model, Subject

KEPT: Final = 4
"""Subjects that are kept: fixtures may hand over new data with every test."""


class Opened:
    """The last few subjects of a process."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[object, ...], Subject] = OrderedDict()

    def subject(
        self, recorded: Baseline, path: Path, settings: Settings, model: Model | None, data: Data | None
    ) -> Subject:
        """The model and data that a baseline names, or others in their place. Raises InputError."""
        from refcert.app.baseline.run import subject_of
        from refcert.app.baseline.subject import Computing, resolved_source

        used = _read(recorded, model)
        sources = [
            resolved_source(named.source, path.parent) if given is None else given
            for given, named in ((used, recorded.model), (data, recorded.data))
        ]
        question = question_digest(recorded.request, recorded.specification)
        key = (path, question, *map(_content, sources), _content(_rows_of(recorded, path)))
        if key not in self._known:
            computing = Computing(device=settings.device, seed=settings.seed)
            self._known[key] = subject_of(recorded, path, computing, used, data)
        self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return self._known[key]


OPENED: Final = pytest.StashKey[Opened]()


def _read(recorded: Baseline, model: Model | None) -> Model | None:
    """A module of torch as the engine reads it now; anything else as it is."""
    from torch import nn

    from gpu_engine.errors import EngineError
    from refcert.app.baseline.subject import model_of
    from refcert.app.errors import InputError

    if not isinstance(model, nn.Module):
        return model
    try:
        return model_of(model, recorded.request.get("structure"), recorded.request.get("readout"))
    except EngineError as error:
        raise InputError(str(error)) from error


def _rows_of(recorded: Baseline, path: Path) -> str | None:
    """The file with the user's own rows, which lies beside data and model."""
    from refcert.app.baseline.subject import resolved_source

    spec = recorded.request.get("spec")
    return None if spec is None else resolved_source(spec, path.parent)


def _content(source: Any) -> object:
    """What changes when the source does: a digest of an object's numbers, size and time of a file."""
    from gpu_engine.model import RecurrentClassifier
    from refcert.app.datasets import Sequences

    if isinstance(source, (str, os.PathLike)):
        file = Path(source)
        if not file.is_file():
            return str(source)
        found = file.stat()
        return str(source), found.st_ino, found.st_size, found.st_mtime_ns
    if isinstance(source, RecurrentClassifier):
        return source.digest()
    if isinstance(source, Sequences):
        source = vars(source)
    if isinstance(source, Mapping):
        return tuple((name, _digest(value)) for name, value in source.items())
    if isinstance(source, tuple):
        return tuple(_digest(value) for value in source)
    return repr(type(source))  # refused when it is read


def _digest(value: Any) -> object:
    """Type, shape and bytes of an array or tensor, of whatever numpy reads, or of a mapping of them."""
    import numpy as np
    import torch

    if isinstance(value, Mapping):
        return _content(value)
    array = np.asarray(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)
    if array.dtype.hasobject:
        return None if value is None else object()  # equal to nothing: read again every time
    return str(array.dtype), array.shape, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()

"""A model and data as a baseline measures them: from files, or as objects of the test that guards them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from gpu_engine.errors import EngineError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.module_loading import from_module
from refcert.app.baseline.entries import Baseline
from refcert.app.datasets import KNOWN, Sequences
from refcert.app.errors import InputError
from refcert.app.input_sets import fixed_radius, largest_radius
from refcert.app.opening import Opened, check_asked, check_clip, check_device, identity_of, open_model, open_samples
from refcert.app.options import completed
from refcert.app.questions import check_fits
from refcert.app.request import Request
from refcert.app.samples import Samples, load_rows, samples_of

IN_MEMORY: Final = "(in memory)"
"""The source of a model or data set that a test handed over."""

Model = str | os.PathLike[str] | RecurrentClassifier | nn.Module
Data = str | os.PathLike[str] | tuple[Any, Any] | Mapping[str, Any] | Sequences
"""A path or name, (x, labels), or the arrays of a data file by name (`docs/runs.md`)."""


@dataclass(frozen=True)
class Subject:
    """opened: request, model and data; first: the index of its first sample; largest: radius that a search tries.

    largest is that of the whole data, also in a part: a search's results depend on it.
    """

    opened: Opened
    largest: float
    first: int = 0

    @property
    def request(self) -> Request:
        return self.opened.request

    @property
    def model(self) -> RecurrentClassifier:
        return self.opened.model

    @property
    def samples(self) -> Samples:
        return self.opened.samples

    def part(self, start: int, stop: int) -> Subject:
        """The samples with index start to stop - 1."""
        samples = self.samples.part(start - self.first, stop - self.first)
        return replace(self, opened=replace(self.opened, samples=samples), first=start)


@dataclass(frozen=True)
class Computing:
    """How it is computed, which is no part of the question. seed: of the attacks."""

    device: str = "cpu"
    batch_size: int = 100
    memory: int | None = None
    seed: int = 0


def request_from(baseline: Baseline, model: str, data: str, computing: Computing) -> Request:
    """The baseline's question about a model and data. Raises InputError."""
    plain = {field.name: None for field in fields(Request)} | completed(baseline.request)
    how = {name: getattr(computing, name) for name in ("device", "batch_size", "memory", "seed")}
    return Request.from_json(plain | {"model": model, "data": data} | how)


def open_subject(request: Request, model: Model | None = None, data: Data | None = None) -> Subject:
    """Open and check. model, data: objects in place of the request's own. Raises InputError."""
    check_device(request.device, request.dtype)
    try:
        classifier = model_of(request.model if model is None else model, request.structure, request.readout)
        found, samples = _data_of(request, request.data if data is None else data, classifier)
        check_fits(request, classifier, samples)
        check_asked(request, classifier, samples)
        check_clip(request, samples.x)
        fixed_radius(request, samples)
        largest = largest_radius(request, samples)
    except EngineError as error:
        raise InputError(str(error)) from error
    identity = identity_of(request, classifier, found, samples, audit=False, planes=False, certificates=False)
    return Subject(Opened(request, classifier, found, samples, identity), largest)


def model_of(model: Model, structure: str | None = None, readout: str | None = None) -> RecurrentClassifier:
    """The classifier of a file, a shipped name, or a module of torch. Raises InputError or EngineError."""
    if isinstance(model, RecurrentClassifier):
        return model
    if isinstance(model, nn.Module):
        return from_module(model, structure=structure, readout=readout)
    if isinstance(model, (str, os.PathLike)):
        return open_model(os.fspath(model), structure, readout)
    raise InputError(f"the model is a {type(model).__name__}; give a path, a torch.nn.Module or a RecurrentClassifier")


def _data_of(request: Request, data: Data, model: RecurrentClassifier) -> tuple[Sequences, Samples]:
    if isinstance(data, (str, os.PathLike)):
        return open_samples(replace(request, data=os.fspath(data)), model)
    if isinstance(data, Sequences):
        rows = None
        if request.spec is not None:
            rows = load_rows(request.spec, outputs=model.outputs(data.x.shape[1]), total=data.total, count=len(data))
        return data, samples_of(data, rows)
    if isinstance(data, tuple) and len(data) == 2:
        data = {"x": data[0], "labels": data[1]}
    if not isinstance(data, Mapping):
        raise InputError(
            f"the data is a {type(data).__name__}; give a path, a pair (x, labels), or the arrays by name, such as "
            "{'x': x, 'labels': labels, 'lengths': lengths}"
        )
    # Through a file: arrays of a test are then checked, converted and digested as those of a file are.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        np.savez(path, **{name: _array(value) for name, value in data.items()})
        sequences, samples = open_samples(replace(request, data=str(path)), model)
    return replace(sequences, name=IN_MEMORY), samples


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def relative_source(source: str, folder: Path) -> str:
    """A path as the baseline's text names it: relative to the baseline's own folder; names stay as they are."""
    if not _is_path(source):
        return source
    try:
        return Path(os.path.relpath(source, folder)).as_posix()
    except ValueError:  # another drive
        return Path(source).resolve().as_posix()


def resolved_source(source: str, folder: Path) -> str:
    """The path behind `relative_source`. Raises InputError for what was handed over by a test."""
    if source == IN_MEMORY:
        raise InputError(
            "this baseline was recorded of a model or data in memory; hand them over: refcert_baseline.check(model, "
            "data), fixtures refcert_model and refcert_data, or --model and --data"
        )
    return str(folder / source) if _is_path(source) else source


def _is_path(source: str) -> bool:
    """Not a name such as digits_lstm: those have neither a suffix nor a folder."""
    return source not in (*KNOWN, IN_MEMORY) and (bool(Path(source).suffix) or Path(source).name != source)

"""A request's model and data, opened and checked at the boundary, and what identifies them in results."""

from __future__ import annotations

import datetime
import os
import platform
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from gpu_engine.errors import EngineError
from gpu_engine.loading import load_model
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import DTYPES
from refcert.app.datasets import Sequences, load_sequences
from refcert.app.errors import InputError
from refcert.app.input_sets import largest_radius
from refcert.app.pretrained import pretrained_path
from refcert.app.questions import check_fits, enumerate_questions
from refcert.app.request import Request
from refcert.app.samples import Samples, load_rows, samples_of

_IDENTITY = ("model", "request", "data", "specification", "versions", "machine", "started")


@dataclass(frozen=True)
class Opened:
    """identity: the model, the data and the request as JSON, with versions, machine and time."""

    request: Request
    model: RecurrentClassifier
    data: Sequences
    samples: Samples
    identity: dict[str, Any]


def open_request(request: Request) -> Opened:
    """Open and check; raises InputError or EngineError where `refcert certify` does."""
    check_device(request.device, request.dtype)
    try:
        model = open_model(request.model, request.structure, request.readout)
        data, samples = open_samples(request, model)
        check_fits(request, model, samples)
        check_asked(request, model, samples)
        check_clip(request, samples.x)
        largest_radius(request, samples)
    except EngineError as error:
        raise InputError(str(error)) from error
    asked = identity_of(request, model, data, samples, audit=False, planes=False, certificates=False)
    return Opened(request, model, data, samples, {key: asked[key] for key in _IDENTITY if key in asked})


def open_model(source: str, structure: str | None = None, readout: str | None = None) -> RecurrentClassifier:
    """A safetensors or ONNX file, or the name of a model that is shipped (`digits_lstm`)."""
    if not source.strip():
        raise InputError(f"--model is {source!r}; give a .safetensors or .onnx file or the name of a shipped model")
    path = Path(source)
    if path.suffix.lower() == ".onnx":
        for option, value in (("--structure", structure), ("--readout", readout)):
            if value is not None:
                raise InputError(
                    f"{option} {value!r}: {path} says itself how its layers are joined; leave {option} out"
                )
        from gpu_engine.onnx_loading import load_onnx

        return load_onnx(path)
    if not path.exists() and not path.suffix and path.name == source:
        path = pretrained_path(source)
    return load_model(path, structure, readout)


def open_samples(request: Request, model: RecurrentClassifier) -> tuple[Sequences, Samples]:
    """The request's data for a model, as they were read and as the engine takes them."""
    data = load_sequences(
        request.data,
        input_size=model.input_size,
        count=request.count,
        classes=model.classes,
        input_set=request.input_set,
        per_frame=model.readout == "every",
        embedding=None if model.embedding is None else model.embedding.numpy(),
    )
    rows = None
    if request.spec is not None:
        outputs = model.outputs(data.x.shape[1])
        rows = load_rows(request.spec, outputs=outputs, total=data.total, count=len(data))
    return data, samples_of(data, rows)


def check_device(device: str, dtype: str) -> None:
    """Raise InputError unless the device computes: names exist that torch knows and cannot use."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = getattr(torch, dtype) if dtype in DTYPES else torch.float64
            torch.ones(1, dtype=kind, device=device).sum().item()
    except (RuntimeError, AssertionError, ImportError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"device {device!r} cannot be used here with {dtype} ({first_line(error)}); try 'cpu'"
        ) from error


# Messages of torch can run over pages.
_SHOWN = 160


def first_line(error: BaseException) -> str:
    """A message's first sentence."""
    line = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


def check_asked(request: Request, model: RecurrentClassifier, samples: Samples) -> None:
    """Raise InputError where no sample has a question."""
    if len(enumerate_questions(request, samples, model.classes)):
        return
    if request.target_class(model.classes) is not None:
        raise InputError(f"every sample has label {request.target}, the target itself; choose another target")
    raise InputError(f"--frames {request.frames}: every sequence ends before these frames; choose others")


def check_clip(request: Request, x: torch.Tensor) -> None:
    """Raise InputError where a value x (count, time, input) lies outside the clip range."""
    if request.clip is None:
        return
    low, high = request.clip
    outside = (x < low) | (x > high)
    if bool(outside.any()):
        index = [int(i) for i in outside.nonzero()[0]]
        raise InputError(
            f"x{index} is {float(x[tuple(index)])!r}, outside --clip {low:g} {high:g}; "
            "widen the range or scale the data"
        )


def identity_of(
    request: Request,
    model: RecurrentClassifier,
    data: Sequences,
    samples: Samples,
    *,
    audit: bool,
    planes: bool,
    certificates: bool,
) -> dict[str, Any]:
    """What was asked of which model and data, with versions, machine and time: a run's request.json."""
    asked: dict[str, Any] = {
        "request": request.to_json(),
        "audit": audit,
        "planes": planes,
        "model": {
            "source": request.model,
            "digest": model.digest(),
            "stored_dtype": model.stored_dtype,
            "description": model.describe(),
            "readout": model.readout,
        },
        "data": {
            "name": data.name,
            "unit": data.unit,
            "digest": data.digest,
            "shape": list(data.x.shape),
            "lengths": None if data.lengths is None else [int(data.lengths.min()), int(data.lengths.max())],
        },
        "versions": versions(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, device {request.device}",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    if certificates:  # runs from before there were any can still be resumed
        asked["certificates"] = True
    if samples.rows is not None:
        asked["specification"] = {
            "source": request.spec,
            "digest": samples.rows.digest,
            "shape": samples.rows.shape(),
        }
    return asked


def versions() -> dict[str, str]:
    """Versions of everything that a number can depend on."""
    packages = ("refcert", "torch", "numpy", "python-flint")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}

"""What training reads, and what metrics are measured on: two different parts of the data."""

from __future__ import annotations

from pathlib import Path

import torch

from gpu_engine.errors import SpecificationError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.training.losses import Labelled, check_fit
from refcert.app.datasets import Sequences, digits_training_part, load_sequences, mnist_training_part
from refcert.app.errors import InputError


def training_part(source: str, model: RecurrentClassifier) -> Sequences:
    """digits or mnist: their training images; a file: all of it. Raises InputError."""
    if source == "digits":
        return _fitting(digits_training_part(), model)
    if source == "mnist":
        return _fitting(mnist_training_part(model.input_size, model.classes), model)
    return _file(source, model, None)


def test_part(source: str, data: str, model: RecurrentClassifier, count: int | None) -> Sequences:
    """The first `count` samples of the test data. Raises InputError where it is the training data itself."""
    given, trained = Path(source), Path(data)
    if given.is_file() and trained.is_file() and given.samefile(trained):
        raise InputError(f"--test {source} is the training data; metrics of samples trained on say little, give others")
    return _file(source, model, count)


def labelled(part: Sequences) -> Labelled:
    """Numpy's arrays as training takes them. Raises InputError."""
    lengths = None if part.lengths is None else torch.from_numpy(part.lengths)
    try:
        return Labelled(torch.from_numpy(part.x), torch.from_numpy(part.labels), lengths)
    except SpecificationError as error:
        raise InputError(f"{part.name}: {error}") from error


def _file(source: str, model: RecurrentClassifier, count: int | None) -> Sequences:
    return load_sequences(
        source,
        input_size=model.input_size,
        count=count,
        classes=model.classes,
        per_frame=model.readout == "every",
        embedding=None if model.embedding is None else model.embedding.numpy(),
    )


def _fitting(part: Sequences, model: RecurrentClassifier) -> Sequences:
    try:
        check_fit(model, labelled(part))
    except SpecificationError as error:
        raise InputError(f"{part.name}: {error}") from error
    return part

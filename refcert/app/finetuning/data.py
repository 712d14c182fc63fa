"""What training reads, and what metrics are measured on: two different parts of the data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import torch

from gpu_engine.errors import SpecificationError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.training.losses import Labelled, check_fit
from refcert.app import datasets
from refcert.app.data_files import Arrays, check_labels
from refcert.app.datasets import Sequences, digits_training_part, load_sequences
from refcert.app.errors import InputError

_IMAGES: Final = "train-images-idx3-ubyte.gz"
_LABELS: Final = "train-labels-idx1-ubyte.gz"
_FOLDER: Final = Path("data/mnist")


def training_part(source: str, model: RecurrentClassifier) -> Sequences:
    """digits or mnist: their training images; a file: all of it. Raises InputError."""
    if source == "digits":
        part = digits_training_part()
        return _fitting(part, model)
    if source == "mnist":
        return _mnist(model)
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


def _mnist(model: RecurrentClassifier) -> Sequences:
    """The 60 000 training images, pixels / 255, in whole rows, beside the test images below REFCERT_DATA."""
    root = os.environ.get(datasets.DATA_VARIABLE)
    if not root:
        raise InputError(
            f"mnist: the variable {datasets.DATA_VARIABLE} is not set; set it to the folder that holds "
            f"{_FOLDER / _IMAGES} and {_FOLDER / _LABELS}"
        )
    folder = Path(root) / _FOLDER
    images = datasets._idx(folder / _IMAGES, datasets._IDX_IMAGES, ndim=3)
    labels = datasets._idx(folder / _LABELS, datasets._IDX_LABELS, ndim=1).astype("int64")
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or not len(images):
        raise InputError(f"mnist: {folder} has images {images.shape} and labels {labels.shape}; fetch the files again")
    x = datasets._rows("mnist", images / datasets._MNIST_MAXIMUM, model.input_size)
    check_labels("mnist (training part)", labels, model.classes)
    part = datasets._sequences("mnist (training part)", Arrays(x, labels, None, {}), None, datasets.PIXEL_UNIT)
    return _fitting(part, model)

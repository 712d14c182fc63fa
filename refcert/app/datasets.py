"""Labelled sequences from a file or by name. Nothing is scaled, cut or reordered in silence.

`digits`: scikit-learn's 1797 digits, 8x8 pixels / 16 in [0, 1]; the last 360 are the test part. `mnist`: the
10 000 test images of MNIST, 28x28 pixels / 255 in [0, 1], read from the original files below the folder that
the variable REFCERT_DATA names. Both are read in whole rows of pixels, as many a frame as the model's input
size asks for. Anything else is the path of an `.npz` file.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.data_files import Arrays, Wanted, check_labels, read_file
from refcert.app.errors import InputError
from refcert.app.options import STORED_SETS

KNOWN: Final = ("digits", "mnist")
DATA_VARIABLE: Final = "REFCERT_DATA"
PIXEL_UNIT: Final = "pixel value in [0, 1]"
FILE_UNIT: Final = "unit of the file's own x"
EMBEDDING_UNIT: Final = "unit of the model's embedding"

_DIGITS_TRAINING: Final = 1437
_DIGITS_MAXIMUM: Final = 16.0
_MNIST_FOLDER: Final = Path("data/mnist")
_MNIST_IMAGES: Final = "{part}-images-idx3-ubyte.gz"
_MNIST_LABELS: Final = "{part}-labels-idx1-ubyte.gz"
_MNIST_MAXIMUM: Final = 255.0
_IDX_IMAGES, _IDX_LABELS = 2051, 2049


@dataclass(frozen=True)
class Sequences:
    """Labelled sequences: x (count, time, input) float64, labels (count,) or (count, time) int64.

    unit: what the values of x, and so radii, are measured in. lengths (count,) int64: how many frames count; None for
    all. sets: a stored input set, see `data_files`. total: how many sequences the whole data set has. digest: SHA-256
    over names, shapes and exact bytes of all arrays that are used (little-endian float64 and int64).
    """

    x: NDArray[np.float64]
    labels: NDArray[np.int64]
    name: str
    unit: str
    digest: str
    total: int
    lengths: NDArray[np.int64] | None = None
    sets: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)


def load_sequences(
    source: str,
    *,
    input_size: int,
    count: int | None,
    classes: int | None = None,
    input_set: str = "frames",
    per_frame: bool = False,
    embedding: NDArray[np.float64] | None = None,
) -> Sequences:
    """The first `count` sequences (all for None) of a known data set or an `.npz` file, in their order.

    source: a name in KNOWN, else a path of an `.npz` file, see `data_files`. input_size: values a frame, as the model
    reads them. classes: labels must be below. input_set: 'box' and 'substitutions' are read from the file. per_frame:
    one label a frame. embedding: the model's vectors, for files with tokens. The whole data set is checked, whatever
    `count` is. Raises InputError with the value and the remedy.
    """
    wanted = Wanted(input_size, classes, input_set, per_frame, embedding)
    if source in KNOWN:
        arrays, unit = _known(source, wanted), PIXEL_UNIT
    elif Path(source).suffix.lower() != ".npz":
        raise InputError(
            f"no data set is called {source!r}; there are {', '.join(KNOWN)}, or give the path of an .npz file"
        )
    else:
        arrays = read_file(source, wanted)
        unit = FILE_UNIT if arrays.tokens is None else EMBEDDING_UNIT
    total = len(arrays.x)
    if count is not None and not 1 <= count <= total:
        raise InputError(f"count {count}: {source} has {total} sequences; ask for 1 to {total}")
    return _sequences(source, arrays, count, unit)


def digits_training_part() -> Sequences:
    """The first 1437 of scikit-learn's digits as 8 frames of 8 pixels in [0, 1]; `digits` is the rest."""
    images, labels = _digits()
    arrays = Arrays(images[:_DIGITS_TRAINING], labels[:_DIGITS_TRAINING], None, {})
    return _sequences("digits (training part)", arrays, None, PIXEL_UNIT)


def mnist_training_part(input_size: int, classes: int) -> Sequences:
    """The 60 000 training images of MNIST, beside the test images that are `mnist`. Raises InputError."""
    images, labels = _mnist("train")
    x = _rows("mnist", images, input_size)
    check_labels("mnist (training part)", labels, classes)
    return _sequences("mnist (training part)", Arrays(x, labels, None, {}), None, PIXEL_UNIT)


def _known(source: str, wanted: Wanted) -> Arrays:
    """A known data set; it has one label a sequence and nothing but frames."""
    if wanted.input_set in STORED_SETS:
        arrays = " and ".join(STORED_SETS[wanted.input_set])
        raise InputError(
            f"{source} has no {arrays}, which --input-set {wanted.input_set} reads; give an .npz file that has them"
        )
    if wanted.per_frame:
        raise InputError(
            f"{source} has one label a sequence, but the model answers each frame; give an .npz file with labels "
            "(count, time)"
        )
    if source == "digits":
        images, targets = _digits()
        images, labels = images[_DIGITS_TRAINING:], targets[_DIGITS_TRAINING:]
    else:
        images, labels = _mnist("t10k")
    x = _rows(source, images, wanted.input_size)
    check_labels(source, labels, wanted.classes)
    return Arrays(x, labels, None, {})


def _sequences(name: str, arrays: Arrays, count: int | None, unit: str) -> Sequences:
    x, labels = np.ascontiguousarray(arrays.x[:count]), np.ascontiguousarray(arrays.labels[:count])
    lengths = None if arrays.lengths is None else arrays.lengths[:count].copy()
    sets = {key: np.ascontiguousarray(value[:count]) for key, value in arrays.sets.items()}
    used: dict[str, NDArray[Any]] = {}
    if arrays.tokens is not None:
        used["tokens"] = arrays.tokens[:count]
    elif arrays.own_x:
        used["x"] = x
    used["labels"] = labels
    if lengths is not None:
        used["lengths"] = lengths
    return Sequences(x, labels, name, unit, digest_of(used | sets), len(arrays.x), lengths, sets)


def digest_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, shapes and exact bytes, floats as little-endian float64, whole numbers as int64."""
    hasher = hashlib.sha256()
    for name, value in arrays.items():
        kind = {"f": "<f8", "i": "<i8", "b": "|b1"}[value.dtype.kind]
        hasher.update(f"{name}:{value.shape}\n".encode())
        hasher.update(np.ascontiguousarray(value).astype(kind, copy=False).tobytes())
    return hasher.hexdigest()


def _rows(name: str, images: NDArray[np.float64], input_size: int) -> NDArray[np.float64]:
    """images (count, side, side) -> (count, time, input): whole rows, as many a frame as input_size holds."""
    count, side, _ = images.shape
    if input_size not in (sizes := [side * k for k in range(1, side + 1) if side % k == 0]):
        raise InputError(
            f"{name}: the model reads {input_size} values a frame; images of {side} rows of {side} pixels "
            f"can be read in frames of {', '.join(map(str, sizes))}. Choose another model or data set"
        )
    return images.reshape(count, -1, input_size)


# scikit-learn's digits


def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All images (1797, 8, 8) in [0, 1] (the division by 16 is exact) and labels (1797,)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images: NDArray[np.float64] = np.asarray(digits.images, dtype=np.float64) / _DIGITS_MAXIMUM
    return images, np.asarray(digits.target, dtype=np.int64)


# MNIST's original files


def _mnist(part: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Images (count, 28, 28) in [0, 1] and labels (count,) of the files of a part, `train` or `t10k`."""
    image_file, label_file = _MNIST_IMAGES.format(part=part), _MNIST_LABELS.format(part=part)
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise InputError(
            f"mnist: the variable {DATA_VARIABLE} is not set; set it to the folder that holds "
            f"{_MNIST_FOLDER / image_file} and {_MNIST_FOLDER / label_file}"
        )
    folder = Path(root) / _MNIST_FOLDER
    images = _idx(folder / image_file, _IDX_IMAGES, ndim=3)
    labels = _idx(folder / label_file, _IDX_LABELS, ndim=1)
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or not len(images):
        raise InputError(
            f"mnist: {folder} has images of shape {images.shape} and labels of shape {labels.shape}; "
            "it needs (count, 28, 28) and (count,). Fetch the original files again"
        )
    return images / _MNIST_MAXIMUM, labels.astype(np.int64)


def _idx(path: Path, magic: int, *, ndim: int) -> NDArray[np.uint8]:
    """One gzipped idx file of unsigned bytes: big-endian magic number and sizes, then exactly the values."""
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(
            f"mnist: {path} does not exist; set {DATA_VARIABLE} to the folder that holds {_MNIST_FOLDER / path.name}"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"mnist: {path} cannot be read as gzip ({error}); fetch the original file again") from error
    header = struct.calcsize(f">{ndim + 1}I")
    if len(content) < header:
        raise InputError(f"mnist: {path} holds {len(content)} bytes, its header alone needs {header}; fetch it again")
    found, *sizes = struct.unpack(f">{ndim + 1}I", content[:header])
    if found != magic:
        raise InputError(
            f"mnist: {path} starts with the number {found}, an idx file of this kind with {magic}; fetch it again"
        )
    needed = header + math.prod(sizes)
    if len(content) != needed:
        raise InputError(
            f"mnist: {path} holds {len(content)} bytes, sizes {sizes} need exactly {needed}; fetch it again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(sizes)

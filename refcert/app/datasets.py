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
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.errors import InputError

KNOWN: Final = ("digits", "mnist")
DATA_VARIABLE: Final = "REFCERT_DATA"
PIXEL_UNIT: Final = "pixel value in [0, 1]"
FILE_UNIT: Final = "unit of the file's own x"

_DIGITS_TRAINING: Final = 1437
_DIGITS_MAXIMUM: Final = 16.0
_MNIST_FOLDER: Final = Path("data/mnist")
_MNIST_IMAGES: Final = "t10k-images-idx3-ubyte.gz"
_MNIST_LABELS: Final = "t10k-labels-idx1-ubyte.gz"
_MNIST_MAXIMUM: Final = 255.0
_IDX_IMAGES, _IDX_LABELS = 2051, 2049
_UNREADABLE: Final = (
    OSError,
    EOFError,
    ValueError,
    MemoryError,  # a header that claims more than there is
    RuntimeError,  # an encrypted archive
    zipfile.BadZipFile,
    zlib.error,
)
_EXACT_INTEGERS: Final = 2**53  # every whole number up to this size is a float64 value


@dataclass(frozen=True)
class Sequences:
    """Labelled sequences: x (count, time, input) float64, labels (count,) int64.

    unit: what the values of x, and so radii, are measured in. digest: SHA-256 over shape and exact bytes of x
    (little-endian float64) and labels (little-endian int64).
    """

    x: NDArray[np.float64]
    labels: NDArray[np.int64]
    name: str
    unit: str
    digest: str

    def __len__(self) -> int:
        return len(self.x)


def load_sequences(source: str, *, input_size: int, count: int | None, classes: int | None = None) -> Sequences:
    """The first `count` sequences (all for None) of a known data set or an `.npz` file, in their order.

    source: a name in KNOWN, else a path of an `.npz` file with x (count, time, input), real numbers, and
    labels (count,), whole numbers. input_size: values a frame, as the model reads them. classes: labels must
    be below. The whole data set is checked, whatever `count` is.
    Raises InputError with the value and the remedy.
    """
    if source == "digits":
        images, targets = _digits()
        x, labels, unit = (
            _rows("digits", images[_DIGITS_TRAINING:], input_size),
            targets[_DIGITS_TRAINING:],
            PIXEL_UNIT,
        )
    elif source == "mnist":
        images, labels = _mnist()
        x, unit = _rows("mnist", images, input_size), PIXEL_UNIT
    else:
        x, labels = _npz(source)
        unit = FILE_UNIT
    _check_values(source, x, labels, classes)
    if x.shape[2] != input_size:
        raise InputError(
            f"{source}: x has shape {x.shape}, {x.shape[2]} values a frame, but the model reads "
            f"{input_size}; cut the data into frames of that size"
        )
    if count is not None and not 1 <= count <= len(x):
        raise InputError(f"count {count}: {source} has {len(x)} sequences; ask for 1 to {len(x)}")
    return _sequences(source, x[:count], labels[:count], unit)


def digits_training_part() -> Sequences:
    """The first 1437 of scikit-learn's digits as 8 frames of 8 pixels in [0, 1]; `digits` is the rest."""
    images, labels = _digits()
    return _sequences("digits (training part)", images[:_DIGITS_TRAINING], labels[:_DIGITS_TRAINING], PIXEL_UNIT)


def _sequences(name: str, x: NDArray[np.float64], labels: NDArray[np.int64], unit: str) -> Sequences:
    x, labels = np.ascontiguousarray(x), np.ascontiguousarray(labels)
    hasher = hashlib.sha256(f"x:{x.shape}\n".encode())
    hasher.update(x.astype("<f8", copy=False).tobytes())
    hasher.update(f"labels:{labels.shape}\n".encode())
    hasher.update(labels.astype("<i8", copy=False).tobytes())
    return Sequences(x, labels, name, unit, hasher.hexdigest())


def _check_values(name: str, x: NDArray[np.float64], labels: NDArray[np.int64], classes: int | None) -> None:
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        index = [int(i) for i in bad[0]]
        raise InputError(f"{name}: x{index} is {x[tuple(index)]}; every value must be finite. Repair or drop it")
    outside = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    if outside.any():
        first = int(np.argmax(outside))
        allowed = "labels start at 0" if classes is None else f"the model has classes 0 to {classes - 1}"
        raise InputError(f"{name}: labels[{first}] is {labels[first]}; {allowed}")


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


def _mnist() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Test images (count, 28, 28) in [0, 1] and labels (count,)."""
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise InputError(
            f"mnist: the variable {DATA_VARIABLE} is not set; set it to the folder that holds "
            f"{_MNIST_FOLDER / _MNIST_IMAGES} and {_MNIST_FOLDER / _MNIST_LABELS}"
        )
    folder = Path(root) / _MNIST_FOLDER
    images = _idx(folder / _MNIST_IMAGES, _IDX_IMAGES, ndim=3)
    labels = _idx(folder / _MNIST_LABELS, _IDX_LABELS, ndim=1)
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


# npz files


def _npz(source: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """x (count, time, input) and labels (count,) of a file, converted exactly."""
    path = Path(source)
    if path.suffix.lower() != ".npz":
        raise InputError(
            f"no data set is called {source!r}; there are {', '.join(KNOWN)}, or give the path of an .npz file"
        )
    if not path.is_file():
        raise InputError(f"{path} is not a file that exists; give the path of an .npz file with x and labels")
    arrays = _members(path, ("x", "labels"))
    x, labels = arrays["x"], arrays["labels"]
    if x.ndim != 3 or labels.ndim != 1 or 0 in x.shape[1:]:
        raise InputError(
            f"{path}: x has shape {x.shape} and labels {labels.shape}; they need (count, time, input) and "
            "(count,), time and input not zero"
        )
    if len(x) != len(labels):
        raise InputError(f"{path}: x has {len(x)} sequences, labels {len(labels)}; give one label a sequence")
    if not len(x):
        raise InputError(f"{path} has no sequences: x has shape {x.shape}; give at least one")
    return _exact_floats(path, x), _exact_labels(path, labels)


def _members(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The named arrays of an npz file; pickled objects are refused, because reading them can run code."""
    remedy = 'write it with numpy.savez("data.npz", x=x, labels=labels), arrays of numbers'
    try:
        # Opened here, because numpy leaves the file open when the archive is damaged.
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise InputError(f"{path} is no npz file (not a whole zip archive, so perhaps cut short); {remedy}")
            file.seek(0)
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise InputError(f"{path} holds a single array; {remedy}")
            for name in names:
                if name not in stored.files:
                    found = ", ".join(stored.files) or "nothing"
                    raise InputError(f"{path} has no array {name!r}, it has {found}; {remedy}")
            return {name: np.asarray(stored[name]) for name in names}
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"{path} cannot be read ({error}); pickled (object) arrays are refused, because reading them can "
            f"run code, and a damaged file must be copied again. Else {remedy}"
        ) from error


def _exact_floats(path: Path, x: NDArray[Any]) -> NDArray[np.float64]:
    if not (x.dtype.kind in "iu" or (x.dtype.kind == "f" and x.dtype.itemsize <= 8)):
        raise InputError(
            f"{path}: x is {x.dtype}; give float16, float32, float64 or whole numbers, which convert exactly"
        )
    if x.dtype.kind in "iu" and x.dtype.itemsize == 8:
        large = np.argwhere((x > _EXACT_INTEGERS) | (x < -_EXACT_INTEGERS))
        if len(large):
            index = [int(i) for i in large[0]]
            raise InputError(f"{path}: x{index} is {x[tuple(index)]}; beyond 2^53 it would be rounded. Scale it")
    return x.astype(np.float64)


def _exact_labels(path: Path, labels: NDArray[Any]) -> NDArray[np.int64]:
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"{path}: labels are {labels.dtype} (labels[0] is {labels[0]}); give whole numbers, "
            "labels.astype(numpy.int64)"
        )
    if labels.max() > np.iinfo(np.int64).max:
        raise InputError(f"{path}: labels[{labels.argmax()}] is {labels.max()}; no class has that number")
    return labels.astype(np.int64)

"""Labelled sequences of an `.npz` file, as one checked set of arrays.

    x (count, time, input)          the frames; or tokens (count, time), numbers of vectors of the model's embedding
    labels (count,)                 or (count, time) for models that answer frame by frame
    lengths (count,)                optional: how many frames of each sequence count
    lower, upper                    boxes, as x; x may then be left out: the midpoints stand for it
    candidates (count, time, K, input), allowed (count, time, K) bool    substitutions

What lies behind a sequence's end is not read: it may hold anything, and is replaced by the sequence's first frame. So
are candidates that are not allowed, by zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.errors import InputError
from refcert.app.npz import exact_floats, exact_integers, read_members
from refcert.app.options import STORED_SETS

Array = NDArray[Any]

_REMEDY: Final = 'write it with numpy.savez("data.npz", x=x, labels=labels), arrays of numbers'


@dataclass(frozen=True)
class Wanted:
    """What the model and the question need. embedding (words, input): the model's, if it has one.

    classes: labels must be below, None where not known. per_frame: one label a frame.
    """

    input_size: int
    classes: int | None = None
    input_set: str = "frames"
    per_frame: bool = False
    embedding: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Arrays:
    """x (count, time, input) float64, labels int64, lengths (count,) int64 or None; the stored input set by name.

    tokens (count, time) int64, if x was looked up by them. own_x: False where x are the boxes' midpoints.
    """

    x: NDArray[np.float64]
    labels: NDArray[np.int64]
    lengths: NDArray[np.int64] | None
    sets: dict[str, Array]
    tokens: NDArray[np.int64] | None = None
    own_x: bool = True


def read_file(source: str, wanted: Wanted) -> Arrays:
    """All sequences of a file, converted exactly. Raises InputError with the value and the remedy."""
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path} is not a file that exists; give the path of an .npz file with x and labels")
    sets = STORED_SETS.get(wanted.input_set, ())
    own_x = wanted.embedding is None and wanted.input_set != "box"
    found = read_members(path, (*(["x"] if own_x else []), "labels", *sets), ("x", "tokens", "lengths"), remedy=_REMEDY)
    labels = found["labels"]
    if wanted.embedding is not None and "tokens" in found:
        if "x" in found:
            raise InputError(f"{path} has both x and tokens; keep the one that is to be certified")
        frames, what = found["tokens"], "tokens"
    elif "x" in found:
        frames, what = found["x"], "x"
    elif wanted.input_set == "box":
        frames, what = found["lower"], "lower"
    else:
        raise InputError(
            f"{path} has neither x nor tokens (count, time), numbers of the embedding's vectors; {_REMEDY}"
        )
    _check_shapes(path, what, frames, labels, wanted)
    lengths = None if "lengths" not in found else _lengths(path, found["lengths"], frames)
    real = np.ones(frames.shape[:2], dtype=bool)
    if lengths is not None:
        real = np.arange(frames.shape[1]) < lengths[:, None]
    labels = _labels(path, labels, wanted, real)
    stored: dict[str, Array] = {}
    if wanted.input_set == "box":
        stored = _boxes(path, found, frames, real)
    tokens = None
    if what == "tokens":
        tokens = _tokens(path, frames, wanted, real)
        assert wanted.embedding is not None
        x = wanted.embedding[tokens]
    elif what == "lower":
        x = _middle(stored["lower"], stored["upper"])
    else:
        x = _frames(path, "x", frames, real)
    if x.shape[2] != wanted.input_size:
        raise InputError(
            f"{source}: x has shape {x.shape}, {x.shape[2]} values a frame, but the model reads "
            f"{wanted.input_size}; cut the data into frames of that size"
        )
    if wanted.input_set == "box" and what != "lower":
        _check_inside(path, x, stored)
    if wanted.input_set == "substitutions":
        stored = _substitutions(path, found, x, real)
    return Arrays(x, labels, lengths, stored, tokens, own_x=what != "lower")


def check_values(name: str, what: str, x: NDArray[np.float64]) -> None:
    """Raise InputError with the first value that is not finite."""
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        index = [int(i) for i in bad[0]]
        raise InputError(f"{name}: {what}{index} is {x[tuple(index)]}; every value must be finite. Repair or drop it")


def check_labels(name: str, labels: NDArray[np.int64], classes: int | None) -> None:
    """Raise InputError with the first label that no class has."""
    outside = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    if outside.any():
        first = np.argwhere(outside)[0]
        allowed = "labels start at 0" if classes is None else f"the model has classes 0 to {classes - 1}"
        raise InputError(f"{name}: labels[{', '.join(map(str, first))}] is {labels[tuple(first)]}; {allowed}")


def _check_shapes(path: Path, what: str, frames: Array, labels: Array, wanted: Wanted) -> None:
    axes = "(count, time)" if what == "tokens" else "(count, time, input)"
    needed = "(count, time)" if wanted.per_frame else "(count,)"
    if frames.ndim != (2 if what == "tokens" else 3) or labels.ndim != 1 + wanted.per_frame or 0 in frames.shape[1:]:
        more = ": the model has an answer per frame" if wanted.per_frame else ""
        raise InputError(
            f"{path}: {what} has shape {frames.shape} and labels {labels.shape}; they need {axes} and "
            f"{needed}, time and input not zero{more}"
        )
    if len(frames) != len(labels):
        raise InputError(f"{path}: {what} has {len(frames)} sequences, labels {len(labels)}; give one label a sequence")
    if not len(frames):
        raise InputError(f"{path} has no sequences: {what} has shape {frames.shape}; give at least one")
    if wanted.per_frame and labels.shape != frames.shape[:2]:
        raise InputError(
            f"{path}: labels have shape {labels.shape}, the model answers each frame; give {frames.shape[:2]}"
        )


def _lengths(path: Path, lengths: Array, frames: Array) -> NDArray[np.int64]:
    count, time = frames.shape[:2]
    if lengths.shape != (count,):
        raise InputError(f"{path}: lengths have shape {lengths.shape}; give one a sequence, ({count},)")
    values = exact_integers(path, "lengths", lengths)
    outside = (values < 1) | (values > time)
    if outside.any():
        first = int(np.argmax(outside))
        raise InputError(f"{path}: lengths[{first}] is {values[first]}; the data has 1 to {time} frames")
    return values


def _labels(path: Path, labels: Array, wanted: Wanted, real: NDArray[np.bool_]) -> NDArray[np.int64]:
    if wanted.per_frame and labels.dtype.kind in "iu":
        labels = np.where(real, labels, labels[:, :1])
    values = exact_integers(path, "labels", labels)
    check_labels(str(path), values, wanted.classes)
    return values


def _tokens(path: Path, tokens: Array, wanted: Wanted, real: NDArray[np.bool_]) -> NDArray[np.int64]:
    assert wanted.embedding is not None
    words = len(wanted.embedding)
    if tokens.dtype.kind in "iu":
        tokens = np.where(real, tokens, tokens[:, :1])
    values = exact_integers(path, "tokens", tokens)
    outside = np.argwhere((values < 0) | (values >= words))
    if len(outside):
        index = [int(i) for i in outside[0]]
        raise InputError(
            f"{path}: tokens{index} is {values[tuple(index)]}; the model's embedding has vectors 0 to {words - 1}"
        )
    return values


def _frames(path: Path, name: str, values: Array, real: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Exact values; behind a sequence's end its first frame. values (count, time, input)."""
    exact = exact_floats(path, name, values)
    if not real.all():
        exact = np.where(real[:, :, None], exact, exact[:, :1])
    check_values(str(path), name, exact)
    return exact


def _boxes(path: Path, found: dict[str, Array], frames: Array, real: NDArray[np.bool_]) -> dict[str, Array]:
    shape = found["lower"].shape
    if found["upper"].shape != shape or len(shape) != 3 or shape[:2] != frames.shape[:2]:
        raise InputError(
            f"{path}: lower has shape {shape}, upper {found['upper'].shape}; both need (count, time, input), here "
            f"({frames.shape[0]}, {frames.shape[1]}, input)"
        )
    lower, upper = (_frames(path, name, found[name], real) for name in STORED_SETS["box"])
    crossed = np.argwhere(lower > upper)
    if len(crossed):
        index = [int(i) for i in crossed[0]]
        low, high = lower[tuple(index)], upper[tuple(index)]
        raise InputError(f"{path}: lower{index} is {low}, above upper{index}, {high}; the box is empty, swap the ends")
    return {"lower": lower, "upper": upper}


def _middle(lower: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """The midpoint, rounded; always a point of the box."""
    return np.clip(lower / 2 + upper / 2, lower, upper)


def _check_inside(path: Path, x: NDArray[np.float64], boxes: dict[str, Array]) -> None:
    if x.shape != boxes["lower"].shape:
        raise InputError(f"{path}: x has shape {x.shape}, lower and upper {boxes['lower'].shape}; give boxes around x")
    outside = np.argwhere((x < boxes["lower"]) | (x > boxes["upper"]))
    if len(outside):
        index = [int(i) for i in outside[0]]
        low, high = (boxes[name][tuple(index)] for name in STORED_SETS["box"])
        raise InputError(
            f"{path}: x{index} is {x[tuple(index)]}, outside its box [{low}, {high}]; widen the box, or leave x out"
        )


def _substitutions(
    path: Path, found: dict[str, Array], x: NDArray[np.float64], real: NDArray[np.bool_]
) -> dict[str, Array]:
    candidates, allowed = found["candidates"], found["allowed"]
    count, time, size = x.shape
    shape = candidates.shape
    if len(shape) != 4 or (shape[0], shape[1], shape[3]) != (count, time, size) or not shape[2]:
        raise InputError(
            f"{path}: candidates have shape {shape}; they need (count, time, K, input), here "
            f"({count}, {time}, K, {size})"
        )
    if allowed.dtype != np.bool_ or allowed.shape != shape[:3]:
        raise InputError(
            f"{path}: allowed is {allowed.dtype} of shape {allowed.shape}; it needs bool of shape {shape[:3]}"
        )
    allowed = allowed & real[:, :, None]
    if candidates.dtype.kind in "fiu":
        candidates = np.where(allowed[..., None], candidates, np.zeros((), candidates.dtype))
    candidates = exact_floats(path, "candidates", candidates)
    check_values(str(path), "candidates", candidates)
    return {"candidates": candidates, "allowed": allowed}

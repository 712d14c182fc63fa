"""A run's samples as the engine's tensors, and the user's own specification rows for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from gpu_engine.forward import logits_ragged
from gpu_engine.model import RecurrentClassifier
from refcert.app.data_files import check_values
from refcert.app.datasets import Sequences, digest_of
from refcert.app.errors import InputError
from refcert.app.npz import exact_floats, read_members

_REMEDY: Final = 'write it with numpy.savez("spec.npz", C=C, d=d), arrays of numbers'


@dataclass(frozen=True)
class Rows:
    """Specification rows C F(x) + d of a file.

    C (spec, outputs) or (count, spec, outputs), d (spec,) or (count, spec).
    """

    C: Tensor
    d: Tensor
    digest: str

    def shape(self) -> list[int]:
        """Rows and outputs, behind the number of samples where each has its own."""
        return list(self.C.shape)


@dataclass(frozen=True)
class Samples:
    """x (count, time, input) float64; labels (count,) or (count, time); lengths (count,) or None; see `Sequences`.

    rows: the user's own, or None; where each sample has its own they are in the order of the samples.
    """

    x: Tensor
    labels: Tensor
    lengths: Tensor | None
    sets: Mapping[str, Tensor]
    rows: Rows | None = None

    def __len__(self) -> int:
        return self.x.shape[0]

    @property
    def time(self) -> int:
        return self.x.shape[1]

    def part(self, start: int, stop: int) -> Samples:
        """Some neighbouring samples."""
        rows = self.rows
        if rows is not None:
            C = rows.C[start:stop] if rows.C.ndim == 3 else rows.C
            rows = replace(rows, C=C, d=rows.d[start:stop] if rows.d.ndim == 2 else rows.d)
        return Samples(
            self.x[start:stop],
            self.labels[start:stop],
            None if self.lengths is None else self.lengths[start:stop],
            {name: value[start:stop] for name, value in self.sets.items()},
            rows,
        )

    def real_frames(self) -> Tensor:
        """How many frames each sample has, (count,)."""
        return torch.full((len(self),), self.time) if self.lengths is None else self.lengths

    def logits(self, model: RecurrentClassifier) -> Tensor:
        """(count, classes), or (count, time, classes) with NaN behind each sequence's end."""
        return model.logits(self.x) if self.lengths is None else logits_ragged(model, self.x, self.lengths)


def samples_of(data: Sequences, rows: Rows | None) -> Samples:
    """Numpy's arrays as tensors."""
    lengths = None if data.lengths is None else torch.from_numpy(data.lengths)
    sets = {name: torch.from_numpy(value) for name, value in data.sets.items()}
    return Samples(torch.from_numpy(data.x), torch.from_numpy(data.labels), lengths, sets, rows)


def load_rows(source: str, *, outputs: int, total: int, count: int) -> Rows:
    """The rows of a file, those of the first `count` samples.

    source: an `.npz` file with C (spec, outputs), the same for all samples, or (total, spec, outputs), one per
    sequence of the data; and d (spec,) or (total, spec). Raises InputError with the value and the remedy.
    """
    path = Path(source)
    if not path.is_file():
        raise InputError(f"--spec {path} is not a file that exists; give an .npz file with C and d")
    found = read_members(path, ("C", "d"), remedy=_REMEDY)
    C, d = found["C"], found["d"]
    if C.ndim not in (2, 3) or C.shape[-1] != outputs or 0 in C.shape:
        raise InputError(
            f"{path}: C has shape {C.shape}; the model has {outputs} outputs, so it needs (spec, {outputs}), or "
            f"({total}, spec, {outputs}) with rows for each sequence"
        )
    if C.ndim == 3 and len(C) != total:
        raise InputError(f"{path}: C has rows for {len(C)} sequences, the data has {total}; give as many")
    spec = C.shape[-2]
    if d.shape not in ((spec,), (total, spec)):
        raise InputError(f"{path}: d has shape {d.shape}; with this C it needs ({spec},) or ({total}, {spec})")
    C, d = exact_floats(path, "C", C), exact_floats(path, "d", d)
    check_values(str(path), "C", C)
    check_values(str(path), "d", d)
    C, d = C[:count] if C.ndim == 3 else C, d[:count] if d.ndim == 2 else d
    return Rows(torch.from_numpy(C.copy()), torch.from_numpy(d.copy()), digest_of({"C": C, "d": d}))

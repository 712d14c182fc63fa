"""What is asked of the outputs: specification rows C F(x) + d, and how their lower bounds answer the question.

Where the model answers frame by frame (readout `every`), F(x) is the (time * classes) vector of its answers, frame
after frame. Input sets are in `gpu_engine.inputs` and can be imported from here, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import (
    Boxes,
    FrameBalls,
    InputSet,
    SequenceBall,
    Substitutions,
    check_clip,
    check_norm,
    decibel_radius,
    require_finite,
)

__all__ = [
    "AllRows",
    "Boxes",
    "FrameBalls",
    "InputSet",
    "KthLeast",
    "LabelAgainstOthers",
    "Reading",
    "SequenceBall",
    "Specification",
    "Steps",
    "Substitutions",
    "check_clip",
    "check_labels",
    "check_norm",
    "decibel_radius",
    "matrix",
    "per_class",
    "require_finite",
    "targeted",
    "top_k",
    "untargeted",
    "untargeted_steps",
]


@dataclass(frozen=True)
class AllRows:
    """Every row must be positive: the margin is the least row. Lemma `margin_rows`."""

    def margins(self, lower: Tensor) -> Tensor:
        """lower (batch, spec) -> (batch,)."""
        return lower.amin(dim=1)

    def misfit(self, rows: int) -> str | None:
        """Why this reading cannot be used with so many rows, if so."""
        return None if rows >= 1 else "there is no row"


@dataclass(frozen=True)
class KthLeast:
    """At most k - 1 rows need not be positive: the margin is the k-th least row. Lemma `readings`."""

    k: int

    def margins(self, lower: Tensor) -> Tensor:
        """lower (batch, spec) -> (batch,)."""
        return lower.kthvalue(self.k, dim=1).values

    def misfit(self, rows: int) -> str | None:
        """Why this reading cannot be used with so many rows, if so."""
        return None if 1 <= self.k <= rows else f"k is {self.k}; it needs 1 <= k <= {rows}, the number of rows"


@dataclass(frozen=True)
class LabelAgainstOthers:
    """Row 0 bounds the label's output from below, the others minus the other outputs: the margin is row 0 + the least.

    The sign of this sum of two floats is that of the exact sum. Lemma `readings`.
    """

    def margins(self, lower: Tensor) -> Tensor:
        """lower (batch, spec) -> (batch,)."""
        return lower[:, 0] + lower[:, 1:].amin(dim=1)

    def misfit(self, rows: int) -> str | None:
        """Why this reading cannot be used with so many rows, if so."""
        return None if rows >= 2 else f"there are {rows} rows; it needs one for the label and one for another class"


@dataclass(frozen=True)
class Steps:
    """Equally many rows for each of `steps` frames, frame after frame; all must be positive."""

    steps: int

    def margins(self, lower: Tensor) -> Tensor:
        """lower (batch, spec) -> (batch,)."""
        return lower.amin(dim=1)

    def step_margins(self, lower: Tensor) -> Tensor:
        """The least row of every step. lower (batch, spec) -> (batch, steps)."""
        return lower.reshape(lower.shape[0], self.steps, -1).amin(dim=2)

    def misfit(self, rows: int) -> str | None:
        """Why this reading cannot be used with so many rows, if so."""
        if self.steps >= 1 and rows >= self.steps and rows % self.steps == 0:
            return None
        return f"{rows} rows cannot be shared out evenly among {self.steps} steps"


Reading = AllRows | KthLeast | LabelAgainstOthers | Steps
"""How the lower bounds of all rows become one margin, which is positive only if the question's answer is yes."""


@dataclass(frozen=True)
class Specification:
    """Rows C F(x) + d and how they are read. C (batch, spec, outputs) float64, d (batch, spec) float64."""

    C: Tensor
    d: Tensor
    reading: Reading = field(default_factory=AllRows)

    def __post_init__(self) -> None:
        if self.C.ndim != 3 or self.d.shape != self.C.shape[:2]:
            raise SpecificationError(
                f"specification rows have shapes C {tuple(self.C.shape)}, d {tuple(self.d.shape)}; "
                "they need (batch, spec, outputs) and (batch, spec)"
            )
        for name, value in (("C", self.C), ("d", self.d)):
            if value.dtype != torch.float64:
                raise SpecificationError(f"specification {name} is {value.dtype}; give float64")
            require_finite(f"specification {name}", value)
        misfit = self.reading.misfit(self.C.shape[1])
        if misfit is not None:
            raise SpecificationError(f"these specification rows cannot be read as asked: {misfit}")

    def __len__(self) -> int:
        return self.C.shape[0]

    def margins(self, lower: Tensor) -> Tensor:
        """One margin per sample from lower bounds of the rows, (batch, spec) -> (batch,).

        Positive only if the specification holds wherever the bounds hold. A margin of 0 proves nothing.
        """
        if lower.ndim != 2 or lower.shape[1] != self.C.shape[1]:
            raise SpecificationError(
                f"lower bounds have shape {tuple(lower.shape)}; they need (batch, {self.C.shape[1]})"
            )
        return self.reading.margins(lower)

    def select(self, index: Tensor | slice) -> Specification:
        """The questions about some of the samples."""
        return Specification(self.C[index], self.d[index], self.reading)

    def to(self, device: torch.device) -> Specification:
        return Specification(self.C.to(device), self.d.to(device), self.reading)


def check_labels(labels: Tensor, classes: int) -> None:
    """Raise unless every label names a class."""
    if labels.dtype not in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        raise SpecificationError(f"labels are {labels.dtype}; give whole numbers")
    outside = (labels < 0) | (labels >= classes)
    if bool(outside.any()):
        index = [int(i) for i in outside.nonzero()[0]]
        raise SpecificationError(
            f"labels{index} is {labels[tuple(index)].item()}; the model has classes 0 to {classes - 1}"
        )


def untargeted(labels: Tensor, classes: int) -> Specification:
    """One margin row e_label - e_other for every other class, in order of class. labels (batch,).

    Proved: the label has the largest output on the whole set. Raises SpecificationError.
    """
    _check_batch_of_labels(labels, classes)
    others = _others(labels, classes)
    return _margin_rows(labels, others, classes)


def targeted(labels: Tensor, targets: Tensor, classes: int) -> Specification:
    """The single margin row e_label - e_target per sample. labels, targets (batch,). Raises SpecificationError."""
    _check_batch_of_labels(labels, classes)
    check_labels(targets, classes)
    same = labels == targets
    if bool(same.any()):
        index = int(same.nonzero()[0, 0])
        raise SpecificationError(f"sample {index}: the target {targets[index].item()} is its own label")
    return _margin_rows(labels, targets[:, None], classes)


def top_k(labels: Tensor, k: int, classes: int) -> Specification:
    """The label stays among the k largest outputs. labels (batch,); 1 <= k < classes; k = 1 is `untargeted`.

    At most k - 1 other classes may reach the label's output. Which ones is the same for the whole set here: that is
    sufficient, not necessary, for the label to be among the k largest at each point. Raises SpecificationError.
    """
    if not 1 <= k < classes:
        raise SpecificationError(f"k is {k}; among {classes} classes it needs 1 <= k <= {classes - 1}")
    rows = untargeted(labels, classes)
    return Specification(rows.C, rows.d, KthLeast(k))


def per_class(labels: Tensor, classes: int) -> Specification:
    """The label's least output against the largest output of every other class, each bounded by itself.

    labels (batch,). Rows e_label, then -e_other in order of class. This is the paper's own criterion (POPQORN, Ko et
    al. 2019, from output bounds to certified bounds: gamma^L_label against gamma^U_other). Margin rows over the same
    planes are never looser: the bound of a sum of rows is at least the sum of the rows' bounds.
    Raises SpecificationError.
    """
    _check_batch_of_labels(labels, classes)
    batch = labels.shape[0]
    rows = torch.zeros(batch, classes, classes, dtype=torch.float64, device=labels.device)
    rows[:, 0].scatter_(1, labels[:, None].long(), 1.0)
    rows[:, 1:].scatter_(2, _others(labels, classes)[:, :, None], -1.0)
    return Specification(rows, torch.zeros_like(rows[:, :, 0]), LabelAgainstOthers())


def untargeted_steps(labels: Tensor, classes: int, lengths: Tensor | None = None) -> Specification:
    """`untargeted` at every frame of a model that answers frame by frame. labels (batch, time).

    Rows over the (time * classes) outputs, (classes - 1) a frame; every step must hold, and `reading.step_margins`
    tells them apart. lengths (batch,): frames from there on are padding and are not asked about (their rows, and so
    their step margins, are those of frame 0; their labels are not read). Raises SpecificationError.
    """
    if labels.ndim != 2 or 0 in labels.shape:
        raise SpecificationError(f"labels have shape {tuple(labels.shape)}; a label per frame needs (batch, time)")
    batch, time = labels.shape
    step = torch.arange(time, device=labels.device).expand(batch, time)
    if lengths is not None:
        _check_lengths(lengths, batch, time)
        asked = step < lengths.to(labels.device)[:, None]
        labels, step = torch.where(asked, labels, labels[:, :1]), torch.where(asked, step, 0)
    check_labels(labels, classes)
    first = step * classes  # where the step's outputs begin
    flat = labels.reshape(-1)
    others = _others(flat, classes).view(batch, time, classes - 1) + first[:, :, None]
    own = (labels + first)[:, :, None].expand_as(others)
    rows = torch.zeros(batch, time * (classes - 1), time * classes, dtype=torch.float64, device=labels.device)
    rows.scatter_(2, own.reshape(batch, -1, 1).long(), 1.0)
    rows.scatter_(2, others.reshape(batch, -1, 1).long(), -1.0)
    return Specification(rows, torch.zeros_like(rows[:, :, 0]), Steps(time))


def matrix(C: Tensor, d: Tensor | None = None, *, batch: int) -> Specification:
    """Any rows C F(x) + d, all of which must be positive.

    C (spec, outputs) float64, shared by all samples, or (batch, spec, outputs); d (spec,) or (batch, spec), None for
    zeros. Raises SpecificationError.
    """
    if C.ndim not in (2, 3) or (C.ndim == 3 and C.shape[0] != batch) or 0 in C.shape:
        raise SpecificationError(
            f"C has shape {tuple(C.shape)}; it needs (spec, outputs), shared by all samples, "
            f"or ({batch}, spec, outputs)"
        )
    spec = C.shape[-2]
    if d is None:
        d = torch.zeros(spec, dtype=torch.float64, device=C.device)
    if d.shape not in ((spec,), (batch, spec)):
        raise SpecificationError(f"d has shape {tuple(d.shape)}; with this C it needs ({spec},) or ({batch}, {spec})")
    return Specification(C.expand(batch, -1, -1), d.expand(batch, -1))


def _check_batch_of_labels(labels: Tensor, classes: int) -> None:
    if labels.ndim != 1:
        raise SpecificationError(f"labels have shape {tuple(labels.shape)}; they need one per sample, (batch,)")
    if classes < 2:
        raise SpecificationError(f"the model has {classes} class; a margin needs at least two")
    check_labels(labels, classes)


def _check_lengths(lengths: Tensor, batch: int, time: int) -> None:
    if lengths.shape != (batch,) or lengths.dtype.is_floating_point:
        raise SpecificationError(
            f"lengths are {lengths.dtype} of shape {tuple(lengths.shape)}; give one whole number per sample, ({batch},)"
        )
    outside = (lengths < 1) | (lengths > time)
    if bool(outside.any()):
        index = int(outside.nonzero()[0, 0])
        raise SpecificationError(f"lengths[{index}] is {lengths[index].item()}; the labels have 1 to {time} frames")


def _others(labels: Tensor, classes: int) -> Tensor:
    """All classes but the label, in order, (batch, classes - 1)."""
    every = torch.arange(classes, device=labels.device).expand(labels.shape[0], classes)
    return every[every != labels[:, None]].view(labels.shape[0], classes - 1)


def _margin_rows(labels: Tensor, others: Tensor, classes: int) -> Specification:
    batch, spec = others.shape
    rows = torch.zeros(batch, spec, classes, dtype=torch.float64, device=labels.device)
    rows.scatter_(2, labels[:, None, None].long().expand(batch, spec, 1), 1.0)
    rows.scatter_(2, others[:, :, None].long(), -1.0)
    return Specification(rows, torch.zeros(batch, spec, dtype=torch.float64, device=labels.device))

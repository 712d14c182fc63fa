"""What is asked: input sets and specification rows.

Units: radii are in the unit of the data as the network reads it, per frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.errors import SpecificationError


@dataclass(frozen=True)
class FrameBalls:
    """Every frame t of sample b may move inside an l_p ball of its own radius around center[b, t].

    center (batch, time, input) float64; radius (batch, time) float64, zero fixes a frame;
    p: any real >= 1 or math.inf; clip: an optional valid range (low, high) that cuts every ball.
    Source: POPQORN (Ko et al. 2019), section 2, with one radius per frame.
    """

    center: Tensor
    radius: Tensor
    p: float = math.inf
    clip: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_norm(self.p)
        if self.center.ndim != 3 or 0 in self.center.shape:
            raise SpecificationError(
                f"the input set's center has shape {tuple(self.center.shape)}; "
                "it needs (batch, time, input), none of them zero"
            )
        if self.radius.shape != self.center.shape[:2]:
            raise SpecificationError(
                f"the input set's radius has shape {tuple(self.radius.shape)}; "
                f"it needs one value per sample and frame, {tuple(self.center.shape[:2])}"
            )
        for name, value in (("center", self.center), ("radius", self.radius)):
            if value.dtype != torch.float64:
                raise SpecificationError(f"the input set's {name} is {value.dtype}; give float64")
            require_finite(f"the input set's {name}", value)
        if bool((self.radius < 0).any()):
            index = [int(i) for i in (self.radius < 0).nonzero()[0]]
            raise SpecificationError(
                f"radius{index} is {self.radius[tuple(index)].item()}; a radius cannot be negative"
            )
        if self.clip is not None:
            check_clip(self.clip)
            low, high = self.clip
            outside = (self.center < low) | (self.center > high)
            if bool(outside.any()):
                index = [int(i) for i in outside.nonzero()[0]]
                raise SpecificationError(
                    f"data{index} is {self.center[tuple(index)].item()}, outside the clip range "
                    f"[{low}, {high}]; scale the data or widen the range"
                )

    @property
    def time(self) -> int:
        return self.center.shape[1]

    def __len__(self) -> int:
        return self.center.shape[0]

    def select(self, index: Tensor | slice) -> FrameBalls:
        """The input sets of some of the samples."""
        return FrameBalls(self.center[index], self.radius[index], self.p, self.clip)

    def to(self, device: torch.device) -> FrameBalls:
        return FrameBalls(self.center.to(device), self.radius.to(device), self.p, self.clip)


def require_finite(what: str, value: Tensor) -> None:
    """Raise with the index of the first NaN or infinity."""
    bad = ~torch.isfinite(value)
    if bool(bad.any()):
        index = [int(i) for i in bad.nonzero()[0]]
        raise SpecificationError(f"{what}{index} is {value[tuple(index)].item()}; every value must be finite")


def check_norm(p: float) -> None:
    """Raise unless p is a norm's exponent."""
    if not p >= 1:  # catches NaN as well
        raise SpecificationError(f"norm p = {p}: l_p is a norm only for p >= 1; give p >= 1 or inf")


def check_clip(clip: tuple[float, float]) -> None:
    """Raise unless clip is a range of finite numbers."""
    low, high = clip
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SpecificationError(
            f"clip range [{low}, {high}] is not a range; give two finite numbers, the lower one first"
        )


def dual_exponent(p: float) -> float:
    """q with 1/p + 1/q = 1, rounded DOWN so that the l_q norm used is never too small.

    The l_q norm does not increase with q. lemma `dual_norm`.
    """
    if p == math.inf:
        return 1.0
    if p == 1:
        return math.inf
    if p == 2:
        return 2.0
    exact = p / (p - 1)
    return max(1.0, exact * (1 - 2.0**-50))


@dataclass(frozen=True)
class Specification:
    """Rows C F(x) + d > 0. C (batch, spec, classes) float64, d (batch, spec) float64."""

    C: Tensor
    d: Tensor

    def __post_init__(self) -> None:
        if self.C.ndim != 3 or self.d.shape != self.C.shape[:2]:
            raise SpecificationError(
                f"specification rows have shapes C {tuple(self.C.shape)}, d {tuple(self.d.shape)}; "
                "they need (batch, spec, classes) and (batch, spec)"
            )
        for name, value in (("C", self.C), ("d", self.d)):
            if value.dtype != torch.float64:
                raise SpecificationError(f"specification {name} is {value.dtype}; give float64")
            require_finite(f"specification {name}", value)

    def select(self, index: Tensor | slice) -> Specification:
        return Specification(self.C[index], self.d[index])


def check_labels(labels: Tensor, classes: int) -> None:
    """Raise unless every label names a class."""
    if labels.dtype not in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        raise SpecificationError(f"labels are {labels.dtype}; give whole numbers")
    outside = (labels < 0) | (labels >= classes)
    if bool(outside.any()):
        index = int(outside.nonzero()[0, 0])
        raise SpecificationError(f"labels[{index}] is {labels[index].item()}; the model has classes 0 to {classes - 1}")


def untargeted(labels: Tensor, classes: int) -> Specification:
    """One margin row e_label - e_other for every other class, in order of class. labels (batch,)."""
    check_labels(labels, classes)
    batch = labels.shape[0]
    others = torch.arange(classes, device=labels.device).expand(batch, classes)
    others = others[others != labels[:, None]].view(batch, classes - 1)
    return _margin_rows(labels, others, classes)


def targeted(labels: Tensor, targets: Tensor, classes: int) -> Specification:
    """The single margin row e_label - e_target per sample. labels, targets (batch,)."""
    check_labels(labels, classes)
    check_labels(targets, classes)
    same = labels == targets
    if bool(same.any()):
        index = int(same.nonzero()[0, 0])
        raise SpecificationError(f"sample {index}: the target {targets[index].item()} is its own label")
    return _margin_rows(labels, targets[:, None], classes)


def _margin_rows(labels: Tensor, others: Tensor, classes: int) -> Specification:
    batch, spec = others.shape
    rows = torch.zeros(batch, spec, classes, dtype=torch.float64, device=labels.device)
    rows.scatter_(2, labels[:, None, None].long().expand(batch, spec, 1), 1.0)
    rows.scatter_(2, others[:, :, None].long(), -1.0)
    return Specification(rows, torch.zeros(batch, spec, dtype=torch.float64, device=labels.device))

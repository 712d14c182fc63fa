"""Losses of batches: cross entropy at points, and cross entropy of the worst logits that bounds allow.

The worst logits of Gowal et al. (2018), section 3.3: the label's own margin row is 0, the others are lower bounds of
F_label - F_j; the cross entropy of their negatives is an upper bound of the loss on the region, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import require_finite
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import check_labels
from gpu_engine.training import backsubstituted, interval
from gpu_engine.training.regions import Region
from gpu_engine.training.tapes import answers, tape_of


@dataclass(frozen=True)
class Labelled:
    """x (count, time, input); labels (count,), or (count, time) for a model that answers each frame; lengths (count,).

    lengths: how many frames of each sequence count, None for all. Raises SpecificationError.
    """

    x: Tensor
    labels: Tensor
    lengths: Tensor | None = None

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or 0 in self.x.shape:
            raise SpecificationError(f"the sequences have shape {tuple(self.x.shape)}; give (count, time, input)")
        if self.labels.shape not in (self.x.shape[:1], self.x.shape[:2]):
            raise SpecificationError(
                f"labels have shape {tuple(self.labels.shape)} for {len(self.x)} sequences; give one for each"
            )
        if self.lengths is not None and self.lengths.shape != self.x.shape[:1]:
            raise SpecificationError(f"lengths have shape {tuple(self.lengths.shape)}; give one for each sequence")
        require_finite("the sequences", self.x)

    def __len__(self) -> int:
        return len(self.x)

    def select(self, index: Tensor) -> Labelled:
        return Labelled(self.x[index], self.labels[index], None if self.lengths is None else self.lengths[index])

    def joined(self, other: Labelled) -> Labelled:
        """Both, this one first."""
        lengths = None
        if self.lengths is not None and other.lengths is not None:
            lengths = torch.cat((self.lengths, other.lengths))
        return Labelled(torch.cat((self.x, other.x)), torch.cat((self.labels, other.labels)), lengths)

    def by_length(self) -> Iterator[Labelled]:
        """Sequences of one length each, cut to it."""
        if self.lengths is None:
            yield self
            return
        for length in torch.unique(self.lengths).tolist():
            part = self.select(self.lengths == length)
            labels = part.labels if part.labels.ndim == 1 else part.labels[:, :length]
            yield Labelled(part.x[:, :length], labels)


def check_fit(model: RecurrentClassifier, data: Labelled) -> None:
    """Raise SpecificationError unless the data is for this model."""
    if data.x.shape[2] != model.input_size:
        raise SpecificationError(
            f"the data has {data.x.shape[2]} values a frame, the model reads {model.input_size}; give other data"
        )
    per_frame = data.labels.ndim == 2
    if per_frame != (model.readout == "every"):
        raise SpecificationError(
            f"the labels have shape {tuple(data.labels.shape)}, but the model answers "
            f"{'each frame' if model.readout == 'every' else 'each sequence'}; give labels of that kind"
        )
    for part in data.by_length():
        check_labels(part.labels, model.classes)


def plain_loss(model: RecurrentClassifier, data: Labelled, dtype: torch.dtype) -> Tensor:
    """Mean cross entropy over the answers."""
    total, count = torch.zeros((), dtype=dtype), 0
    for part in data.by_length():
        logits = answers(tape_of(model, part.x.shape[1], dtype), part.x.to(dtype))
        labels = part.labels if part.labels.ndim == 2 else part.labels[:, None]
        total = total + functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
        count += labels.numel()
    return total / count


def worst_loss(
    model: RecurrentClassifier, data: Labelled, bound: str, radius: float, p: float, clip: tuple[float, float] | None,
    dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """Mean cross entropy of the worst logits within the radius, by one of `recipe.CERTIFIED`."""
    total, count = torch.zeros((), dtype=dtype), 0
    for part in data.by_length():
        region = Region(part.x.to(dtype), radius, p, clip)
        tape = tape_of(model, region.time, dtype)
        if bound == "interval":
            below = interval.margins(tape, interval.boxes(tape, region), region, part.labels)
        else:
            found, planes = backsubstituted.boxes(tape, region, every=False)
            # Over wide boxes planes can be worse than intervals; both bound, so the better of them does.
            below = torch.maximum(
                backsubstituted.margins(tape, planes, region, part.labels),
                interval.margins(tape, found, region, part.labels),
            )
        total, count = total + torch.logsumexp(-below, -1).sum(), count + below.shape[0] * below.shape[1]
    return total / count

"""What `assert_certified` and `assert_radius_at_least` ask, checked at the boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions, require_finite
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import Options
from gpu_engine.spec import Specification, untargeted, untargeted_steps
from refcert.app.errors import InputError
from refcert.testing.exact import contains

InputSetLike = InputSet | Callable[[Tensor], InputSet]


@dataclass(frozen=True)
class Asked:
    """Samples x (batch, time, input) float64, the sets around them, and what has to hold there.

    labels: (batch,), (batch, time) for an answer per frame, or None where a specification was given instead.
    """

    model: RecurrentClassifier
    x: Tensor
    labels: Tensor | None
    inputs: InputSet
    specification: Specification
    lengths: Tensor | None
    options: Options

    def __len__(self) -> int:
        return len(self.x)

    def select(self, samples: list[int]) -> Asked:
        """Some of the samples."""
        index = torch.tensor(samples, dtype=torch.int64)
        return Asked(
            self.model,
            self.x[index],
            None if self.labels is None else self.labels[index],
            self.inputs.select(index),
            self.specification.select(index),
            None if self.lengths is None else self.lengths[index],
            self.options,
        )

    @property
    def question(self) -> Question:
        """For attacks."""
        return Question(self.model, self.specification, self.lengths)

    @property
    def family(self) -> BallFamily | None:
        """The balls of all radii around the samples, where the sets are balls; their own radius is `radius`."""
        if isinstance(self.inputs, FrameBalls):
            largest = self.inputs.radius.amax(1, keepdim=True)
            # dividing rounds: only the scale of a search depends on it
            weight = torch.where(largest > 0, self.inputs.radius / torch.where(largest > 0, largest, 1.0), 0.0)
            return BallFamily(self.inputs.center, weight, self.inputs.p, self.inputs.clip)
        if isinstance(self.inputs, SequenceBall):
            moves = self.inputs.moves
            weight = torch.ones_like(self.x[..., 0]) if moves is None else moves.to(torch.float64)
            return BallFamily(self.inputs.center, weight, self.inputs.p, self.inputs.clip, shared=True)
        return None

    @property
    def radius(self) -> Tensor | None:
        """The largest radius of every sample, (batch,), where the sets are balls."""
        if isinstance(self.inputs, FrameBalls):
            return self.inputs.radius.amax(1)
        return self.inputs.radius if isinstance(self.inputs, SequenceBall) else None


def tensor_of(value: Any, what: str) -> Tensor:
    """Numbers as a float64 tensor (batch, time, input). Raises InputError and SpecificationError."""
    try:
        found = value.detach().cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        found = found.to(torch.float64) if not found.is_complex() else found
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is a {type(value).__name__}, which cannot be read as numbers ({error})") from None
    if found.ndim != 3 or 0 in found.shape or found.is_complex():
        raise InputError(f"{what} has shape {tuple(found.shape)} and type {found.dtype}; it needs (batch, time, input)")
    require_finite(what, found)
    return found


def labels_of(value: Any, batch: int, what: str = "labels") -> Tensor | None:
    """Whole numbers, one or more a sample. Raises InputError."""
    if value is None:
        return None
    try:
        found = value.detach().cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} are a {type(value).__name__}, which cannot be read as numbers ({error})") from None
    if found.is_floating_point() or found.is_complex() or found.dtype is torch.bool:
        raise InputError(f"{what} are {found.dtype}; give whole numbers")
    if found.ndim == 0 or len(found) != batch:
        raise InputError(f"{what} have shape {tuple(found.shape)}; there are {batch} samples")
    return found.to(torch.int64)


def asked_of(
    model: RecurrentClassifier,
    x: Any,
    labels: Any,
    input_set: InputSetLike,
    specification: Specification | None,
    lengths: Any,
    options: Options,
) -> Asked:
    """Everything checked. Raises InputError, SpecificationError."""
    samples = tensor_of(x, "x")
    if samples.shape[2] != model.input_size:
        raise InputError(f"x has {samples.shape[2]} values a frame, the model reads {model.input_size}")
    known = labels_of(labels, len(samples))
    counted = None if lengths is None else labels_of(lengths, len(samples), "lengths")
    inputs = input_set if _is_set(input_set) else input_set(samples) if callable(input_set) else input_set
    if not isinstance(inputs, (FrameBalls, SequenceBall, Boxes, Substitutions)):
        raise InputError(f"input_set is a {type(inputs).__name__}; give FrameBalls, SequenceBall, Boxes, Substitutions")
    if inputs.center.shape != samples.shape:
        raise InputError(
            f"the input sets have the shape {tuple(inputs.center.shape)}, x has {tuple(samples.shape)}; give one set "
            "per sample, around it"
        )
    if specification is None:
        if known is None:
            raise InputError("labels is None; give a label per sample, or a specification")
        every = model.readout == "every"
        specification = untargeted_steps(known, model.classes, counted) if every else untargeted(known, model.classes)
    elif len(specification) != len(samples):
        raise InputError(f"the specification is about {len(specification)} samples, x has {len(samples)}")
    if specification.C.shape[2] != model.outputs(samples.shape[1]):
        raise InputError(
            f"specification rows are over {specification.C.shape[2]} outputs, the model has "
            f"{model.outputs(samples.shape[1])} for {samples.shape[1]} frames"
        )
    for k in range(len(samples)):
        if not torch.equal(samples[k], inputs.center[k]) and not contains(inputs, k, samples[k]):
            raise InputError(
                f"x[{k}] is not in its own input set; were the data preprocessed in another way than the set's center, "
                f"or clipped to another range? Largest difference from the center: "
                f"{float((samples[k] - inputs.center[k]).abs().max())!r}"
            )
    return Asked(model, samples, known, inputs, specification, counted, options)


def _is_set(value: object) -> bool:
    return isinstance(value, (FrameBalls, SequenceBall, Boxes, Substitutions))

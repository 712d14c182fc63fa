"""What a baseline holds: the question, what identifies model and data, and one entry for each sample."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, Final

from refcert.app.errors import InputError

Label = int | tuple[int, ...]
"""A class, or one for each frame of a model that answers every frame."""


@dataclass(frozen=True)
class Tolerances:
    """How far a value may fall before it counts as a drop.

    radius: relative to the recorded radius; above the relative width (1e-3) at which a search stops, or two searches of
    one model could differ by more. margin: absolute, in units of the logits. gap: relative; a layer's mean gap that
    moved further is named (a gap alone fails nothing). Raises InputError.
    """

    radius: float = 0.01
    margin: float = 1e-3
    gap: float = 0.02

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"--tolerance-{field.name} is {value}; give a finite number >= 0")
        if self.radius >= 1:
            raise InputError(f"--tolerance-radius is {self.radius}, a share of the recorded radius; give less than 1")

    def changed(self, **given: float | None) -> Tolerances:
        """These, but for the ones that are given."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class Sample:
    """One sample of the data.

    input: short digest of its frames (and of its stored set). value: certified radius, or margin at the fixed set; None
    where the sample has no question. undecided: planes left UNDECIDED by the audit, None without one. gaps: mean
    distance of upper and lower plane at the centres of their boxes, by layer and gate ('layer 0 forget'), on the ball
    of the recorded radius; empty where that is 0.
    """

    index: int
    input: str
    label: Label
    predicted: Label
    correct: bool
    value: Decimal | None
    gaps: Mapping[str, Decimal]
    undecided: int | None = None


@dataclass(frozen=True)
class ModelEntry:
    """source: as the baseline's text names it. weights: short digests by weight and gate."""

    source: str
    digest: str
    weights: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class DataEntry:
    """source as above; shape (count, time, input)."""

    source: str
    digest: str
    unit: str
    shape: tuple[int, ...]


RADIUS: Final = "radius"
MARGIN: Final = "margin"


@dataclass(frozen=True)
class Baseline:
    """request: the question's own fields, without those that only say where and how fast it is computed.

    specification: digest of the user's own rows, None without. samples: in order of index. version: of refcert.
    """

    model: ModelEntry
    data: DataEntry
    request: Mapping[str, Any]
    specification: str | None
    tolerances: Tolerances
    samples: tuple[Sample, ...]
    version: str

    def __post_init__(self) -> None:
        indices = [sample.index for sample in self.samples]
        if indices != sorted(set(indices)):
            raise InputError(f"the samples of a baseline are sorted and named once; here they are {indices}")

    @property
    def measure(self) -> str:
        """Whether samples have a certified RADIUS or a MARGIN at a fixed set."""
        searched = all(self.request.get(name) is None for name in ("radius", "radius_db"))
        return RADIUS if searched and self.request["input_set"] in ("frames", "sequence") else MARGIN

    @property
    def audited(self) -> bool:
        return any(sample.undecided is not None for sample in self.samples)

    def by_index(self) -> dict[int, Sample]:
        return {sample.index: sample for sample in self.samples}

    def part(self, indices: Collection[int]) -> Baseline:
        """Only the samples with these indices."""
        return replace(self, samples=tuple(sample for sample in self.samples if sample.index in indices))

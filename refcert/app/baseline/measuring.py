"""A subject's samples measured: certified radius or margin, relaxation gaps, planes that stay UNDECIDED.

Gaps are measured on one ball a sample: that of the recorded radius, before and after, or of the fixed radius. On the
ball of its own radius a looser model would show the same gaps on a smaller ball.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import torch
from torch import Tensor

from gpu_engine.bounds import BoundedProduct
from gpu_engine.errors import NumericalError
from gpu_engine.search.certify import Options, certify
from refcert.app.baseline import decimals
from refcert.app.baseline.entries import Label, Sample
from refcert.app.baseline.fingerprints import input_digests
from refcert.app.baseline.gaps import Gaps
from refcert.app.baseline.subject import Subject
from refcert.app.input_sets import family
from refcert.app.plane_export import PlaneCollector
from refcert.app.progress import Progress
from refcert.app.questions import Answers, Asked, Questions, answer, ask
from refcert.app.records import records
from refcert.app.samples import Samples
from refcert.audit.plane_audit import Auditor
from refcert.kernel.claims import Status

Radii = Mapping[int, Decimal]
"""Recorded radius by index of the sample."""


@dataclass(frozen=True)
class How:
    """recorded: radii whose balls the gaps are measured on; None for each sample's own.

    search: also where the recorded radius is proved again, the largest one is searched; without it such a sample has
    its recorded radius, and only others are searched, which is several times faster. auditor: None for no audit.
    """

    recorded: Radii | None = None
    search: bool = True
    auditor: Auditor | None = None


@dataclass(frozen=True)
class Measured:
    """samples in order of index; refuted: planes that the audit refuted, by index of the sample."""

    samples: tuple[Sample, ...]
    refuted: Mapping[int, int] = field(default_factory=dict)


def measure(subject: Subject, how: How, progress: Progress) -> Measured:
    """Measure all samples, batch by batch. Raises EngineError, NumericalError."""
    samples, refuted = [], Counter[int]()
    with progress.task("measuring", len(subject.samples), unit="samples") as tick:
        for start in range(0, len(subject.samples), subject.request.batch_size):
            first = subject.first + start
            part = subject.part(first, min(first + subject.request.batch_size, subject.first + len(subject.samples)))
            batch = _Batch(part, how)
            samples.extend(batch.samples())
            refuted.update(batch.refuted)
            tick(len(part.samples))
    return Measured(tuple(samples), dict(refuted))


class _Batch:
    def __init__(self, subject: Subject, how: How) -> None:
        self.subject, self.how, self.request = subject, how, subject.request
        self.questions = ask(self.request, subject.model, subject.samples)
        self.logits = subject.samples.logits(subject.model)
        self.gaps, self.planes = Gaps(), PlaneCollector(subject.first)
        self.refuted: Counter[int] = Counter()
        self.options = Options(
            *(self.request.relaxation, self.request.dtype, self.request.device),
            chunk=self.request.batch_size,
            memory=self.request.memory,
            optimize=self.request.optimize,
            suppose=self.request.suppose,
        )

    def samples(self) -> list[Sample]:
        rows = self._searched() if self.request.search else self._fixed()
        undecided = self._undecided()
        inputs = input_digests(self.subject.samples)
        return [
            Sample(
                row["index"],
                inputs[k],
                _label(row["label"]),
                _label(row["predicted"]),
                row["correct"],
                row["value"],
                self.gaps.of(k),
                None if undecided is None else undecided[row["index"]],
            )
            for k, row in enumerate(rows)
        ]

    def _fixed(self) -> list[dict[str, Any]]:
        rows = self._rows(self.questions, self._answers(self.questions, self._sink))
        return [row | {"value": _bound(row["margin"])} for row in rows]

    def _searched(self) -> list[dict[str, Any]]:
        recorded = self.how.recorded
        if recorded is None:
            found = self._search(self.questions)
            self._on_balls({row["index"]: row["value"] for row in found if row["value"]})
            return found
        held = self._on_balls(recorded)
        if self.how.search:
            return self._search(self.questions)
        # Only those that do not hold at the recorded radius any more, or never had one.
        left = torch.tensor([k for k in range(len(self.subject.samples)) if k not in held], dtype=torch.int64)
        rows = self._search(_select(self.questions, torch.isin(self.questions.sample, left)))
        return [row | ({"value": recorded[row["index"]]} if k in held else {}) for k, row in enumerate(rows)]

    def _search(self, questions: Questions) -> list[dict[str, Any]]:
        rows = self._rows(questions, self._answers(questions, None))
        return [row | {"value": _bound(row["radius"])} for row in rows]

    def _answers(self, questions: Questions, sink: Any) -> Answers | None:
        if not len(questions.sample):
            return None
        subject = self.subject
        return answer(
            *(self.request, subject.model, subject.samples, questions, self.options, subject.largest, sink),
            lambda _: None,
        )

    def _rows(self, questions: Questions, answers: Answers | None) -> list[dict[str, Any]]:
        subject: Subject = self.subject
        return records(self.request, questions, answers, subject.first, subject.samples, self.logits)

    def _on_balls(self, recorded: Radii) -> set[int]:
        """One pass over the balls of the recorded radii, for gaps; positions of the samples that are proved there."""
        count, first = len(self.subject.samples), self.subject.first
        radius = torch.tensor([float(recorded.get(first + k, 0)) for k in range(count)], dtype=torch.float64)
        questions = _select(self.questions, radius[self.questions.sample] > 0)
        if not len(questions.sample):
            return set()
        try:
            margin = self._pass(questions, radius[questions.sample], self.subject.samples)
        except NumericalError:  # the bounds of another model can overflow on these balls: nothing holds there
            self.gaps, self.planes = Gaps(), PlaneCollector(first)
            return set()
        open_again = set(questions.sample[margin <= 0].tolist())
        plain = self._rows(_select(self.questions, torch.zeros_like(self.questions.sample) > 0), None)
        wrong = {k for k, row in enumerate(plain) if self.request.about_label and not row["correct"]}
        return set(questions.sample.tolist()) - open_again - wrong

    def _pass(self, questions: Questions, radius: Tensor, samples: Samples) -> Tensor:
        sets = family(self.request, samples, questions.sample, questions.asked.moves)(radius)

        def sink(index: Tensor, products: tuple[BoundedProduct, ...]) -> None:
            self._sink(questions.sample[index], products)

        model, lengths = self.subject.model, questions.lengths
        return certify(model, sets, questions.specification, self.options, sink, lengths).margin

    @property
    def _sink(self) -> Callable[[Tensor, tuple[BoundedProduct, ...]], None]:
        def add(samples: Tensor, products: tuple[BoundedProduct, ...]) -> None:
            self.gaps.add(samples, products)
            if self.how.auditor is not None:
                self.planes.add(samples, products)

        return add

    def _undecided(self) -> Counter[int] | None:
        """Planes by index of their sample that are not decided; fills `refuted`."""
        if self.how.auditor is None:
            return None
        table, found = self.planes.table(), Counter[int]()
        if table is None:
            return found
        verdicts = self.how.auditor.audit(table, lambda _: None).verdicts
        for index, verdict in zip(table.origin["sample"].tolist(), verdicts, strict=True):
            found[index] += verdict.status == Status.UNDECIDED
            self.refuted[index] += verdict.status == Status.REFUTED
        self.refuted = +self.refuted
        return found


def _select(questions: Questions, kept: Tensor) -> Questions:
    """The questions where `kept`, (questions,) bool."""
    asked = questions.asked
    frame, target = (None if value is None else value[kept] for value in (asked.frame, asked.target))
    index = kept.nonzero()[:, 0]
    return Questions(
        Asked(asked.sample[kept], asked.moves[kept], frame, target),
        questions.specification.select(index),
        None if questions.lengths is None else questions.lengths[kept],
    )


def _bound(value: float | None) -> Decimal | None:
    return None if value is None else decimals.bound(value)


def _label(value: Any) -> Label:
    return tuple(value) if isinstance(value, list) else int(value)

"""Two baselines of one question compared, sample by sample. Pure: nothing is computed, read or written here.

Both sides are rounded alike, so that what did not change compares as equal. A drop is judged against a named tolerance,
a lost certificate or a newly wrong sample against none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from refcert.app.baseline.changes import Change, Comparison, Kind
from refcert.app.baseline.decimals import bound_text
from refcert.app.baseline.entries import RADIUS, Baseline, Label, Sample, Tolerances
from refcert.app.baseline.layers import changed_weights, moved_layers, percent
from refcert.app.baseline.question import question_digest

_SHOWN_WEIGHTS = 12


@dataclass(frozen=True)
class Attacked:
    """The nearest adversarial input found: its radius, infinity where none was; predicted: its class, if it has one."""

    radius: float
    predicted: int | None


@dataclass(frozen=True)
class Evidence:
    """What was found beside the values: planes that the audit refuted, nearest attacks, and a soundness fault's words.

    refuted, attacks: by index of the sample.
    """

    refuted: Mapping[int, int] = field(default_factory=dict)
    attacks: Mapping[int, Attacked] = field(default_factory=dict)
    method: str = "an attack"
    fault: str | None = None


def compare(
    recorded: Baseline,
    now: Baseline,
    tolerances: Tolerances | None = None,
    evidence: Evidence | None = None,
    *,
    other_data: bool = False,
) -> Comparison:
    """What changed. now: the same question about the present model and data, gaps on the recorded balls.

    tolerances: None for those that are recorded. other_data: changed inputs are said, and fail nothing.
    """
    judge = _Judge(recorded, now, tolerances or recorded.tolerances, evidence or Evidence(), other_data)
    order = list(Kind)
    changes = sorted(judge.changes(), key=lambda c: (order.index(c.kind), -1 if c.sample is None else c.sample))
    worse = {change.sample for change in changes if change.fails}
    pairs = list(judge.pairs())
    dropped = [pair for pair in pairs if pair[0].index in worse]
    layers = moved_layers(dropped or pairs, judge.tolerances.gap)
    values = [sample.value for sample in now.samples if sample.correct and sample.value is not None]
    least = bound_text(min(values)).strip() if values else None
    return Comparison(tuple(changes), layers, len(pairs), least, now.measure)


class _Judge:
    def __init__(
        self, recorded: Baseline, now: Baseline, tolerances: Tolerances, evidence: Evidence, other_data: bool
    ) -> None:
        self.recorded, self.now, self.tolerances = recorded, now, tolerances
        self.evidence, self.other_data = evidence, other_data
        self.before, self.after = recorded.by_index(), now.by_index()

    def pairs(self) -> Iterator[tuple[Sample, Sample]]:
        return ((old, self.after[k]) for k, old in self.before.items() if k in self.after)

    def changes(self) -> Iterator[Change]:
        if self.evidence.fault is not None:
            yield Change(Kind.UNSOUND, self.evidence.fault)
        questions = [question_digest(side.request, side.specification) for side in (self.recorded, self.now)]
        if questions[0] != questions[1]:
            yield Change(Kind.REQUEST, "the question, or the rows of --spec, are not the recorded ones; record it anew")
        if self.recorded.model.digest != self.now.model.digest:
            yield self._model()
        if self.recorded.data.digest != self.now.data.digest:
            yield Change(Kind.DATA, "the data is not the recorded one, byte for byte (digest changed)")
        for k in self.before.keys() - self.after.keys():
            yield Change(Kind.MISSING, f"sample {k} is not in the data any more", k)
        for k in self.after.keys() - self.before.keys():
            yield Change(Kind.NEW_SAMPLE, f"sample {k} is not in the baseline and not guarded; update it", k)
        for old, new in self.pairs():
            yield from self._sample(old, new)

    def _model(self) -> Change:
        weights = list(changed_weights(self.recorded.model, self.now.model))
        listed = "; ".join(weights[:_SHOWN_WEIGHTS])
        more = f"; and {len(weights) - _SHOWN_WEIGHTS} more" if len(weights) > _SHOWN_WEIGHTS else ""
        return Change(
            Kind.MODEL,
            f"the model is another one: {listed or 'the same weights in another structure'}{more}",
            None,
            self.recorded.model.digest,
            self.now.model.digest,
        )

    def _sample(self, old: Sample, new: Sample) -> Iterator[Change]:
        k = old.index
        refuted = self.evidence.refuted.get(k, 0)
        if refuted:
            yield Change(Kind.REFUTED, f"sample {k}: {refuted} bounding planes are REFUTED", k)
        if old.input != new.input and not self.other_data:
            yield Change(Kind.INPUT, f"sample {k}: its input is not the recorded one ({old.input} -> {new.input})", k)
        if old.label != new.label:
            yield Change(Kind.LABEL, f"sample {k}: label {_label(old.label)} -> {_label(new.label)}", k)
        yield from self._decision(old, new)
        if (old.correct and new.correct) or not self._about_label():
            yield from self._value(old, new)
        yield from self._undecided(old, new)

    def _about_label(self) -> bool:
        return self.recorded.request.get("spec") is None

    def _decision(self, old: Sample, new: Sample) -> Iterator[Change]:
        k, guess = old.index, f"{_label(old.predicted)} -> {_label(new.predicted)}"
        if old.correct and not new.correct:
            yield Change(Kind.NEWLY_WRONG, f"sample {k} (label {_label(new.label)}) is classified {guess}", k)
        elif new.correct and not old.correct:
            yield Change(Kind.NEWLY_RIGHT, f"sample {k} (label {_label(new.label)}) is classified {guess}", k)
        elif old.predicted != new.predicted:
            yield Change(Kind.PREDICTED, f"sample {k} (label {_label(new.label)}) is classified {guess}", k)

    def _value(self, old: Sample, new: Sample) -> Iterator[Change]:
        before, after, k = old.value, new.value, old.index
        if before == after:
            return
        texts = ["no question" if value is None else bound_text(value).strip() for value in (before, after)]
        if before is None or after is None:
            kind = Kind.LOST if after is None else Kind.GAINED
            yield Change(kind, f"sample {k}: {self.now.measure} {texts[0]} -> {texts[1]}", k, *texts)
            return
        radius = self.now.measure == RADIUS
        change = f" ({percent(float(after / before - 1))})" if radius and before else ""
        words = f"sample {k}: certified {self.now.measure} {texts[0]} -> {texts[1]}{change}"
        if before > 0 >= after:
            yield Change(Kind.LOST, words + self._why(old, new), k, *texts)
        elif after > 0 >= before:
            yield Change(Kind.GAINED, words, k, *texts)
        elif before - after > self._tolerated(before):
            kind = Kind.RADIUS_DROP if radius else Kind.MARGIN_DROP
            yield Change(kind, f"{words}, {self._named()}{self._why(old, new)}", k, *texts)
        elif after - before > self._tolerated(before):
            yield Change(Kind.RADIUS_RISE if radius else Kind.MARGIN_RISE, words, k, *texts)

    def _tolerated(self, before: Decimal) -> Decimal:
        if self.now.measure == RADIUS:
            return Decimal(repr(self.tolerances.radius)) * before
        return Decimal(repr(self.tolerances.margin))

    def _named(self) -> str:
        if self.now.measure == RADIUS:
            return f"below --tolerance-radius {self.tolerances.radius:g}"
        return f"below --tolerance-margin {self.tolerances.margin:g}"

    def _why(self, old: Sample, new: Sample) -> str:
        """An adversarial input in the recorded ball, and the layers that moved most on it."""
        parts = []
        attacked = self.evidence.attacks.get(old.index)
        if attacked is not None and old.value is not None and self._in_recorded(attacked, old.value):
            guess = "" if attacked.predicted is None else f", classified as {attacked.predicted}"
            where = "inside the recorded ball" if self.now.measure == RADIUS else "inside the fixed set"
            parts.append(f"{self.evidence.method} found an input at {attacked.radius:.6g}{guess}: {where}")
        moved = moved_layers([(old, new)], self.tolerances.gap)
        if moved:
            parts.append("moved most: " + ", ".join(f"{m.name} (gap {percent(m.change)})" for m in moved[:2]))
        return "".join(f"; {part}" for part in parts)

    def _in_recorded(self, attacked: Attacked, value: Decimal) -> bool:
        # At a fixed set only inputs inside it are found at all.
        limit = float(value) if self.now.measure == RADIUS else float("inf")
        return attacked.radius < float("inf") and attacked.radius <= limit

    def _undecided(self, old: Sample, new: Sample) -> Iterator[Change]:
        # An audit on one side only fails where it leaves a plane open: what was not audited does not count as PROVED.
        before, after = old.undecided, new.undecided
        if before == after or (before is None and after == 0):
            return
        worse = after is None or after > (before or 0)
        texts = ["not audited" if count is None else str(count) for count in (before, after)]
        kind = Kind.NEW_UNDECIDED if worse else Kind.FEWER_UNDECIDED
        yield Change(kind, f"sample {old.index}: {texts[0]} -> {texts[1]} planes UNDECIDED", old.index, *texts)


def _label(label: Label) -> str:
    return str(label) if isinstance(label, int) else f"[{' '.join(map(str, label))}]"


def indices_of(changes: Collection[Change]) -> list[int]:
    """The samples that changes are about, sorted."""
    return sorted({change.sample for change in changes if change.sample is not None})

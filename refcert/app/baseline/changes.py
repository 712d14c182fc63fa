"""What a comparison can find, each with its weight: it fails, it is an improvement, or it is only said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from gpu_engine.html_table import html_table
from refcert.app.baseline.layers import LayerMove


class Kind(StrEnum):
    """Kinds of changes, in the order in which they are shown."""

    UNSOUND = "unsound"
    REFUTED = "refuted"
    REQUEST = "request changed"
    MISSING = "sample missing"
    INPUT = "input changed"
    LABEL = "label changed"
    NEWLY_WRONG = "newly wrong"
    LOST = "no longer certified"
    RADIUS_DROP = "radius dropped"
    MARGIN_DROP = "margin dropped"
    NEW_UNDECIDED = "new UNDECIDED"
    NEWLY_RIGHT = "newly right"
    GAINED = "newly certified"
    RADIUS_RISE = "radius rose"
    MARGIN_RISE = "margin rose"
    FEWER_UNDECIDED = "fewer UNDECIDED"
    PREDICTED = "other wrong class"
    NEW_SAMPLE = "new sample"
    MODEL = "model changed"
    DATA = "data changed"


IMPROVEMENTS: Final = (Kind.NEWLY_RIGHT, Kind.GAINED, Kind.RADIUS_RISE, Kind.MARGIN_RISE, Kind.FEWER_UNDECIDED)
NOTES: Final = (Kind.PREDICTED, Kind.NEW_SAMPLE, Kind.MODEL, Kind.DATA)


@dataclass(frozen=True)
class Change:
    """sample: its index, None for what concerns the whole. recorded, now: values as text. words: the whole sentence."""

    kind: Kind
    words: str
    sample: int | None = None
    recorded: str | None = None
    now: str | None = None

    @property
    def fails(self) -> bool:
        return self.kind not in (*IMPROVEMENTS, *NOTES)

    def to_json(self) -> dict[str, Any]:
        plain = {"sample": self.sample, "recorded": self.recorded, "now": self.now, "words": self.words}
        return {"kind": str(self.kind), "fails": self.fails} | plain


@dataclass(frozen=True)
class Comparison:
    """changes in the order of Kind and index; layers: those of the dropped samples (of all, if none), most moved first.

    compared: how many samples both sides have. least: the least radius or margin of the correct ones now, as text.
    """

    changes: tuple[Change, ...]
    layers: tuple[LayerMove, ...] = ()
    compared: int = 0
    least: str | None = None
    measure: str = field(default="radius")

    @property
    def passed(self) -> bool:
        return not any(change.fails for change in self.changes)

    def of(self, *kinds: Kind) -> Iterator[Change]:
        """The changes of some kinds."""
        return (change for change in self.changes if change.kind in kinds)

    @property
    def failures(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.fails)

    @property
    def improvements(self) -> tuple[Change, ...]:
        return tuple(self.of(*IMPROVEMENTS))

    @property
    def notes(self) -> tuple[Change, ...]:
        return tuple(self.of(*NOTES))

    def _repr_html_(self) -> str:
        """For notebooks: failures first."""
        least = "" if self.least is None else f", least certified {self.measure} {self.least}"
        failed = f"{len(self.failures)} failures" if self.failures else "nothing is worse"
        weights = {True: "FAILED", False: "note"}
        rows = [
            ("better" if change.kind in IMPROVEMENTS else weights[change.fails], change.kind, change.words)
            for change in (*self.failures, *self.improvements, *self.notes)
        ]
        summary = f"{self.compared} samples compared{least}: {failed}"
        return html_table(summary, ("", "change", "what"), rows, len(rows))

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "passed": self.passed,
            "compared": self.compared,
            "measure": self.measure,
            "least": None if self.least is None else float(self.least),
            "failures": [change.to_json() for change in self.failures],
            "improvements": [change.to_json() for change in self.improvements],
            "notes": [change.to_json() for change in self.notes],
            "layers": [layer.to_json() for layer in self.layers],
        }

"""Which layer moved: by its weights' digests, and by its relaxation gaps on the same balls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from refcert.app.baseline.entries import ModelEntry, Sample


@dataclass(frozen=True)
class LayerMove:
    """Mean gap of one layer's gate over the samples that both sides have it of, recorded and now."""

    name: str
    recorded: float
    now: float

    @property
    def change(self) -> float:
        """Relative to the recorded gap; 0 where both are 0."""
        if self.recorded == 0:
            return 0.0 if self.now == 0 else float("inf")
        return self.now / self.recorded - 1

    @property
    def words(self) -> str:
        """'layer 0 forget: mean gap 1.234e-02 -> 1.543e-02 (+25%)'."""
        return f"{self.name}: mean gap {self.recorded:.3e} -> {self.now:.3e} ({percent(self.change)})"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "recorded": self.recorded, "now": self.now}


def percent(change: float) -> str:
    """'+25%', '-0.5%', '+0.034%'; 'from zero' for infinity."""
    return "from zero" if change == float("inf") else f"{100 * change:+.3g}%"


def moved_layers(pairs: Sequence[tuple[Sample, Sample]], tolerance: float) -> tuple[LayerMove, ...]:
    """Layers and gates whose mean gap moved further than the tolerance, relative; most moved first.

    pairs: recorded and present, with gaps on the same ball.
    """
    names = sorted({name for old, new in pairs for name in old.gaps.keys() & new.gaps.keys()})
    moves = []
    for name in names:
        both = [(old.gaps[name], new.gaps[name]) for old, new in pairs if name in old.gaps and name in new.gaps]
        recorded, now = (sum(values, Decimal(0)) / len(both) for values in zip(*both, strict=True))
        moves.append(LayerMove(name, float(recorded), float(now)))
    return tuple(
        sorted((move for move in moves if abs(move.change) > tolerance), key=lambda m: (-abs(m.change), m.name))
    )


def changed_weights(old: ModelEntry, new: ModelEntry) -> Iterator[str]:
    """One line for each weight that changed: which gates, or that gates have changed places."""
    for name in sorted(old.weights.keys() | new.weights.keys()):
        before, now = old.weights.get(name), new.weights.get(name)
        if before is None or now is None:
            yield f"{name} is {'new' if before is None else 'gone'}"
        elif before != now:
            yield f"{name}{_gates(before, now)}"


def _gates(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    if before.keys() != now.keys():
        return f" had the gates {' '.join(before)}, now {' '.join(now)}"
    changed = [gate for gate in before if before[gate] != now[gate]]
    if sorted(before.values()) == sorted(now.values()) and len(set(before.values())) == len(before):
        place = {digest: gate for gate, digest in before.items()}
        order = ", ".join(f"{place[now[gate]]} in the place of {gate}" for gate in changed)
        return f": the same gates in another order ({order})"
    return "" if len(before) == 1 else f" (gates {', '.join(changed)})"

"""Which attack, with its settings, as the command line names it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from gpu_engine.attacks.base import RadiusAttack, SetAttack
from gpu_engine.attacks.registry import ATTACKS, Entry
from gpu_engine.errors import EngineError
from refcert.app.errors import InputError


@dataclass(frozen=True)
class Method:
    """One attack of the registry. steps, restarts: None for the attack's own numbers. Raises InputError."""

    name: str
    steps: int | None = None
    restarts: int | None = None

    def __post_init__(self) -> None:
        if self.name not in ATTACKS:
            raise InputError(f"attack {self.name!r} is not known; known: {', '.join(ATTACKS)}")
        for option, number in (("--steps", self.steps), ("--restarts", self.restarts)):
            if number is not None and number < 0:  # whether 0 means anything, the attack itself says
                raise InputError(f"{option} is {number}; give at least 1")

    @property
    def entry(self) -> Entry:
        return ATTACKS[self.name]

    def search(self) -> RadiusAttack:
        """The attack as a search for the smallest perturbation."""
        built: RadiusAttack = self._built(self.entry.builder)
        return built

    def on_sets(self) -> SetAttack | None:
        """The attack as a search of fixed input sets, None where it has none."""
        built: SetAttack | None = None if self.entry.on_sets is None else self._built(self.entry.on_sets)
        return built

    def to_json(self) -> dict[str, Any]:
        """Null for a number that is left to the attack."""
        return {"name": self.name, "summary": self.entry.summary, "steps": self.steps, "restarts": self.restarts}

    def _built(self, builder: Any) -> Any:
        try:
            return builder(self.steps, self.restarts)
        except EngineError as error:
            raise InputError(f"--method {self.name}: {error}") from error


def parse_methods(text: str) -> tuple[str, ...]:
    """'pgd,cw' -> names, each known and named once. Raises InputError."""
    names = tuple(name.strip() for name in text.split(","))
    if not any(names):
        raise InputError(f"--methods is {text!r}; give names such as pgd,cw. Known: {', '.join(ATTACKS)}")
    for name in names:
        Method(name)
    repeated = [name for name, number in Counter(names).items() if number > 1]
    if repeated:
        raise InputError(f"--methods names {repeated[0]!r} more than once; name each attack once")
    return names

"""Which attack, with its settings, as the command line names it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from gpu_engine.attacks.base import RadiusAttack, SetAttack
from gpu_engine.attacks.registry import ATTACKS, Entry
from gpu_engine.errors import EngineError
from refcert.app.errors import InputError

_KNOWN: Final = ", ".join(ATTACKS)


@dataclass(frozen=True)
class Method:
    """One attack of the registry.

    steps, restarts: None for the attack's own numbers. grid: finds are also rounded to multiples of 1/grid. seconds: a
    time limit for each question's programs. Both None for none, and refused by attacks that do not have them. Raises
    InputError.
    """

    name: str
    steps: int | None = None
    restarts: int | None = None
    grid: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.name not in ATTACKS:
            raise InputError(f"attack {self.name!r} is not known; known: {_KNOWN}")
        for option, number in (("--steps", self.steps), ("--restarts", self.restarts)):
            if number is not None and number < 0:  # whether 0 means anything, the attack itself says
                raise InputError(f"{option} is {number}; give at least 1")
        for key, option, value in (("grid", "--grid", self.grid), ("seconds", "--time-limit", self.seconds)):
            if value is not None and key not in self.entry.options:
                having = " or ".join(name for name, entry in ATTACKS.items() if key in entry.options)
                raise InputError(f"{option} {value} does not go with --method {self.name}; only {having} has it")
        if self.grid is not None and self.grid < 1:
            raise InputError(f"--grid is {self.grid}; give the number of levels, 255 for images of whole pixel values")
        if self.seconds is not None and not (self.seconds > 0 and math.isfinite(self.seconds)):
            raise InputError(f"--time-limit is {self.seconds}; give a finite number of seconds > 0")

    @property
    def entry(self) -> Entry:
        return ATTACKS[self.name]

    def search(self) -> RadiusAttack:
        """The attack as a search for the smallest perturbation."""
        given = {"grid": self.grid, "seconds": self.seconds}
        built: RadiusAttack = self._built(self.entry.builder, **{key: given[key] for key in self.entry.options})
        return built

    def on_sets(self) -> SetAttack | None:
        """The attack as a search of fixed input sets, None where it has none."""
        built: SetAttack | None = None if self.entry.on_sets is None else self._built(self.entry.on_sets)
        return built

    def to_json(self) -> dict[str, Any]:
        """Null for a number that is left to the attack, and for what was not asked for."""
        return {
            "name": self.name,
            "summary": self.entry.summary,
            "steps": self.steps,
            "restarts": self.restarts,
            "grid": self.grid,
            "time_limit": self.seconds,
        }

    def _built(self, builder: Any, **more: Any) -> Any:
        try:
            return builder(self.steps, self.restarts, **more)
        except EngineError as error:
            raise InputError(f"--method {self.name}: {error}") from error


def parse_methods(text: str) -> tuple[str, ...]:
    """'pgd,cw' -> names, each known and named once. Raises InputError."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise InputError(f"--methods is {text!r}; give names such as pgd,cw. Known: {_KNOWN}")
    for name in names:
        Method(name)
    repeated = [name for name, number in Counter(names).items() if number > 1]
    if repeated:
        raise InputError(f"--methods names {repeated[0]!r} more than once; name each attack once")
    return names

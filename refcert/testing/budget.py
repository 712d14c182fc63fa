"""How long an assertion may look: a number of examples, which it has to finish, and seconds in which it has to.

Examples decide what is looked at, so a result that did not run out of seconds is the same on every machine. Seconds are
a limit: what is left when they are over was not decided, and the assertion fails.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from typing import Final

from refcert.app.errors import InputError

_TEXT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|seconds?|m|minutes?|h|hours?|examples?)\s*")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """seconds: of wall time, None for no limit; examples: how many are tried, None for the assertion's own number.

    Raises InputError for numbers that are no budget.
    """

    seconds: float | None = None
    examples: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not (self.seconds >= 0 and math.isfinite(self.seconds)):
            raise InputError(f"the budget is {self.seconds} seconds; give a finite number from 0 up")
        if self.examples is not None and (type(self.examples) is not int or self.examples < 1):
            raise InputError(f"the budget is {self.examples!r} examples; give a whole number from 1 on")

    @classmethod
    def of(cls, given: BudgetLike) -> Budget:
        """None, a `Budget`, seconds as a number, or a text such as '30s', '2m', '500 examples'. Raises InputError."""
        if given is None:
            return cls()
        if isinstance(given, Budget):
            return given
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return cls(seconds=float(given))
        found = _TEXT.fullmatch(given) if isinstance(given, str) else None
        if found is None:
            raise InputError(f"budget is {given!r}; give seconds, '30s', '2m', '500 examples', or a Budget")
        number, unit = found.groups()
        if not unit.startswith("example"):
            return cls(seconds=float(number) * _SECONDS[unit[0]])
        if "." in number:
            raise InputError(f"budget is {given!r}; examples come as a whole number")
        return cls(examples=int(number))


BudgetLike = Budget | float | str | None


@dataclass(frozen=True)
class Clock:
    """The seconds of a budget, running since it was made."""

    seconds: float | None
    began: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether the seconds are spent; a budget of 0 is spent at once."""
        return self.seconds is not None and time.monotonic() - self.began >= self.seconds

    @property
    def left(self) -> float | None:
        """Seconds that are left, None for no limit."""
        return None if self.seconds is None else max(0.0, self.seconds - (time.monotonic() - self.began))


def checked_seed(seed: int) -> int:
    """The seed. Raises InputError unless it is a whole number from 0 up."""
    if type(seed) is not int or seed < 0:
        raise InputError(f"seed is {seed!r}; give a whole number from 0 up")
    return seed

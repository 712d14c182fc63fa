"""What `refcert metrics` is asked to do, checked once at the boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refcert.app.attacking.method import Method, parse_methods
from refcert.app.errors import InputError
from refcert.app.metrics.bootstrap import Resampling
from refcert.app.metrics.estimates import checked_threshold
from refcert.app.options import BALLS
from refcert.app.request import Request
from refcert.app.scoring import require_batches


@dataclass(frozen=True)
class Scored:
    """How CLEVER-RNN samples: points a batch, and batches."""

    samples: int = 100
    batches: int = 100


@dataclass(frozen=True)
class MetricsRequest:
    """request: the question, with a search; methods: the attacks; thresholds: None for round ones that fit the radii.

    score: None for no CLEVER-RNN scores. Raises InputError.
    """

    request: Request
    methods: tuple[Method, ...]
    thresholds: tuple[float, ...] | None
    resampling: Resampling
    score: Scored | None = None

    def __post_init__(self) -> None:
        if self.request.input_set not in BALLS:
            raise InputError(
                f"--input-set {self.request.input_set} has no radius; give --input-set {' or '.join(BALLS)}"
            )
        for method in self.methods:
            method.search()  # steps and restarts that make no sense show up here

    def to_json(self) -> dict[str, Any]:
        """The request with the methods and how figures are made."""
        plain = self.request.to_json()
        return plain | {
            "methods": [method.to_json() for method in self.methods],
            "thresholds": None if self.thresholds is None else list(self.thresholds),
            "resamples": self.resampling.resamples,
            "confidence": self.resampling.level,
            "score": None if self.score is None else {"samples": self.score.samples, "batches": self.score.batches},
        }


def methods_of(names: str, steps: int | None, restarts: int | None) -> tuple[Method, ...]:
    """The attacks of '--methods pgd,cw'; steps and restarts go to those that have them. Raises InputError."""
    plain = [Method(name) for name in parse_methods(names)]
    used = {
        "--steps": (steps, any(method.entry.uses_steps for method in plain)),
        "--restarts": (restarts, any(method.entry.uses_restarts for method in plain)),
    }
    for option, (number, somewhere) in used.items():
        if number is not None and not somewhere:
            raise InputError(f"{option} is {number}, but none of {names} has such a number; leave it out")
    return tuple(
        Method(
            method.name,
            steps if method.entry.uses_steps else None,
            restarts if method.entry.uses_restarts else None,
        )
        for method in plain
    )


def thresholds_of(text: str | None) -> tuple[float, ...] | None:
    """'0,0.05,0.1' as numbers, each once. Raises InputError."""
    if text is None:
        return None
    found = tuple(_threshold(part, text) for part in text.split(","))
    if len(set(found)) < len(found):
        raise InputError(f"--thresholds {text!r} names a threshold twice; name each once")
    return found


def _threshold(part: str, text: str) -> float:
    try:
        number = float(part)
    except ValueError:
        raise InputError(f"--thresholds {text!r}: {part!r} is not a number; give a list such as 0,0.05,0.1") from None
    try:
        return checked_threshold(number)
    except ValueError as error:
        raise InputError(f"--thresholds {text!r}: {error}") from error


def scored_of(score: bool, samples: int | None, batches: int | None) -> Scored | None:
    """How the score samples, None where none is asked for. Raises InputError for numbers that nothing would use."""
    for option, number in (("--score-samples", samples), ("--score-batches", batches)):
        if number is not None and not score:
            raise InputError(f"{option} is {number}, but no score is asked for; add --score, or leave it out")
    if batches is not None:
        require_batches("--score-batches", batches)
    given = {"samples": samples, "batches": batches}
    return Scored(**{name: number for name, number in given.items() if number is not None}) if score else None


def resampling_of(resamples: int, level: float, seed: int) -> Resampling:
    """Raises InputError."""
    try:
        return Resampling(resamples, level, seed)
    except ValueError as error:
        raise InputError(str(error)) from error

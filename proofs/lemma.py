"""What a lemma is: a statement, a derivation that can fail, and false variants that must be rejected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any


class LemmaError(Exception):
    """A step of a derivation could not be established. Unknown counts as false."""


@dataclass
class Proof:
    """The named steps that have been established so far."""

    steps: list[str] = field(default_factory=list)

    def by(self, step: str, tactic: Callable[..., None], *args: Any, **options: Any) -> None:
        """Establish one step with a tactic, which raises LemmaError unless it succeeds."""
        try:
            tactic(*args, **options)
        except LemmaError as error:
            raise LemmaError(f"{step}: {error}") from error
        self.steps.append(step)


@dataclass(frozen=True)
class Lemma:
    """One lemma of one file.

    name: the file's name. statement: the file's docstring, its first line says it in one sentence.
    source: where the equation comes from. code: `module:attribute` that rests on it. tests: files.
    check: carries out the derivation and returns the names of its steps, or raises LemmaError.
    controls: false variants of the claim, put through the same derivation; each must raise LemmaError.
    covers: names without code of their own that it is about, such as 'readout mean' (`proofs.coverage`).
    """

    name: str
    statement: str
    source: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    check: Callable[[], list[str]]
    controls: Mapping[str, Callable[[], object]]
    covers: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The statement's first sentence, on one line."""
        return " ".join(self.statement.strip().split("\n\n")[0].split())


@dataclass(frozen=True)
class LemmaResult:
    """The outcome of one lemma. ok only if every step holds AND every control was rejected."""

    name: str
    ok: bool
    steps: tuple[str, ...]
    controls_rejected: tuple[str, ...]
    seconds: float
    message: str


def run_lemma(lemma: Lemma) -> LemmaResult:
    """Carry out the derivation and its controls. Any surprise is a failure, never a pass."""
    start = perf_counter()
    steps: tuple[str, ...] = ()
    rejected: list[str] = []
    problems: list[str] = []
    try:
        steps = tuple(lemma.check())
        if not steps:
            problems.append("the derivation has no steps")
    except Exception as error:  # a crash is not a proof
        problems.append(f"{type(error).__name__}: {error}")
    if not lemma.controls:
        problems.append("there is no negative control")
    for name, control in lemma.controls.items():
        try:
            control()
        except LemmaError:
            rejected.append(name)
        except Exception as error:  # a control that crashes has rejected nothing
            problems.append(f"control {name!r} broke with {type(error).__name__}: {error}")
        else:
            problems.append(f"control {name!r} was accepted, though it is false")
    return LemmaResult(lemma.name, not problems, steps, tuple(rejected), perf_counter() - start, "; ".join(problems))

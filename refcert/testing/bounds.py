"""assert_bounds_sound: anybody's bounds of a network's outputs, against points of the sets.

Method card
    Claim      a violation is a point of the set, in exact arithmetic, at which ball arithmetic proves that the
               network's row lies beyond the bound: rounding cannot raise a false alarm. That nothing was found proves
               nothing, except where the set is a point.
    Idea       sets from points to wide ones (`drawn_sets`) or given ones; for every row random points, corners and
               projected gradient descent both ways; and refcert's own bounds: a lower bound above its upper bound
               cannot be right. The set of the first violation is made simpler as long as the bound there fails, too.
    Resolved   on points and thin sets every error above rounding (about 1e-15 of the values); on wide sets only errors
               larger than the looseness of the bounds tried.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from gpu_engine.errors import ModelError, NumericalError, SoundnessFault
from gpu_engine.inputs import InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import certify
from gpu_engine.spec import Specification
from refcert.app.errors import InputError
from refcert.testing.bounds_call import BoundsCallable, Claimed, claimed_by
from refcert.testing.bounds_examples import planned_examples
from refcert.testing.bounds_search import extremes
from refcert.testing.bounds_violation import Found, simplified, violation_of
from refcert.testing.budget import Budget, BudgetLike, Clock, checked_seed
from refcert.testing.drawn_sets import Example
from refcert.testing.exact import ExactNetwork, contains
from refcert.testing.models import classifier_of
from refcert.testing.report import Outcome, Report, Violation, concluded
from refcert.testing.words import called, plural

NAME: Final = "assert_bounds_sound"
# Above this distance, relative to the sizes of both, the forward pass in float64 leaves no doubt.
_DOUBT: Final = 1e-7


def assert_bounds_sound(
    bounds_fn: BoundsCallable,
    model: Any,
    inputs: InputSet | Sequence[InputSet] | None = None,
    rows: Tensor | None = None,
    *,
    sets: Sequence[str] = ("boxes",),
    frames: int = 3,
    batch: int = 2,
    cross_check: bool = True,
    tolerance: float = 0.0,
    structure: str | None = None,
    readout: str | None = None,
    budget: BudgetLike = None,
    seed: int = 0,
    evidence: Path | None = None,
) -> Report:
    """No bound of a function is beyond the network's value at any point tried.

    bounds_fn(model, inputs, rows) -> lower, or (lower, upper): bounds (batch, spec) of rows (batch, spec, outputs)
    float64 over `gpu_engine.inputs` sets (of `Boxes`, lower and upper are (batch, time, input)); numpy, torch or
    lists. It gets `model` as it is given here: nn.Module, RecurrentClassifier or path; what is tried is the network of
    real numbers behind it. inputs: sets to try (also shrunk); None: drawn ones of the kinds in `sets`, of `frames`
    frames and `batch` samples. rows (spec, outputs): None for drawn ones. cross_check: compare with refcert's own
    bounds. tolerance: what a bound may be wrong by, for engines that do not round outward; 0 for those that claim
    soundness. budget: `examples` are calls. evidence: folder for what a snippet cannot hold itself.
    Raises ViolatedError, NotDecidedError, InputError, ModelError, SpecificationError; SoundnessFault if it is
    refcert's own bound that a point refutes.
    """
    __tracebackhide__ = True
    chosen, seed = Budget.of(budget), checked_seed(seed)
    clock = Clock(chosen.seconds)
    if not callable(bounds_fn):
        raise InputError(f"bounds_fn is a {type(bounds_fn).__name__}, which cannot be called; give a function")
    network = classifier_of(model, structure, readout)
    examples, planned = planned_examples(network, inputs, rows, sets, frames, batch, chosen, seed)
    if not (isinstance(tolerance, (int, float)) and tolerance >= 0 and math.isfinite(tolerance)):
        raise InputError(f"tolerance is {tolerance!r}; give a finite number from 0 up")
    trial = _Trial(bounds_fn, called(bounds_fn), model, network, ExactNetwork(network), cross_check, tolerance, seed)
    tried, digest = 0, network.digest()
    for example in examples:
        if clock.over:
            break
        tried += 1
        found = trial.violations(example)
        if tried in (1, planned) or found:
            _require_same(trial.name, digest, model, structure, readout)
        if found:
            drawn = max(found, key=lambda one: one.amount)
            violation = violation_of(
                drawn, simplified(drawn, trial.again, clock), trial.name, network, evidence, example
            )
            return concluded(trial.report(Outcome.VIOLATED, tried, planned, violation, len(found)))
    outcome = Outcome.HOLDS if tried == planned else Outcome.NOT_DECIDED
    return concluded(trial.report(outcome, tried, planned))


@dataclass
class _Trial:
    function: BoundsCallable
    name: str
    given: Any
    network: RecurrentClassifier
    exact: ExactNetwork
    cross_check: bool
    tolerance: float
    seed: int
    bounds: int = 0
    infinite: int = 0
    without_own: int = 0

    def violations(self, example: Example) -> list[Found]:
        """What is wrong with the bounds of an example."""
        try:
            claimed = self._claimed(example.inputs, example.rows)
        except Exception as error:
            error.add_note(f"{NAME}: example {example.number} ({example.family}), seed {self.seed}")
            raise
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + example.number)
        return list(self._beyond(example.inputs, example.rows, claimed, generator))

    def again(self, inputs: InputSet, rows: Tensor) -> Found | None:
        """The worst violation on one sample's set and one row; None where there is none, or the function refuses."""
        try:
            claimed = self._claimed(inputs, rows)
        except Exception:  # the set is simpler than the function can take
            return None
        found = list(self._beyond(inputs, rows, claimed, torch.Generator().manual_seed(self.seed), own=False))
        return max(found, key=lambda one: one.amount, default=None)

    def _claimed(self, inputs: InputSet, rows: Tensor) -> Claimed:
        return claimed_by(self.function, self.name, self.given, inputs, rows)

    def _beyond(
        self, inputs: InputSet, rows: Tensor, claimed: Claimed, generator: torch.Generator, own: bool = True
    ) -> Iterator[Found]:
        ends = extremes(self.network, inputs, rows, generator)
        proved = self._own(inputs, rows) if own and self.cross_check else None
        for k, side in enumerate(("lower", "upper")):
            bounds = claimed.lower if side == "lower" else claimed.upper
            if bounds is None:
                continue
            if own:
                self.bounds += bounds.numel()
                self.infinite += int(bounds.isinf().sum())
            for b, s in torch.cartesian_prod(torch.arange(rows.shape[0]), torch.arange(rows.shape[1])).tolist():
                bound, value, x = float(bounds[b, s]), float(ends.value[b, s, k]), ends.x[b, s, k]
                about = Found(inputs, rows, b, s, side, bound, x, value, 0.0, None)
                if math.isnan(bound):
                    yield about.with_amount(math.inf)
                    continue
                asked = about.question
                if proved is not None:
                    self._doubt_ourselves(asked, proved, about)
                gap = (value - bound) * (1.0 if side == "lower" else -1.0)
                if gap > _DOUBT * (1.0 + abs(value) + abs(bound)):
                    continue
                amount = self.exact.beyond(asked, x, bound, side)
                if amount is not None and amount > self.tolerance and contains(inputs, b, x):
                    yield about.with_amount(amount, _opposite(proved, b, s, side))

    def _own(self, inputs: InputSet, rows: Tensor) -> Tensor | None:
        """refcert's bounds (batch, spec, 2): lower and upper. None where it has none: overflow, subnormal weights."""
        both = torch.cat([rows, -rows], 1)
        try:
            lower = certify(self.network, inputs, Specification(both, torch.zeros_like(both[:, :, 0]))).lower
        except (NumericalError, ModelError):
            self.without_own += 1
            return None
        return torch.stack([lower[:, : rows.shape[1]], -lower[:, rows.shape[1] :]], 2)

    def _doubt_ourselves(self, asked: Specification, proved: Tensor, about: Found) -> None:
        own = float(proved[about.sample, about.row, 0 if about.side == "lower" else 1])
        sign = 1.0 if about.side == "lower" else -1.0
        if (about.value - own) * sign > 0:
            return
        amount = self.exact.beyond(asked, about.x, own, about.side)
        if amount is not None and contains(about.inputs, about.sample, about.x):
            raise SoundnessFault(
                f"a fault of refcert, please report it: its {about.side} bound {own!r} is refuted by {amount!r} at "
                f"x = {about.x.tolist()!r}; network {self.network.digest()}, seed {self.seed}"
            )

    def report(
        self, outcome: Outcome, tried: int, planned: int, violation: Violation | None = None, wrong: int = 0
    ) -> Report:
        """What to say in the end."""
        numbers = {
            "examples": tried,
            "planned": planned,
            "bounds": self.bounds,
            "infinite": self.infinite,
            "wrong": wrong,
        }
        asked = f"{plural(self.bounds, 'bound')} of {self.name} in {tried} of {plural(planned, 'example')}"
        allowed = f" by more than {self.tolerance!r}" if self.tolerance else ""
        summary = f"{asked} were tried, and none is wrong{allowed}."
        if violation is not None:
            where = violation.where["example"]
            summary = f"{plural(wrong, 'bound')} of {self.name} in example {where} wrong{allowed}."
        elif outcome is Outcome.NOT_DECIDED:
            summary = f"the budget ended: {summary}"
        notes = []
        if self.infinite:
            notes.append(f"{plural(self.infinite, 'bound')} of {self.bounds:,} are infinite: sound, and say nothing.")
        if self.without_own:
            examples = plural(self.without_own, "example")
            notes.append(f"refcert has no bounds of its own in {examples}: no cross-check there.")
        return Report(
            NAME, outcome, summary, self.seed, () if violation is None else (violation,), tuple(notes), numbers
        )


def _require_same(name: str, digest: str, model: Any, structure: str | None, readout: str | None) -> None:
    """Raise InputError where the function changed the model: its bounds would be about another one."""
    if not isinstance(model, (str, os.PathLike)) and classifier_of(model, structure, readout).digest() != digest:
        raise InputError(
            f"{name} changed the model that it got; work on a copy, other code would go on with the change"
        )


def _opposite(proved: Tensor | None, sample: int, row: int, side: str) -> float | None:
    """refcert's bound of the other side."""
    return None if proved is None else float(proved[sample, row, 1 if side == "lower" else 0])

"""assert_certified and assert_radius_at_least: every sample proved, or what stands against it.

Method card
    Claim      passes only if refcert's bounds prove every sample; with certificates only if the kernel says VALID of
               each. A violation is an input of the set, in exact arithmetic, whose exact margin is certainly not
               positive.
    Idea       bounds, then PGD where they prove nothing; a counter-example is made simple (`adversarial`), for a sample
               without one the largest radius with a proof is searched.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from gpu_engine.errors import NumericalError
from gpu_engine.inputs import FrameBalls, SequenceBall
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import Specification
from refcert.app.errors import InputError
from refcert.testing.budget import Budget, BudgetLike, Clock, checked_seed
from refcert.testing.doubted import doubted
from refcert.testing.kernel_checks import KernelChecks
from refcert.testing.models import classifier_of
from refcert.testing.questions import Asked, InputSetLike, asked_of, tensor_of
from refcert.testing.report import Outcome, Report, concluded
from refcert.testing.words import listed, plural

_CHUNK: Final = 16
"""Samples between two looks at the clock."""


def assert_certified(
    model: Any,
    x: Any,
    labels: Any,
    input_set: InputSetLike,
    specification: Specification | None = None,
    relaxation: str = "best",
    certificates: bool | str | Path = False,
    *,
    lengths: Any = None,
    dtype: str = "float64",
    device: str = "cpu",
    structure: str | None = None,
    readout: str | None = None,
    budget: BudgetLike = None,
    seed: int = 0,
    evidence: Path | None = None,
) -> Report:
    """The specification is proved on the whole input set of every sample.

    model: nn.Module, RecurrentClassifier or path. x (batch, time, input); labels (batch,), or (batch, time) for a model
    that answers every frame. input_set: of `gpu_engine.inputs`, or a function from x (float64) to one; x has to be in
    it. specification: None for "the label has the largest output". certificates: True, or the folder in which to keep
    them: every proof is also written down and checked by the kernel. budget: seconds for everything, the search for
    counter-examples included; `examples`: samples, of which fewer than there are leave it undecided. seed: of attacks.
    evidence: folder for what a snippet cannot hold itself.
    Raises ViolatedError, NotProvedError, NotDecidedError; InputError and the engine's errors for bad input.
    """
    __tracebackhide__ = True
    asked = asked_of(
        classifier_of(model, structure, readout),
        *(x, labels, input_set, specification, lengths),
        Options(relaxation, dtype, device),
    )
    return _certified("assert_certified", asked, certificates, Budget.of(budget), checked_seed(seed), evidence)


def assert_radius_at_least(
    model: Any,
    x: Any,
    labels: Any,
    radius: float | Tensor,
    norm: float | str = math.inf,
    clip: tuple[float, float] | None = None,
    *,
    whole_sequence: bool = False,
    frames: Any = None,
    specification: Specification | None = None,
    relaxation: str = "best",
    certificates: bool | str | Path = False,
    lengths: Any = None,
    dtype: str = "float64",
    device: str = "cpu",
    structure: str | None = None,
    readout: str | None = None,
    budget: BudgetLike = None,
    seed: int = 0,
    evidence: Path | None = None,
) -> Report:
    """The certified radius of every sample is at least `radius`: it is proved at that radius.

    radius: one number or one a sample, in the unit of x. norm: p >= 1 or 'inf'. clip: the data's range.
    whole_sequence: one ball around the sequence instead of one a frame. frames: numbers of the frames that move, None
    for all. Other arguments, results and errors: `assert_certified`.
    """
    __tracebackhide__ = True
    samples = tensor_of(x, "x")
    network = classifier_of(model, structure, readout)
    radii = _radii(radius, len(samples))
    moves = _moving(frames, samples)
    p = _norm(norm)
    sets: FrameBalls | SequenceBall
    if whole_sequence:
        sets = SequenceBall(samples, radii, p, clip, moves)
    else:
        sets = FrameBalls(samples, radii[:, None] * moves.to(torch.float64), p, clip)
    asked = asked_of(network, samples, labels, sets, specification, lengths, Options(relaxation, dtype, device))
    return _certified("assert_radius_at_least", asked, certificates, Budget.of(budget), checked_seed(seed), evidence)


def _certified(
    name: str, asked: Asked, certificates: bool | str | Path, budget: Budget, seed: int, evidence: Path | None
) -> Report:
    __tracebackhide__ = True
    clock = Clock(budget.seconds)
    margins, said = _margins(asked, certificates, budget, clock)
    looked = [k for k, margin in enumerate(margins) if margin is not None]
    unproved = [k for k in looked if not ((margins[k] or 0.0) > 0.0 and k not in said)]
    numbers: dict[str, Any] = {
        "samples": len(asked),
        "proved": len(looked) - len(unproved),
        "margins": tuple(margins),
        "least margin": min((m for m in margins if m is not None), default=None),
    }
    counts = f"{numbers['proved']} of {plural(len(asked), 'sample')} are proved"
    late = len(asked) - len(looked)
    notes: tuple[str, ...] = (f"the budget ended: {late} were not looked at.",) if late else ()
    if not unproved:
        decided = len(looked) == len(asked)
        outcome = Outcome.HOLDS if decided else Outcome.NOT_DECIDED
        least = "" if numbers["least margin"] is None else f", the least margin is {numbers['least margin']!r}"
        return concluded(Report(name, outcome, f"{counts}{least}.", seed, (), notes, numbers))
    broken, open_ = doubted(asked, margins, said, unproved, clock, seed, evidence)
    numbers["counter-examples"] = len(broken)
    notes += (f"not proved: {_with_margins(unproved, margins)}.",)
    if broken:
        summary = f"{counts}; {plural(len(broken), 'counter-example')} found."
        outcome = Outcome.VIOLATED
    elif len(looked) < len(asked):
        summary, outcome = f"{counts}; no counter-example was found until then.", Outcome.NOT_DECIDED
    else:
        summary, outcome = f"{counts}; no counter-example was found to the others.", Outcome.NOT_PROVED
    return concluded(Report(name, outcome, summary, seed, (*broken, *open_), notes, numbers))


def _margins(
    asked: Asked, certificates: bool | str | Path, budget: Budget, clock: Clock
) -> tuple[list[float | None], dict[int, str]]:
    """The margin of every sample, and the kernel's objections. NaN: bounds overflow; None: the budget was over."""
    margins: list[float | None] = [None] * len(asked)
    said: dict[int, str] = {}
    end = min(len(asked), budget.examples or len(asked))
    with KernelChecks(asked.model, certificates) as kernel:
        for start in range(0, end, _CHUNK):
            if clock.over:
                break
            chosen = list(range(start, min(end, start + _CHUNK)))
            for k, margin in zip(chosen, _chunk(asked.select(chosen), chosen, kernel), strict=True):
                margins[k] = margin
            objections = kernel.objections(clock)
            if objections is None:  # the seconds were over in between
                for k in chosen:
                    margins[k] = None
                break
            said |= objections
    return margins, said


def _chunk(asked: Asked, numbers: list[int], kernel: KernelChecks) -> list[float]:
    sink = kernel.sink(numbers)
    try:
        found = certify(
            asked.model, asked.inputs, asked.specification, asked.options, lengths=asked.lengths, batch_sink=sink
        )
    except NumericalError:
        if len(asked) == 1:
            return [math.nan]
        kernel.forget(numbers)
        return [m for k in range(len(asked)) for m in _chunk(asked.select([k]), numbers[k : k + 1], kernel)]
    margins: list[float] = found.margin.tolist()
    return margins


def _with_margins(samples: list[int], margins: list[float | None]) -> str:
    return listed(f"sample {k} (margin {margins[k]:.6g})" for k in samples)


def _radii(radius: float | Tensor, batch: int) -> Tensor:
    try:
        given = torch.as_tensor(radius, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"radius is {radius!r}; give one number, or one for each of {batch} samples") from None
    if given.ndim > 1 or (given.ndim == 1 and len(given) != batch):
        raise InputError(f"radius has shape {tuple(given.shape)}; give one number, or one for each of {batch} samples")
    radii = given.cpu().expand(batch).clone()
    if not bool((torch.isfinite(radii) & (radii >= 0)).all()):
        raise InputError(f"radius is {given.tolist()}; give finite numbers from 0 up")
    return radii


def _moving(frames: Any, samples: Tensor) -> Tensor:
    """Frames that move, (batch, time) bool. Whole numbers only: of a mask, True and False would be frames 1 and 0."""
    moves = torch.ones(samples.shape[:2], dtype=torch.bool)
    if frames is None:
        return moves
    given = np.asarray(frames.cpu() if isinstance(frames, Tensor) else frames)
    whole = given.ndim == 1 and len(given) and np.issubdtype(given.dtype, np.integer)
    if not whole or bool(((given < 0) | (given >= samples.shape[1])).any()):
        raise InputError(f"frames is {frames!r}; give numbers of frames from 0 to {samples.shape[1] - 1}")
    moves[:] = False
    moves[:, given.tolist()] = True
    return moves


def _norm(norm: float | str) -> float:
    try:
        return float(norm)
    except (TypeError, ValueError):
        raise InputError(f"norm is {norm!r}; give a number p >= 1, or 'inf'") from None

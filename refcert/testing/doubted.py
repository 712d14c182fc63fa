"""Samples that the bounds do not prove: a counter-example to each, or how far a proof goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from gpu_engine.errors import NumericalError, SoundnessFault
from gpu_engine.inputs import Boxes
from gpu_engine.search.radius import certified_radius, certified_scale, certified_sequence_radius
from refcert.app.errors import InputError
from refcert.testing.adversarial import attacked, counter_example
from refcert.testing.budget import Clock
from refcert.testing.certified_words import Reached, broken_sample, open_sample, weakest
from refcert.testing.exact import ExactNetwork
from refcert.testing.questions import Asked
from refcert.testing.report import SHOWN, Violation

RADII: Final = 5
"""Samples of which is told how far a proof goes and what is weakest: both take longer than the proof that failed."""
QUICK: Final = "parallel"
"""Planes of that search where `best` was asked: they prove somewhat smaller radii, several times faster."""
_TOLERANCE: Final = 0.05


def doubted(
    asked: Asked,
    margins: list[float | None],
    said: dict[int, str],
    unproved: list[int],
    clock: Clock,
    seed: int,
    evidence: Path | None,
) -> tuple[list[Violation], list[Violation]]:
    """Of the samples without proof: those with a counter-example, and the others."""
    if clock.over:
        return [], [open_sample(asked, k, margins[k], said.get(k), Reached(attacked=False)) for k in unproved]
    part, exact = asked.select(unproved), ExactNetwork(asked.model)
    try:
        points, found = attacked(part, seed)
    except NumericalError as error:
        raise InputError(f"a sample overflows by itself: {error}") from error
    broken: list[Violation] = []
    others: list[tuple[int, float]] = []
    for place in sorted(range(len(unproved)), key=lambda k: float(found[k])):
        k, one = unproved[place], part.select([place])
        example = None
        if float(found[place]) <= 0:
            shrink = len(broken) < SHOWN and not clock.over
            example = counter_example(one, exact, points[place], seed, shrink=shrink)
        if example is None:
            others.append((k, float(found[place])))
            continue
        if k in said or (margins[k] or 0.0) > 0.0:
            raise SoundnessFault(f"a fault of refcert, please report it: sample {k} is proved and refuted, {example!r}")
        broken.append(broken_sample(one, k, margins[k], example, evidence, snippet=len(broken) < SHOWN))
    others.sort(key=lambda other: margins[other[0]] or 0.0)
    reached = _reached(asked, [k for k, _ in others][:RADII]) if others and not clock.over else {}
    open_ = []
    weak = _weakest(asked, [k for k, _ in others if k not in said and margins[k] == margins[k]][:RADII], clock)
    for k, margin in others:
        known = replace(reached.get(k, Reached()), attack_margin=margin, weakest=weak.get(k, {}))
        open_.append(open_sample(asked, k, margins[k], said.get(k), known))
    return broken, open_


def _weakest(asked: Asked, samples: list[int], clock: Clock) -> dict[int, dict[str, object]]:
    if not samples or clock.over:
        return {}
    return dict(zip(samples, weakest(asked.select(samples)), strict=True))


def _reached(asked: Asked, samples: list[int]) -> dict[int, Reached]:
    """The largest radius, or scale of a box, with a proof; all samples in one search."""
    some = asked.select(samples)
    inputs, family, radius = some.inputs, some.family, some.radius
    lengths, tolerance = some.lengths, _TOLERANCE
    options = some.options if some.options.relaxation != "best" else replace(some.options, relaxation=QUICK)
    planes = options.relaxation
    question = some.specification
    if isinstance(inputs, Boxes):
        scales = certified_scale(
            *(some.model, inputs, question), largest=1.0, tolerance=tolerance, options=options, lengths=lengths
        )
        return {
            k: Reached(scale=scale, relaxation=planes) for k, scale in zip(samples, scales.proved.tolist(), strict=True)
        }
    if family is None or radius is None or not float(radius.max()) > 0:
        return {}
    largest = float(radius.max())
    if family.shared:
        found = certified_sequence_radius(
            *(some.model, inputs.center, question),
            p=family.p, clip=family.clip, moves=family.weight > 0, largest=largest, tolerance=tolerance,
            options=options, lengths=lengths,
        )  # fmt: skip
    else:
        found = certified_radius(
            *(some.model, inputs.center, family.weight, question),
            p=family.p, clip=family.clip, largest=largest, tolerance=tolerance, options=options, lengths=lengths,
        )  # fmt: skip
    return {
        k: Reached(radius=proved, relaxation=planes) for k, proved in zip(samples, found.proved.tolist(), strict=True)
    }

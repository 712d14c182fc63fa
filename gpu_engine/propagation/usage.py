"""Who reads which step: what has to be bounded, and what the rounding of a step is charged to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gpu_engine.propagation.weights import Ranges
from gpu_engine.steps import Affine, Input, Nonlinear, Step, Tape, sources_of


@dataclass(frozen=True)
class Usage:
    """Facts about the steps of a tape, by number.

    arguments: the units that nonlinearities read. entered: steps that other sums or the outputs read. first_reader:
    the first step that reads a step. For the rounding: widest, the units of the largest step; chain, the most
    roundings that a number goes through along affine steps that feed each other; readers, how often a step is read at
    most.
    """

    arguments: dict[int, Ranges]
    entered: frozenset[int]
    first_reader: dict[int, int]
    widest: int
    chain: int
    readers: int


def usage_of(tape: Tape) -> Usage:
    """Read off the tape."""
    arguments: dict[int, set[tuple[int, int]]] = {}
    entered = {view.step for view in tape.outputs}
    first_reader: dict[int, int] = {}
    reads: Counter[int] = Counter()
    chain: list[int] = []
    for number, step in enumerate(tape.steps):
        for view in sources_of(step):
            first_reader.setdefault(view.step, number)
            reads[view.step] += 1
        if isinstance(step, Affine):
            entered |= {term.source.step for term in step.terms}
        elif isinstance(step, Nonlinear):
            for part in step.parts:
                for argument in (part.v, part.z):
                    if argument is not None:
                        arguments.setdefault(argument.step, set()).add((argument.start, argument.stop))
        chain.append(_chain(step, chain))
    for view in tape.outputs:
        reads[view.step] += 1
    return Usage(
        {step: _union(ranges) for step, ranges in arguments.items()},
        frozenset(entered),
        first_reader,
        max(step.size for step in tape.steps if not isinstance(step, Input)),
        max(chain),
        max(reads.values()),
    )


def _chain(step: Step, before: Sequence[int]) -> int:
    """Roundings of a value or of a sum of absolute terms: casts and products over each source, one sum per term."""
    if not isinstance(step, Affine):
        return 0
    longest = max((before[term.source.step] + term.source.size for term in step.terms), default=0)
    return longest + len(step.terms) + len(step.biases) + 2


def _union(ranges: set[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)


def only_inputs(step: Affine, steps: Sequence[Step]) -> bool:
    """Whether the step reads nothing but frames and constants: then interval arithmetic is exact already."""
    for term in step.terms:
        source = steps[term.source.step]
        if not isinstance(source, Input) and not (isinstance(source, Affine) and not source.terms):
            return False
    return True

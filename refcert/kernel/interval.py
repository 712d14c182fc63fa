"""Interval arithmetic on one variable, from the boxes of what it reads (certificate_v1.md, section 8)."""

from __future__ import annotations

from collections.abc import Sequence

from flint import arb, arb_mat

from refcert.kernel.ball import ONE, ZERO, exact, float_above, float_below, larger, precision, smaller, surely_less
from refcert.kernel.functions import sigmoid, tanh
from refcert.kernel.program import Part, Term, Variable
from refcert.kernel.state import State

Balls = tuple[list[arb], list[arb]]


def interval(state: State, number: int) -> Balls:
    """Balls that contain the lower and the upper end of every unit of a variable; those that it reads have boxes."""
    variable = state.program.variables[number]
    if number < state.program.frames:
        return state.inputs.ends(number)
    if variable.parts:
        return _nonlinear(state, variable)
    return _affine(state, variable)


def fill_boxes(state: State, first: int, last: int, precisions: Sequence[int]) -> None:
    """Give the variables first .. last - 1 the box of interval arithmetic, rounded outward, where they have none.

    The rounding is to the very next floats; where no precision tells which they are, the box is noted in `wider`.
    """
    for number in range(first, last):
        if number in state.boxes:
            continue
        for bits in precisions:
            state.budget.check()
            with precision(bits):
                lower, upper = interval(state, number)
                low, high = [float_below(x) for x in lower], [float_above(x) for x in upper]
                known = all(float_below(x.upper()) == a for x, a in zip(lower, low, strict=True))
                known = known and all(float_above(x.lower()) == b for x, b in zip(upper, high, strict=True))
            if known:
                break
        if not (known and sharp_sources(state, number)):
            state.wider.add(number)
        state.boxes[number] = low, high


def sharp_sources(state: State, number: int) -> bool:
    """Whether what the variable reads is known as the text means it: boxes, and least values over the input set."""
    variable = state.program.variables[number]
    views = [term.source for term in variable.terms]
    views += [view for part in variable.parts for view in (part.v, part.z) if view is not None]
    frames = any(term.source.variable < state.program.frames for term in variable.terms)
    return all(state.sharp(view) for view in views) and (state.inputs.exact or not frames)


def _nonlinear(state: State, variable: Variable) -> Balls:
    lower, upper = [ZERO] * variable.size, [ZERO] * variable.size
    for part in variable.parts:
        low, high = _image(state, part)
        lower = [a + b for a, b in zip(lower, low, strict=True)]
        upper = [a + b for a, b in zip(upper, high, strict=True)]
    return lower, upper


def _image(state: State, part: Part) -> Balls:
    """The range of each unit; every function here rises in v or is a positive factor times one that rises in z."""
    low_v, high_v = ([exact(x) for x in ends] for ends in state.box(part.v, negate=part.negate))
    if part.kind == "relu":
        return [larger(x, ZERO) for x in low_v], [larger(x, ZERO) for x in high_v]
    if part.kind == "tanh":
        return _tanh(low_v, high_v)
    low, high = _cut([sigmoid(x).value for x in low_v], [sigmoid(x).value for x in high_v], ZERO, ONE)
    if part.z is None:
        return low, high
    low_z, high_z = ([exact(x) for x in ends] for ends in state.box(part.z))
    if part.kind == "sigmoid_times_tanh":
        low_z, high_z = _tanh(low_z, high_z)
    return (
        [smaller(a * z, b * z) for a, b, z in zip(low, high, low_z, strict=True)],
        [larger(a * z, b * z) for a, b, z in zip(low, high, high_z, strict=True)],
    )


def _tanh(low: list[arb], high: list[arb]) -> Balls:
    return _cut([tanh(x).value for x in low], [tanh(x).value for x in high], -ONE, ONE)


def _cut(low: list[arb], high: list[arb], least: arb, most: arb) -> Balls:
    """Ends of a function between two numbers that it never reaches: one of them where a ball does not tell them apart.

    Far from zero no precision is enough, and engines rightly claim the whole range.
    """
    return (
        [x if surely_less(least, x) else least for x in low],
        [x if surely_less(x, most) else most for x in high],
    )


def _affine(state: State, variable: Variable) -> Balls:
    lower = [ZERO] * variable.size
    for constant in variable.constants:
        _add(lower, constant.row, [exact(x) for x in constant.values])
    upper = list(lower)
    frames: dict[int, list[arb]] = {}
    for term in variable.terms:
        if term.source.variable < state.program.frames:
            flat = _coefficients(term, variable.size)
            known = frames.get(term.source.variable)
            frames[term.source.variable] = flat if known is None else [a + b for a, b in zip(known, flat, strict=True)]
            continue
        low, high = _over_box(state, term)
        _add(lower, term.row, low)
        _add(upper, term.row, high)
    if frames:
        _add(lower, 0, state.inputs.least(frames, variable.size))
        against = state.inputs.least({t: [-a for a in flat] for t, flat in frames.items()}, variable.size)
        _add(upper, 0, [-x for x in against])
    return lower, upper


def _over_box(state: State, term: Term) -> Balls:
    low, high = ([exact(x) for x in ends] for ends in state.box(term.source))
    if term.matrix is None:
        low, high = [x / term.divisor for x in low], [x / term.divisor for x in high]
        return (low, high) if term.divisor > 0 else (high, low)
    middle = arb_mat(len(low), 1, [(a + b) / 2 for a, b in zip(low, high, strict=True)])
    half = arb_mat(len(low), 1, [(b - a) / 2 for a, b in zip(low, high, strict=True)])
    near, far = (term.matrix.ball * middle).entries(), (term.matrix.size * half).entries()
    return [a - b for a, b in zip(near, far, strict=True)], [a + b for a, b in zip(near, far, strict=True)]


def _coefficients(term: Term, size: int) -> list[arb]:
    """The coefficients on a frame, for all `size` units of the variable, unit after unit."""
    assert term.matrix is not None  # only weights read frames
    flat = [ZERO] * (size * term.source.size)
    start = term.row * term.source.size
    flat[start : start + len(term.matrix.entries)] = [exact(x) for x in term.matrix.entries]
    return flat


def _add(total: list[arb], row: int, values: Sequence[arb]) -> None:
    for k, value in enumerate(values):
        total[row + k] = total[row + k] + value

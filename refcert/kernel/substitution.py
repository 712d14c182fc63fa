"""Back-substitution of linear forms in balls, down to the input set (certificate_v1.md, section 8).

Every ball contains the number that exact arithmetic would give, so that a bound's ball contains the bound itself.
Source: POPQORN (Ko et al. 2019), theorems A.2, A.3, A.6; lemma `back_substitution`. Upper bounds of a form are lower
bounds of minus the form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final, NamedTuple

from flint import arb, arb_mat

from refcert.kernel.ball import ZERO, exact, larger, smaller, sum_of, surely_positive
from refcert.kernel.program import Variable, View
from refcert.kernel.state import State

# Coefficients that are held at once: rows are taken in blocks of so many.
HELD: Final = 1 << 20

NO_BOUND: Final = arb("-inf")
ANYTHING: Final = arb(0, "inf")


class Piece(NamedTuple):
    """Coefficients on some units of a variable, form after form."""

    first: int
    size: int
    flat: list[arb]


@dataclass(slots=True)
class Forms:
    """`rows` linear forms: a constant each, and pieces by variable."""

    rows: int
    constants: list[arb]
    pieces: dict[int, list[Piece]] = field(default_factory=dict)

    def add(self, view: View, flat: list[arb]) -> None:
        """Add coefficients on a view."""
        self.pieces.setdefault(view.variable, []).append(Piece(view.first, view.size, flat))

    def add_constants(self, values: Sequence[arb]) -> None:
        self.constants = [a + b for a, b in zip(self.constants, values, strict=True)]

    def add_multiples(self, tail: Tail) -> None:
        """Add to each form its multiple of the tail."""
        for number, pieces in tail.form.pieces.items():
            for piece in pieces:
                flat = [factor * a for factor in tail.factors for a in piece.flat]
                self.add(View(number, piece.first, piece.size), flat)
        self.add_constants([factor * tail.form.constants[0] for factor in tail.factors])


class Tail(NamedTuple):
    """One form whose multiples, by positive factors, are added to as many forms."""

    form: Forms
    factors: Sequence[arb]


Row = Mapping[tuple[int, int], float | arb]
"""A form to begin with: coefficients by variable and unit."""


def bounds(
    state: State, rows: Sequence[Row], constants: Sequence[float | arb], which: int, tail: Tail | None = None
) -> list[arb]:
    """The substitution of every row with the planes of set `which`, block by block.

    Where planes are missing that a row needs, it is minus infinity. tail: what its multiples add to the rows.
    """
    widest = max(variable.size for variable in state.program.variables)
    block = max(1, HELD // (4 * widest + state.program.frames * state.inputs.size))
    found: list[arb] = []
    for start in range(0, len(rows), block):
        some = slice(start, start + block)
        forms = _begun(state, rows[some], constants[some])
        if tail is not None:
            forms.add_multiples(Tail(tail.form, tail.factors[some]))
        _remove(state, forms, which, state.program.frames)
        frames = {t: _joined(pieces, forms.rows, state.inputs.size) for t, pieces in forms.pieces.items()}
        if frames:
            forms.add_constants(state.inputs.least(frames, forms.rows))
        found += forms.constants
    return found


def reduced(state: State, row: Row, constant: float | arb, which: int, last: int) -> Forms:
    """One form from which all variables behind number `last` are removed by substitution, frames excepted.

    Times a positive factor it is what the substitution of so many times the form comes to.
    """
    forms = _begun(state, [row], [constant])
    _remove(state, forms, which, max(last + 1, state.program.frames))
    for number, pieces in forms.pieces.items():
        size = state.program.variables[number].size
        forms.pieces[number] = [Piece(0, size, _joined(pieces, 1, size))]
    return forms


def best_bounds(state: State, rows: Sequence[Row], constants: Sequence[float | arb], sets: Sequence[int]) -> list[arb]:
    """The largest substitution of every row with one of the sets."""
    best = bounds(state, rows, constants, sets[0])
    for which in sets[1:]:
        best = [larger(a, b) for a, b in zip(best, bounds(state, rows, constants, which), strict=True)]
    return best


def _begun(state: State, rows: Sequence[Row], constants: Sequence[float | arb]) -> Forms:
    forms = Forms(len(rows), [_ball(c) for c in constants])
    for variable in {variable for row in rows for variable, _ in row}:
        size = state.program.variables[variable].size
        flat = [ZERO] * (size * len(rows))
        for k, row in enumerate(rows):
            for (number, unit), value in row.items():
                if number == variable:
                    flat[k * size + unit] = _ball(value)
        forms.add(View(variable, 0, size), flat)
    return forms


def _ball(x: float | arb) -> arb:
    return x if isinstance(x, arb) else exact(x)


def _remove(state: State, forms: Forms, which: int, first: int) -> None:
    """Remove the variables from the highest one down to number `first`, which is no frame."""
    for number in range(max(forms.pieces, default=0), first - 1, -1):
        pieces = forms.pieces.pop(number, None)
        if pieces is None:
            continue
        state.budget.check()
        variable = state.program.variables[number]
        flat = _joined(pieces, forms.rows, variable.size)
        if variable.parts:
            _through_planes(state, forms, number, flat, which)
        else:
            _through_terms(forms, variable, flat)


def _joined(pieces: Sequence[Piece], rows: int, size: int) -> list[arb]:
    """The coefficients of all units of a variable, form after form."""
    if len(pieces) == 1 and pieces[0].size == size:
        return pieces[0].flat
    total = [ZERO] * (rows * size)
    filled: set[int] = set()
    for piece in pieces:
        units = range(piece.first, piece.first + piece.size)
        again = not filled.isdisjoint(units)
        filled.update(units)
        for k in range(rows):
            values = piece.flat[k * piece.size : (k + 1) * piece.size]
            start = k * size + piece.first
            if again:
                values = [a + b for a, b in zip(total[start : start + piece.size], values, strict=True)]
            total[start : start + piece.size] = values
    return total


def _through_terms(forms: Forms, variable: Variable, flat: list[arb]) -> None:
    whole = arb_mat(forms.rows, variable.size, flat)
    for constant in variable.constants:
        part = _columns(whole, flat, forms.rows, variable.size, constant.row, len(constant.values))
        column = arb_mat(len(constant.values), 1, list(constant.values))
        forms.add_constants((part * column).entries())
    for term in variable.terms:
        if term.matrix is not None:
            part = _columns(whole, flat, forms.rows, variable.size, term.row, term.matrix.rows)
            forms.add(term.source, (part * term.matrix.ball).entries())
            continue
        values = list(_slices(flat, forms.rows, variable.size, term.row, term.source.size))
        forms.add(term.source, values if term.divisor == 1 else [a / term.divisor for a in values])


def _columns(whole: arb_mat, flat: list[arb], rows: int, size: int, first: int, count: int) -> arb_mat:
    if count == size:
        return whole
    return arb_mat(rows, count, list(_slices(flat, rows, size, first, count)))


def _slices(flat: list[arb], rows: int, size: int, first: int, count: int) -> Iterator[arb]:
    for k in range(rows):
        yield from flat[k * size + first : k * size + first + count]


def _through_planes(state: State, forms: Forms, number: int, flat: list[arb], which: int) -> None:
    variable = state.program.variables[number]
    # 1: surely not negative, -1: surely not positive, 0: the ball does not tell.
    signs = [1 if a >= ZERO else -1 if a <= ZERO else 0 for a in flat]
    for k, part in enumerate(variable.parts):
        planes = state.planes.get((which, number, k))
        if planes is None:
            _without_planes(forms, flat, variable.size)
            continue
        forms.add(part.v, _chosen(flat, signs, planes.lower_v, planes.upper_v))
        if part.z is not None and planes.lower_z is not None and planes.upper_z is not None:
            forms.add(part.z, _chosen(flat, signs, planes.lower_z, planes.upper_z))
        offsets = _chosen(flat, signs, planes.lower_offset, planes.upper_offset)
        size = variable.size
        forms.add_constants([sum_of(offsets[r * size : (r + 1) * size]) for r in range(forms.rows)])


def _chosen(flat: list[arb], signs: list[int], lower: list[arb], upper: list[arb]) -> list[arb]:
    """Each coefficient times the lower plane's number where it is >= 0, times the upper plane's where it is <= 0."""
    if lower is upper:
        return [a * s for a, s in zip(flat, cycle(lower), strict=False)]
    return [
        a * low if sign > 0 else a * high if sign < 0 else larger(a, ZERO) * low + smaller(a, ZERO) * high
        for a, sign, low, high in zip(flat, signs, cycle(lower), cycle(upper), strict=False)
    ]


def _without_planes(forms: Forms, flat: list[arb], size: int) -> None:
    """No bound for the forms that need planes that are not there: minus infinity, or anything where none is certain."""
    for r in range(forms.rows):
        row = flat[r * size : (r + 1) * size]
        if any(surely_positive(abs(a)) for a in row):
            forms.constants[r] = NO_BOUND
        elif not all(a.is_zero() for a in row):
            forms.constants[r] = forms.constants[r] + ANYTHING

"""The program's variables and a certificate's steps, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from refcert.app.certificates.claim_words import decimal, form, numbers, plural
from refcert.kernel.check import Certificate
from refcert.kernel.program import Part, Term, Variable, View
from refcert.kernel.steps import BOX, CLOSE, DIAGONALS, END, OPEN, PLANES, Step

# Rows of a tensor of planes, by how many there are (certificate_v1.md, section 7).
PLANE_ROWS: Final[Mapping[int, tuple[str, ...]]] = {
    4: ("lower slope_v", "lower offset", "upper slope_v", "upper offset"),
    5: ("lower slope_v", "slope_z of both", "lower offset", "upper slope_v", "upper offset"),
    6: ("lower slope_v", "lower slope_z", "lower offset", "upper slope_v", "upper slope_z", "upper offset"),
}
BOX_ROWS: Final = ("lower", "upper")
DIAGONAL_ROWS: Final = ("lower v + z", "upper v + z", "lower v - z", "upper v - z")

Plane = tuple[float, float | None, float]
"""slope_v, slope_z (None for functions of one argument), offset."""

_FUNCTIONS: Final = {
    "sigmoid_times_tanh": "sigmoid(v) tanh(z)",
    "sigmoid_times_identity": "sigmoid(v) z",
    "sigmoid": "sigmoid(v)",
    "tanh": "tanh(v)",
    "relu": "max(v, 0)",
}


@dataclass(frozen=True)
class Placed:
    """A step, its number, and by variable that it reads the number of the step before it that gave its box, if any.

    diagonals: of planes, the number of the step before it that gave their part's diagonals, if any.
    """

    number: int
    step: Step
    boxes: Mapping[int, int]
    diagonals: int | None = None

    @property
    def known(self) -> bool:
        """Whether its rule is known."""
        return self.step.stage is not None

    @property
    def variable(self) -> int | None:
        """What it is about; None for margins, rows, what closes blocks by halves, and unknown rules."""
        return self.step.of if self.step.of >= 0 else None

    @property
    def numbers(self) -> int | None:
        """How many numbers its tensor has; None where the rule is unknown: no reader takes it in."""
        return sum(map(len, self.step.rows)) if self.known else None

    @property
    def rows(self) -> tuple[str, ...]:
        """What the rows of its tensor are, if it has one."""
        if self.step.stage == PLANES:
            return PLANE_ROWS[len(self.step.rows)]
        if self.step.stage == OPEN:
            return ("s",)
        count = range(1, self.step.suppositions + 1)
        if self.step.rule == "closed.empty":
            return tuple(f"multipliers of the {end} end" for end in BOX_ROWS)
        ends = DIAGONAL_ROWS if self.step.stage == DIAGONALS else BOX_ROWS
        if not self.step.rule.endswith(".supposed"):
            return ends
        return ends + tuple(f"{end}: multiplier {k}" for end in ends for k in count)


def placed(certificate: Certificate) -> list[Placed]:
    """All steps in their order. Nothing is judged: a step in the wrong place is shown where it is."""
    given: dict[int, int] = {}
    cut: dict[tuple[int, int], int] = {}
    around: list[tuple[dict[int, int], dict[tuple[int, int], int]]] = []  # of the blocks that are open
    found = []
    for number, step in enumerate(certificate.steps):
        if step.stage == OPEN:
            around.append((dict(given), dict(cut)))
        elif step.stage == CLOSE and around:
            given, cut = around.pop()
        one = Placed(number, step, {})
        if one.variable is not None:
            read = _sources(certificate.program.variables[step.of])
            boxes = {source: given[source] for source in read if source in given}
            one = Placed(number, step, boxes, cut.get((step.of, step.part)) if step.stage == PLANES else None)
            if step.stage == BOX:
                given[step.of] = number
            elif step.stage == DIAGONALS:
                cut[step.of, step.part] = number
        found.append(one)
    return found


# Variables


def definition(certificate: Certificate, number: int) -> str:
    """How the variables before it define a variable, which are named by their numbers: 'sigmoid(v), v = 4[0:8]'."""
    variable = certificate.program.variables[number]
    if number < certificate.program.frames:
        return "input"
    if variable.parts:
        several = len(variable.parts) > 1
        return "; ".join(
            (f"part {k}: " if several else "") + _part(certificate, part) for k, part in enumerate(variable.parts)
        )
    terms = [_term(certificate, term) for term in variable.terms]
    return " + ".join([*terms, *(["constants"] if variable.constants else [])])


def _part(certificate: Certificate, part: Part) -> str:
    return f"{_FUNCTIONS[part.kind]}, {arguments(certificate, part)}"


def arguments(certificate: Certificate, part: Part) -> str:
    """Which units v and z are."""
    v = f"v = {'-' if part.negate else ''}{view_text(certificate, part.v)}"
    return v if part.z is None else f"{v}, z = {view_text(certificate, part.z)}"


def view_text(certificate: Certificate, view: View) -> str:
    """A variable's number, with its units where they are not all: 4[0:8] are the first eight of variable 4."""
    if view.size == certificate.program.variables[view.variable].size:
        return str(view.variable)
    return f"{view.variable}[{view.first}:{view.first + view.size}]"


def _term(certificate: Certificate, term: Term) -> str:
    source = view_text(certificate, term.source)
    if term.matrix is not None:
        return f"matrix ({term.matrix.rows} x {term.matrix.columns}) times {source}"
    if term.divisor == 1:
        return source
    return f"(-{source})" if term.divisor == -1 else f"{source} / {term.divisor}"


# Steps


def about(certificate: Certificate, one: Placed) -> str:
    """What a step is about: the variable with its label, and the part."""
    if not one.known:
        return "?"
    if one.step.rule == "suppose.row":
        return f"row {one.step.row}"
    if one.variable is None:
        return "the claim" if one.step.stage == END else "the block"
    variable = certificate.program.variables[one.variable]
    if one.step.stage in (OPEN, CLOSE):
        return f"{one.variable}: {variable.label}, unit {one.step.unit}"
    if one.step.stage == BOX:
        return f"{one.variable}: {variable.label}"
    part = f", part {one.step.part}" if len(variable.parts) > 1 else ""
    return f"{one.variable}: {variable.label}{part}" + (f", set {one.step.which}" if one.step.stage == PLANES else "")


def follows(certificate: Certificate, one: Placed) -> str:
    """How a step has to follow from those before it."""
    if not one.known:
        return "a rule that this version does not know: the check answers HOLEY"
    return _FOLLOWS[one.step.rule](certificate, one)


def _planes(certificate: Certificate, one: Placed) -> str:
    part = part_of(certificate, one)
    function, read = _FUNCTIONS[part.kind], arguments(certificate, part)
    boxes = _boxes_of(certificate, one, {view.variable for view in _views(part)})
    where = "the whole box" if one.diagonals is None else f"the box cut by the diagonals of step {one.diagonals}"
    return f"{function} lies between both planes of each unit on {where}; {read} ({boxes})"


def _diagonals(certificate: Certificate, one: Placed) -> str:
    return _sums_by(certificate, one, _box_substitution(certificate, one))


def _sums_by(certificate: Certificate, one: Placed, substitution: str) -> str:
    part = part_of(certificate, one)
    boxes = _boxes_of(certificate, one, {view.variable for view in _views(part)})
    ways = f"by adding ends of the boxes, or {substitution}"
    return f"v + z and v - z {ways}; {arguments(certificate, part)} ({boxes})"


def _box_interval(certificate: Certificate, one: Placed) -> str:
    return f"interval arithmetic ({_boxes_of(certificate, one, _sources(_variable(certificate, one)))})"


def _box_substitution(_: Certificate, one: Placed) -> str:
    return f"back-substitution{_with(one.step.sets)}, down to X"


def _box_intersection(certificate: Certificate, one: Placed) -> str:
    return f"{_box_interval(certificate, one)}, or {_box_substitution(certificate, one)}"


def _suppose_row(certificate: Certificate, one: Placed) -> str:
    return f"nothing to prove: from here on only the x are looked at for which row {one.step.row} is at most m"


def _suppose_half(_: Certificate, one: Placed) -> str:
    side = "most" if one.step.rule == "suppose.below" else "least"
    number = decimal(one.step.rows[0][0])
    return f"nothing to prove: from here on only the x are looked at for which the unit is at {side} {number}"


def _again(_: Certificate, one: Placed) -> str:
    return "nothing to prove: the variables begin anew, with what is proved so far"


def _supposed(_: Certificate, one: Placed) -> str:
    many = plural(one.step.suppositions, "supposition")
    return f"as before in this block, or back-substitution{_with(one.step.sets)} and multiples of {many}, down to X"


def _box_supposed(certificate: Certificate, one: Placed) -> str:
    return f"{_box_interval(certificate, one)}, or {_supposed(certificate, one)}"


def _diagonals_supposed(certificate: Certificate, one: Placed) -> str:
    return _sums_by(certificate, one, _supposed(certificate, one))


def _closed_row(_: Certificate, one: Placed) -> str:
    return f"back-substitution of the block's row{_with(one.step.sets)}, down to X; it reaches m"


def _closed_empty(certificate: Certificate, one: Placed) -> str:
    return f"a lower end of the unit above an upper one: {_supposed(certificate, one)}"


def _closed_split(_: Certificate, one: Placed) -> str:
    return "the two blocks before it: the unit is at most a number, or at least the same number"


def _margin(certificate: Certificate, one: Placed) -> str:
    specification = certificate.specification
    reach = f"all bounds but {specification.spare} reach m" if specification.spare else "each bound reaches m"
    rows = plural(len(specification.rows), "row")
    blocks = any(step.rule == "suppose.row" for step in certificate.steps)
    known = ", or a block has proved its row" if blocks else ""
    return f"back-substitution of the specification's {rows}{_with(one.step.sets)}, down to X; {reach}{known}"


def _margin_per_class(certificate: Certificate, one: Placed) -> str:
    label = certificate.specification.label
    if label is None:
        return "only for a claim about one label against others, which this is not"
    return (
        f"back-substitution of y[{label}] and of each -y[j]{_with(one.step.sets)}, down to X; the bound of y[{label}] "
        "plus that of -y[j] reaches m for each of these j"
    )


_FOLLOWS: Final[Mapping[str, Callable[[Certificate, Placed], str]]] = {
    "diagonals": _diagonals,
    "planes": _planes,
    "box.interval": _box_interval,
    "box.substitution": _box_substitution,
    "box.intersection": _box_intersection,
    "suppose.row": _suppose_row,
    "suppose.below": _suppose_half,
    "suppose.above": _suppose_half,
    "again": _again,
    "diagonals.supposed": _diagonals_supposed,
    "box.supposed": _box_supposed,
    "closed.row": _closed_row,
    "closed.empty": _closed_empty,
    "closed.split": _closed_split,
    "margin": _margin,
    "margin.per_class": _margin_per_class,
}


def rows_text(certificate: Certificate) -> list[str]:
    """The specification's rows, which a margin bounds from below."""
    specification = certificate.specification
    return [
        form(certificate, row, constant)
        for row, constant in zip(specification.rows, specification.constants, strict=True)
    ]


def _with(sets: Sequence[int]) -> str:
    if len(sets) == 1:
        return f" with the planes of set {sets[0]} so far"
    return f" with the planes of one of the sets {numbers(sets)} so far"


def part_of(certificate: Certificate, one: Placed) -> Part:
    """The part that a step's planes are about."""
    return _variable(certificate, one).parts[one.step.part]


def _variable(certificate: Certificate, one: Placed) -> Variable:
    return certificate.program.variables[one.step.of]


def _views(part: Part) -> list[View]:
    return [part.v] if part.z is None else [part.v, part.z]


def _sources(variable: Variable) -> set[int]:
    """The variables that it reads."""
    views = [term.source for term in variable.terms]
    for part in variable.parts:
        views += _views(part)
    return {view.variable for view in views}


def _boxes_of(certificate: Certificate, one: Placed, variables: Iterable[int]) -> str:
    """Where the boxes of what it reads come from: 'boxes: 3 by step 0, 4 by interval arithmetic, frame 0 by X'."""
    read = sorted(variables)
    frames = [number for number in read if number < certificate.program.frames]
    plain = [number for number in read if number not in one.boxes and number >= certificate.program.frames]
    words = [f"{number} by step {one.boxes[number]}" for number in read if number in one.boxes]
    if plain:
        words.append(f"{numbers(plain)} by interval arithmetic")
    if frames:
        words.append(f"frame {numbers(frames)} by X")
    return "boxes: " + (", ".join(words) or "none, it is constant")


def argument_boxes(certificate: Certificate, one: Placed) -> list[list[tuple[float, float]] | None]:
    """The boxes of v, and of z if there is one, by unit, as an earlier step claims them; None where none does."""
    part = part_of(certificate, one)
    boxes: list[list[tuple[float, float]] | None] = []
    for view in _views(part):
        giver = one.boxes.get(view.variable)
        if giver is None:
            boxes.append(None)
            continue
        lower, upper = certificate.steps[giver].rows[:2]
        units = slice(view.first, view.first + view.size)
        ends = list(zip(lower[units], upper[units], strict=True))
        boxes.append([(-high, -low) for low, high in ends] if part.negate and view is part.v else ends)
    return boxes


def both_planes(numbers: Sequence[float]) -> tuple[Plane, Plane]:
    """A unit's lower and upper plane out of its column of the step's tensor (certificate_v1.md, section 7)."""
    if len(numbers) == 4:
        return (numbers[0], None, numbers[1]), (numbers[2], None, numbers[3])
    if len(numbers) == 5:
        return (numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[1], numbers[4])
    return (numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5])


def plane_text(plane: Plane) -> str:
    """'0.25 v - 0.5 z + 0.1', with all digits."""
    slope_v, slope_z, offset = plane
    text = f"{decimal(slope_v)} v"
    for value, name in ((slope_z, " z"), (offset, "")):
        if value is not None:
            text += f" {'-' if value < 0 else '+'} {decimal(abs(value))}{name}"
    return text

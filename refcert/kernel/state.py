"""What has been proved so far: boxes, planes, diagonals and rows, under which suppositions, and a budget of time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from flint import arb

from refcert.kernel.errors import UndecidedStepError
from refcert.kernel.input_sets import InputSet
from refcert.kernel.program import Program, View
from refcert.kernel.supposition import Supposition

Ends = tuple[Sequence[float], Sequence[float]]
"""Lower and upper ends of a variable's units."""

Diagonals = Sequence[tuple[float, float, float, float]]
"""By unit of a part: lower and upper end of v + z, lower and upper end of v - z; v and z as its planes see them."""


@dataclass(frozen=True, slots=True)
class Planes:
    """Proved planes of one part, by unit, over the views that it reads (a negated argument is turned round here).

    The z slopes are None for functions of one argument, and the very same list where both planes share them.
    """

    lower_v: list[arb]
    upper_v: list[arb]
    lower_z: list[arb] | None
    upper_z: list[arb] | None
    lower_offset: list[arb]
    upper_offset: list[arb]


class Budget:
    """Seconds that a check may take, None for as many as it takes."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.end = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise UndecidedStepError if the time is over."""
        if self.end is not None and time.monotonic() > self.end:
            raise UndecidedStepError(f"the budget of {self.seconds:g} seconds ended")


@dataclass(slots=True)
class State:
    """boxes: by variable; those in `wider` may be one number wider than the text's. planes: by set, variable, part.

    diagonals: by variable and part. All of them are about the inputs for which the suppositions hold, of the outermost
    block first. proved: rows that reach the margin on the whole set, the same set in every block.
    """

    program: Program
    inputs: InputSet
    budget: Budget
    boxes: dict[int, Ends] = field(default_factory=dict)
    planes: dict[tuple[int, int, int], Planes] = field(default_factory=dict)
    diagonals: dict[tuple[int, int], Diagonals] = field(default_factory=dict)
    wider: set[int] = field(default_factory=set)
    suppositions: tuple[Supposition, ...] = ()
    proved: set[int] = field(default_factory=set)

    def under(self, supposition: Supposition) -> State:
        """A state for a block inside: it begins with a copy of all that is proved here."""
        return State(
            self.program,
            self.inputs,
            self.budget,
            dict(self.boxes),
            dict(self.planes),
            dict(self.diagonals),
            set(self.wider),
            (*self.suppositions, supposition),
            self.proved,
        )

    def give_box(self, number: int, ends: Ends) -> None:
        """A variable's box from a step, which is known as it is."""
        self.boxes[number] = ends
        self.wider.discard(number)

    def box(self, view: View, *, negate: bool = False) -> Ends:
        """The ends of a view, which has a box; with `negate`, of minus the view."""
        lower, upper = self.boxes[view.variable]
        units = slice(view.first, view.first + view.size)
        if negate:
            return [-x for x in upper[units]], [-x for x in lower[units]]
        return lower[units], upper[units]

    def sharp(self, view: View) -> bool:
        """Whether the view's box is the very box that the text means."""
        return view.variable not in self.wider

"""Input sets: reading them, the box of a frame, and the least value of linear forms (certificate_v1.md, section 5).

Forms come as flat lists of balls, row after row: `rows` forms over the n values of a frame. `least` gives, for each
form, a ball that contains the minimum over the set; where `exact` is False, a ball that is surely not above it.
Source of the ball's formulas: POPQORN (Ko et al. 2019), section 3.2 (Hoelder); lemmas `dual_norm`, `clipped_ball`,
`sequence_ball`, `substitution_hull`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from flint import arb, arb_mat

from refcert.kernel.ball import ONE, ZERO, exact, larger, power, smaller, sum_of
from refcert.kernel.container import Container, Table, number, require_keys, shaped, shown, whole
from refcert.kernel.errors import UnreadableError
from refcert.kernel.guesses import ball_split, clamp

Forms = Mapping[int, Sequence[arb]]
"""For each frame that the forms read, the coefficients of all forms, form after form."""


class InputSet(ABC):
    """frames, size: shape of an input. tensors: by name, for the claim's digest. tick: looks at the budget of time."""

    exact = True

    def __init__(self, center: Table, tensors: Mapping[str, Table]) -> None:
        self.frames, self.size = center.shape
        self.tensors = tensors
        self.tick: Callable[[], None] = lambda: None

    @abstractmethod
    def ends(self, t: int) -> tuple[list[arb], list[arb]]:
        """The least and the greatest value of every coordinate of frame t."""

    @abstractmethod
    def least(self, forms: Forms, rows: int) -> list[arb]:
        """See the module's docstring."""


class Box(InputSet):
    """Every coordinate between its own ends: boxes, and balls of the maximum norm."""

    def __init__(self, center: Table, tensors: Mapping[str, Table], ends: _Ends) -> None:
        super().__init__(center, tensors)
        self._ends = ends

    def ends(self, t: int) -> tuple[list[arb], list[arb]]:
        return self._ends(t)

    def least(self, forms: Forms, rows: int) -> list[arb]:
        total = [ZERO] * rows
        for t, flat in forms.items():
            lower, upper = self.ends(t)
            middle = arb_mat(self.size, 1, [(a + b) / 2 for a, b in zip(lower, upper, strict=True)])
            half = arb_mat(self.size, 1, [(b - a) / 2 for a, b in zip(lower, upper, strict=True)])
            near = arb_mat(rows, self.size, flat) * middle
            far = arb_mat(rows, self.size, [abs(a) for a in flat]) * half
            total = [sum_ + x - y for sum_, x, y in zip(total, near.entries(), far.entries(), strict=True)]
        return total


class _Ends:
    """Ends of coordinates, from two tensors or from a ball around a center."""

    def __init__(
        self, lower: Table, upper: Table, radius: Sequence[float] | None, clip: tuple[float, float] | None
    ) -> None:
        self.lower, self.upper, self.radius, self.clip = lower, upper, radius, clip

    def __call__(self, t: int) -> tuple[list[arb], list[arb]]:
        low, high = [exact(x) for x in self.lower.row(t)], [exact(x) for x in self.upper.row(t)]
        if self.radius is None:
            return low, high
        radius = exact(self.radius[t])
        low, high = [x - radius for x in low], [x + radius for x in high]
        if self.clip is not None:
            first, last = exact(self.clip[0]), exact(self.clip[1])
            low, high = [larger(x, first) for x in low], [smaller(x, last) for x in high]
        return low, high


class Ball(InputSet):
    """Balls of an l_p norm with p < infinity: one for each frame, or one for the whole sequence; perhaps cut.

    radius: one for each frame, 0 for those that stay. whole: the radius of the one ball around all frames, or None.
    """

    def __init__(
        self,
        center: Table,
        tensors: Mapping[str, Table],
        radius: Sequence[float],
        p: float,
        clip: tuple[float, float] | None,
        joint: float | None,
    ) -> None:
        super().__init__(center, tensors)
        self.center, self.radius, self.p, self.clip, self.joint = center, radius, p, clip, joint
        self.exact = clip is None
        self._ends = _Ends(center, center, radius, clip)

    def ends(self, t: int) -> tuple[list[arb], list[arb]]:
        return self._ends(t)

    def least(self, forms: Forms, rows: int) -> list[arb]:
        total = self._at_center(forms, rows)
        moving = [t for t in forms if self.radius[t] > 0]
        groups = [moving] if self.joint is not None else [[t] for t in moving]
        for frames in groups:
            if not frames:
                continue
            radius = self.radius[frames[0]]
            ends = [self.ends(t) for t in frames] if self.clip is not None else []
            for k in range(rows):
                self.tick()
                row = [a for t in frames for a in forms[t][k * self.size : (k + 1) * self.size]]
                total[k] -= self._reach(row, frames, ends, radius)
        return total

    def _at_center(self, forms: Forms, rows: int) -> list[arb]:
        total = [ZERO] * rows
        for t, flat in forms.items():
            center = arb_mat(self.size, 1, list(self.center.row(t)))
            values = (arb_mat(rows, self.size, flat) * center).entries()
            total = [a + b for a, b in zip(total, values, strict=True)]
        return total

    def _reach(
        self, row: Sequence[arb], frames: Sequence[int], ends: Sequence[tuple[list[arb], list[arb]]], radius: float
    ) -> arb:
        """How far the form can fall from its value at the center; not below that where the ball is cut."""
        size = [abs(a) for a in row]
        ball = exact(radius) * self._dual_norm(size)
        if self.clip is None:
            return ball
        room = list(self._room(row, frames, ends))
        box = sum_of(a * b for a, b in zip(size, room, strict=True))
        best = smaller(ball, box)
        # |a| = a' + a'' with 0 <= a' <= |a| in any way: the fall is at most radius ||a'||_q + a'' . room.
        shares = ball_split([float(a.mid()) for a in size], [float(b.mid()) for b in room], radius, self.p)
        inside = [smaller(a, exact(clamp(share, 0.0, math.inf))) for a, share in zip(size, shares, strict=True)]
        rest = sum_of((a - part) * b for a, part, b in zip(size, inside, room, strict=True))
        return smaller(best, exact(radius) * self._dual_norm(inside) + rest)

    def _room(
        self, row: Sequence[arb], frames: Sequence[int], ends: Sequence[tuple[list[arb], list[arb]]]
    ) -> Iterator[arb]:
        """How far each coordinate can move in the direction in which the form falls, or further."""
        for k, (t, (lower, upper)) in enumerate(zip(frames, ends, strict=True)):
            self.tick()
            coefficients = row[k * self.size : (k + 1) * self.size]
            for a, low, high, x in zip(coefficients, lower, upper, self.center.row(t), strict=True):
                below, above = exact(x) - low, high - exact(x)
                yield below if a >= ZERO else above if a <= ZERO else larger(below, above)

    def _dual_norm(self, size: Sequence[arb]) -> arb:
        """||a||_q of the absolute values, 1/p + 1/q = 1."""
        if self.p == 1:
            found = ZERO
            for a in size:
                found = larger(found, a)
            return found
        if self.p == 2:
            return sum_of(a * a for a in size).sqrt()
        p = exact(self.p)
        q = p / (p - ONE)
        return power(sum_of(power(a, q) for a in size), ONE / q)


class Substitutions(InputSet):
    """Every frame is its center or one of its candidates."""

    def __init__(self, center: Table, tensors: Mapping[str, Table], choices: list[list[list[float]]]) -> None:
        super().__init__(center, tensors)
        self.choices = choices

    def ends(self, t: int) -> tuple[list[arb], list[arb]]:
        columns = list(zip(*self.choices[t], strict=True))
        return [exact(min(column)) for column in columns], [exact(max(column)) for column in columns]

    def least(self, forms: Forms, rows: int) -> list[arb]:
        total = [ZERO] * rows
        for t, flat in forms.items():
            choices = self.choices[t]
            columns = arb_mat(len(choices), self.size, [x for choice in choices for x in choice]).transpose()
            values = (arb_mat(rows, self.size, flat) * columns).entries()
            for k in range(rows):
                worst = values[k * len(choices)]
                for value in values[k * len(choices) + 1 : (k + 1) * len(choices)]:
                    worst = smaller(worst, value)
                total[k] += worst
        return total


class _Entry(NamedTuple):
    """What is being read: the JSON object, the certificate's tensors and the network's input size."""

    entry: Any
    tensors: Mapping[str, Table]
    size: int

    def table(self, name: str, shape: tuple[int | None, ...]) -> Table:
        return shaped(self.tensors, name, shape, "tensor")


def read_input_set(entry: Any, certificate: Container, input_size: int) -> InputSet:
    """The input set of a certificate. Raises UnreadableError."""
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in READERS:
        raise UnreadableError(f"the input set's kind is {shown(kind)}; known: {', '.join(READERS)}")
    return READERS[kind](_Entry(entry, certificate.tensors, input_size))


def _boxes(source: _Entry) -> InputSet:
    require_keys(source.entry, ("kind",), "inputs")
    lower = source.table("lower", (None, source.size))
    upper = source.table("upper", lower.shape)
    for k, (low, high) in enumerate(zip(lower.values, upper.values, strict=True)):
        if low > high:
            raise UnreadableError(f"the box {divmod(k, source.size)} is [{low!r}, {high!r}], which is empty")
    return Box(lower, {"lower": lower, "upper": upper}, _Ends(lower, upper, None, None))


def _frame_balls(source: _Entry) -> InputSet:
    require_keys(source.entry, ("kind", "p"), "inputs", ("clip",))
    center = source.table("center", (None, source.size))
    radius = source.table("radius", (center.shape[0],))
    return _balls(source.entry, center, radius, list(radius.values), None)


def _sequence_ball(source: _Entry) -> InputSet:
    require_keys(source.entry, ("kind", "p"), "inputs", ("clip", "moves"))
    center = source.table("center", (None, source.size))
    radius = source.table("radius", (1,))
    frames = center.shape[0]
    moves = source.entry.get("moves", list(range(frames)))
    if not isinstance(moves, list) or any(
        a >= b
        for a, b in zip([-1, *(whole(t, 0, frames - 1, "a frame of `moves`") for t in moves)], moves, strict=False)
    ):
        raise UnreadableError(f"`moves` is {shown(moves)}; it must be a list of rising frame numbers")
    moving = set(moves)
    each = [radius.values[0] if t in moving else 0.0 for t in range(frames)]
    return _balls(source.entry, center, radius, each, radius.values[0])


def _balls(entry: Any, center: Table, radius: Table, each: list[float], joint: float | None) -> InputSet:
    if min(radius.values) < 0:
        raise UnreadableError(f"a radius is {min(radius.values)!r}; no radius may be negative")
    tensors = {"center": center, "radius": radius}
    p = math.inf if entry["p"] == "inf" else number(entry["p"], "p")
    if p < 1:
        raise UnreadableError(f"p is {p!r}; a norm has p >= 1")
    clip = _clip(entry["clip"], center) if "clip" in entry else None
    if p == math.inf:
        return Box(center, tensors, _Ends(center, center, each, clip))
    return Ball(center, tensors, each, p, clip, joint)


def _clip(value: Any, center: Table) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise UnreadableError(f"the clip range is {shown(value)}; it needs two numbers")
    low, high = number(value[0], "the clip range's lower end"), number(value[1], "the clip range's upper end")
    if not low <= high or min(center.values) < low or max(center.values) > high:
        raise UnreadableError(f"the clip range is [{low!r}, {high!r}]; it must not fall, and must hold the center")
    return low, high


def _substitutions(source: _Entry) -> InputSet:
    require_keys(source.entry, ("kind", "counts"), "inputs")
    center = source.table("center", (None, source.size))
    counts = source.entry["counts"]
    if not isinstance(counts, list) or len(counts) != center.shape[0]:
        raise UnreadableError(f"`counts` is {shown(counts)}; it needs a number for each of {center.shape[0]} frames")
    total = sum(whole(count, 0, MAX_CANDIDATES, "a frame's count of candidates") for count in counts)
    tensors = {"center": center}
    if total:
        tensors["candidates"] = source.table("candidates", (total, source.size))
    choices, first = [], 0
    for t, count in enumerate(counts):
        rows = range(first, first + count)
        choices.append([list(center.row(t)), *(list(tensors["candidates"].row(k)) for k in rows)])
        first += count
    return Substitutions(center, tensors, choices)


MAX_CANDIDATES: Final = 1 << 24

READERS: Final = {
    "frame_balls": _frame_balls,
    "sequence_ball": _sequence_ball,
    "boxes": _boxes,
    "substitutions": _substitutions,
}

"""Everything that a certificate claims but its planes, against its rules at a precision that leaves no doubt.

By the text of sections 6 to 8 of `proofs/spec/certificate_v1.md`. Planes are not proved here: that is the kernel's
work.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field

import flint
import numpy as np
from flint import arb, arb_mat

from tests.engine.certificate_files import File
from tests.engine.certificate_program import Affine, Frame, Nonlinear, Part, Program, function, matrix, program
from tests.engine.certificate_sets import least

PRECISION = 300
# What is closer than this is the same number to balls of that precision: tanh(-1000) is -1 to them.
UNDECIDED = 2.0**-200


@contextmanager
def precise():
    before = flint.ctx.prec
    flint.ctx.prec = PRECISION
    try:
        yield
    finally:
        flint.ctx.prec = before


@dataclass
class Replay:
    """What a certificate has shown so far: planes by (variable, part, set), boxes by variable, unit by unit.

    diagonals: by (variable, part), the claimed ends (4, units) of the octagons that the part's planes are over.
    """

    file: File
    program: Program
    planes: dict[tuple[int, int, int], np.ndarray]
    boxes: dict[int, list[tuple[arb, arb]]]
    diagonals: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def box(self, number: int) -> list[tuple[arb, arb]]:
        if number not in self.boxes:
            self.boxes[number] = self.interval(number)
        return self.boxes[number]

    def least(self, rows: dict[int, list[arb]]) -> arb:
        return least(self.file.body["inputs"], self.file.tensors, rows)

    def interval(self, number: int) -> list[tuple[arb, arb]]:
        variable = self.program.variables[number]
        units = range(variable.size)
        if isinstance(variable, Frame):
            eye = [[arb(int(i == u)) for i in units] for u in units]
            minus = [[-value for value in row] for row in eye]
            return [(self.least({variable.t: eye[u]}), -self.least({variable.t: minus[u]})) for u in units]
        if isinstance(variable, Affine):
            return [self._affine_end(variable, u) for u in units]
        return [self._nonlinear_end(variable, u) for u in units]

    def _affine_end(self, variable: Affine, unit: int) -> tuple[arb, arb]:
        low = high = variable.bias[unit, 0]
        frames: dict[int, list[arb]] = {}
        for k, weight in variable.terms:
            row = [weight[unit, j] for j in range(weight.ncols())]
            if isinstance(self.program.variables[k], Frame):
                frames[k] = [a + b for a, b in zip(frames[k], row, strict=True)] if k in frames else row
                continue
            for a, (bottom, top) in zip(row, self.box(k), strict=True):
                low, high = low + (a * bottom).min(a * top), high + (a * bottom).max(a * top)
        if frames:
            low += self.least(frames)
            high -= self.least({t: [-a for a in row] for t, row in frames.items()})
        return low, high

    def _nonlinear_end(self, variable: Nonlinear, unit: int) -> tuple[arb, arb]:
        low = high = arb(0)
        for part in variable.parts:
            ends = self.argument_ends(part, unit)
            corners = [function(part.kind, v, z) for v in ends[0] for z in (ends[1] if part.z is not None else (None,))]
            least_corner = greatest_corner = corners[0]
            for corner in corners[1:]:
                least_corner, greatest_corner = least_corner.min(corner), greatest_corner.max(corner)
            low, high = low + least_corner, high + greatest_corner
        return low, high

    def argument_ends(self, part: Part, unit: int) -> list[tuple[arb, arb]]:
        """The ends of v and, where there is one, of z, as the part's planes see them."""
        low, high = self.box(part.v[0])[part.v[1] + unit]
        ends = [(low, high) if part.sign > 0 else (-high, -low)]
        return ends if part.z is None else [*ends, self.box(part.z[0])[part.z[1] + unit]]

    def substitution(self, forms: dict[int, arb_mat], which: int) -> list[arb]:
        """Lower bounds of linear forms: forms[k] (rows, units) are their coefficients on variable k."""
        count = next(iter(forms.values())).nrows()
        constant, pending = arb_mat(count, 1), dict(forms)
        for number in range(max(forms), len(self.file_frames()) - 1, -1):
            rows = pending.pop(number, None)
            if rows is None:
                continue
            variable = self.program.variables[number]
            if isinstance(variable, Affine):
                constant = constant + rows * variable.bias
                for k, weight in variable.terms:
                    _accumulate(pending, k, rows * weight)
                continue
            for position, part in enumerate(variable.parts):
                constant = constant + self._through_planes(pending, number, position, part, rows, which)
        return [
            constant[i, 0] + self.least({t: [m[i, j] for j in range(m.ncols())] for t, m in pending.items()})
            if pending
            else constant[i, 0]
            for i in range(count)
        ]

    def file_frames(self) -> list[Frame]:
        return [variable for variable in self.program.variables if isinstance(variable, Frame)]

    def _through_planes(self, pending, number, position, part, rows, which) -> arb_mat:
        lower, upper = both_planes(self.planes[number, position, which], part.z is not None)
        count, units = rows.nrows(), rows.ncols()
        constant = [arb(0)] * count
        on_v = [[arb(0)] * self.program.variables[part.v[0]].size for _ in range(count)]
        on_z = None if part.z is None else [[arb(0)] * self.program.variables[part.z[0]].size for _ in range(count)]
        for i in range(count):
            for u in range(units):
                a = rows[i, u]
                assert a >= 0 or a < 0
                slope_v, slope_z, offset = (row[u] for row in (lower if a >= 0 else upper))
                constant[i] += a * arb(float(offset))
                on_v[i][part.v[1] + u] += part.sign * a * arb(float(slope_v))
                if on_z is not None:
                    on_z[i][part.z[1] + u] += a * arb(float(slope_z))
        _accumulate(pending, part.v[0], arb_mat(on_v))
        if on_z is not None:
            _accumulate(pending, part.z[0], arb_mat(on_z))
        return arb_mat(count, 1, constant)


def _accumulate(pending: dict[int, arb_mat], number: int, rows: arb_mat) -> None:
    pending[number] = pending[number] + rows if number in pending else rows


def both_planes(tensor: np.ndarray, two_arguments: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(slope_v, slope_z, offset) of the lower and of the upper plane, section 7."""
    if not two_arguments:
        assert len(tensor) == 4
        zero = np.zeros_like(tensor[0])
        return [tensor[0], zero, tensor[1]], [tensor[2], zero, tensor[3]]
    if len(tensor) == 5:
        return [tensor[0], tensor[1], tensor[2]], [tensor[3], tensor[1], tensor[4]]
    assert len(tensor) == 6
    return list(tensor[:3]), list(tensor[3:])


@dataclass(frozen=True)
class Compared:
    """A number that a step claims, and what its rule gives: the claim holds if it is not above."""

    step: int
    rule: str
    claimed: arb
    shown: arb

    @property
    def holds(self) -> bool:
        return bool(self.claimed <= self.shown) or bool(abs(self.claimed - self.shown) < UNDECIDED)


def follow(file: File, structure: str, weights: dict[str, np.ndarray]) -> tuple[Replay, list[Compared]]:
    """Everything that the steps claim but planes, in their order, section 7."""
    body = file.body
    name = "lower" if body["inputs"]["kind"] == "boxes" else "center"
    replay = Replay(file, program(structure, weights, len(file.tensors[name])), {}, {})
    found: list[Compared] = []
    for position, step in enumerate(body["steps"]):
        if step["rule"] == "planes":
            tensor = file.tensors[f"step.{position}"]
            assert tensor.shape[1] == replay.program.variables[step["of"]].size
            replay.planes[step["of"], step["part"], step["set"]] = tensor
        elif step["rule"] == "diagonals":
            found += _diagonals_step(replay, position, step)
        elif step["rule"].startswith("box."):
            found += _box_step(replay, position, step)
        else:
            found += _margin_step(replay, position, step)
    return replay, found


def _box_step(replay: Replay, position: int, step: dict) -> list[Compared]:
    number, (low, high) = step["of"], replay.file.tensors[f"step.{position}"]
    size = replay.program.variables[number].size
    assert len(low) == size
    shown: list[list[arb]] = [[] for _ in range(2 * size)]  # of each unit, then of minus each unit
    if step["rule"] != "box.substitution":
        for unit, (bottom, top) in enumerate(replay.interval(number)):
            shown[unit].append(bottom)
            shown[size + unit].append(-top)
    for which in step.get("sets", []):
        both = arb_mat([[arb(int(j == i) - int(j == i - size)) for j in range(size)] for i in range(2 * size)])
        for i, value in enumerate(replay.substitution({number: both}, which)):
            shown[i].append(value)
    claimed = [arb(float(value)) for value in (*low, *-high)]
    replay.boxes[number] = [(arb(float(a)), arb(float(b))) for a, b in zip(low, high, strict=True)]
    return [Compared(position, step["rule"], c, _best(s)) for c, s in zip(claimed, shown, strict=True)]


# v + z, -(v + z), v - z, -(v - z): the coefficients on v and z, and the sign of the claimed end that they bound.
DIAGONAL_FORMS = ((1, 1, 1), (-1, -1, -1), (1, -1, 1), (-1, 1, -1))


def _diagonals_step(replay: Replay, position: int, step: dict) -> list[Compared]:
    """Each end from the box's ends, or by one of the sets; and no lower end above its upper one."""
    variable, ends = replay.program.variables[step["of"]], replay.file.tensors[f"step.{position}"]
    part, size = variable.parts[step["part"]], variable.size
    assert part.z is not None
    assert ends.shape == (4, size)
    placed = [(kind.get("of"), kind.get("part"), kind["rule"]) for kind in replay.file.body["steps"][:position]]
    assert not [rule for of, _, rule in placed if of == step["of"] and rule != "diagonals"]
    assert (step["of"], step["part"], "diagonals") not in placed
    shown: list[list[list[arb]]] = [[[] for _ in range(size)] for _ in DIAGONAL_FORMS]
    for unit in range(size):
        (low_v, high_v), (low_z, high_z) = replay.argument_ends(part, unit)
        for row, (on_v, on_z, _) in enumerate(DIAGONAL_FORMS):
            least_v, least_z = (low_v if on_v > 0 else -high_v), (low_z if on_z > 0 else -high_z)
            shown[row][unit].append(least_v + least_z)
    for which in step["sets"]:
        forms: dict[int, arb_mat] = {}
        for (number, first), column in ((part.v, 0), (part.z, 1)):
            width = replay.program.variables[number].size
            rows = [[arb(0)] * width for _ in range(4 * size)]
            for row, signs in enumerate(DIAGONAL_FORMS):
                for unit in range(size):
                    rows[row * size + unit][first + unit] = arb(signs[column] * (part.sign if column == 0 else 1))
            _accumulate(forms, number, arb_mat(rows))
        for i, value in enumerate(replay.substitution(forms, which)):
            shown[i // size][i % size].append(value)
    replay.diagonals[step["of"], step["part"]] = ends
    found = [
        Compared(position, "diagonals", sign * arb(float(ends[row, unit])), _best(shown[row][unit]))
        for row, (_, _, sign) in enumerate(DIAGONAL_FORMS)
        for unit in range(size)
    ]
    for low, high in (ends[:2], ends[2:]):
        pairs = zip(low, high, strict=True)
        found += [Compared(position, "diagonals, ends", arb(float(a)), arb(float(b))) for a, b in pairs]
    return found


def _best(shown: list[arb]) -> arb:
    best = shown[0]
    for value in shown[1:]:
        best = best.max(value)
    return best


def rows_of(file: File, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """C and d of section 6."""
    asked, eye = file.body["specification"], np.eye(classes)
    if asked["kind"] == "rows":
        return file.tensors["rows.C"], file.tensors["rows.d"]
    if asked["kind"] == "targeted":
        C = eye[[asked["label"]]] - eye[[asked["target"]]]
    elif asked["kind"] == "untargeted_steps":
        labels = asked["labels"]
        C = np.zeros((len(labels), classes - 1, len(labels), classes))
        for t, label in enumerate(labels):
            C[t, :, t] = eye[label] - np.delete(eye, label, 0)
        C = C.reshape(len(labels) * (classes - 1), -1)
    else:
        C = eye[asked["label"]] - np.delete(eye, asked["label"], 0)
    return C, np.zeros(len(C))


def _margin_step(replay: Replay, position: int, step: dict) -> list[Compared]:
    file, answers = replay.file, replay.program.answers
    classes = replay.program.variables[answers[0]].size
    C, d = rows_of(file, classes)
    margin = arb(float.fromhex(file.body["margin"]))
    if step["rule"] == "margin.per_class":
        label = file.body["specification"]["label"]
        others = [j for j in range(classes) if file.body["specification"].get("target", j) == j and j != label]
        C = np.eye(classes)[[label, *others]] * np.array([1, *[-1] * len(others)])[:, None]
        d = np.zeros(len(C))
    best: list[list[arb]] = [[] for _ in C]
    for which in step["sets"]:
        forms = {k: matrix(C[:, n * classes : (n + 1) * classes]) for n, k in enumerate(answers)}
        for i, value in enumerate(replay.substitution(forms, which)):
            best[i].append(value + arb(float(d[i])))
    shown = [_best(values) for values in best]
    if step["rule"] == "margin.per_class":
        return [Compared(position, step["rule"], margin, shown[0] + other) for other in shown[1:]]
    kept = len(shown) - (file.body["specification"]["k"] - 1 if file.body["specification"]["kind"] == "top_k" else 0)
    shown.sort(key=lambda value: -float(value.mid()))
    return [Compared(position, step["rule"], margin, value) for value in shown[:kept]]

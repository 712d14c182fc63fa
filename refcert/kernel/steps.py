"""The steps as the file writes them, read before any is checked (certificate_v1.md, section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from refcert.kernel.container import Table, require_keys, shown, whole
from refcert.kernel.errors import UnreadableError
from refcert.kernel.program import Program

MAX_STEPS: Final = 1 << 20
MAX_SETS: Final = 1024

# Blocks inside each other.
MAX_OPEN: Final = 64

DIAGONALS, PLANES, BOX, END, OPEN, AGAIN, CLOSE = range(7)
"""Stages: about one variable diagonals come first, then planes, then its box; the end is the last step of all.

OPEN and CLOSE are the first and the last step of a block, AGAIN begins another round in it.
"""

# Keys besides `rule`, and the stage.
FORMS: Final[Mapping[str, tuple[tuple[str, ...], int]]] = {
    "diagonals": (("of", "part", "sets"), DIAGONALS),
    "planes": (("of", "part", "set"), PLANES),
    "diagonals.supposed": (("of", "part", "sets"), DIAGONALS),
    "box.interval": (("of",), BOX),
    "box.substitution": (("of", "sets"), BOX),
    "box.intersection": (("of", "sets"), BOX),
    "box.supposed": (("of", "sets"), BOX),
    "suppose.row": (("row",), OPEN),
    "suppose.below": (("of", "unit"), OPEN),
    "suppose.above": (("of", "unit"), OPEN),
    "again": ((), AGAIN),
    "closed.row": (("sets",), CLOSE),
    "closed.empty": (("of", "unit", "sets"), CLOSE),
    "closed.split": ((), CLOSE),
    "margin": (("sets",), END),
    "margin.per_class": (("sets",), END),
}

WITHOUT_TENSOR: Final = ("suppose.row", "again", "closed.row", "closed.split", "margin", "margin.per_class")


@dataclass(frozen=True, slots=True)
class Step:
    """One step. stage: None where the rule is unknown. of: the variable; row: of the specification.

    rows: those of its tensor. suppositions: how many are open where it stands.
    """

    rule: str
    stage: int | None
    of: int = -1
    part: int = 0
    which: int = 0
    sets: tuple[int, ...] = ()
    rows: tuple[list[float], ...] = ()
    unit: int = 0
    row: int = 0
    suppositions: int = 0


def require_list(entries: Any) -> list[dict[str, Any]]:
    """The list of steps, each with a rule and, where that is known, its keys. Raises UnreadableError."""
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_STEPS:
        raise UnreadableError(f"`steps` is {shown(entries)}; it must be a list of 1 to {MAX_STEPS} steps")
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("rule"), str):
            raise UnreadableError(f"a step is {shown(entry)}; it must be an object with a rule")
        if entry["rule"] in FORMS:
            require_keys(entry, ("rule", *FORMS[entry["rule"]][0]), f"a step of the rule {entry['rule']}")
    return entries


def has_tensor(entry: Mapping[str, Any]) -> bool:
    """Whether a step may have a tensor; one of an unknown rule may."""
    return entry["rule"] not in WITHOUT_TENSOR


def read_steps(
    entries: list[dict[str, Any]], tensors: Mapping[str, Table], program: Program, rows: int
) -> tuple[Step, ...]:
    """All steps, their numbers in range and their tensors of the right shape; rows: how many the specification has.

    Raises UnreadableError.
    """
    steps, count = [], 0
    for k, entry in enumerate(entries):
        step = _read(entry, f"step.{k}", tensors, program, rows, count)
        steps.append(step)
        if step.stage == OPEN:
            count += 1
        elif step.stage == CLOSE:
            count = max(count - 1, 0)
        if count > MAX_OPEN:
            raise UnreadableError(f"step.{k} opens block {count} inside each other; at most {MAX_OPEN} may be")
    return tuple(steps)


def _read(
    entry: dict[str, Any], name: str, tensors: Mapping[str, Table], program: Program, rows: int, count: int
) -> Step:
    rule = entry["rule"]
    if rule not in FORMS:
        return Step(rule, None)
    stage = FORMS[rule][1]
    sets = _sets(entry["sets"], name) if "sets" in entry else ()
    if "row" in entry:
        return Step(rule, stage, row=whole(entry["row"], 0, rows - 1, f"`row` of {name}"), suppositions=count)
    if rule in WITHOUT_TENSOR:
        return Step(rule, stage, sets=sets, suppositions=count)
    of = whole(entry["of"], program.frames, len(program.variables) - 1, f"`of` of {name}")
    variable = program.variables[of]
    # A supposed end has a multiplier for each supposition.
    times = 1 + count if rule in ("box.supposed", "diagonals.supposed") else 1
    if "unit" in entry:
        unit = whole(entry["unit"], 0, variable.size - 1, f"`unit` of {name}")
        shape = (1, 1) if stage == OPEN else (2, count)
        table = _rows(name, tensors, shape[:1], shape[1])
        return Step(rule, stage, of, sets=sets, rows=table, unit=unit, suppositions=count)
    if stage == BOX:
        table = _rows(name, tensors, (2 * times,), variable.size)
        return Step(rule, stage, of, sets=sets, rows=table, suppositions=count)
    if not variable.parts:
        raise UnreadableError(f"{name} has {rule} of variable {of}, {variable.label}, which is affine")
    part = whole(entry["part"], 0, len(variable.parts) - 1, f"`part` of {name}")
    if stage == DIAGONALS:
        if variable.parts[part].z is None:
            raise UnreadableError(f"{name} has diagonals of part {part} of variable {of}, which has one argument")
        table = _rows(name, tensors, (4 * times,), variable.size)
        return Step(rule, stage, of, part, sets=sets, rows=table, suppositions=count)
    which = whole(entry["set"], 0, MAX_SETS - 1, f"`set` of {name}")
    counts = (4,) if variable.parts[part].z is None else (5, 6)
    table = _rows(name, tensors, counts, variable.size)
    return Step(rule, stage, of, part, which, rows=table, suppositions=count)


def _sets(value: Any, name: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not value:
        raise UnreadableError(f"`sets` of {name} is {shown(value)}; it must be a list of at least one number")
    numbers = [whole(one, 0, MAX_SETS - 1, f"a set of {name}") for one in value]
    if sorted(set(numbers)) != numbers:
        raise UnreadableError(f"`sets` of {name} is {shown(value)}; the numbers must rise")
    return tuple(numbers)


def _rows(name: str, tensors: Mapping[str, Table], counts: tuple[int, ...], units: int) -> tuple[list[float], ...]:
    table = tensors.get(name)
    if table is None or len(table.shape) != 2 or table.shape[0] not in counts or table.shape[1] != units:
        found = None if table is None else table.shape
        raise UnreadableError(
            f"the tensor {name} has shape {found}; it needs ({' or '.join(map(str, counts))}, {units})"
        )
    return tuple(list(table.row(k)) for k in range(table.shape[0]))

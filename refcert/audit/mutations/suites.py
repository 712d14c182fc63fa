"""Which tests each layer runs, and which come first for a fault in a given room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Suite:
    """One layer.

    paths: what it runs, below the root. ignore: what it leaves out of them. arguments: for pytest. first: per room,
    patterns of files that are run before all others, in a process of their own: they catch most faults, and a process
    that imports few tests starts sooner.
    """

    layer: str
    paths: tuple[str, ...]
    ignore: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    first: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_TESTS: Final = ("tests/engine", "tests/kernel", "tests/reference", "tests/audit")
# The campaign's own tests say nothing of the engine, and would start campaigns inside the campaign.
_OWN: Final = ("tests/audit/test_mutations.py", "tests/audit/test_mutation_reach.py")
# Few examples, not made smaller: a fault is to be seen, not explained.
_QUICK: Final = ("--hypothesis-profile=quick",)

_ENGINE: Final = "tests/engine/test_"
_FIRST: Final = {
    "cells": (f"{_ENGINE}forward.py", "tests/reference/test_engine.py", f"{_ENGINE}bounds_law.py"),
    "relaxations": (
        f"{_ENGINE}candidates.py",
        f"{_ENGINE}offsets.py",
        f"{_ENGINE}relaxations.py",
        f"{_ENGINE}lines.py",
        f"{_ENGINE}octagon_maximum.py",
        f"{_ENGINE}octagon_inside.py",
    ),
    "propagation": (
        f"{_ENGINE}octagon_bounds.py",
        f"{_ENGINE}checks_on_the_way.py",
        "tests/reference/test_engine.py",
        f"{_ENGINE}bounds_law.py",
    ),
    "inputs": (f"{_ENGINE}concretize.py", f"{_ENGINE}input_set*.py", f"{_ENGINE}inputs.py"),
    "search": (
        f"{_ENGINE}spec.py",
        f"{_ENGINE}checks_on_the_way.py",
        f"{_ENGINE}radius*.py",
        f"{_ENGINE}bounds_law.py",
    ),
    "loading": (f"{_ENGINE}onnx*.py", f"{_ENGINE}model.py", f"{_ENGINE}loading*.py"),
    "rounding": (
        f"{_ENGINE}rounding.py",
        f"{_ENGINE}offsets.py",
        f"{_ENGINE}lines.py",
        f"{_ENGINE}concretize.py",
        f"{_ENGINE}octagon*.py",
    ),
    "kernel": (
        "tests/kernel/*.py",
        "tests/reference/test_exact_planes.py",
        f"{_ENGINE}offsets.py",
        f"{_ENGINE}lines.py",
    ),
    "reference": ("tests/reference/*.py",),
    "audit": ("tests/audit/*.py",),
}

_END: Final = "tests/end_to_end/test_"
_AUDIT_FIRST: Final = {
    "cells": (f"{_END}second_derivation.py", f"{_END}models.py"),
    "relaxations": (f"{_END}planted_planes.py", f"{_END}drawn_boxes.py", f"{_END}planes_of_runs.py"),
    "propagation": (f"{_END}second_derivation.py",),
    "inputs": (f"{_END}known_answers.py", f"{_END}second_derivation.py"),
    "search": (f"{_END}known_answers.py", f"{_END}samples.py"),
    "loading": (f"{_END}models.py",),
    "rounding": (f"{_END}planted_planes.py", f"{_END}known_answers.py", f"{_END}second_derivation.py"),
    "kernel": (f"{_END}planted_planes.py",),
    "reference": (f"{_END}second_derivation.py", f"{_END}planted_planes.py"),
    "audit": (f"{_END}planted_planes.py",),
}

SUITES: Final = (
    Suite("contracts", _TESTS, _OWN, _QUICK, _FIRST),
    Suite("laws", _TESTS, _OWN, _QUICK, _FIRST),
    Suite("audit", ("tests/end_to_end",), (), _QUICK, _AUDIT_FIRST),
)
"""Contract tests, Hypothesis laws (sorted out of the same files by `layers`), and the end-to-end audit."""

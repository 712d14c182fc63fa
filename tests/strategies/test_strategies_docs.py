"""The page about strategies names what there is, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refcert import strategies
from refcert.strategies import INTERVAL_FAMILIES, WAYS
from refcert.strategies.drawn_planes import DrawnPlane
from refcert.strategies.inside import Perturbation

PAGE = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_the_examples_run(snippet):
    names = {}
    exec(compile(snippet, "docs/strategies.md", "exec"), names)
    for name, law in names.items():
        if name.startswith("test_"):
            law()


def test_everything_named_exists_and_every_strategy_and_family_is_named():
    table = [line for line in PAGE.splitlines() if line.startswith("| `")]
    for line in table:
        assert hasattr(strategies, re.match(r"\| `(\w+)\(", line)[1])
    for name in (*INTERVAL_FAMILIES, *WAYS):
        assert name in PAGE
    drawn = {"intervals", "boxes", "planes", "classifiers", "sequences", "input_sets", "perturbations", "questions"}
    assert {re.match(r"\| `(\w+)\(", line)[1] for line in table} == drawn
    assert {"claim", "truth", "moved"} <= set(DrawnPlane.__dataclass_fields__)
    assert {"x", "way"} == set(Perturbation.__dataclass_fields__)

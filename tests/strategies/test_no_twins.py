"""Our own tests draw networks, boxes, planes and input sets with the public strategies, not with ones of their own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
DRAWN = frozenset(
    (
        "RecurrentClassifier",
        "Direction",
        "FrameBalls",
        "SequenceBall",
        "Boxes",
        "Substitutions",
        "Interval",
        "PlaneClaim",
    )
)
"""What the public strategies give."""

NO_TWINS = {
    "audit/test_excess.py": {"claims"},  # planes that do not follow their surface
    "engine/attacks/radius_cases.py": {"linear_cases"},  # networks whose smallest radius is known
}
"""Strategies of tests that put such a thing together all the same, each with its reason."""


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def own_strategies(code: str) -> Iterator[str]:
    """Names of composite strategies that call a class of DRAWN, and `builds` for each that is handed one."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef) and any(name_of(how) == "composite" for how in node.decorator_list):
            calls = (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))
            if any(name_of(call.func) in DRAWN for call in calls):
                yield node.name
        elif (
            isinstance(node, ast.Call)
            and name_of(node.func) == "builds"
            and any(name_of(kind) in DRAWN for kind in node.args[:1])
        ):
            yield "builds"


def test_no_test_has_a_strategy_of_its_own_for_what_the_public_ones_draw():
    found = {}
    for path in sorted(TESTS.rglob("*.py")):
        code = path.read_text()
        own = set(own_strategies(code)) if "composite" in code or "builds(" in code else set()
        if own:
            found[path.relative_to(TESTS).as_posix()] = own
    assert found == NO_TWINS


def test_a_twin_is_noticed():
    code = "@st.composite\ndef balls(draw):\n    return inputs.FrameBalls(x, r)\n\nX = st.builds(Interval, A, B)\n"
    assert list(own_strategies(code)) == ["balls", "builds"]
    assert not list(own_strategies("def ball():\n    return FrameBalls(x, r)\n"))

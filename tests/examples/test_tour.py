"""The notebook: its cells run in order, every result has a table, and no output is stored."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "tour.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return json.loads(NOTEBOOK.read_text())


def code(notebook):
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def value_of(source, names):
    """Run a cell; the value of its last line, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_it_is_stored_without_outputs_in_the_current_format(notebook):
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    identifiers = [cell["id"] for cell in notebook["cells"]]
    assert len(set(identifiers)) == len(identifiers)
    for cell in notebook["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)
    assert NOTEBOOK.stat().st_size < 20_000


def test_every_cell_runs_and_every_result_shows_itself(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    shown = [value for value in (value_of(source, names) for source in code(notebook)) if value is not None]
    kinds = {type(value).__name__ for value in shown}
    assert {"Certified", "Radii", "Smallest", "Worst", "AuditResult", "Report", "Comparison"} <= kinds
    assert any(kind.endswith("Error") for kind in kinds), "the failing assertion is shown"
    for value in shown:
        if not isinstance(value, tuple):  # the first cell shows a shape
            assert ElementTree.fromstring(value._repr_html_()).tag == "div"
    assert names["audited"].summary == {"proved": 1, "refuted": 1, "undecided": 0}
    assert not names["comparison"].passed

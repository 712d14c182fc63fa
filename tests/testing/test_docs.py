"""docs/assertions.md: what it shows is what happens."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import refcert.testing
from refcert.testing import ViolatedError, assert_planes_sound
from tests.testing.engines_under_test import run

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.S)


def without_numbers(text):
    """Last digits are the machine's own."""
    return re.sub(r"-?\d[\d.]*(e-?\d+)?", "#", text).strip()


def test_the_fault_on_the_page_is_told_as_on_the_page(tmp_path, monkeypatch):
    for block in blocks("audit.md", "python") + blocks("assertions.md", "python"):
        name = re.match(r"# (\w+\.py)\n", block)
        if name is not None:
            (tmp_path / name[1]).write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for module in ("engine", "mended", "faulty"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(ViolatedError) as caught:
        assert_planes_sound("faulty:planes", kinds=["tanh"])
    (page,) = blocks("assertions.md", "text")
    assert without_numbers(str(caught.value)) == without_numbers(page)
    run(caught.value.snippet)
    for module in ("engine", "mended", "faulty"):
        monkeypatch.delitem(sys.modules, module, raising=False)


def test_every_assertion_and_error_is_on_the_page():
    text = (DOCS / "assertions.md").read_text()
    for name in refcert.testing.__all__:
        if name not in ("Violation", "Outcome"):
            assert f"`{name}" in text or f"{name}(" in text, name

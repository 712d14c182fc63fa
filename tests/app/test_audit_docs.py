"""docs/audit.md: every block is carried out, in its order, and ends as the page says."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from refcert.app.errors import ExitCode
from refcert.audit.families.boxes import BOX_FAMILIES
from refcert.kernel.claims import KINDS
from tests.app.commands import refcert

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
# What the lines of the page's shell blocks end with, in their order.
ENDS = (ExitCode.REFUTED, ExitCode.OK, ExitCode.OK, ExitCode.UNDECIDED, ExitCode.OK)


def test_every_block_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    ends = iter(ENDS)
    for language, block in re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL):
        if language == "python":
            name = block.partition("\n")[0].removeprefix("# ")
            (tmp_path / name).write_text(block)
            monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
            continue
        assert language == "sh"
        for line in block.splitlines():
            program, *words = shlex.split(line)
            assert program == "refcert"
            result = refcert(*words, *([] if "--workers" in words else ["--workers", "1"]))
            assert result.code == next(ends), result.err + result.out
    assert next(ends, None) is None
    assert {"audit.xml", "audit.html", "kept"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", [*BOX_FAMILIES, *KINDS])
def test_every_family_and_kind_is_on_the_page(name):
    assert f"`{name}`" in PAGE

"""Section 11 of the specification is what the file of the worked example holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.certificates import worked_example
from tests.certificates.naive_checker import judge
from tests.certificates.naive_container import read_container
from tests.certificates.vectors import FOLDER

SPECIFICATION = FOLDER.parent / "spec" / "certificate_v1.md"
TITLE = "## 11. Worked example\n\n"


def section() -> str:
    """Section 11, the last one, without its title."""
    before, title, text = SPECIFICATION.read_text().partition(TITLE)
    assert before
    assert title
    return text


def test_the_text_is_written_from_the_file() -> None:
    """If it differs: `python -m tests.certificates.worked_example` prints what belongs there."""
    assert section() == worked_example.section()


def test_the_file_is_the_one_that_is_written_down() -> None:
    vector = worked_example.draft().vector(worked_example.NAME, "VALID")
    assert vector.files == {worked_example.FILE.name: worked_example.FILE.read_bytes()}
    assert judge(worked_example.FILE) == ("VALID", None)


def test_the_body_in_the_text_is_the_files() -> None:
    """The text's JSON, read by a JSON reader: what a person can paste."""
    first, *_ = re.findall(r"```\n(.*?)```", section(), re.DOTALL)
    assert json.loads(first) == read_container(worked_example.FILE)[0]


@pytest.mark.parametrize("name", ["step.0", "step.1", "step.2"])
def test_upper_offsets_and_ends_are_tight(name: str, tmp_path: Path) -> None:
    """A plane touches its function, an end is reached: a little further in, and the step fails."""
    draft = worked_example.draft()
    draft.tensors[name].values[-1] -= 2.0**-40
    assert judge(draft.vector("changed", "").write(tmp_path)).verdict == "INVALID"

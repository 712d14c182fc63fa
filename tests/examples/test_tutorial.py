"""docs/tutorial_regression_tests.md: every file is written and every command run, in order, in an empty folder."""

from __future__ import annotations

import re
import runpy
import shlex
import sys

from tests.app.baselines import call
from tests.app.commands import refcert
from tests.examples.conftest import PROJECT
from tests.examples.test_guarded_project import without_numbers

DOCS = PROJECT.parents[1] / "docs"
PAGE = (DOCS / "tutorial_regression_tests.md").read_text()
BLOCKS = re.findall(r"```(python|toml|sh|text)\n(.*?)```", PAGE, re.S)
FIXTURES = """

@pytest.fixture
def model(refcert_model):
    return refcert_model


@pytest.fixture
def x(refcert_data):
    return refcert_data[0][:5]


@pytest.fixture
def labels(refcert_data):
    return refcert_data[1][:5]
"""


def run(command, folder, run_in, monkeypatch):
    """The exit code and what was printed, in this process: torch is already there."""
    words = shlex.split(command, comments=True)
    if words[:3] == ["python", "-m", "pytest"]:
        return run_in(folder, *words[3:])
    if words[:2] == ["refcert", "baseline"]:
        return call(*words[2:])
    assert words[:2] == ["python", "model.py"], command
    with monkeypatch.context() as context:
        context.setattr(sys, "argv", words[1:])
        runpy.run_path(words[1], run_name="__main__")
    return 0, ""


def test_the_tutorial_goes_as_it_says(tmp_path, monkeypatch, run_in):
    monkeypatch.chdir(tmp_path)
    commands, said = 0, ""
    for language, text in BLOCKS:
        if language == "text":
            for line in text.splitlines():
                # The words are the page's; last digits are the machine's own.
                assert without_numbers(line) in without_numbers(said), line
        elif language == "sh":
            for command in text.splitlines():
                code, printed = run(command, tmp_path, run_in, monkeypatch)
                assert code == (1 if "# fails" in command else 0), (command, printed)
                said, commands = printed, commands + 1
                if "pytest" in command:
                    assert "refcert-baseline.txt: 10 samples guarded" in printed
        else:
            name = re.match(r"# (\S+)\n", text)[1]
            (tmp_path / name).write_text(text)
    assert commands == len(re.findall(r"^(?:python|refcert) ", PAGE, re.M)) == 12
    assert "assert_radius_at_least: 1 held" in said
    assertions_page(tmp_path, run_in)


def assertions_page(folder, run_in):
    """docs/assertions.md in the project that the tutorial leaves behind: each block of Python is a file of tests."""
    tests = []
    for page in ("audit.md", "assertions.md"):
        for text in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S):
            name = re.match(r"# (\S+)\n", text)
            if name is None and page == "audit.md":
                continue
            path = folder / (f"test_page_{len(tests)}.py" if name is None else name[1])
            path.write_text(text)
            tests += [] if name else [path.name]
    assert len(tests) == 5
    with (folder / "conftest.py").open("a") as file:
        file.write(FIXTURES)
    (command,) = re.findall(r"^refcert (certify .*)$", (DOCS / "assertions.md").read_text(), re.M)
    assert refcert(*shlex.split(command)).code == 0
    code, printed = run_in(folder, *tests)
    assert code == 0, printed
    assert "6 passed" in printed

"""docs/certificates.md: every block is carried out, in its order, and ends as the page says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refcert.app.certificates.outcome import WORDS
from refcert.app.errors import ExitCode
from tests.app.commands import refcert
from tests.app.made_certificates import draft, write

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "certificates.md").read_text()
JSON = (ROOT / "docs" / "json.md").read_text()


def carry_out(line: str) -> tuple[int, str]:
    """Exit code and output of one line of a shell block."""
    program, *words = shlex.split(line)
    if program == "python":
        environment = {**os.environ, "PYTHONPATH": str(kernel_alone(Path("source").absolute()))}
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=environment)
        return done.returncode, done.stdout + done.stderr
    assert program == "refcert"
    result = refcert(*words)
    return result.code, result.out + result.err


def kernel_alone(folder: Path) -> Path:
    """A copy of what the page says is needed of the source."""
    shutil.copytree(ROOT / "refcert" / "kernel", folder / "refcert" / "kernel")
    shutil.copy(ROOT / "refcert" / "__init__.py", folder / "refcert")
    return folder


def test_every_block_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = []
    for language, block in re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL):
        if language == "python":
            done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert "'label'" in done.stdout
            assert "box.in" in done.stdout
        else:
            assert language == "sh"
            for line in block.splitlines():
                code, said = carry_out(line)
                assert code == ExitCode.OK, said
        ran.append(language)
    assert ran == ["sh", "sh", "sh", "python"]
    assert (tmp_path / "runs" / "digits" / "certificates" / "verdicts.json").is_file()


def section(name: str) -> str:
    """The part of docs/json.md about a command."""
    return JSON.partition(f"## `refcert {name}`\n")[2].partition("\n## ")[0]


def keys_of(value: object) -> set[str]:
    """Keys of the objects in it; those of `named` are the user's own words."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    if not isinstance(value, dict):
        return set()
    named = {"about", "weights", "inputs", "specification", "witness"}
    return set(value) | set().union(*(keys_of(one) for key, one in value.items() if key not in named))


@pytest.mark.parametrize("options", [("check", "--workers", "1"), ("explain",), ("explain", "--step", "0")])
def test_every_key_is_documented(tmp_path: Path, options: tuple[str, ...]) -> None:
    found = keys_of(refcert(*options, write(tmp_path, "c", draft()), "--json").json)
    assert len(found) > 10
    for key in found:
        assert re.search(rf"\b{key}\b", section(options[0])), key


@pytest.mark.parametrize("word", WORDS)
def test_every_verdict_is_documented(word: str) -> None:
    assert f"`{word}`" in JSON
    assert word.lower().replace(" ", "_") in JSON

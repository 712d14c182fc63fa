"""`refcert baseline update` at a terminal: it asks, and writes only what was agreed to."""

from __future__ import annotations

import os
import sys

import pytest
import typer

from tests.app.baselines import call, change_model, project, record

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    folder = project(tmp_path_factory.mktemp("asked"))
    record(folder, "--radius", "0.01", "--relaxation", "constants", "--count", "2")
    change_model(folder, "less robust")
    return folder


@pytest.fixture
def typed(monkeypatch):
    """Whoever sits at the terminal types this; a real terminal, so that `isatty` and the echo are real."""
    opened = []

    def type_(text):
        ours, theirs = pty.openpty()
        opened.append(ours)
        os.write(ours, text)
        monkeypatch.setattr(sys, "stdin", os.fdopen(theirs))

    yield type_
    sys.stdin.close()
    for ours in opened:
        os.close(ours)


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"what\nno\n"])
def test_without_a_yes_nothing_is_written(changed, typed, answer):
    path = changed / "refcert-baseline.txt"
    before = path.read_bytes()
    typed(answer)
    code, out = call("update", "--baseline", path, "--attack", "none")
    assert code == 0
    assert out.index("\n+digest = ") < out.index("[y/N]"), "what is agreed to is shown first"
    assert f"{path} stays as it was" in out
    assert path.read_bytes() == before


def test_a_yes_writes_what_was_shown(changed, typed):
    path = changed / "refcert-baseline.txt"
    before = path.read_text()
    typed(b"y\n")
    try:
        code, out = call("update", "--baseline", path, "--attack", "none")
        written = path.read_text()
    finally:
        path.write_text(before)
    assert code == 0
    assert f"{path} is written; commit it" in out
    added = set(written.splitlines()) - set(before.splitlines())
    assert added
    assert {line[1:] for line in out.splitlines() if line.startswith("+") and not line.startswith("+++")} == added


def test_the_end_of_the_input_is_no_yes(changed, typed):
    """Ctrl-D."""
    path = changed / "refcert-baseline.txt"
    before = path.read_bytes()
    typed(b"\x04")
    with pytest.raises(typer.Abort):
        call("update", "--baseline", path, "--attack", "none")
    assert path.read_bytes() == before

"""Branches that no certificate of a sane writer reaches: budgets, odd files, guesses at the ends of floats."""

from __future__ import annotations

import importlib
import io
import math
import os
import runpy
import shutil
import subprocess
import sys
from array import array
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
from flint import arb

import refcert.kernel
from refcert.kernel import guesses, rules
from refcert.kernel.__main__ import main
from refcert.kernel.ball import ONE, ZERO, float_above, float_below, power, surely_less
from refcert.kernel.check import Verdict, check
from refcert.kernel.claims import Status
from refcert.kernel.claims import Verdict as PlaneVerdict
from refcert.kernel.container import Table, read_bytes
from refcert.kernel.errors import UnreadableError
from refcert.kernel.input_sets import Ball
from refcert.kernel.network import Network, build_network
from refcert.kernel.program import View
from refcert.kernel.substitution import Forms, _without_planes

ACCEPTED = Path(__file__).parents[2] / "proofs" / "vectors" / "accepted"
LSTM = ACCEPTED / "two-layers-of-lstm-both-directions.safetensors"
IN_A_FILE = ACCEPTED / "cells-side-by-side.safetensors"


def test_memory_that_ends_while_a_file_is_read_is_holey(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("refcert.kernel.__main__.check", no_memory)
    assert main([str(LSTM)]) == 3
    assert capsys.readouterr().out.startswith("HOLEY")


@pytest.mark.parametrize("error", [MemoryError(), OverflowError("too large")])
def test_a_rule_that_gives_up_is_holey(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def gives_up(*_: object) -> None:
        raise error

    monkeypatch.setitem(rules.RULES, "planes", gives_up)
    result = check(LSTM)
    assert (result.verdict, result.rule) == (Verdict.HOLEY, "planes")
    assert type(error).__name__ in result.reason


def test_it_runs_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["refcert.kernel", str(LSTM)])
    # Where refcert's pytest plugin is installed, pytest has read this module in a way that runpy does not know.
    name = "refcert.kernel.__main__"
    plain = PathFinder.find_spec(name, refcert.kernel.__path__)
    monkeypatch.setattr(importlib.import_module(name), "__spec__", plain)
    with pytest.warns(RuntimeWarning, match="found in sys.modules"), pytest.raises(SystemExit) as end:
        runpy.run_module("refcert.kernel", run_name="__main__")
    assert end.value.code == 0


def test_a_network_is_read_once_for_many_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, Network] = {}
    assert check(IN_A_FILE, known=known).verdict is Verdict.VALID
    monkeypatch.setattr("refcert.kernel.network.build_network", None)  # not called again
    assert check(IN_A_FILE, known=known).verdict is Verdict.VALID


def test_planes_that_no_precision_decides_are_holey(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([*[PlaneVerdict(Status.UNDECIDED, "precision exhausted", 8192)] * 2])
    proved = PlaneVerdict(Status.PROVED, "", 128)
    monkeypatch.setattr(rules, "check_plane", lambda _: next(answers, proved))
    result = check(LSTM)
    assert (result.verdict, result.rule) == (Verdict.HOLEY, "planes")
    assert "unit 0 is undecided" in result.reason


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, reason in (
        (pipe, "no regular file"),
        (tmp_path, "no regular file"),
        (tmp_path / "none", "cannot be read"),
    ):
        with pytest.raises(UnreadableError, match=reason):
            read_bytes(path)
    link = tmp_path / "link.safetensors"
    link.symlink_to(LSTM)
    with pytest.raises(UnreadableError, match="links are not followed"):
        check(link)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    copy = shutil.copy(LSTM, tmp_path / "copy")
    with pytest.raises(UnreadableError, match="at most 10 are read"):
        read_bytes(Path(copy), 10)


def test_a_cell_needs_whole_blocks_of_rows() -> None:
    def zeros(*shape: int) -> Table:
        return Table(shape, array("d", [0.0] * math.prod(shape)))

    weights = {
        "layers.0.0.weight_ih": zeros(5, 1),
        "layers.0.0.weight_hh": zeros(5, 1),
        "layers.0.0.bias_ih": zeros(5),
        "layers.0.0.bias_hh": zeros(5),
        "after.0.weight": zeros(2, 1),
        "after.0.bias": zeros(2),
    }
    with pytest.raises(UnreadableError, match="does not fit a lstm cell"):
        build_network("|lstm>|final|dense", weights)


def test_powers_of_what_may_be_zero() -> None:
    assert power(ZERO, arb(3)) == 0
    assert power(arb(-1), arb(3)) == 0  # nothing of it is positive
    around = power(arb(0, 0.5), arb(2))
    assert around.contains(arb(0))
    assert around.contains(arb("0.2"))
    assert surely_less(around, ONE)
    assert not power(arb("nan"), arb(2)).is_finite()


def test_without_planes_a_form_is_unbounded_or_unknown_or_needs_none() -> None:
    forms = Forms(3, [ONE, ONE, ONE])
    _without_planes(forms, [ONE, ZERO, arb(0, 1e-30), ZERO, ZERO, ZERO], 2)
    needs, unknown, none = forms.constants
    assert surely_less(needs, arb(-(10**9)))
    assert not unknown.is_finite()
    assert not surely_less(unknown, ONE)
    assert none == 1
    forms.add(View(0, 0, 2), [ONE] * 6)
    assert forms.pieces[0][0].size == 2


def test_guesses_at_the_ends_of_floats() -> None:
    assert guesses.sigmoid_contact(0.0) == math.inf
    assert guesses.tanh_contact(-1.0) == math.inf
    assert guesses.tanh_contact(math.nan) == math.inf
    assert guesses.sigmoid(-1000.0) == 0.0
    assert guesses._log_psi(-5.0, 0.9)[0] == -math.inf
    assert guesses.interior_contact(-1.0, 0.5, 0.0, 1.0) is None
    assert guesses.interior_contact(0.1, 0.5, -2000.0, -1000.0) is None  # exp(1000) is no float
    assert guesses.ball_split([1.0], [1.0], 0.0, 2.0) == [0.0]
    assert guesses.ball_split([1.0, 1.0], [1e308, 1.0], 1e-300, 50.0) == [0.0, 0.0]


def test_names_forge_no_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line break and a byte that is no character in a file's name."""
    for name in (b"a\nVALID b.safetensors", b"b\xffd.safetensors"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        shutil.copy(LSTM, path)
        assert main([str(path)]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1


def test_odd_names_and_budgets_on_the_command_line(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xffd.safetensors"))
    shutil.copy(LSTM, path)
    command = [sys.executable, "-m", "refcert.kernel"]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([*command, path], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout[:5]) == (0, b"VALID")
    for seconds in ("nan", "-1"):
        done = subprocess.run([*command, "--seconds", seconds, LSTM], capture_output=True, check=False)
        assert done.returncode == 2
        assert b"not negative" in done.stderr


def test_a_budget_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for seconds in ("nan", "-1"):
        with pytest.raises(SystemExit) as end:
            main(["--seconds", seconds, str(LSTM)])
        assert end.value.code == 2
        assert "not negative" in capsys.readouterr().err


def test_standard_output_may_be_a_string(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    assert main([str(LSTM)]) == 0
    assert written.getvalue().startswith("VALID")


def test_the_module_writes_to_any_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", written)
    assert main([str(LSTM)]) == 0


def test_a_disk_that_fails_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("refcert.kernel.container.stat.S_ISREG", fails)
    with pytest.raises(UnreadableError, match="Input/output error"):
        read_bytes(LSTM)


def test_limits_on_variables_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before rows are made for every frame, and before a program grows."""
    steps = ACCEPTED / "sigmoid-labels-for-frames.safetensors"
    rows = ACCEPTED / "stacked-cells-rows.safetensors"
    monkeypatch.setattr("refcert.kernel.specification.MAX_ROWS", 0)
    for path in (steps, rows):
        with pytest.raises(UnreadableError, match="rows"):
            check(path)
    monkeypatch.setattr("refcert.kernel.program.MAX_VARIABLES", 3)
    with pytest.raises(UnreadableError, match="3 variables"):
        check(steps)


def test_the_budget_is_looked_at_within_one_least_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut ball's forms are slow one by one."""
    looks = []
    center = Table((1, 2), array("d", [0.0, 0.5]))
    ball = Ball(center, {}, [0.25], 3.0, (0.0, 1.0), None)
    ball.tick = lambda: looks.append(1)
    ball.least({0: [ONE, -ONE] * 5}, 5)
    assert len(looks) >= 10


def test_floats_beyond_the_largest() -> None:
    large = arb(2) ** 2000
    assert float_below(large) == sys.float_info.max
    assert float_above(large) == math.inf
    assert float_below(-large) == -math.inf
    assert float_above(-large) == -sys.float_info.max
    assert float_below(arb("nan")) == -math.inf
    assert float_above(arb("nan")) == math.inf

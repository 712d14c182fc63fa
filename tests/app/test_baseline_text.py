"""A baseline's text: it says exactly what was measured, rounded to the sound side, and diffs by the line."""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from refcert.app.baseline import decimals
from refcert.app.baseline.entries import Baseline, DataEntry, ModelEntry, Sample, Tolerances
from refcert.app.baseline.question import OFF, question_of
from refcert.app.baseline.reading import load, parse
from refcert.app.baseline.text import text_of
from refcert.app.errors import InputError
from tests.app.drawn_baselines import FINITE, baselines

PLAIN = Baseline(
    ModelEntry("model.safetensors", "ab" * 32, {"layers.0.0.weight_ih": {"i": "0" * 12}}),
    DataEntry("data.npz", "cd" * 32, "unit of the file's own x", (2, 3, 4)),
    {"input_set": "frames", "norm": "inf", "tolerance": 0.001},
    None,
    Tolerances(),
    tuple(
        Sample(k, f"{k:012x}", 1, 1, True, Decimal("0.0123456"), {"layer 0 forget": Decimal("0.001")}) for k in range(2)
    ),
    "0.1.0",
)


@settings(max_examples=30)
@given(baselines())
def test_what_is_written_is_what_is_read(baseline):
    text = text_of(baseline)
    assert parse(text) == baseline
    assert text_of(parse(text)) == text


@given(FINITE)
def test_bounds_are_rounded_down_and_gaps_up_by_little(x):
    low, high = decimals.bound(x), decimals.gap(x)
    assert low <= Decimal(x) <= high
    assert Decimal(x) - low <= abs(Decimal(x)) * Decimal("1e-5")
    assert high - Decimal(x) <= abs(Decimal(x)) * Decimal("1e-3")
    assert float(low) <= x <= float(high) or math.isinf(float(high)) or math.isinf(float(low))


@given(FINITE, FINITE)
def test_numbers_have_one_width_and_order(x, y):
    assume(all(a == 0 or 1e-90 < abs(a) < 1e90 for a in (x, y)))
    assert len(decimals.bound_text(decimals.bound(x))) == len(decimals.bound_text(decimals.bound(y))) == 12
    assert Decimal(decimals.bound_text(decimals.bound(x))) == decimals.bound(x)
    if x <= y:
        assert decimals.bound(x) <= decimals.bound(y)


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf])
def test_no_number_that_says_nothing(x):
    for rounded in (decimals.bound, decimals.gap):
        with pytest.raises(ValueError, match="not a finite number"):
            rounded(x)


@settings(max_examples=30)
@given(baselines(), st.data())
def test_one_changed_sample_is_one_changed_line(baseline, data):
    assume(baseline.samples)
    place = data.draw(st.integers(0, len(baseline.samples) - 1))
    old = baseline.samples[place]
    changed = dataclasses.replace(old, input="f" * 12 if old.input != "f" * 12 else "0" * 12, value=decimals.bound(7.5))
    rest = baseline.samples
    other = dataclasses.replace(baseline, samples=(*rest[:place], changed, *rest[place + 1 :]))
    lines = [text_of(one).splitlines() for one in (baseline, other)]
    assert len(lines[0]) == len(lines[1])
    assert sum(a != b for a, b in zip(*lines, strict=True)) == 1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("format = 1", "format = 2", "format 2"),
        ("format = 1", "", "format is None"),
        ('norm = "inf"', 'norm = "2"', "edited by hand"),
        ("tolerance = 0.001", "radius = 0.5", "edited by hand"),
        ("[samples]", "<<<<<<< ours\n[samples]", "not a baseline"),
        ("1.23456e-02", "nan", "finite"),
        (" 1.23456e-02", '"many"', "finite"),
        (' "000000000001",', "", "columns"),
        ("    1, ", "    0, ", "named once"),
        ("true ", "1", "correct is 1"),
        ('"radius", ', '"margin", ', "columns"),
        ("radius = 0.01 ", "radius = 1.5 ", "less than 1"),
        ("margin = 0.001", "margin = -0.001", ">= 0"),
    ],
)
def test_a_damaged_file_guards_nothing_in_silence(before, after, message):
    text = text_of(PLAIN)
    assert before in text
    with pytest.raises(InputError, match=message):
        parse(text.replace(before, after, 1) if before != "    1, " else text.replace(before, after))


@given(st.integers(0, 10**4))
def test_a_text_cut_short_is_refused(cut):
    text = text_of(PLAIN)
    assume(cut < len(text) - 1)
    with pytest.raises(InputError):
        parse(text[:cut])


@pytest.mark.parametrize("lost", [0, 1])
def test_a_row_that_was_lost_in_a_merge_is_missed(tmp_path, lost):
    """Read as it is, such a file would guard the samples that are left, and nothing would say so."""
    lines = [line for line in text_of(PLAIN).splitlines() if not line.startswith(f"  [    {lost},")]
    (tmp_path / "b.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=rf"the rows of samples \[{lost}\] are missing"):
        load(tmp_path / "b.txt")


def test_a_file_without_samples_guards_nothing(tmp_path):
    empty = dataclasses.replace(PLAIN, samples=(), data=dataclasses.replace(PLAIN.data, shape=(0, 3, 4)))
    (tmp_path / "b.txt").write_text(text_of(empty))
    with pytest.raises(InputError, match="it has no samples"):
        load(tmp_path / "b.txt")


def test_a_missing_file_says_how_to_record(tmp_path):
    with pytest.raises(InputError, match="refcert baseline record"):
        load(tmp_path / "none.txt")


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "b.txt")


def test_an_option_that_is_off_changes_no_question():
    """Options come later than baselines: where they are off, older baselines stay valid."""
    asked = {"norm": "inf", "radius": None, "model": "m", "relaxation": "parallel"}
    assert question_of({**asked, **OFF}) == question_of(asked) == {"norm": "inf", "relaxation": "parallel"}
    for name in OFF:
        assert question_of({**asked, name: 3}) != question_of(asked)

"""Bad input to `refcert compare`: exit code 2 (4 for places that cannot be written), a remedy, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from refcert.app.errors import ExitCode
from tests.app.commands import refcert, write_data, write_model

RADIUS = ("--radius", "0.01")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own folder with a tiny model and its data, as the working folder."""
    write_data(tmp_path / "tiny.npz", write_model(tmp_path / "tiny.safetensors"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*options: object, code: int = ExitCode.BAD_INPUT, names: str = "constants") -> str:
    """The message of a call that fails and leaves the folder as it was."""
    before = sorted(Path.cwd().rglob("*"))
    call = ("--model", "tiny.safetensors", "--data", "tiny.npz", "--relaxations", names, "--samples-volume", "2")
    out = () if "--out" in options else ("--out", "deep/out")
    result = refcert("compare", *call, *out, "--json", *options)
    assert result.code == code, result.err
    assert sorted(Path.cwd().rglob("*")) == before
    return " ".join(result.message.split())


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("banana", ("'banana' is not known; choose among", "planes", "best")),
        ("planes,Lines", ("'Lines' is not known; choose among",)),
        ("planes,", ("'' is not known; choose among",)),
        ("", ("''; give names such as planes,lines",)),
        (" , ", ("give names such as",)),
        ("planes,lines,planes", ("names 'planes' more than once; name each relaxation once",)),
        ("best,best", ("'best' more than once",)),
    ],
)
def test_relaxations(here, names, words):
    message = refused(*RADIUS, names=names)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("neither --radius", "give --radius R")),
        ((*RADIUS, "--search"), ("--radius 0.01 and --search exclude each other; give",)),
        (("--radius-db", "-40", "--search"), ("--radius-db -40.0 and --search exclude each other; give",)),
        (("--radius", "-1"), ("-1.0", "give a finite number >= 0")),
        (("--radius", "nan"), ("nan", "give")),
        ((*RADIUS, "--samples-volume", "-1"), ("--samples-volume is -1; give 0 or more",)),
        ((*RADIUS, "--samples-volume", "x"), ("'x' is not a whole number; give",)),
        ((*RADIUS, "--seed", "-1"), ("seed is -1; give 0 or more",)),
        ((*RADIUS, "--box-radius", "0"), ("--box-radius is 0.0; give a finite number > 0",)),
        ((*RADIUS, "--box-radius", "inf"), ("--box-radius is inf; give",)),
        (("--input-set", "box", "--box-radius", "1"), ("does not go with --input-set box", "leave it out")),
        (("--input-set", "box", "--search"), ("--search does not go with --input-set box", "leave it out")),
        ((*RADIUS, "--input-set", "box"), ("--radius 0.01 does not go with --input-set box",)),
        (("--input-set", "box"), ("lower",)),
        ((*RADIUS, "--norm", "0.5"), ("0.5", "give p >= 1")),
        ((*RADIUS, "--frames", "99"), ("frame 99", "frames 0 to 2, choose")),
        ((*RADIUS, "--clip", "1", "0"), ("[1.0, 0.0]", "the lower one first")),
        ((*RADIUS, "--clip", "0.9", "1"), ("outside --clip 0.9 1; widen",)),
        ((*RADIUS, "--target", "99"), ("class 99", "classes 0 to 2, choose")),
        ((*RADIUS, "--count", "8"), ("count 8", "ask for 1 to 7")),
        ((*RADIUS, "--dtype", "float16"), ("'float16'", "choose one of float64, float32")),
        ((*RADIUS, "--device", "banana"), ("'banana'", "try 'cpu'")),
        ((*RADIUS, "--batch-size", "0"), ("batch size is 0; give",)),
        (("--search", "--tolerance", "0"), ("tolerance is 0.0; give",)),
        ((*RADIUS, "--model", "gone.safetensors"), ("gone.safetensors",)),
        ((*RADIUS, "--data", "gone.npz"), ("gone.npz",)),
        ((*RADIUS, "--out", ""), ("'' is empty; give a path",)),
        ((*RADIUS, "--out", "tiny.npz"), ("tiny.npz exists; choose another --out",)),
        ((*RADIUS, "--out", "."), (". exists; choose another --out",)),
        ((*RADIUS, "--unknown"), ("--unknown",)),
    ],
    ids=" ".join,
)
def test_options(here, options, words):
    message = refused(*options)
    for word in words:
        assert word in message


def test_a_place_that_cannot_be_written(here):
    """Known before the work starts, and nothing of it stays."""
    assert "is a file" in refused(*RADIUS, "--out", "tiny.npz/out", code=ExitCode.OUTPUT_FAILED)


def test_a_failure_in_the_middle_leaves_nothing(here):
    """A radius that overflows float32 while the work is on: the folder that was made before goes away, too."""
    message = refused("--radius", "1e38", "--dtype", "float32", code=ExitCode.OVERFLOW)
    assert "overflow" in message


def test_somebody_elses_file_stays(here):
    """Only folders that the command made itself are removed."""
    (here / "deep").mkdir()
    (here / "deep" / "mine.txt").write_text("x")
    refused("--radius", "1e38", "--dtype", "float32", code=ExitCode.OVERFLOW)
    assert [path.name for path in (here / "deep").iterdir()] == ["mine.txt"]

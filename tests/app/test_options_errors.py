"""Bad combinations of options, and files that do not fit: one message with value and remedy, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpu_engine.loading import load_model
from refcert.app.errors import ExitCode
from tests.app.commands import refcert
from tests.app.tiny import CLASSES, COUNT, INPUT, TIME, save_data, save_model, values

AT = ("--radius", "0.01")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_model(tmp_path / "m.safetensors")
    save_data(tmp_path / "d.npz", load_model(tmp_path / "m.safetensors"))
    np.savez(tmp_path / "spec.npz", C=np.eye(CLASSES), d=np.zeros(CLASSES))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*options: object, model: str = "m.safetensors", data: str = "d.npz") -> str:
    before = sorted(Path.cwd().rglob("*"))
    result = refcert("certify", "--model", model, "--data", data, "--out", "deep/run", "--json", *options)
    assert result.code == ExitCode.BAD_INPUT, result.err
    assert sorted(Path.cwd().rglob("*")) == before
    return " ".join(result.message.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((*AT, "--radius-db", "-3"), ("--radius 0.01 and --radius-db -3.0 exclude each other; give one",)),
        (("--radius-db", "-3", "--search"), ("--radius-db -3.0 and --search exclude each other; give one",)),
        (("--radius-db", "loud"), ("'loud' is not a number; give",)),
        (("--radius-db", "inf"), ("inf dB; give",)),
        ((), ("give --radius R, --radius-db D or --search",)),
        ((*AT, "--input-set", "cube"), ("'cube'", "known: frames, sequence, box, substitutions")),
        ((*AT, "--input-set", "box"), ("--radius 0.01 does not go with --input-set box", "leave the option out")),
        (("--radius-db", "-9", "--input-set", "box"), ("--radius-db -9.0 does not go with --input-set box",)),
        (("--search", "--input-set", "substitutions"), ("--search does not go with --input-set substitutions",)),
        (("--input-set", "box", "--norm", "2"), ("--norm 2 does not go with --input-set box",)),
        (("--input-set", "box", "--clip", "0", "1"), ("--clip does not go with --input-set box",)),
        (("--input-set", "box", "--frames", "each"), ("--frames each does not go with --input-set box",)),
        (("--input-set", "box"), ("has no array 'lower', it has x, labels",)),
        (("--input-set", "substitutions"), ("has no array 'candidates', it has x, labels",)),
        ((*AT, "--clip-bound", "simple"), ("--clip-bound simple bounds nothing without a range; give --clip",)),
        ((*AT, "--clip", "0", "1", "--clip-bound", "best"), ("'best'", "known: exact, simple")),
        ((*AT, "--top-k", "0"), ("--top-k is 0; give at least 1",)),
        ((*AT, "--top-k", "3"), ("--top-k is 3; among the model's 3 classes give 1 to 2",)),
        ((*AT, "--top-k", "x"), ("'x' is not a whole number; give",)),
        ((*AT, "--top-k", "2", "--target", "1"), ("--top-k and --target 1 ask different questions; give one",)),
        ((*AT, "--spec", "spec.npz", "--target", "all"), ("--spec and --target all ask different questions",)),
        ((*AT, "--spec", "spec.npz", "--top-k", "2"), ("--spec and --top-k ask different questions",)),
        ((*AT, "--criterion", "best"), ("'best'", "known: margins, per-class")),
        ((*AT, "--criterion", "per-class", "--top-k", "1"), ("--criterion per-class", "leave one of them out")),
        ((*AT, "--criterion", "per-class", "--spec", "spec.npz"), ("--criterion per-class", "leave one of them out")),
        ((*AT, "--spec", "gone.npz"), ("--spec gone.npz is not a file that exists; give an .npz file with C and d",)),
        ((*AT, "--spec", " "), ("--spec is ' '; give",)),
        ((*AT, "--spec", "d.npz"), ("d.npz has no array 'C', it has x, labels; write it with",)),
        ((*AT, "--readout", "middle"), ("'middle'", "known: final, last_frame, mean, max, every")),
        ((*AT, "--readout", "every"), ("labels (4,)", "(count, time)", "an answer per frame")),
        ((*AT, "--structure", "layer"), ("m.safetensors", "head")),
        ((*AT, "--structure", "layer gelu head"), ("gelu",)),
        ((*AT, "--structure", ""), ("--structure is ''; give",)),
        ((*AT, "--memory", "much"), ("--memory 'much' is not a size; give bytes, or a size such as 500MB",)),
        ((*AT, "--memory", "0"), ("memory is 0 bytes; give",)),
        ((*AT, "--relaxation", "planar"), ("'planar'", "known: ")),
    ],
    ids=" ".join,
)
def test_options(here: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    message = refused(*options)
    for word in words:
        assert word in message


def test_onnx_files(here: Path) -> None:
    pytest.importorskip("onnx", reason="the package onnx is not installed: ONNX files are not tested")
    (here / "bad.onnx").write_bytes(b"hello")
    assert "bad.onnx cannot be read as ONNX" in refused(*AT, model="bad.onnx")
    assert "gone.onnx does not exist; give" in refused(*AT, model="gone.onnx")
    message = refused(*AT, "--readout", "mean", model="bad.onnx")
    assert "--readout 'mean': bad.onnx says itself how its layers are joined; leave --readout out" in message


def changed(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


LABELS = np.zeros(COUNT, dtype=int)
X = values()
CANDIDATES = np.repeat(X[:, :, None], 2, axis=2)
ALLOWED = np.ones(CANDIDATES.shape[:3], dtype=bool)
BOX = {"x": X, "labels": LABELS, "lower": X - 1, "upper": X + 1}
WORDS = {"x": X, "labels": LABELS, "candidates": CANDIDATES, "allowed": ALLOWED}


@pytest.mark.parametrize(
    ("options", "arrays", "words"),
    [
        (AT, {"x": X, "labels": LABELS, "lengths": [3, 3, 3]}, "lengths have shape (3,); give one a sequence, (4,)"),
        (AT, {"x": X, "labels": LABELS, "lengths": [3, 3, 0, 3]}, "lengths[2] is 0; the data has 1 to 3 frames"),
        (AT, {"x": X, "labels": LABELS, "lengths": [3, 3, 3, 4]}, "lengths[3] is 4; the data has 1 to 3 frames"),
        (AT, {"x": X, "labels": LABELS, "lengths": [3.0, 3, 3, 3]}, "lengths are float64"),
        (
            AT,
            {"x": changed(X, (1, 1, 0), np.nan), "labels": LABELS, "lengths": [1, 2, 1, 1]},
            "x[1, 1, 0] is nan; every value must be finite",
        ),
        (AT, {"tokens": np.zeros((COUNT, TIME), int), "labels": LABELS}, "has no array 'x', it has tokens, labels"),
        (("--input-set", "box"), {**BOX, "lower": X + 2}, "above upper[0, 0, 0]"),
        (("--input-set", "box"), {**BOX, "upper": X[:, :2] + 1}, "both need (count, time, input), here (4, 3, input)"),
        (("--input-set", "box"), {**BOX, "x": X + 2}, "outside its box"),
        (("--input-set", "box"), {**BOX, "lower": changed(X - 1, (3, 2, 1), -np.inf)}, "lower[3, 2, 1] is -inf"),
        (
            ("--input-set", "box"),
            {name: BOX[name][:, :, :1] if name != "labels" else LABELS for name in BOX},
            "1 values a frame, but the model reads 2",
        ),
        (("--input-set", "substitutions"), {**WORDS, "candidates": X}, "they need (count, time, K, input), here"),
        (
            ("--input-set", "substitutions"),
            {**WORDS, "allowed": ALLOWED.astype(int)},
            "it needs bool of shape (4, 3, 2)",
        ),
        (
            ("--input-set", "substitutions"),
            {**WORDS, "candidates": changed(CANDIDATES, (0, 1, 1, 0), np.nan)},
            "candidates[0, 1, 1, 0] is nan",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data(here: Path, options: tuple[str, ...], arrays: dict[str, np.ndarray], words: str) -> None:
    np.savez("bad.npz", **arrays)
    message = refused(*options, data="bad.npz")
    assert words in message
    assert "bad.npz" in message


@pytest.mark.parametrize("name", ["box", "substitutions"])
def test_known_data_hold_no_sets(here: Path, name: str) -> None:
    assert f"which --input-set {name} reads; give an .npz file" in refused(
        "--input-set", name, model="digits_lstm", data="digits"
    )


def test_known_data_have_one_label_a_sequence(here: Path) -> None:
    message = refused(*AT, "--readout", "every", model="digits_lstm", data="digits")
    assert "digits has one label a sequence, but the model answers each frame; give an .npz file" in message


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"C": np.eye(2), "d": np.zeros(2)}, "C has shape (2, 2); the model has 3 outputs, so it needs (spec, 3)"),
        ({"C": np.zeros((0, 3)), "d": np.zeros(0)}, "C has shape (0, 3)"),
        ({"C": np.ones((2, 1, 3)), "d": np.zeros(1)}, "C has rows for 2 sequences, the data has 4; give as many"),
        ({"C": np.eye(3), "d": np.zeros(2)}, "d has shape (2,); with this C it needs (3,) or (4, 3)"),
        ({"C": np.eye(3)}, "has no array 'd', it has C"),
        ({"C": changed(np.eye(3), (1, 2), np.nan), "d": np.zeros(3)}, "C[1, 2] is nan"),
        ({"C": np.eye(3), "d": np.array([0, np.inf, 0])}, "d[1] is inf"),
        ({"C": np.eye(3) > 0, "d": np.zeros(3)}, "C is bool; give"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows(here: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    np.savez("rows.npz", **arrays)
    message = refused(*AT, "--spec", "rows.npz")
    assert words in message
    assert "rows.npz" in message


def test_answers_per_frame_are_asked_untargeted(here: Path) -> None:
    network = load_model(here / "m.safetensors", readout="every")
    save_data(here / "every.npz", network)
    asked = (*AT, "--readout", "every")
    for option in (("--top-k", 1), ("--target", "1"), ("--target", "all"), ("--criterion", "per-class")):
        message = refused(*asked, *option, data="every.npz")
        assert "asks about one label, but the model answers each frame" in message
    save_data(here / "every.npz", network, lengths=np.array([3, 2, 3, 3]))
    C = np.zeros((1, TIME * CLASSES))
    C[0, 2 * CLASSES] = 1
    np.savez("rows.npz", C=C, d=np.zeros(1))
    message = refused(*asked, "--spec", "rows.npz", data="every.npz")
    assert "the rows of sample 1 ask about frame 2, but it has 2 frames" in message


def test_tokens(here: Path) -> None:
    save_model(here / "words.safetensors", words=5)

    def with_tokens(**arrays: np.ndarray) -> str:
        np.savez("tokens.npz", labels=LABELS, **arrays)
        return refused(*AT, model="words.safetensors", data="tokens.npz")

    tokens = np.zeros((COUNT, TIME), dtype=int)
    cases: list[tuple[Callable[[], str], str]] = [
        (
            lambda: with_tokens(tokens=changed(tokens, (1, 2), 5)),
            "tokens[1, 2] is 5; the model's embedding has vectors 0 to 4",
        ),
        (lambda: with_tokens(tokens=changed(tokens, (3, 0), -1)), "tokens[3, 0] is -1"),
        (lambda: with_tokens(tokens=tokens.astype(float)), "tokens are float64"),
        (lambda: with_tokens(tokens=tokens[0]), "tokens has shape (3,)"),
        (lambda: with_tokens(tokens=tokens, x=X), "has both x and tokens; keep the one"),
        (with_tokens, "has neither x nor tokens"),
    ]
    for make, words in cases:
        assert words in make()


def test_boxes_without_x_still_need_the_models_size(here: Path) -> None:
    np.savez(
        "bad.npz", labels=LABELS, lower=np.zeros((COUNT, TIME, INPUT + 1)), upper=np.ones((COUNT, TIME, INPUT + 1))
    )
    assert "3 values a frame, but the model reads 2" in refused("--input-set", "box", data="bad.npz")

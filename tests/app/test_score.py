"""`refcert score` end to end: what the object says, and that it never claims a guarantee."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.loading import load_model
from gpu_engine.scores.clever_rnn import clever_rnn
from gpu_engine.spec import untargeted
from refcert.app.commands.score import score as command
from refcert.app.errors import ExitCode
from tests.app import tiny as networks
from tests.app.commands import CLASSES, SAMPLES, TIME, Result, data_values, refcert, write_data, write_model

SAMPLING = ("--samples", "6", "--batches", "12")
TOP = {"count", "correct", "overflowed", "estimator", "guarantee", "mean_radius", "median_radius", "fits", "seconds"}
IDENTITY = {"model", "request", "data", "versions", "machine", "started", "samples"}
ROW = {"index", "label", "predicted", "correct", "radius", "margin", "status", "ball_radius", "capped", "reason"}
ROW |= {"frame_constants", "constant", "ks_statistic", "ks_pvalue", "fits"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own folder with a tiny model and its data, whose first sample is misclassified, as the working folder."""
    write_data(tmp_path / "tiny.npz", write_model(tmp_path / "tiny.safetensors"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def score(*options: object, data: str = "tiny.npz") -> Result:
    return refcert("score", "--model", "tiny.safetensors", "--data", data, *SAMPLING, *options)


def test_object(here):
    """Keys, and the records in terms of each other."""
    result = score("--json").json
    assert set(result) == TOP | IDENTITY
    assert (result["count"], result["correct"]) == (SAMPLES, SAMPLES - 1)
    assert (result["estimator"], result["guarantee"]) == ("CLEVER-RNN", False)
    wrong, *right = result["samples"]
    assert all(set(row) == ROW for row in result["samples"])
    assert (wrong["correct"], wrong["radius"], wrong["status"]) == (False, 0.0, "misclassified")
    assert wrong["fits"] == {"fitted": 0, "constant": 0, "no_fit": 0}
    for row in right:
        assert 0 < row["radius"] <= row["ball_radius"]
        assert row["status"] in ("fitted", "constant", "no_fit")
        assert (row["reason"] is not None) == (row["status"] == "no_fit")
        assert len(row["frame_constants"]) == TIME
        assert sum(row["fits"].values()) == TIME * (CLASSES - 1)
        if not row["capped"]:
            # The deciding row: its margin, at least the sample's, over its constants.
            assert row["radius"] * sum(row["frame_constants"]) >= row["margin"] * (1 - 1e-12)
    radii = [row["radius"] for row in right]
    assert result["mean_radius"] == pytest.approx(np.mean(radii))
    assert result["median_radius"] == pytest.approx(np.median(radii))
    assert result["fits"] == {name: sum(row["fits"][name] for row in right) for name in wrong["fits"]}


def test_identity(here):
    """Model, data and request as `refcert certify` names them, with what the sampling was."""
    ours = score("--seed", "7", "--norm", "2", "--ball-radius", "0.5", "--constants", "sum", "--json").json
    theirs = refcert("certify", "--model", "tiny.safetensors", "--data", "tiny.npz", "--radius", "0", "--json").json
    assert ours["model"] == theirs["model"]
    assert ours["data"] == theirs["data"]
    asked = ours["request"]
    assert (asked["seed"], asked["norm"], asked["ball_radius"], asked["constants"]) == (7, "2", 0.5, "sum")
    assert (asked["samples"], asked["batches"]) == (6, 12)
    assert {"radius", "tolerance", "relaxation"}.isdisjoint(asked)


def test_scores_are_the_engines(here):
    """Sample by sample, from the same seed; here in batches of two."""
    rows = score("--norm", "2", "--clip", "0", "1", "--seed", "3", "--batch-size", "2", "--json").json["samples"][1:]
    model, x = load_model("tiny.safetensors"), torch.from_numpy(data_values())[1:]
    labels = model.logits(x).argmax(1)
    family = BallFamily(x, torch.ones(x.shape[:2], dtype=torch.float64), 2.0, (0.0, 1.0))
    found = clever_rnn(
        Question(model, untargeted(labels, CLASSES)),
        family,
        torch.Generator().manual_seed(3),
        samples=6,
        batches=12,
    )
    assert [row["radius"] for row in rows] == pytest.approx(found.radius.tolist(), rel=1e-9)
    assert [row["ball_radius"] for row in rows] == pytest.approx(found.ball.tolist(), rel=1e-9)


def records(*options: object) -> list[dict]:
    return score(*options, "--json").json["samples"]


def test_seed_decides(here):
    radii = [[row["radius"] for row in records("--seed", seed)] for seed in ("1", "1", "2")]
    assert radii[0] == radii[1]
    assert radii[0] != radii[2]


def test_each_frame(here):
    """A radius and a constant for every frame by itself; the least counts."""
    for row in records("--frames", "each", "--norm", "2"):
        assert len(row["frame_radii"]) == TIME
        assert row["radius"] == min(row["frame_radii"])
        if row["correct"]:
            assert all(constant > 0 for constant in row["frame_constants"])
            assert sum(row["fits"].values()) == TIME * (CLASSES - 1)
        else:
            assert row["frame_radii"] == [0.0] * TIME


def test_each_target(here):
    """A radius for every other class; untargeted is the least row of all, from its own ball."""
    for row in records("--target", "all"):
        assert len(row["target_radii"]) == CLASSES - 1
        assert row["radius"] == min(row["target_radii"])
        assert row["correct"] == (row["radius"] > 0)


def test_one_target(here):
    """A sample whose label is the target has no question; a misclassified one has radius 0 all the same."""
    rows = records("--target", "0")
    labels = [row["label"] for row in rows]
    assert 0 in labels
    for row in rows:
        assert (row["radius"] is None) == (row["label"] == 0)
        if row["radius"] is None:
            assert row["status"] is None
        assert (row["status"] == "misclassified") == (not row["correct"] and row["label"] != 0)


def test_frames_that_stay(here):
    for row in records("--frames", "0,2"):
        if row["correct"]:
            assert [value is None for value in row["frame_constants"]] == [False, True, False]


@pytest.mark.parametrize("options", [("--input-set", "sequence", "--norm", "2"), ("--constants", "sum")])
def test_one_constant(here, options):
    for row in records(*options):
        if row["correct"]:
            assert row["frame_constants"] is None
            assert row["capped"] or row["radius"] * row["constant"] >= row["margin"] * (1 - 1e-12)
            assert sum(row["fits"].values()) == CLASSES - 1


def test_ball_caps(here):
    """The score is never more than the ball that was sampled, and says where it is cut."""
    for row in records("--ball-radius", "1e-7"):
        if row["correct"]:
            assert (row["radius"], row["ball_radius"], row["capped"]) == (1e-7, 1e-7, True)


def test_ragged(here):
    """Frames behind a sequence's end have no radius and no constant."""
    path = networks.save_model(here / "ragged.safetensors", "gru")
    networks.save_data(here / "ragged.npz", load_model(path), lengths=np.array([1, 2, 3, 3]))
    call = ("--model", path, "--data", "ragged.npz", *SAMPLING, "--json")
    for row, length in zip(refcert("score", *call, "--frames", "each").json["samples"], (1, 2, 3, 3), strict=True):
        assert [value is None for value in row["frame_radii"]] == [t >= length for t in range(3)]
    for row, length in zip(refcert("score", *call).json["samples"], (1, 2, 3, 3), strict=True):
        assert [value is None for value in row["frame_constants"]] == [t >= length for t in range(3)]


def test_answers_of_every_frame(here):
    """A model that answers each frame: one radius over all answers, labels as lists."""
    path = networks.save_model(here / "every.safetensors", "lstm")
    networks.save_data(here / "every.npz", load_model(path, readout="every"))
    call = ("--model", path, "--data", "every.npz", "--readout", "every", *SAMPLING, "--json")
    for row in refcert("score", *call).json["samples"]:
        assert isinstance(row["label"], list)
        assert row["radius"] > 0


def test_own_rows(here):
    """Not about labels: a row that is broken at the sample itself has radius 0 and says so."""
    model, x = load_model("tiny.safetensors"), torch.from_numpy(data_values())
    C = np.eye(1, CLASSES)
    d = -model.logits(x)[:, :1].numpy() + np.array([[0.3 if k % 2 else -0.3] for k in range(SAMPLES)])
    np.savez("spec.npz", C=C, d=d)
    for k, row in enumerate(records("--spec", "spec.npz")):
        assert (row["status"] == "broken") == (row["radius"] == 0) == (k % 2 == 0)
        assert row["row"] == 0


def test_a_broken_row_is_named(here):
    """Of three rows the second one fails at the samples: a bare 0 did not say which."""
    np.savez("spec.npz", C=np.zeros((3, CLASSES)), d=np.array([1.0, -1.0, 2.0]))
    assert [row["row"] for row in records("--spec", "spec.npz")] == [1] * SAMPLES
    assert score("--spec", "spec.npz").out.count("0 (row 1 broken)") == SAMPLES


def test_top_k(here):
    """One more class may pass: no score is smaller than the untargeted one from the same ball."""
    same = ("--ball-radius", "0.4")
    for one, two in zip(records(*same), records(*same, "--top-k", "2"), strict=True):
        assert two["radius"] >= one["radius"]


def test_table_says_what_it_is(here):
    done = score()
    assert done.code == 0
    assert "ESTIMATES WITHOUT GUARANTEE" in done.out
    assert "no guarantee" in done.out
    assert "0 (misclassified)" in done.out
    for word in ("CLEVER-RNN", "12 batches of 6 gradients", "KS p", f"{SAMPLES - 1} of {SAMPLES} samples correct"):
        assert word in done.out
    assert "certified radius" not in done.out


def test_file(here):
    """The same object as on standard output, and the table on the screen."""
    printed = score("--out", "score.json", "--json").json
    assert json.loads((here / "score.json").read_text()) == printed
    assert "score.json exists" in score("--out", "score.json").message
    assert score("--out", "gone/score.json").code == ExitCode.OUTPUT_FAILED
    refused = score("--out", "x" * 300)
    assert (refused.code, refused.out) == (ExitCode.OUTPUT_FAILED, "")  # before the work
    assert "choose a shorter name" in refused.err
    assert sorted(path.name for path in here.iterdir()) == ["score.json", "tiny.npz", "tiny.safetensors"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--samples", "0"), ("--samples is 0; give at least 1",)),
        (("--batches", "-3"), ("--batches is -3; each batch gives one maximum", "give at least 10")),
        (("--batches", "1"), ("--batches is 1; each batch gives one maximum", "give at least 10")),
        (("--batches", "9"), ("--batches is 9", "give at least 10")),
        (("--batches", "x"), ("'x' is not a whole number; give",)),
        (("--ball-radius", "0"), ("--ball-radius is 0.0; give a finite number > 0",)),
        (("--ball-radius", "nan"), ("--ball-radius is nan; give",)),
        (("--ball-radius", "inf"), ("--ball-radius is inf; give",)),
        (("--constants", "max"), ("'max' is not known; known: frames, sum",)),
        (("--seed", "-1"), ("seed is -1; give 0 or more",)),
        (("--seed", str(2**63)), ("9223372036854775808 is too large; give at most",)),
        (("--input-set", "box"), ("--input-set box has no radius; give --input-set frames or sequence",)),
        (("--input-set", "banana"), ("banana",)),
        (("--norm", "0.5"), ("0.5", "give p >= 1")),
        (("--frames", "99"), ("frame 99", "choose")),
        (("--frames", "each", "--target", "all"), ("choose one of them",)),
        (("--target", "99"), ("class 99", "choose")),
        (("--top-k", "9"), ("--top-k is 9",)),
        (("--clip", "0.9", "1"), ("outside --clip 0.9 1; widen",)),
        (("--count", "99"), ("count 99",)),
        (("--batch-size", "0"), ("batch size is 0; give",)),
        (("--device", "banana"), ("'banana'", "try 'cpu'")),
        (("--model", "gone.safetensors"), ("gone.safetensors",)),
        (("--data", "gone.npz"), ("gone.npz",)),
        (("--out", ""), ("'' is empty; give a path",)),
        (("--radius", "1"), ("--radius",)),
    ],
    ids=" ".join,
)
def test_bad_input(here, options, words):
    result = score(*options, "--json")
    assert result.code == ExitCode.BAD_INPUT
    for word in words:
        assert word in " ".join(result.message.split())


def test_overflow_is_named(here):
    """Inputs at which the network's outputs are no numbers: an error of its own, and no file."""
    path = networks.save_model(here / "relu.safetensors", "rnn_relu")
    networks.save_data(here / "relu.npz", load_model(path))
    call = ("--model", path, "--data", "relu.npz", "--ball-radius", "1e308", *SAMPLING, "--out", "score.json")
    result = refcert("score", *call, "--json")
    assert result.code == ExitCode.OVERFLOW
    assert "overflow" in result.message
    assert not (here / "score.json").exists()


@pytest.mark.parametrize("size", ["1", "100"])
def test_a_sample_that_overflows_takes_no_other_with_it(here, size):
    """The third one overflows itself, the fourth one in the ball around it: 4e307 x at x >= 4.5."""
    path, data = networks.save_overflowing(here, np.array([0.5, 1.0, 5.0, 4.4]))
    call = ("score", "--model", path, "--data", data, *SAMPLING, "--batch-size", size, "--ball-radius", "1")
    result = refcert(*call, "--json").json
    first, second, outside, near = result["samples"]
    assert (first["radius"], second["radius"]) == (1.0, pytest.approx(1.0))
    assert result["overflowed"] == 2
    for row in (outside, near):
        assert (row["status"], row["radius"]) == ("overflow", None)
        assert "overflow" in row["reason"]
    assert (outside["predicted"], outside["correct"]) == (None, False)
    assert result["mean_radius"] == pytest.approx(1.0)
    table = refcert(*call).out
    assert "sample 2: the network's outputs overflow at the sample itself; scale its values" in table
    assert "no answer for 2 samples, where numbers overflow" in table


def test_page_names_every_key(here):
    """docs/score.md has a row for each key of the object and of its records."""
    page = (Path(__file__).parents[2] / "docs" / "score.md").read_text(encoding="utf-8")
    np.savez("spec.npz", C=np.ones((1, CLASSES)), d=np.ones(1))
    listed = {
        key
        for options in ((), ("--frames", "each"), ("--target", "all"), ("--spec", "spec.npz"))
        for key in records(*options)[1]
    }
    assert listed > ROW
    for key in TOP | IDENTITY | listed:
        assert f"`{key}`" in page, key


def test_defaults_are_the_engines():
    """The command's help names numbers without an import of the engine; they are the same."""
    defaults = {name: each.default for name, each in inspect.signature(command).parameters.items()}
    engine = inspect.signature(clever_rnn).parameters
    for option, name in (("samples", "samples"), ("batches", "batches"), ("ball_radius", "ball")):
        assert defaults[option] == engine[name].default
    assert defaults["constants"] == engine["constants"].default

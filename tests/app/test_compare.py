"""`refcert compare` end to end: rows are those of `refcert certify`, tightness is measured on common boxes."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gpu_engine.loading import load_model
from refcert.app.compare import KNOWN
from refcert.app.report.compare import command_line
from tests.app.commands import CLASSES, SAMPLES, TIME, data_values, refcert, write_data, write_model

FEW = "planes,lines,constants"
LAWS = "planes,parallel,lines,constants,best"
SEARCH = ("--search", "--tolerance", "0.1")
ROW = {"relaxation", "mean_gap", "volume_ratio", "volume_ratios", "seconds", "samples"}
ROW_SEARCH, ROW_FIXED = ROW | {"mean_radius", "median_radius"}, ROW | {"certified", "share"}
TOP = {"count", "correct", "relaxations", "boxes", "model", "request", "data", "versions", "machine", "started"}
COUNTS = {"drawn", "used", "no_area", "flat", "unresolved"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_data(folder / "tiny.npz", write_model(folder / "tiny.safetensors"))
    return folder


def ask(folder: Path, *options: object) -> tuple[object, ...]:
    return ("--model", folder / "tiny.safetensors", "--data", folder / "tiny.npz", *options)


def compare(folder: Path, *options: object, relaxations: str = LAWS, planes: int = 20):
    some = () if "--samples-volume" in options else ("--samples-volume", planes)
    return refcert("compare", *ask(folder, "--relaxations", relaxations, *some, *options), "--json").json


@pytest.fixture(scope="module")
def searched(tiny):
    return compare(tiny, *SEARCH, "--count", "4", relaxations=LAWS, planes=30)


@pytest.fixture(scope="module")
def fixed(tiny):
    return compare(tiny, "--radius", "0.01", relaxations=",".join(KNOWN))


def by_name(result):
    return {row["relaxation"]: row for row in result["relaxations"]}


# The object


def test_every_key_of_a_search(searched):
    assert set(searched) == TOP | {"tolerance"}
    assert [row["relaxation"] for row in searched["relaxations"]] == LAWS.split(",")
    assert searched["count"] == 4
    assert searched["correct"] == 3
    for row in searched["relaxations"]:
        assert set(row) == ROW_SEARCH
        assert 0 < row["mean_radius"] < math.inf
        assert row["seconds"] > 0
        check_tightness(searched, row)
    boxes = searched["boxes"]
    assert boxes["radius"] == max(row["mean_radius"] for row in searched["relaxations"])
    assert boxes["relaxation"] == "best"
    assert boxes["samples"] == searched["correct"]


def test_every_key_at_a_radius(fixed):
    assert set(fixed) == TOP
    assert [row["relaxation"] for row in fixed["relaxations"]] == list(KNOWN)
    assert fixed["count"] == SAMPLES
    assert fixed["correct"] == SAMPLES - 1
    assert fixed["boxes"]["radius"] == 0.01
    for row in fixed["relaxations"]:
        assert set(row) == ROW_FIXED
        assert row["share"] == row["certified"] / SAMPLES
        check_tightness(fixed, row)


def check_tightness(result, row):
    kinds = set(result["boxes"]["nonlinearities"])
    counts = result["boxes"]["planes"]
    assert set(counts) == COUNTS
    assert counts["drawn"] == sum(counts[key] for key in COUNTS - {"drawn"})
    assert set(row["mean_gap"]) == kinds | {"overall"}
    assert all(gap > 0 for gap in row["mean_gap"].values())
    weighted = sum(row["mean_gap"][kind] * result["boxes"]["nonlinearities"][kind] for kind in kinds)
    assert row["mean_gap"]["overall"] == pytest.approx(weighted / sum(result["boxes"]["nonlinearities"].values()))
    ratios = row["volume_ratios"]
    assert set(ratios) == {"least", "lower_quartile", "median", "upper_quartile", "largest", "mean", "by_kind"}
    order = [ratios[key] for key in ("least", "lower_quartile", "median", "upper_quartile", "largest")]
    assert order == sorted(order)
    assert order[0] <= row["volume_ratio"] <= ratios["mean"] <= order[-1]


def test_how_many_nonlinearities(fixed):
    """Three products a unit and frame; the forget gate of frame 0 multiplies the initial state, which is zero."""
    correct, hidden = SAMPLES - 1, 4
    expected = {
        "sigmoid_times_identity": correct * (TIME - 1) * hidden,
        "sigmoid_times_tanh": correct * 2 * TIME * hidden,
    }
    assert fixed["boxes"]["nonlinearities"] == expected


@pytest.mark.parametrize("options", [SEARCH, ("--radius", "0.02")], ids=["search", "radius"])
def test_every_row_is_what_certify_says(tiny, options):
    """The same question through the other command: the same records, number by number."""
    common = ("--norm", "2", "--clip", "0", "1", "--frames", "1,2", "--target", "0", *options)
    result = compare(tiny, *common, relaxations="constants,mccormick", planes=0)
    for row in result["relaxations"]:
        alone = refcert("certify", *ask(tiny, *common, "--relaxation", row["relaxation"]), "--json").json
        assert row["samples"] == alone["samples"]
        for key in ("mean_radius", "median_radius", "certified"):
            assert (key in row) == (key in alone)
            assert row.get(key) == alone.get(key)
        for key in ("model", "data"):
            assert result[key] == alone[key]
        given = {k: v for k, v in alone["request"].items() if k != "relaxation"}
        assert given.items() <= result["request"].items()


def test_the_same_in_other_batches(tiny):
    """The seed decides the sample of planes; batches decide nothing."""
    options = ("--radius", "0.01", "--count", "4")
    one, two = (compare(tiny, *options, "--batch-size", size, relaxations="constants") for size in (2, 3))
    other = compare(tiny, *options, "--seed", "1", relaxations="constants")
    assert one["boxes"] == two["boxes"]
    (one,), (two,), (other,) = (result["relaxations"] for result in (one, two, other))
    assert one["mean_gap"] == pytest.approx(two["mean_gap"], rel=1e-12)
    assert one["volume_ratio"] == pytest.approx(two["volume_ratio"], rel=1e-6)
    assert one["volume_ratio"] != pytest.approx(other["volume_ratio"], rel=1e-6)


def test_a_row_does_not_depend_on_the_others(tiny, fixed):
    """Boxes are those of `best` whatever is compared."""
    alone = compare(tiny, "--radius", "0.01", relaxations="mccormick")
    (row,), many = alone["relaxations"], by_name(fixed)["mccormick"]
    assert row.pop("seconds") > 0
    assert row == {k: v for k, v in many.items() if k != "seconds"}


# Laws


def check_laws(result, tolerance):
    rows = by_name(result)
    for kind in (*result["boxes"]["nonlinearities"], "overall"):
        gap = {name: row["mean_gap"][kind] for name, row in rows.items()}
        assert gap["planes"] <= gap["lines"] <= gap["constants"]
        assert all(gap["best"] <= gap[member] for member in ("planes", "parallel") if "best" in gap)
    for row in rows.values():
        if row["volume_ratios"] is not None:
            assert row["volume_ratios"]["least"] >= 1 - 1e-6
    ratios = rows["planes"]["volume_ratios"]
    if ratios is not None:
        assert ratios["median"] < 1.001
        assert ratios["mean"] < 1.05
        assert rows["planes"]["volume_ratio"] <= rows["lines"]["volume_ratio"] <= rows["constants"]["volume_ratio"]
    if "best" not in rows:
        return
    best = rows["best"]
    assert best["volume_ratio"] <= rows["planes"]["volume_ratio"]
    for member in (rows["planes"], rows["parallel"]):
        if "mean_radius" in best:
            assert best["mean_radius"] >= (1 - tolerance) * member["mean_radius"]
        else:
            assert best["certified"] >= member["certified"]


def test_laws_on_the_tiny_model(searched, fixed):
    check_laws(searched, searched["tolerance"])
    check_laws(fixed, 0)
    assert searched["boxes"]["planes"]["used"] > 10


@pytest.mark.parametrize("model", [pytest.param("digits_lstm", marks=pytest.mark.long), "digits_gru", "digits_rnn"])
def test_laws_on_the_digits(model):
    options = ("--count", "1", "--clip", "0", "1", "--radius", "0.02", "--samples-volume", "20")
    result = refcert("compare", "--model", model, "--data", "digits", "--relaxations", FEW, *options, "--json").json
    check_laws(result, 0)
    rows = by_name(result)
    if model == "digits_rnn":
        assert set(result["boxes"]["nonlinearities"]) == {"tanh"}
        # With one argument there is one line of least volume, whatever the relaxation of products is.
        assert rows["lines"]["mean_gap"] == rows["planes"]["mean_gap"]
    assert rows["constants"]["certified"] < rows["planes"]["certified"]


# What is asked


def test_frames_one_by_one(tiny):
    result = compare(tiny, "--radius", "0.05", "--frames", "each", relaxations="constants", planes=0)
    all_frames = compare(tiny, "--radius", "0.05", relaxations="constants", planes=0)
    (row,) = result["relaxations"]
    assert all(len(sample["frame_margins"]) == TIME for sample in row["samples"])
    assert result["boxes"]["samples"] == SAMPLES - 1
    for kind, number in result["boxes"]["nonlinearities"].items():
        assert number == TIME * all_frames["boxes"]["nonlinearities"][kind]
    # One frame that moves gives smaller boxes than all.
    assert row["mean_gap"]["overall"] < all_frames["relaxations"][0]["mean_gap"]["overall"]


def test_boxes_do_not_depend_on_the_class_asked_about(tiny):
    results = [
        compare(tiny, "--radius", "0.01", "--target", target, relaxations="constants", planes=0)
        for target in ("all", "0")
    ]
    untargeted = compare(tiny, "--radius", "0.01", relaxations="constants", planes=0)
    for result in results:
        assert result["boxes"] == untargeted["boxes"]
        assert result["relaxations"][0]["mean_gap"] == untargeted["relaxations"][0]["mean_gap"]
    assert all(len(sample["target_margins"]) == CLASSES - 1 for sample in results[0]["relaxations"][0]["samples"])


def test_the_radius_of_the_boxes(tiny):
    """It can be given; gaps grow with it, radii do not depend on it."""
    results = [
        compare(tiny, *SEARCH, "--count", "2", "--box-radius", radius, relaxations="constants", planes=0)
        for radius in (0.001, 0.02)
    ]
    small, large = (result["relaxations"][0] for result in results)
    assert [result["boxes"]["radius"] for result in results] == [0.001, 0.02]
    assert small["mean_gap"]["overall"] < large["mean_gap"]["overall"]
    assert small["samples"] == large["samples"]


def test_one_ball_around_the_sequence(tiny):
    common = ("--radius", "0.05", "--norm", "2")
    per_frame = compare(tiny, *common, relaxations="constants", planes=0)["relaxations"][0]
    shared = compare(tiny, *common, "--input-set", "sequence", relaxations="constants", planes=0)["relaxations"][0]
    assert shared["certified"] >= per_frame["certified"]
    assert shared["mean_gap"]["overall"] < per_frame["mean_gap"]["overall"]


def test_boxes_of_the_data(tiny, tmp_path):
    x = data_values()
    labels = np.load(tiny / "tiny.npz")["labels"]
    np.savez(tmp_path / "box.npz", x=x, labels=labels, lower=x - 0.01, upper=x + 0.01)
    options = ("--samples-volume", "5", "--relaxations", "constants", "--json")
    model = ("compare", "--model", tiny / "tiny.safetensors")
    boxes = refcert(*model, "--data", tmp_path / "box.npz", "--input-set", "box", *options).json
    balls = refcert(*model, "--data", tiny / "tiny.npz", "--radius", "0.01", *options).json
    assert boxes["boxes"]["radius"] is None
    assert boxes["relaxations"][0]["certified"] == balls["relaxations"][0]["certified"]
    assert boxes["relaxations"][0]["mean_gap"] == pytest.approx(balls["relaxations"][0]["mean_gap"], rel=1e-9)


def test_radius_zero_has_no_volume(tiny):
    """Boxes are as thin as rounding makes them: they have a gap of that size, and no volume to speak of."""
    result = compare(tiny, "--radius", "0", relaxations="constants")
    for row in result["relaxations"]:
        assert row["certified"] == SAMPLES - 1
        assert row["volume_ratio"] is row["volume_ratios"] is None
        assert 0 < row["mean_gap"]["overall"] < 1e-10
    assert result["boxes"]["planes"]["used"] == 0


def test_nothing_classified_correctly(tiny, tmp_path):
    labels = [int(np.argmin(row)) for row in logits_of(tiny)]
    np.savez(tmp_path / "wrong.npz", x=data_values(), labels=labels)
    common = ("--model", tiny / "tiny.safetensors", "--data", tmp_path / "wrong.npz", "--relaxations", "constants")
    out = tmp_path / "out"
    for options, key, value in ((SEARCH, "mean_radius", None), (("--radius", "0.1"), "certified", 0)):
        result = refcert("compare", *common, *options, "--out", out / key, "--json").json
        assert result["correct"] == 0
        (row,) = result["relaxations"]
        assert row[key] == value
        assert row["mean_gap"] is row["volume_ratio"] is result["boxes"]["planes"] is None
        assert "no sample is classified correctly" in (out / key / "compare.html").read_text(encoding="utf-8")


def logits_of(folder: Path):
    return load_model(folder / "tiny.safetensors").logits(torch.from_numpy(data_values())).numpy()


def test_nothing_proved(tiny, tmp_path):
    """A model that ties all classes certifies nothing, so a search has no radius for common boxes."""
    state = load_file(tiny / "tiny.safetensors")
    state["linear.weight"], state["linear.bias"] = 0 * state["linear.weight"], 0 * state["linear.bias"]
    save_file(state, tmp_path / "ties.safetensors")
    np.savez(tmp_path / "zeros.npz", x=data_values(), labels=np.zeros(SAMPLES, dtype=int))
    common = ("--model", tmp_path / "ties.safetensors", "--data", tmp_path / "zeros.npz", "--relaxations", "constants")
    out = tmp_path / "out"
    result = refcert("compare", *common, *SEARCH, "--out", out, "--json").json
    assert result["correct"] == SAMPLES
    assert result["relaxations"][0]["mean_radius"] == 0
    assert result["boxes"]["radius"] is result["relaxations"][0]["mean_gap"] is None
    assert "--box-radius" in (out / "compare.html").read_text(encoding="utf-8")
    given = refcert("compare", *common, *SEARCH, "--box-radius", "0.1", "--samples-volume", "3", "--json").json
    assert given["relaxations"][0]["mean_gap"]["overall"] > 0


# Files and screen


def test_the_folder(tiny, tmp_path):
    out = tmp_path / "deep" / "out"
    result = refcert(
        "compare",
        *ask(tiny, "--radius", "0.01", "--relaxations", "constants", "--out", out, "--samples-volume", "2"),
        "--json",
    )
    assert sorted(path.name for path in out.iterdir()) == ["compare.html", "compare.json"]
    assert json.loads((out / "compare.json").read_text()) == result.json


def test_the_recorded_command_asks_the_same(tiny, tmp_path):
    options = ("--norm", "1.5", "--frames", "0,2", "--clip", "-1", "2", "--target", "1", "--seed", "4", "--count", "2")
    result = compare(tiny, *SEARCH, *options, "--box-radius", "0.03", relaxations="constants", planes=3)
    line = shlex.split(command_line(result["request"], str(tmp_path / "out")))
    again = refcert(*line[1:], "--json").json
    for one in (result, again):
        one.pop("started")
        for row in one["relaxations"]:
            row.pop("seconds")
    assert again == result


def test_the_table(tiny):
    for options, heading in ((SEARCH, "mean radius"), (("--radius", "0.01"), "certified")):
        result = refcert(
            "compare", *ask(tiny, *options, "--relaxations", "lines,constants", "--samples-volume", "5", "--count", "2")
        )
        assert result.code == 0, result.err
        assert result.err == ""
        for word in (
            heading,
            "lines",
            "constants",
            "volume ratio",
            "gap of sigmoid_times_tanh",
            "boxes of best at radius",
        ):
            assert word in result.out
        assert max(map(len, result.out.splitlines()[2:12])) <= 80

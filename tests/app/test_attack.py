"""`refcert attack` end to end: what it returns breaks the question, by a plain forward pass, at the radius it says."""

from __future__ import annotations

import contextlib
import json
import math
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gpu_engine.attacks.registry import ATTACKS
from gpu_engine.errors import EngineError, NumericalError
from gpu_engine.loading import load_model
from refcert.app import cli
from refcert.app.errors import ExitCode, InputError
from tests.app.attack_commands import call, call_json, on
from tests.app.commands import CLASSES, TIME, data_values, refcert, write_data, write_model
from tests.app.tiny import save_overflowing
from tests.app.tiny_runs import Tiny

ROW = {"index", "label", "predicted", "correct", "reason", "found", "radius", "adversarial_class", "margin"}
LP = {"status", "programs"}
TOP = {
    *(
        "method",
        "attack",
        "meaning",
        "count",
        "correct",
        "overflowed",
        "found",
        "not_found",
        "without_question",
        "mean_radius",
    ),
    *("median_radius", "seconds", "model", "request", "data", "versions", "machine", "started", "samples"),
}
FEW = ("--steps", "6", "--restarts", "1")
SMALLER = ("--count", "4")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_data(folder / "tiny.npz", write_model(folder / "tiny.safetensors"))
    return folder


def attack(folder, *options, method="pgd"):
    few = FEW if method == "pgd" else ()
    return call_json("attack", *on(folder, "--method", method, *few, *options))


def logits(folder, x):
    return load_model(folder / "tiny.safetensors").logits(torch.from_numpy(x))


@pytest.mark.parametrize("norm", ["inf", "2", "1"])
@pytest.mark.parametrize("method", ["pgd", "fgsm"])
def test_every_find_is_an_input_at_its_radius_that_breaks_the_question(tiny, tmp_path, method, norm):
    out = tmp_path / "out"
    result = attack(tiny, "--norm", norm, "--out", out, method=method)
    assert set(result) == TOP
    assert result == json.loads((out / "attack.json").read_text())
    assert result["method"] == result["attack"]["name"] == method
    saved = np.load(out / "adversarial.npz")
    assert np.array_equal(saved["x"], data_values())
    found = logits(tiny, saved["adversarial"])
    size = np.linalg.norm(saved["adversarial"] - saved["x"], ord=float(norm), axis=2).max(1)
    some = 0
    for k, row in enumerate(result["samples"]):
        assert set(row) == ROW
        assert row["index"] == k
        assert row["label"] == saved["labels"][k]
        if not row["found"]:
            assert row["radius"] is row["adversarial_class"] is row["margin"] is None
            assert math.isinf(saved["radius"][k])
            assert np.array_equal(saved["adversarial"][k], saved["x"][k])
            continue
        some += 1
        assert row["radius"] == saved["radius"][k]
        assert size[k] <= row["radius"] <= size[k] * (1 + 1e-12) + 1e-300
        others = found[k].clone()
        others[row["label"]] = -math.inf
        margin = float(found[k, row["label"]] - others.max())
        assert margin <= 0
        assert row["margin"] == pytest.approx(margin, abs=1e-12)
        assert row["adversarial_class"] == saved["adversarial_class"][k] == int(found[k].argmax())
    assert some >= 3
    assert result["found"] + 1 == some  # the first sample is misclassified


def test_a_misclassified_sample_has_radius_zero_and_is_its_own_adversarial_input(tiny, tmp_path):
    for options in ((), ("--target", "all"), ("--frames", "each")):
        out = tmp_path / f"out{len(options) and options[0]}"
        first = attack(tiny, "--count", 2, *options, "--out", out)["samples"][0]
        assert not first["correct"]
        assert (first["found"], first["radius"]) == (True, 0.0)
        assert first["adversarial_class"] == first["predicted"]
        saved = np.load(out / "adversarial.npz")
        assert np.array_equal(saved["adversarial"][0], saved["x"][0])


def test_lists_are_by_frame_and_by_target_and_their_least_is_the_samples(tiny, tmp_path):
    out = tmp_path / "out"
    each = attack(tiny, *SMALLER, "--frames", "each", "--out", out)
    targets = attack(tiny, *SMALLER, "--target", "all")
    for row in each["samples"]:
        assert len(row["frame_radii"]) == TIME
    for row in targets["samples"]:
        assert len(row["target_radii"]) == CLASSES - 1
    for row in (*each["samples"], *targets["samples"]):
        values = [v for v in (row.get("frame_radii") or row["target_radii"]) if v is not None]
        assert row["radius"] == (min(values) if values else None)
    saved = np.load(out / "adversarial.npz")
    assert len(saved["question_sample"]) == 4 * TIME
    for k, frame, x in zip(
        saved["question_sample"], saved["question_frame_or_target"], saved["question_adversarial"], strict=True
    ):
        still = np.arange(TIME) != frame
        assert np.array_equal(x[still], saved["x"][k][still])


def test_samples_without_a_question_say_so(tiny):
    target = int(np.load(tiny / "tiny.npz")["labels"][1])
    result = attack(tiny, "--target", target)
    none = [row for row in result["samples"] if row["found"] is None]
    assert len(none) == result["without_question"] == sum(row["label"] == target for row in result["samples"]) > 0
    asked = [row for row in result["samples"] if row["found"] is not None and row["correct"]]
    assert result["found"] + result["not_found"] == len(asked)


def test_the_range_is_kept(tiny, tmp_path):
    attack(tiny, "--clip", 0, 1, "--out", tmp_path / "out")
    adversarial = np.load(tmp_path / "out" / "adversarial.npz")["adversarial"]
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1


def test_the_same_seed_gives_the_same_and_batches_do_not_matter(tiny):
    first = attack(tiny, *SMALLER, "--seed", 3)
    again = attack(tiny, *SMALLER, "--seed", 3)
    assert first["samples"] == again["samples"]
    alone = attack(tiny, *SMALLER, "--seed", 3, "--batch-size", 1)
    for one, other in zip(first["samples"], alone["samples"], strict=True):
        assert one["radius"] == pytest.approx(other["radius"], rel=0.02)


def test_at_a_fixed_radius_it_says_what_is_broken(tiny):
    searched = attack(tiny)["samples"]
    radii = sorted(row["radius"] for row in searched if row["radius"])
    middle = radii[len(radii) // 2] * 1.01
    for method in ("pgd", "fgsm"):
        fixed = attack(tiny, "--radius", middle, method=method)
        assert fixed["broken"] == sum(row["broken"] for row in fixed["samples"])
        for row in fixed["samples"]:
            assert row["broken"] == (row["margin"] <= 0) == (row["adversarial_class"] is not None)
    broken = [row["index"] for row in attack(tiny, "--radius", middle)["samples"] if row["broken"]]
    assert set(broken) >= {row["index"] for row in searched if row["found"] and row["radius"] < middle * 0.98}
    nothing = attack(tiny, "--radius", 0)
    assert [row["broken"] for row in nothing["samples"]] == [not row["correct"] for row in nothing["samples"]]


def test_an_attack_that_only_searches_answers_at_a_radius_by_what_it_finds(tiny):
    radius = 0.5
    searched = {row["index"]: row["radius"] for row in attack(tiny, *SMALLER, method="lbfgs")["samples"]}
    for row in attack(tiny, *SMALLER, "--radius", radius, method="lbfgs")["samples"]:
        found = searched[row["index"]]
        assert row["broken"] == (found is not None and found <= radius)


def test_sets_of_the_data_are_attacked_where_an_attack_can(tiny, tmp_path):
    stored = dict(np.load(tiny / "tiny.npz"))
    np.savez(tmp_path / "box.npz", **stored, lower=stored["x"] - 0.5, upper=stored["x"] + 0.5)
    given = ("--model", tiny / "tiny.safetensors", "--data", tmp_path / "box.npz", "--input-set", "box")
    out = tmp_path / "out"
    result = call_json("attack", *given, *FEW, "--out", out)
    assert all(row["broken"] for row in result["samples"] if not row["correct"])
    saved = np.load(out / "adversarial.npz")
    assert (np.abs(saved["adversarial"] - saved["x"]) <= 0.5 + 1e-12).all()
    with pytest.raises(InputError, match="--input-set box has none; give pgd or fgsm"):
        call_json("attack", *given, "--method", "lbfgs")


@pytest.mark.parametrize("readout", ["every", "final"])
def test_sequences_of_different_lengths_and_answers_for_every_frame(tmp_path, readout):
    case = Tiny(tmp_path, readout=readout)
    case.data(x=case.arrays["x"], lengths=np.array([1, 2, 3, 3]))
    given = ("--model", case.model, "--data", tmp_path / "d.npz", "--readout", readout, *FEW)
    out = tmp_path / "out"
    result = call_json("attack", *given, "--out", out)
    saved = np.load(out / "adversarial.npz")
    for k, length in enumerate([1, 2, 3, 3]):
        assert np.array_equal(saved["adversarial"][k, length:], saved["x"][k, length:])
        row = result["samples"][k]
        if readout == "every":
            assert len(row["predicted"]) == length
            assert row["adversarial_class"] is None or len(row["adversarial_class"]) == length
    assert result["found"] > 0
    each = call_json("attack", *given, "--frames", "each")
    assert each["samples"][0]["frame_radii"][1:] == [None, None]


def test_every_attack_of_the_registry_can_be_asked_for(tiny):
    for method in ATTACKS:
        if method == "lp":
            with pytest.raises((EngineError, InputError), match="ReLU"):
                attack(tiny, *SMALLER, method=method)
            continue
        result = attack(tiny, *SMALLER, method=method)
        assert result["attack"]["summary"] == ATTACKS[method].summary
        assert result["found"] + result["not_found"] == 3


def test_lp_search_says_how_it_ended(tmp_path):
    case = Tiny(tmp_path, "rnn_relu")
    given = ("--model", case.model, "--data", tmp_path / "d.npz")
    result = call_json("attack", *given, "--method", "lp")
    assert set(result["samples"][0]) == ROW | LP
    assert {row["status"] == "found" for row in result["samples"] if row["found"]} == {True}
    assert result["found"] > 0
    with pytest.raises((EngineError, InputError), match="norms inf and 1"):
        call_json("attack", *given, "--method", "lp", "--norm", "2")


@pytest.fixture
def relu(tmp_path):
    case = Tiny(tmp_path, "rnn_relu")
    return ("--model", case.model, "--data", tmp_path / "d.npz", "--method", "lp")


def test_lp_search_rounds_to_whole_levels_where_asked(relu, tmp_path):
    out = tmp_path / "out"
    result = call_json("attack", *relu, "--grid", 10, "--out", out)
    assert result["attack"]["grid"] == 10
    saved = np.load(out / "adversarial.npz")
    rounded = 0
    for k, row in enumerate(result["samples"]):
        assert set(row) == ROW | LP | {"grid_radius"}
        if row["grid_radius"] is None:
            assert math.isinf(saved["grid_radius"][k])
            continue
        assert row["grid_radius"] == saved["grid_radius"][k] >= row["radius"]
        x = saved["grid_adversarial"][k]
        moved = x != saved["x"][k]
        assert x[moved] * 10 == pytest.approx(np.rint(x[moved] * 10), abs=1e-9)
        rounded += bool(moved.any())
    whole = [row["grid_radius"] for row in result["samples"] if row["correct"] and row["grid_radius"] is not None]
    assert result["found_on_grid"] == len(whole)
    assert result["mean_grid_radius"] == pytest.approx(np.mean(whole))
    assert rounded > 0
    assert "in steps of 1/10" in call("attack", *relu, "--grid", 10)


def test_a_time_limit_that_ends_the_search_is_named(relu):
    result = call_json("attack", *relu, "--time-limit", 1e-9, "--steps", 0)
    assert result["attack"]["time_limit"] == 1e-9
    for row in result["samples"]:
        assert (row["status"], row["radius"], row["found"]) == ("time limit", None, False)
        assert row["programs"]["time limit"] > 0
    assert "time limit" in call("attack", *relu, "--time-limit", 1e-9, "--steps", 0)


def test_lp_search_at_a_fixed_radius_says_how_it_ended(relu):
    searched = call_json("attack", *relu)["samples"]
    radius = max(row["radius"] for row in searched if row["found"]) * 0.99
    for row, known in zip(call_json("attack", *relu, "--radius", radius)["samples"], searched, strict=True):
        assert row["broken"] == (known["found"] and known["radius"] <= radius)
        if known["found"]:
            assert row["status"] == ("found" if row["broken"] else "found beyond the radius")


def test_without_a_question_there_is_no_end_of_a_search(relu):
    label = call_json("attack", *relu)["samples"][0]["label"]
    row = call_json("attack", *relu, "--target", label)["samples"][0]
    assert set(row) == ROW | LP
    assert row["found"] is row["status"] is row["programs"] is None
    assert "no question" in call("attack", *relu, "--target", label)


def test_the_table_shows_what_the_json_says(tiny, tmp_path):
    text = call("attack", *on(tiny, *FEW, "--out", tmp_path / "out"))
    result = attack(tiny)
    assert "0 (misclassified)" in text
    assert "6 of 7 classified correctly, those misclassified have radius 0; " in text
    assert f"found for {result['found']}, none for {result['not_found']}" in text
    assert "proves nothing" in text
    for row in result["samples"]:
        if row["radius"]:
            (shown,) = [line.split()[7] for line in text.splitlines() if line.startswith(f"│ {row['index']} ")]
            assert row["radius"] <= float(shown) <= row["radius"] * (1 + 1e-4)  # an upper bound is rounded up


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--method", "foo"), "attack 'foo' is not known; known: pgd, cw"),
        (("--steps", "0"), "steps.* is 0|steps is 0"),
        (("--steps", "-1"), "--steps is -1"),
        (("--restarts", "-1"), "--restarts is -1"),
        (("--method", "fgsm", "--steps", "5"), "fgsm has no steps"),
        (("--clip", "0.9", "1"), "outside --clip"),
        (("--count", "0"), "count is 0"),
        (("--frames", "9"), "names frame 9"),
        (("--radius", "nan"), "radius is nan"),
        (("--seed", "-1"), "--seed is -1"),
        (("--grid", "255"), "--grid 255 does not go with --method pgd; only lp has it"),
        (("--method", "cw", "--time-limit", "3"), "--time-limit 3.0 does not go with --method cw; only lp"),
        (("--method", "lp", "--grid", "0"), "--grid is 0; give"),
        (("--method", "lp", "--time-limit", "0"), "--time-limit is 0.0; give"),
        (("--method", "lp", "--time-limit", "nan"), "--time-limit is nan; give"),
        (("--method", "lp", "--grid", "9", "--radius", "1"), "--grid 9 rounds the smallest perturbations.*leave out"),
        (("--model", "missing.safetensors"), "missing.safetensors"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing_behind(tiny, tmp_path, options, words):
    out = tmp_path / "new" / "out"
    with pytest.raises((EngineError, InputError), match=words):
        call("attack", *on(tiny, *options, "--out", out))
    assert not out.parent.exists()


def test_an_existing_folder_is_not_touched(tiny, tmp_path):
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(InputError, match="exists"):
        attack(tiny, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_numbers_that_overflow_are_an_error_not_a_find(tiny, tmp_path):
    state = load_file(tiny / "tiny.safetensors")
    state["linear.weight"] = state["linear.weight"].double() * 1e308
    save_file(state, tmp_path / "m.safetensors")
    with pytest.raises((EngineError, InputError, NumericalError), match=r"overflow|finite"):
        call("attack", "--model", tmp_path / "m.safetensors", "--data", tiny / "tiny.npz")


@pytest.mark.parametrize("size", ["1", "100"])
def test_a_sample_that_overflows_is_named_and_takes_no_other_with_it(tmp_path, size):
    path, data = save_overflowing(tmp_path, np.array([0.5, 5.0, 1.0, 1.5]), bias=2.0)
    named = ("--model", path, "--data", data, *FEW, "--batch-size", size)
    result = call_json("attack", *named, "--out", tmp_path / "out")
    radii = [row["radius"] for row in result["samples"]]
    assert radii.pop(1) is None
    assert radii == pytest.approx([1.5, 1.0, 0.5], rel=0.02)
    lost = result["samples"][1]
    assert (lost["predicted"], lost["correct"], lost["found"]) == (None, False, None)
    assert "overflow at the sample itself; scale its values" in lost["reason"]
    assert [row["reason"] for row in result["samples"] if row["index"] != 1] == [None] * 3
    assert (result["overflowed"], result["without_question"], result["not_found"]) == (1, 0, 0)
    saved = np.load(tmp_path / "out" / "adversarial.npz")
    assert (saved["predicted"][1], saved["adversarial_class"][1], saved["radius"][1]) == (-1, -1, math.inf)
    fixed = call_json("attack", *named, "--radius", "1.2", "--frames", "each")["samples"]
    assert [row["broken"] for row in fixed] == [False, None, True, True]
    text = call("attack", *named)
    assert "sample 1: the network's outputs overflow at the sample itself" in text
    assert "no answer for 1 sample, where numbers overflow" in text
    np.savez(data, x=np.full((1, 2, 1), 5.0), labels=np.zeros(1, dtype=np.int64))
    with pytest.raises(NumericalError, match="sample 0: the network's outputs overflow at the sample itself"):
        call("attack", *named)


def test_a_broken_row_is_named(tiny, tmp_path):
    """Of three rows the second one fails at the samples: a bare 0 did not say which."""
    np.savez(tmp_path / "spec.npz", C=np.zeros((3, CLASSES)), d=np.array([1.0, -1.0, 2.0]))
    own = ("--count", 3, "--spec", tmp_path / "spec.npz")
    for options in ((), ("--radius", "0.1")):
        result = attack(tiny, *own, *options)
        assert [row["row"] for row in result["samples"]] == [1, 1, 1]
    assert call("attack", *on(tiny, *own, *FEW)).count("0 (row 1 broken)") == 3
    np.savez(tmp_path / "spec.npz", C=np.zeros((3, CLASSES)), d=np.ones(3))
    assert [row["row"] for row in attack(tiny, *own)["samples"]] == [None] * 3


def test_certify_agrees_on_every_word_that_both_say(tiny):
    certified = refcert("certify", *on(tiny, "--search", "--tolerance", "0.1"), "--json").json
    attacked = attack(tiny)
    assert attacked["model"] == certified["model"]
    assert attacked["data"] == certified["data"]
    for one, other in zip(attacked["samples"], certified["samples"], strict=True):
        assert all(one[name] == other[name] for name in ("index", "label", "predicted", "correct"))
        assert one["radius"] is None or other["radius"] <= one["radius"]


@contextlib.contextmanager
def small_files():
    """No file may grow beyond a few bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["attack", "score", "metrics"])
def test_a_result_that_cannot_be_written_is_shown(tiny, tmp_path, name):
    out = tmp_path / "out"
    quick = {
        "attack": ("--method", "fgsm"),
        "score": ("--samples", 3, "--batches", 10),
        "metrics": ("--methods", "fgsm", "--relaxation", "parallel", "--tolerance", "0.1", "--resamples", "10"),
    }[name]
    with small_files():
        done = refcert(name, *on(tiny, "--count", 2, *quick, "--out", out, "--json"))
    assert done.code == ExitCode.OUTPUT_FAILED
    assert len(json.loads(done.out)["samples"]) == 2
    assert f"cannot write {out}" in done.err
    assert list(tmp_path.iterdir()) == []


def test_exit_codes_and_places_that_take_no_files(tiny, tmp_path):
    (tmp_path / "file").write_text("mine")
    for name in ("attack", "metrics"):
        done = refcert(name, *on(tiny, "--out", tmp_path / "file" / "x"))
        assert done.code == ExitCode.OUTPUT_FAILED
        assert "a part of the path is a file, choose another place" in done.err
    assert refcert("attack", *on(tiny, "--method", "foo")).code == ExitCode.BAD_INPUT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["attack", "score", "metrics"])
def test_what_becomes_of_the_work_when_it_is_interrupted(name):
    assert "nothing was left in --out" in cli._interrupted([name, "--out", "x"])
    assert "--resume" not in cli._interrupted([name, "--out", "x"])


def test_page_names_every_key(tiny, relu, tmp_path):
    """docs/attacks.md has a row for each key of the object, its records and its arrays."""
    page = (Path(__file__).parents[2] / "docs" / "attacks.md").read_text(encoding="utf-8")
    results = [
        attack(tiny, "--count", 2, *more, "--out", tmp_path / str(k), method="fgsm")
        for k, more in enumerate(
            [(), ("--frames", "each"), ("--target", "all"), ("--radius", "1"), ("--radius-db", "-9")]
        )
    ]
    for more in (("--frames", "each"), ("--target", "all")):
        results.append(attack(tiny, "--count", 2, "--radius", "1", *more, method="fgsm"))
    np.savez(tmp_path / "spec.npz", C=np.ones((1, CLASSES)), d=np.ones(1))
    results.append(attack(tiny, "--count", 2, "--spec", tmp_path / "spec.npz", method="fgsm"))
    results.append(call_json("attack", *relu, "--grid", 5, "--out", tmp_path / "lp"))
    keys = {key for result in results for key in (*result, *result["attack"], *result["samples"][0])}
    keys |= {key for found in tmp_path.glob("*/adversarial.npz") for key in np.load(found)}
    assert keys >= TOP | ROW | LP | {"frame_radii", "target_margins", "grid_radius", "question_margin", "found_on_grid"}
    assert not [key for key in sorted(keys) if f"`{key}`" not in page]

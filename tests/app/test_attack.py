"""`refcert attack` end to end: what it returns breaks the question, by a plain forward pass, at the radius it says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gpu_engine.attacks.registry import ATTACKS
from gpu_engine.errors import EngineError, NumericalError
from gpu_engine.loading import load_model
from refcert.app.errors import InputError
from tests.app.attack_commands import call, call_json, on
from tests.app.commands import CLASSES, TIME, data_values, refcert, write_data, write_model
from tests.app.tiny_runs import Tiny

ROW = {"index", "label", "predicted", "correct", "found", "radius", "adversarial_class", "margin"}
TOP = {
    *("method", "attack", "meaning", "count", "correct", "found", "not_found", "without_question", "mean_radius"),
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
    assert set(result["samples"][0]) == ROW | {"status"}
    assert {row["status"] == "found" for row in result["samples"] if row["found"]} == {True}
    assert result["found"] > 0
    with pytest.raises((EngineError, InputError), match="norms inf and 1"):
        call_json("attack", *given, "--method", "lp", "--norm", "2")


def test_the_table_shows_what_the_json_says(tiny, tmp_path):
    text = call("attack", *on(tiny, *FEW, "--out", tmp_path / "out"))
    result = attack(tiny)
    assert "0 (misclassified)" in text
    assert f"found for {result['found']}, none for {result['not_found']}" in text
    assert "proves nothing" in text
    for row in result["samples"]:
        if row["radius"]:
            assert f"{row['radius']:.5g}" in text


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


def test_certify_agrees_on_every_word_that_both_say(tiny):
    certified = refcert("certify", *on(tiny, "--search", "--tolerance", "0.1"), "--json").json
    attacked = attack(tiny)
    assert attacked["model"] == certified["model"]
    assert attacked["data"] == certified["data"]
    for one, other in zip(attacked["samples"], certified["samples"], strict=True):
        assert all(one[name] == other[name] for name in ("index", "label", "predicted", "correct"))
        assert one["radius"] is None or other["radius"] <= one["radius"]

"""`refcert metrics` end to end: both sides on the same samples, the check between them, the page and the card."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from gpu_engine.errors import SoundnessFault
from gpu_engine.search import radius as radius_search
from refcert.app import cli
from refcert.app.errors import ExitCode, InputError
from refcert.app.metrics import estimates, words
from refcert.app.metrics.figures import band, sandwiches
from refcert.app.metrics.page import render
from tests.app.attack_commands import call, call_json, on
from tests.app.commands import SAMPLES, refcert, write_data, write_model
from tests.app.page_reader import Page

QUICK = ("--tolerance", "0.1", "--relaxation", "parallel", "--resamples", "100")
FEW = ("--methods", "pgd,fgsm", "--steps", "5", "--restarts", "1")
TOP = {
    *("count", "correct", "without_question", "thresholds", "estimators", "failed", "check", "metrics"),
    *("by_estimator", "model", "request", "data", "versions", "machine", "started", "samples"),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_data(folder / "tiny.npz", write_model(folder / "tiny.safetensors"))
    return folder


def metrics(folder, *options):
    few = () if "--methods" in options else FEW
    return call_json("metrics", *on(folder, *few, *QUICK, *options))


@pytest.fixture(scope="module")
def measured(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "out"
    options = ("--thresholds", "0,0.02,0.2,5", "--score", "--score-samples", "4", "--score-batches", "6")
    return out, metrics(tiny, *options, "--out", out)


def test_the_object_and_the_file_are_the_same(measured):
    out, result = measured
    assert set(result) == TOP
    assert result == json.loads((out / "metrics.json").read_text())
    assert sorted(path.name for path in out.iterdir()) == ["metrics.html", "metrics.json", "model_card.md"]


def test_both_sides_are_those_of_the_commands_themselves(tiny, measured):
    _, result = measured
    certified = refcert("certify", *on(tiny, "--search", *QUICK[:4]), "--json").json
    pgd = call_json("attack", *on(tiny, "--steps", "5", "--restarts", "1"))
    for row, one, other in zip(result["samples"], certified["samples"], pgd["samples"], strict=True):
        assert row["certified"] == one["radius"]
        assert row["attacks"]["pgd"] == other["radius"]
        finds = [radius for radius in row["attacks"].values() if radius is not None]
        assert row["attack"] == (min(finds) if finds else None)
        assert row["attack"] is None or row["certified"] < row["attack"] or row["attack"] == 0
    assert result["samples"][0]["attack"] == 0  # misclassified
    assert result["check"] == {"compared": 2 * SAMPLES, "contradictions": 0, "withdrawn": []}


def test_figures_follow_from_the_samples(measured):
    _, result = measured
    brackets = estimates.Brackets(
        np.array([row["certified"] for row in result["samples"]]),
        np.array([math.inf if row["attack"] is None else row["attack"] for row in result["samples"]]),
    )
    intervals = {
        estimates.FREQUENCY: estimates.frequency_interval,
        estimates.SEVERITY: estimates.severity_interval,
        estimates.ACCURACY: estimates.accuracy_interval,
    }
    assert len(result["metrics"]) == 3 * 4 + 2
    for row in result["metrics"]:
        if row["threshold"] is None:
            continue
        low, high = (float(end) for end in intervals[row["metric"]](brackets, row["threshold"]))
        assert row["low"] == pytest.approx(low)
        assert row["high"] == pytest.approx(high)
        assert row["confidence"]["low"] <= row["low"]
        assert row["confidence"]["high"] >= row["high"]


def test_each_figure_names_its_estimators_and_what_it_is(measured):
    _, result = measured
    names = {"certified (parallel)": "lower bound", "pgd": "upper bound", "fgsm": "upper bound"}
    names["CLEVER-RNN"] = "estimate"
    assert {side["name"]: side["is"] for side in result["estimators"]} == names
    for row in result["metrics"]:
        sources = {row["low_from"], row["high_from"]}
        if row["metric"] != estimates.SEVERITY:
            assert sources == {"certified (parallel)", "least of pgd, fgsm"}
    for row in result["by_estimator"]:
        assert row["is"] == estimates.nature(row["metric"], names[row["estimator"]])
    assert len(result["by_estimator"]) == 4 * len(result["metrics"])


def test_a_bound_of_one_estimator_bounds_the_interval(measured):
    _, result = measured
    between = {(row["metric"], row["threshold"]): row for row in result["metrics"]}
    for row in result["by_estimator"]:
        whole = between[row["metric"], row["threshold"]]
        if row["value"] is None:
            continue
        if row["is"] == "lower bound":
            assert row["value"] <= whole["low"] + 1e-12
        if row["is"] == "upper bound" and whole["high"] is not None:
            assert row["value"] >= whole["high"] - 1e-12


def test_a_threshold_of_zero_is_named(measured):
    _, result = measured
    zero = {row["metric"]: row for row in result["metrics"] if row["threshold"] == 0}
    assert (zero["adversarial_frequency"]["low"], zero["adversarial_frequency"]["high"]) == (1 / SAMPLES,) * 2
    assert (zero["adversarial_severity"]["low"], zero["adversarial_severity"]["high"]) == (0.0, 0.0)
    assert all("only misclassified samples" in row["note"] for row in zero.values())


def test_severity_at_zero_is_not_defined_where_all_are_classified(tiny, tmp_path):
    stored = dict(np.load(tiny / "tiny.npz"))
    np.savez(tmp_path / "right.npz", **{name: value[1:4] for name, value in stored.items()})
    given = ("--model", tiny / "tiny.safetensors", "--data", tmp_path / "right.npz")
    result = call_json("metrics", *given, *FEW, *QUICK, "--thresholds", "0")
    (row,) = [row for row in result["metrics"] if row["metric"] == estimates.SEVERITY]
    assert row["low"] is row["high"] is row["confidence"]["low"] is None
    assert row["note"] == "not defined: no sample can be at or below the threshold"


def test_an_attack_that_cannot_be_carried_out_is_named_and_the_others_go_on(tiny):
    result = metrics(tiny, "--methods", "fgsm,lp", "--count", "3")
    (failed,) = result["failed"]
    assert failed["name"] == "lp"
    assert "ReLU" in failed["reason"]
    assert [side["name"] for side in result["estimators"]] == ["certified (parallel)", "fgsm"]
    alone = metrics(tiny, "--methods", "lp", "--count", "3")
    assert [row["attack"] for row in alone["samples"]] == [0.0, None, None]
    (mean,) = [row for row in alone["metrics"] if row["metric"] == estimates.MEAN]
    assert mean["high"] is None
    assert "no upper end: no adversarial input was found for 2 of 3" in mean["note"]
    assert "not carried out" in render(alone)


@pytest.mark.parametrize(
    "options", [("--frames", "each"), ("--target", "all"), ("--norm", "2", "--input-set", "sequence")]
)
def test_questions_by_frame_and_by_class_are_held_against_each_other(tiny, options):
    result = metrics(tiny, "--count", "3", *options)
    assert result["check"]["compared"] > 0
    for row in result["samples"]:
        assert row["attack"] is None or row["certified"] <= row["attack"]


def test_samples_without_a_question_are_left_out_and_counted(tiny):
    target = int(np.load(tiny / "tiny.npz")["labels"][1])
    result = metrics(tiny, "--target", target)
    none = [row for row in result["samples"] if row["certified"] is None]
    assert len(none) == result["without_question"] == SAMPLES - result["count"] > 0
    assert all(row["attack"] is None and row["attacks"] is None for row in none)
    render(result)


def test_thresholds_are_chosen_where_none_are_given(tiny):
    found = metrics(tiny)["thresholds"]
    assert found[0] == 0
    assert found == sorted(set(found))
    assert len(found) > 2


# planted faults


@pytest.mark.parametrize("options", [(), ("--frames", "each")])
def test_a_radius_that_grows_behind_the_engines_back_stops_the_run(tiny, tmp_path, monkeypatch, options):
    honest = radius_search.certified_radius

    def planted(*arguments, **named):
        found = honest(*arguments, **named)
        return type(found)(
            found.proved * 1000,
            torch.full_like(found.failed, math.inf),
            found.margin,
            found.tolerance,
            found.evaluations,
        )

    monkeypatch.setattr(radius_search, "certified_radius", planted)
    out = tmp_path / "out"
    with pytest.raises(SoundnessFault, match="breaks the question") as fault:
        metrics(tiny, "--count", "3", "--clip", -5, 5, *options, "--out", out)
    assert cli._exit_code(fault.value) is ExitCode.FAULT
    (path,) = out.iterdir()
    assert str(path) in str(fault.value)
    evidence = json.loads(path.read_text())
    assert evidence["certified_radius"] > evidence["attack_radius"]
    assert evidence["method"] == "pgd"
    assert evidence["norm"] == "inf"
    assert evidence["decided"]["index"] == evidence["sample"]
    assert len(evidence["model"]["digest"]) == 64
    assert evidence["request"]["tolerance"] == 0.1
    assert (evidence["frame"] is not None) == bool(options)


def test_without_a_folder_the_evidence_is_in_the_current_one(tiny, tmp_path, monkeypatch):
    honest = radius_search.certified_radius

    def planted(*arguments, **named):
        found = honest(*arguments, **named)
        return type(found)(found.proved * 1000, found.failed, found.margin, found.tolerance, found.evaluations)

    monkeypatch.setattr(radius_search, "certified_radius", planted)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SoundnessFault):
        metrics(tiny, "--count", "3")
    assert [path.name for path in tmp_path.iterdir()] == ["soundness_fault_1.json"]


# page, card and table


def test_the_page_loads_nothing_and_says_the_figures(measured):
    out, result = measured
    text = (out / "metrics.html").read_text()
    page = Page(text)
    assert not page.outside
    assert text == render(result)
    for row in result["metrics"]:
        assert words.interval(row) in text
    assert "CLEVER-RNN" in text
    assert "an estimate" in text
    assert 'id="contradictions"' in text


def test_names_of_the_user_cannot_break_out_of_the_page(measured):
    _, result = measured
    hostile = json.loads(json.dumps(result))
    hostile["data"]["name"] = "<script>alert(1)</script>"
    hostile["model"]["source"] = '"><img src=x onerror=alert(1)>'
    text = render(hostile)
    assert "<script" not in text
    assert "<img" not in text


def test_the_card_holds_every_interval_and_is_one_table(measured):
    out, result = measured
    text = (out / "model_card.md").read_text()
    for row in result["metrics"]:
        assert f"| {words.name_of(row)} | {words.interval(row)} |" in text
    assert result["model"]["digest"] in text
    assert all(line.count("|") == 4 for line in text.splitlines() if line.startswith("|"))


def test_the_command_on_the_page_asks_the_same_again(measured, tiny):
    out, result = measured
    line = re.search(r'<pre tabindex="0" id="command">(.*?)</pre>', (out / "metrics.html").read_text(), re.DOTALL)[1]
    asked = shlex.split(re.sub(r"<[^>]*>", "", line))
    assert asked[:2] == ["refcert", "metrics"]
    again = call_json(*asked[1 : asked.index("--out")])
    assert again["metrics"] == result["metrics"]
    assert again["request"] == result["request"]


def test_the_band_is_closed_and_its_curves_fall(measured):
    _, result = measured
    figure = band(result)
    for _, _, path in figure.curves:
        corners = [tuple(map(float, point.split())) for point in path[1:].split("L")]
        assert [x for x, _ in corners] == sorted(x for x, _ in corners)
        assert [y for _, y in corners] == sorted(y for _, y in corners)  # on the page down is larger
    assert figure.area.endswith("Z")
    shown = sandwiches(result)
    assert len(shown.columns) == sum(row["attack"] != 0 for row in result["samples"])
    assert all(column.high <= column.low for column in shown.columns)


def test_a_page_where_everything_is_misclassified_or_nothing_is_found(measured):
    _, result = measured
    changed = json.loads(json.dumps(result))
    for row in changed["samples"]:
        row.update(certified=0.0, attack=0.0, attacks={"pgd": 0.0, "fgsm": 0.0}, score=0.0)
    assert sandwiches(changed) is None
    render(changed)
    for row in changed["samples"]:
        row.update(certified=0.0, attack=None, attacks={"pgd": None, "fgsm": None}, score=0.0)
    assert all(column.open_end for column in sandwiches(changed).columns)
    render(changed)


def test_the_table_names_everything(tiny):
    text = call("metrics", *on(tiny, *FEW, *QUICK, "--thresholds", "0.1", "--count", "3"))
    for word in ("robust accuracy at 0.1", "least of pgd, fgsm", "95 % confidence", "lower bound", "none reaches one"):
        assert word in text


@pytest.mark.parametrize(
    ("value", "up", "found"),
    [
        (0.123456, True, "0.1235"),
        (0.123411, True, "0.1235"),
        (0.12349, False, "0.1234"),
        (0.0, True, "0"),
        (0.3, True, "0.3"),
    ],
)
def test_ends_are_rounded_outward(value, up, found):
    assert words.figure(estimates.MEAN, value, up=up) == found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--methods", "pgd,pgd"), "names 'pgd' more than once"),
        (("--methods", "foo"), "attack 'foo' is not known"),
        (("--methods", ""), "--methods is ''"),
        (("--methods", "fgsm", "--steps", "3"), "--steps is 3, but none of fgsm has such a number"),
        (("--thresholds", "0.1,x"), "--thresholds '0.1,x'"),
        (("--thresholds", "-1"), "the threshold is -1"),
        (("--thresholds", "0.1,0.1"), "names a threshold twice"),
        (("--resamples", "0"), "0 resamples"),
        (("--confidence", "1"), "confidence level is 1"),
        (("--input-set", "box"), "--search does not go with --input-set box"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing_behind(tiny, tmp_path, options, said):
    out = tmp_path / "out"
    few = () if "--methods" in options else FEW
    with pytest.raises(InputError, match=re.escape(said)):
        call("metrics", *on(tiny, *few, *options, "--out", out))
    assert not out.exists()


def test_the_page_in_a_browser(measured, chromium, tmp_path):
    out, _ = measured
    dom = chromium(out / "metrics.html", tmp_path / "profile", "--dump-dom")
    assert "Every sample" in dom

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
from gpu_engine.loading import load_model
from gpu_engine.search import radius as radius_search
from refcert.app import cli
from refcert.app.errors import ExitCode, InputError
from refcert.app.metrics import estimates, words
from refcert.app.metrics.card import model_card
from refcert.app.metrics.figures import band, sandwiches
from refcert.app.metrics.page import render
from tests.app.attack_commands import call, call_json, on
from tests.app.commands import CLASSES, SAMPLES, data_values, refcert, write_data, write_model
from tests.app.page_reader import Page
from tests.app.tiny import save_overflowing

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
    options = ("--thresholds", "0,0.02,0.2,5", "--score", "--score-samples", "4", "--score-batches", "10")
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
    found = [radius for row in result["samples"][1:] for radius in row["attacks"].values()]
    missing = found.count(None)
    # A pair without a find is no comparison, and neither is a misclassified sample.
    assert result["check"] == {
        "compared": len(found) - missing,
        "nothing_found": missing,
        "contradictions": 0,
        "withdrawn": [],
    }
    assert f"{len(found) - missing} comparisons of a certified radius with" in words.checked(result)


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
    done = refcert("metrics", *on(tiny, "--methods", "lp", "--count", "3", *QUICK, "--json"))
    assert done.code == ExitCode.UNDECIDED  # what rests on nothing does not look like success; the rest is shown
    alone = done.json
    assert [row["attack"] for row in alone["samples"]] == [0.0, None, None]
    (mean,) = [row for row in alone["metrics"] if row["metric"] == estimates.MEAN]
    assert mean["high"] is None
    assert "no upper end: no adversarial input was found for 2 of 3" in mean["note"]
    assert "not carried out" in render(alone)
    assert "no attack was carried out" in render(alone)
    card = model_card(alone)
    assert "no attack was carried out" in card
    assert "actual adversarial inputs" not in card
    assert "- mean pointwise robustness: no upper end" in card  # what an interval does not say stays with it
    assert "NO ATTACK WAS CARRIED OUT" in words.checked(alone)
    assert alone["failed"] == [failed]


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


def test_the_page_keeps_names_as_they_are(measured):
    _, result = measured
    changed = json.loads(json.dumps(result))
    changed["estimators"][1]["what"] = "C&W-Ada of POPQORN"
    # No question: its row must not hide the others' columns.
    changed["samples"][0].update(certified=None, attack=None, attacks=None)
    text = render(changed)
    assert "C&amp;W-Ada of POPQORN" in text
    assert text.count('<th scope="col">pgd</th>') == 1


def test_notes_are_below_the_table_and_rows_in_one_order(tiny):
    text = call("metrics", *on(tiny, *FEW, *QUICK, "--thresholds", "0,0.1", "--count", "3"))
    lines = text.splitlines()
    assert any(line.startswith("robust accuracy at 0: ") for line in lines)
    named = [name for line in lines if line.startswith("│") for name in [line.split("│")[1].strip()]]
    first, second = named[: len(named) // 4], named[len(named) // 4 :]
    assert list(dict.fromkeys(first)) == list(dict.fromkeys(second))


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
    row = {"metric": estimates.MEAN, "value": value, "is": estimates.UPPER if up else estimates.LOWER}
    assert words.value(row) == found


def test_own_rows_that_hold_but_cannot_be_certified_are_not_broken(tiny, tmp_path):
    """float32 bounds at radius 0 lie below a margin of 1e-9; that was read as a broken center, of radius 0."""
    model = load_model(tiny / "tiny.safetensors")
    logits = model.logits(torch.from_numpy(data_values()))
    C = np.zeros((SAMPLES, 1, CLASSES))
    C[:, 0, 0], C[:, 0, 1] = 1.0, -1.0
    d = 1e-9 - (logits[:, 0] - logits[:, 1]).numpy()[:, None]
    d[0] -= 1.0  # the first one is broken
    np.savez(tmp_path / "spec.npz", C=C, d=d)
    result = metrics(tiny, "--spec", tmp_path / "spec.npz", "--dtype", "float32", "--thresholds", "0")
    assert [row["correct"] for row in result["samples"]] == [False] + [True] * (SAMPLES - 1)
    assert [row["certified"] for row in result["samples"]] == [0.0] * SAMPLES
    assert result["samples"][0]["attack"] == 0
    assert all(row["attack"] > 0 for row in result["samples"][1:])


def test_a_sample_that_overflows_is_named_before_the_work(tmp_path):
    """The engine's message names a box, not the sample."""
    path, data = save_overflowing(tmp_path, np.array([0.5, 1.0, 5.0]))
    done = refcert("metrics", "--model", path, "--data", data, *FEW, *QUICK, "--batch-size", "2")
    assert done.code == ExitCode.OVERFLOW
    assert "sample 2: the network's outputs overflow at the sample itself; scale its values" in done.message


def test_a_score_that_overflows_is_named_and_the_rest_goes_on(tmp_path):
    """The network overflows within the ball that the score draws from."""
    path, data = save_overflowing(tmp_path, np.array([0.5, 1.0]))
    named = ("--model", path, "--data", data)
    result = call_json("metrics", *named, *FEW, *QUICK, "--score", "--score-samples", "4", "--score-batches", "10")
    (failed,) = result["failed"]
    assert failed["name"] == "CLEVER-RNN"
    assert "overflow" in failed["reason"]
    assert {side["name"] for side in result["estimators"]} == {"certified (parallel)", "pgd", "fgsm"}
    assert all("score" not in row for row in result["samples"])
    # The attacks found nothing either: four searches, and none of them a comparison.
    assert result["check"] == {"compared": 0, "nothing_found": 4, "contradictions": 0, "withdrawn": []}
    assert "4 searches of the attacks found nothing" in words.checked(result)
    assert "none reaches one" not in words.checked(result)


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
        (("--methods", "pgd,"), "--methods is 'pgd,'; give names such as pgd,cw"),
        (("--thresholds", ""), "'' is not a number; give a list such as 0,0.05,0.1"),
        (("--thresholds", "nan"), "the threshold is nan; give a finite number >= 0"),
        (("--score", "--score-batches", "3"), "--score-batches is 3; each batch gives one maximum"),
        (("--score-samples", "9"), "--score-samples is 9, but no score is asked for; add --score"),
        (("--seed", "-1"), "the seed is -1"),
        (("--input-set", "box"), "--input-set box has no radius; give --input-set frames or sequence"),
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


def test_page_names_every_key(measured):
    """docs/metrics.md has a row for each key of the object and of what it holds."""
    _, result = measured
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    keys = {*result, *result["check"], *result["metrics"][0], *result["by_estimator"][0], *result["samples"][0]}
    keys |= {*result["estimators"][0], *result["metrics"][0]["confidence"], "ended", "reason", "withdrawn"}
    keys |= {key for key in result["request"] if key in ("methods", "resamples", "confidence", "score")}
    assert not [key for key in sorted(keys) if f"`{key}`" not in page]

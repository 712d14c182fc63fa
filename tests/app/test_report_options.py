"""The page about runs of every input set and question: what it says is what was asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refcert.app.runs import open_run
from tests.app.commands import refcert
from tests.app.page_reader import Page, page_of
from tests.app.tiny import CLASSES, COUNT, TIME, values
from tests.app.tiny_runs import AT, Tiny

LENGTHS = np.array([3, 1, 2, 3])


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path, "gru")


def page(tiny: Tiny, *options: object) -> Page:
    tiny.run(*options, "--out", tiny.folder / "run")
    return page_of(tiny.folder / "run")


def test_sets_of_the_data(tiny: Tiny) -> None:
    tiny.data(x=values(), lower=values() - 0.01, upper=values() + 0.01)
    said = page(tiny, "--input-set", "box", "--audit")
    assert "when each value may lie anywhere between its own two ends" in said.said
    assert "proved on its whole box" in said.said
    assert "radius" not in said.said.lower()
    assert "norm" not in said.inner["command"]
    assert "proved" in said.ids["planes-tile"]["class"].split()


def test_a_loudness_has_a_radius_for_each_sample(tiny: Tiny) -> None:
    said = page(tiny, "--radius-db", -30)
    rows = open_run(tiny.folder / "run").samples()
    assert [row["values"] for row in said.samples] == [[row["radius"], row["margin"]] for row in rows]
    assert "at -30 dB" in said.said
    assert "a radius r of -30 dB relative to the sample's own peak" in said.said
    assert {row["cells"][3] for row in said.samples} <= {"certified", "not certified"}
    assert "--radius-db -30.0" in said.inner["command"]


@pytest.mark.parametrize("what", [AT, ("--search",)], ids=" ".join)
def test_rows_have_an_answer_whatever_the_label_is(tiny: Tiny, what: tuple[str, ...]) -> None:
    tiny.data(x=values(), labels=((tiny.labels + 1) % CLASSES).numpy())
    np.savez(tiny.folder / "spec.npz", C=np.eye(CLASSES), d=np.array([9.0, 9.0, 0.5]))
    said = page(tiny, *what, "--spec", tiny.folder / "spec.npz")
    assert said.values["correct"] == [0]
    assert [row["cells"][3] for row in said.samples] == [
        "certified" if row["margin"] > 0 else "not certified" for row in open_run(tiny.folder / "run").samples()
    ]
    assert "misclassified" not in said.said
    assert "correct samples" not in said.said
    assert "lower bound" in said.said
    assert "of the least row of C F(x) + d" in said.said
    summary = open_run(tiny.folder / "run").summary
    assert summary is not None
    assert summary["specification"]["digest"] in said.said
    if what == AT:
        assert said.values["certified"] == [summary["certified"]]
    else:
        assert said.values["mean"] == [pytest.approx(summary["mean_radius"])]


def test_the_label_among_the_largest(tiny: Tiny) -> None:
    said = page(tiny, *AT, "--top-k", 2)
    assert "the label's score stays among the 2 largest" in said.said
    assert "Label among the 2 largest scores" in said.said
    assert "Margins of the samples with the label among the 2 largest" in said.said
    assert "Classified correctly" not in said.said


def test_ragged_data_frame_by_frame(tiny: Tiny) -> None:
    tiny.data(x=values(), lengths=LENGTHS)
    said = page(tiny, "--search", "--tolerance", 0.5, "--frames", "each")
    assert f"{COUNT} samples of 1 to 3 frames" in said.said
    assert "one of the up to 3 frames at a time" in said.said
    alts = [attrs["aria-label"] for tag, attrs in said.tags if tag == "svg" and "aria-label" in attrs]
    assert [[f" {t}: " in alt for t in range(TIME)] for alt in alts] == [[t < n for t in range(TIME)] for n in LENGTHS]


def test_sequences_that_end_before_the_frames_that_move(tiny: Tiny) -> None:
    tiny.data(x=values(), lengths=LENGTHS)
    said = page(tiny, *AT, "--frames", "2", "--input-set", "sequence", "--norm", 2)
    assert [row["cells"][3] == "no question" for row in said.samples] == (LENGTHS < 3).tolist()
    assert "2 without a question: their label is the target, or they end before the frames that move" in said.said
    assert "frame 2 may change, by a Euclidean length of at most r" in said.said
    assert "one ball around the whole sequence" in said.said


def test_runs_of_the_first_version_are_still_read(tiny: Tiny) -> None:
    """Their requests know nothing of input sets, and their models of no readout."""
    import json

    from refcert.app.options import DEFAULTS

    page(tiny, *AT)
    path = tiny.folder / "run" / "request.json"
    stored = json.loads(path.read_text())
    stored["request"] = {name: value for name, value in stored["request"].items() if name not in DEFAULTS}
    del stored["model"]["readout"], stored["data"]["lengths"]
    path.write_text(json.dumps(stored))
    said = page_of(tiny.folder / "run")
    assert "every one of the 3 frames may change" in said.said
    stored["request"]["input_set"] = "cube"
    path.write_text(json.dumps(stored))
    refused = refcert("report", tiny.folder / "run")
    assert refused.code == 2
    assert "request.input_set 'cube'; it is not a run of this version" in refused.message

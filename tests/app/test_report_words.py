"""Figures, pictures and words of the report."""

import shlex

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from refcert.app.cli import app
from refcert.app.report import figures, pictures, words
from tests.app.made_runs import request


def test_the_least_radius_has_the_strongest_colour():
    scale = pictures.Scale(0.01, 1.0)
    radii = [0.01, 0.03, 0.1, 0.4, 1.0]
    colors = [scale.color(radius) for radius in radii]
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (bytes.fromhex(c[1:]) for c in colors)]
    assert light == sorted(light)
    assert len(set(colors)) == len(radii)


def test_a_picture_keeps_every_pixel():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 17, (8, 8)) / 16
    drawn = np.zeros((8, 8))
    picture = pictures.draw(
        index=0,
        label="1",
        predicted="1",
        correct=True,
        radii=[0.5] * 8,
        image=image,
        scale=pictures.Scale(0.5, 0.5),
        decimals=2,
    )
    for ink in picture.ink:
        for run in ink.path.split("M")[1:]:
            place, length = run.split("h")[0], run.split("h")[1]
            x, y = map(int, place.split())
            drawn[y, x : x + int(length.removesuffix("v1"))] = float(ink.opacity)
    np.testing.assert_array_equal(drawn, image)


# Figures and words


@pytest.mark.parametrize(
    "values",
    [[0.1], [0.0], [-1.0, 1.0], [1e-7, 3e-7, 2e-7], [5.0, 1e6], [-3.0, -2.0], list(np.linspace(-1, 1, 41))],
    ids=str,
)
def test_a_histogram_counts_every_value_once(values):
    figure = figures.histogram(values, name="n", title="t", x_label="x", noun="samples", split_at_zero=True)
    assert sum(int(number) for _, number in figure.rows) == len(values)
    assert sum(bar.kind == "below" for bar in figure.bars) <= len({v for v in values if v < 0})
    assert bool([bar for bar in figure.bars if bar.kind == "above"]) == any(v >= 0 for v in values)
    for bar in figure.bars:
        assert figure.left <= bar.x <= bar.x + bar.width <= figure.right
        assert figure.top <= bar.y <= bar.y + bar.height <= figure.bottom + 1e-9
        assert bar.height > 0


def test_the_curve_falls_to_the_share_of_each_radius():
    figure = figures.share_curve([0.1, 0.2, 0.2, 0.4], 5, x_label="r", median=0.2)
    assert [row[:2] for row in figure.rows] == [
        ("0", "4 of 5"),
        ("0.1", "4 of 5"),
        ("0.2", "3 of 5"),
        ("0.3", "1 of 5"),
        ("0.4", "1 of 5"),
        ("0.5", "0 of 5"),
    ]
    heights = [float(piece.split("H")[0].split("V")[-1].split()[-1]) for piece in figure.path[1:].split("H")]
    assert heights[:-1] == sorted(heights[:-1])


@pytest.mark.parametrize(
    ("value", "decimals", "low", "high"),
    [
        (0.033438, 4, "0.0334", "0.0335"),
        (-0.00019, 3, "-0.001", "-1.90e-4"),
        (0.00004, 3, "4.00e-5", "0.001"),
        (0.0, 4, "0", "0"),
        (1e-30, 4, "1.00e-30", "1.01e-30"),
        (123456789012.0, 2, "1.23e+11", "1.24e+11"),
        (2.5, 0, "2", "3"),
    ],
)
def test_numbers_are_rounded_to_the_safe_side(value, decimals, low, high):
    assert (words.at_least(value, decimals), words.at_most(value, decimals)) == (low, high)
    assert float(low) <= value <= float(high)


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 3, "0 %"),
        (3, 3, "100 %"),
        (9999, 10000, "99.9 %"),
        (1, 100000, "under 0.1 %"),
        (1, 2, "50 %"),
        (0, 0, "none"),
    ],
)
def test_a_share_is_whole_only_if_it_is(part, whole, said):
    assert words.share(part, whole) == said


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"radius": 0.1, "norm": 2.0, "clip": None, "frames": "0,3", "target": "7", "count": None},
        {"radius": 1e-7, "norm": 1.5, "clip": (-1.5, 2.0), "target": "all"},
        {"input_set": "sequence", "norm": 2.0, "clip_bound": "simple", "criterion": "per-class", "memory": 2 * 10**9},
        {"input_set": "box", "clip": None, "spec": "my rows.npz", "relaxation": "best"},
        {"input_set": "substitutions", "clip": None, "top_k": 2, "readout": "mean"},
        {"radius_db": -60.5, "structure": "embedding fc1 relu lstm:lstm fc2", "frames": "each"},
        {"model": "my model's; rm -rf.safetensors", "data": "a b/$HOME.npz", "frames": "each", "device": "cuda:1"},
    ],
    ids=str,
)
def test_the_command_line_asks_the_same(changes, monkeypatch):
    asked = request(**changes)
    line = words.command_line(asked.to_json(), audit=True, keep_planes=False, out="some run")
    heard = []

    def listen(again, **options):
        heard.append((again, options))
        raise typer.Exit

    monkeypatch.setattr("refcert.app.certify_run.run", listen)
    program, *arguments = shlex.split(line)
    assert program == "refcert"
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    [(again, options)] = heard
    assert again == asked
    assert (options["audit"], options["keep_planes"], str(options["out"])) == (True, False, "some run")


@pytest.mark.parametrize(
    ("changes", "phrases"),
    [
        ({}, ["up to which radius r", "every one of the 8 frames", "each of its values", "within 0 and 1", "decision"]),
        ({"radius": 0.5, "norm": 2.0, "clip": None}, ["At radius r = 0.5", "Euclidean length"]),
        ({"frames": "each", "norm": 1.0}, ["one of the 8 frames at a time", "sum of absolute changes"]),
        ({"frames": "0,2,5", "target": "3"}, ["frames 0, 2 and 5 may each change", "above that of class 3"]),
        ({"frames": "4", "norm": 3.0, "target": "all"}, ["frame 4 may change", "l_3 norm", "each other class"]),
        (
            {"input_set": "sequence", "norm": 2.0, "top_k": 3},
            ["sequence of 8 frames may change as a whole, by a Euclidean length", "among the 3 largest"],
        ),
        (
            {"input_set": "sequence", "frames": "0,2"},
            ["frames 0 and 2 may change together, each of their values", "others stay fixed"],
        ),
        ({"radius_db": -60.0, "clip": None}, ["radius r of -60 dB relative to the sample's own peak", "8 frames"]),
        ({"spec": "rows.npz", "radius": 0.5}, ["all rows C F(x) + d of rows.npz are positive"]),
    ],
    ids=str,
)
def test_the_question_in_words(changes, phrases):
    said = words.question(request(**changes).to_json(), "pixel", 8)
    for phrase in (*phrases, "Unit of r: pixel"):
        assert phrase in said


@pytest.mark.parametrize(
    ("name", "phrase"),
    [("box", "between its own two ends"), ("substitutions", "replaced, independently of the others, by one of the")],
)
def test_sets_of_the_data_have_no_radius(name, phrase):
    asked = request(input_set=name, clip=None).to_json()
    said = words.question(asked, "pixel", 8)
    assert phrase in said
    settings = dict(words.details(asked))
    assert "radius" not in said
    assert {"Norm", "Radius", "Valid range", "Frames that move"}.isdisjoint(settings)


def test_ragged_data_and_answers_per_frame_are_said():
    asked = request().to_json()
    said = words.question(asked, "pixel", 8, ragged=True, per_frame=True)
    assert "every one of the up to 8 frames" in said
    assert "at every frame stays with that frame's label" in said
    assert "at the frame where this is least" in words.margin(asked, per_frame=True)


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({}, "the label's score minus the best other one"),
        ({"target": "3"}, "the label's score minus that of class 3"),
        ({"top_k": 2}, "the label's score minus number 2 of the other scores, the largest being number 1"),
        ({"spec": "rows.npz"}, "the least row of C F(x) + d"),
    ],
)
def test_the_margin_in_words(changes, phrase):
    assert words.margin(request(**changes).to_json()) == phrase

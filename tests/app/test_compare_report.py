"""The page about a comparison: needs nothing, says what the JSON says, opens in a browser."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from refcert.app.report.compare import render
from refcert.app.report.compare_figures import Bars, bar_chart, share_curves
from tests.app.commands import refcert, write_data, write_model
from tests.app.made_runs import HOSTILE_DATA, HOSTILE_MODEL, HOSTILE_UNIT, NOTHING
from tests.app.page_reader import Page

OPTIONS = ("--relaxations", "parallel,lines,constants", "--samples-volume", "10", "--count", "4", "--json")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    write_data(folder / "tiny.npz", write_model(folder / "tiny.safetensors"))
    call = ("compare", "--model", folder / "tiny.safetensors", "--data", folder / "tiny.npz", *OPTIONS)
    return refcert(*call, "--search", "--tolerance", "0.1").json, refcert(*call, "--radius", "0.01").json


def test_the_page_loads_nothing(results):
    for result in results:
        text = render(result)
        page = Page(text)
        for word in ("http:", "https:", "url(", "@import"):
            assert word not in text
        assert page.outside == set()
        assert {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe", "object", "form", "base"} == set()
        assert "default-src 'none'" in text


def test_the_page_is_accessible(results):
    for result in results:
        page = Page(render(result))
        assert ("html", {"lang": "en"}) in page.tags
        assert [tag for tag, _ in page.tags].count("h1") == 1
        drawings = [attrs for tag, attrs in page.tags if tag == "svg" and "aria-hidden" not in attrs]
        assert len(drawings) == 6  # outcome, curves, two kinds of gaps, volume, time
        for attrs in drawings:
            assert attrs["role"] == "img"
            for name in attrs["aria-labelledby"].split():
                assert page.inner[name].strip()
        assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")


def test_the_table_has_every_number(results):
    for result, key in zip(results, ("mean_radius", "certified"), strict=True):
        page = Page(render(result))
        expected = []
        for row in result["relaxations"]:
            second = row["median_radius"] if key == "mean_radius" else row["share"]
            expected += [row[key], second, row["mean_gap"]["overall"], row["volume_ratio"], row["seconds"]]
        assert page.values["results"] == expected


def test_the_page_shows_no_more_than_was_proved(results):
    """Radii are rounded down, also as they are drawn."""
    result = copy.deepcopy(results[0])
    row = result["relaxations"][0]
    row["mean_radius"] = row["median_radius"] = 0.0199999999
    said = Page(render(result)).said
    assert "0.0199" in said
    assert "0.0200" not in said


def test_all_that_share_the_first_place_are_named(results):
    result = copy.deepcopy(results[1])
    for row, certified in zip(result["relaxations"], (3, 1, 3), strict=True):
        row["certified"] = certified
    assert Page(render(result)).inner["winner"] == "parallel, constants"
    for row in result["relaxations"]:
        row["certified"] = 0
    page = Page(render(result))
    assert page.inner["winner"] == "none"
    assert page.inner["largest"] == NOTHING


def test_names_cannot_break_out_of_the_page(results):
    result = copy.deepcopy(results[0])
    result["model"]["source"] = result["request"]["model"] = HOSTILE_MODEL
    result["data"]["name"] = result["request"]["data"] = HOSTILE_DATA
    result["data"]["unit"] = HOSTILE_UNIT
    page = Page(render(result))
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert HOSTILE_MODEL in page.said
    assert HOSTILE_UNIT in page.said


def test_a_page_without_volumes_says_why(results):
    result = copy.deepcopy(results[1])
    for row in result["relaxations"]:
        row["volume_ratio"] = row["volume_ratios"] = None
    result["boxes"]["planes"] |= {"used": 0, "flat": 10}
    page = Page(render(result))
    assert "none of the 10 drawn planes" in page.inner["no-volume"]
    assert "figure-volume" not in page.ids
    (cells,) = (row["cells"] for row in page.rows if len(row["cells"]) == 6 and row["cells"][0].startswith("lines"))
    assert cells[4] == NOTHING


def test_two_pages_are_the_same_bytes(results):
    for result in results:
        assert render(result) == render(json.loads(json.dumps(result)))


# Figures


def test_bars_are_as_long_as_their_values():
    bars = Bars(("a", "b", "c"), (1.0, 4.0, None), str)
    chart = bar_chart(bars, name="x", title="x", x_label="x", header="x")
    first, second, nothing = chart.bars
    assert second.width == pytest.approx(4 * first.width, abs=0.02)
    assert nothing.width == 0
    assert nothing.text == "none"
    assert all(chart.left + bar.width <= chart.right for bar in chart.bars)
    at = {tick.label: tick.at for tick in chart.x_ticks}
    assert at["4"] == pytest.approx(chart.left + second.width, abs=0.02)


@pytest.mark.parametrize("largest", [1.0, 1.0000001, 1.7, 42.0, 999.0, 3e7])
def test_a_logarithmic_axis_starts_at_one(largest):
    bars = Bars(("a", "b"), (1.0, largest), str, ((0.999, 1.0), (1.0, largest)))
    chart = bar_chart(bars, name="x", title="x", x_label="x", header="x", log_from_one=True)
    assert chart.x_ticks[0].label == "1"
    assert chart.x_ticks[0].at == chart.left
    assert chart.bars[0].width == 0
    assert chart.left + chart.bars[1].width <= chart.right + 0.01
    assert len(chart.x_ticks) <= 9


def test_curves_fall_from_the_correct_share_to_nothing():
    chart = share_curves(
        ("a", "b"), ([0.1, 0.35], [0.0]), 4, name="x", title="x", x_label="x", symbol="radius", from_zero=True
    )
    rows = {row[0]: row[1:] for row in chart.rows}
    assert rows["0"] == ("50.0%", "25.0%")
    assert rows["0.3"] == ("25.0%", "0.0%")
    heights = [float(piece.split("H")[0]) for piece in chart.curves[0].path.split("V")[1:]]
    assert heights == sorted(heights)
    assert heights[-1] == chart.bottom


def test_the_page_in_a_browser(results, chromium, tmp_path):
    from PIL import Image

    path, picture = tmp_path / "compare.html", tmp_path / "page.png"
    path.write_text(render(results[0]), encoding="utf-8")
    dom = chromium(path, tmp_path / "profile", "--dump-dom", f"--screenshot={picture}")
    assert len(Page(dom).values["results"]) == 15
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    colors = np.unique(pixels.reshape(-1, 3), axis=0)
    # The first three relaxations' own colours.
    for name in ("2f6fb5", "c0722a", "2c8458"):
        assert (colors == np.frombuffer(bytes.fromhex(name), dtype=np.uint8)).all(1).any(), name

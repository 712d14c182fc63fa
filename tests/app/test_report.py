"""The report: one page that needs nothing, says what the run says, and nothing more."""

import html
import json
import statistics

import numpy as np
import pytest

from refcert.app import runs
from refcert.app.datasets import load_sequences
from refcert.app.errors import InputError, OutputError
from refcert.app.report import write_report
from refcert.audit.plane_audit import audit_planes
from tests.app.made_runs import (
    HOSTILE_DATA,
    HOSTILE_MODEL,
    HOSTILE_UNIT,
    NOTHING,
    said,
    sample,
    table,
)
from tests.app.page_reader import Page, every_run, page_of

# The page needs nothing


def test_the_page_loads_nothing(fixed_run, search_run, refuted_run, tmp_path):
    for number, run in enumerate(every_run(fixed_run, search_run, refuted_run)):
        text = write_report(run, tmp_path / f"{number}.html").read_text(encoding="utf-8")
        page = Page(text)
        assert "http:" not in text
        assert "https:" not in text
        assert "url(" not in text
        assert "@import" not in text
        assert page.outside == set()
        assert {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe", "object", "form", "base"} == set()
        assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
        assert "default-src 'none'" in text


def test_the_page_is_accessible(fixed_run, search_run, tmp_path):
    for run in (fixed_run, search_run):
        page = page_of(run, tmp_path / "page.html")
        assert ("html", {"lang": "en"}) in page.tags
        assert [tag for tag, _ in page.tags].count("h1") == 1
        drawings = [attrs for tag, attrs in page.tags if tag == "svg"]
        assert drawings
        for attrs in drawings:
            assert attrs["role"] == "img"
            named = attrs.get("aria-label") or attrs["aria-labelledby"]
            assert named
            for name in attrs.get("aria-labelledby", "").split():
                assert page.inner[name].strip()
        assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")


def test_two_writes_are_the_same_bytes(fixed_run, search_run, tmp_path):
    for run in (fixed_run, search_run):
        first = write_report(run, tmp_path / "first.html").read_bytes()
        write_report(run, None)
        assert write_report(run, tmp_path / "second.html").read_bytes() == first
        assert (run / "report.html").read_bytes() == first
        assert not list(run.rglob("*.partial"))


def test_names_cannot_break_out_of_the_page(refuted_run):
    text = write_report(refuted_run, None).read_text(encoding="utf-8")
    for hostile in (HOSTILE_MODEL, HOSTILE_DATA, HOSTILE_UNIT, "<i>machine"):
        assert hostile not in text
        assert hostile in Page(text).said
    assert html.escape(HOSTILE_MODEL).replace("&#x27;", "&#39;") in text


# The numbers are the run's


def test_a_fixed_radius_run(fixed_run):
    page, rows = page_of(fixed_run), runs.open_run(fixed_run).samples()
    summary = json.loads((fixed_run / "summary.json").read_text())
    assert page.values["samples"] == [summary["count"]]
    assert page.values["correct"] == [summary["correct"]]
    assert page.values["certified"] == [summary["certified"]]
    assert {name: page.values[name] for name in summary["planes"]} == {k: [n] for k, n in summary["planes"].items()}
    assert summary["planes"]["proved"] == 4 * 1104
    assert "proved" in page.ids["planes-tile"]["class"].split()
    assert [row["values"] for row in page.samples] == [[row["margin"]] for row in rows]
    outcomes = [{True: "certified", False: "not certified"}[row["certified"]] for row in rows]
    assert {*outcomes} == {"certified", "not certified"}
    assert [row["cells"][3] for row in page.samples] == outcomes
    assert [row["cells"][:3] for row in page.samples] == [
        [str(row["index"]), str(row["label"]), str(row["predicted"])] for row in rows
    ]
    assert all(row["cells"][-1] == "all 1,104" for row in page.samples)
    assert "unfinished" not in page.ids
    assert "figure-margins" in page.ids
    assert summary["model"]["description"] in page.said
    for digest in (summary["model"]["digest"], summary["data"]["digest"]):
        assert digest in page.said


def test_planes_are_counted_by_product_and_side(fixed_run):
    page = page_of(fixed_run)
    start = page.said.index("Planes of this run by verdict")
    for product, kind in (
        ("input", "sigmoid_times_tanh"),
        ("forget", "sigmoid_times_identity"),
        ("output", "sigmoid_times_tanh"),
    ):
        # 4 samples, 24 units, 8 frames; the first frame has no state to forget
        number = 4 * 24 * (7 if product == "forget" else 8)
        for side in ("lower", "upper"):
            assert f"{product}, {side} {kind} {number} 0 0" in page.said[start:]
    assert f"{4 * 1104:,} at 128 bits" in page.said


def test_a_search_run(search_run):
    page, rows = page_of(search_run), runs.open_run(search_run).samples()
    radii = [row["radius"] for row in rows if row["correct"]]
    assert page.values["median"] == [statistics.median(radii)]
    assert page.values["mean"] == [statistics.fmean(radii)]
    assert [row["values"] for row in page.samples] == [
        [row["radius"], row["radius_failed"], row["margin"]] for row in rows
    ]
    for shown, row in zip(page.samples, rows, strict=True):
        assert row["radius"] * 0.999 <= float(shown["cells"][4]) <= row["radius"]
        assert row["radius_failed"] <= float(shown["cells"][5]) <= row["radius_failed"] * 1.001
    assert {"figure-radii", "figure-shares"} <= set(page.ids)


def test_a_run_without_audit_is_not_green(search_run):
    page = page_of(search_run)
    assert "not-audited" in page.ids["planes-tile"]["class"].split()
    assert "refcert audit run" in page.said
    assert "Not audited in this run" in page.said


def test_refuted_planes_are_shown(refuted_run):
    page = page_of(refuted_run)
    assert "refuted" in page.ids["planes-tile"]["class"].split()
    assert [page.values[name] for name in ("proved", "refuted", "undecided")] == [[3], [1], [0]]
    verdict = runs.open_run(refuted_run).audit(0).verdicts[1]
    assert "REFUTED plane 1 (sample 0, layer 0, frame 3, unit 1, product output)" in page.said
    assert "sigmoid_times_tanh(v, z) ≤ 0.125 · v + 0.25 · z - 3.0" in page.said
    assert "v in [-1.25, 1.5], z in [-0.75, 2.0]" in page.said
    assert f"v = {verdict.point[0]!r}, z = {verdict.point[1]!r}" in page.said
    assert f"at least {verdict.violation:.3g}" in page.said
    assert [row["cells"][3] for row in page.samples] == ["not supported", "certified", "misclassified"]
    assert page.samples[0]["cells"][-1] == "1 of 2, 1 refuted"
    assert "rest on a plane that is not proved: 1 of 2" in page.said


def test_planes_are_pictured(fixed_run, refuted_run, tmp_path):
    text = write_report(fixed_run, tmp_path / "fixed.html").read_text(encoding="utf-8")
    page = Page(text)
    assert text.count('<figure class="panel">') == 4  # a typical plane and the one with the widest gap
    assert len([link for link in page.links if link.startswith("data:")]) >= 4
    assert len(text) < 400_000
    page = page_of(refuted_run)
    drawn = [
        attrs["aria-label"] for tag, attrs in page.tags if tag == "svg" and "plane of" in attrs.get("aria-label", "")
    ]
    assert any(
        "refuted, wrong by at least" in alt and "violating point at v = -1.25, z = -0.75" in alt for alt in drawn
    )
    assert any("proved" in alt for alt in drawn)


def test_only_the_first_refuted_planes_are_shown(tmp_path):
    run = runs.create(tmp_path / "many", said(count=1, radius=0.1))
    planes = table([-3.0] * 30, [0] * 30)
    run.write_part(0, [sample(0, certified=True)], planes, audit_planes(planes))
    page = page_of(run.path)
    assert page.said.count("REFUTED plane") == 20
    assert "The first 20 of 30" in page.said
    assert page.values["refuted"] == [30]


def test_planes_that_are_partly_audited_are_not_green(tmp_path):
    run = runs.create(tmp_path / "part", said(count=4, radius=0.1, batch_size=2))
    for part in (0, 1):
        planes = table([2.0, 2.0], [2 * part, 2 * part + 1])
        rows = [sample(2 * part + k, certified=True) for k in (0, 1)]
        run.write_part(part, rows, planes, audit_planes(planes) if part == 0 else None)
    page = page_of(run.path)
    assert "not-audited" in page.ids["planes-tile"]["class"].split()
    assert page.values["proved"] == [2]
    assert "behind 2 of the finished samples have no verdicts" in page.said


def test_a_sample_whose_planes_are_gone_is_not_green(tmp_path):
    run = runs.create(tmp_path / "gone", said(count=2, radius=0.1))
    planes = table([2.0], [0])
    run.write_part(0, [sample(k, certified=True) for k in (0, 1)], planes, audit_planes(planes))
    page = page_of(run.path)
    assert "not-audited" in page.ids["planes-tile"]["class"].split()
    assert page.samples[1]["cells"][-1] == NOTHING


def test_verdicts_without_planes(tmp_path):
    run = runs.create(tmp_path / "nothing-kept", said(count=1, radius=0.1))
    planes = table([2.0], [0])
    run.write_part(0, [sample(0, certified=True)], planes, audit_planes(planes), keep_planes=False)
    page = page_of(run.path)
    assert "proved" in page.ids["planes-tile"]["class"].split()
    assert "were not kept" in page.said
    assert "--no-planes" in page.inner["command"]


def test_verdicts_of_other_planes_are_refused(tmp_path):
    run = runs.create(tmp_path / "mixed", said(count=1, radius=0.1))
    planes, others = table([2.0], [0]), table([-3.0], [0])
    run.write_part(0, [sample(0, certified=True)], planes, audit_planes(planes))
    np.savez(run.path / "planes" / "part-00000.npz", **others.columns, **others.origin)
    with pytest.raises(InputError, match="does not have the verdicts of these planes, but of others"):
        write_report(run.path, None)


def test_an_unfinished_run(refuted_run):
    page = page_of(refuted_run)
    assert "3 of 5 samples finished" in page.inner["unfinished"]
    assert page.values["samples"] == [3]


def test_samples_without_a_question(tmp_path):
    run = runs.create(tmp_path / "targeted", said(count=2, target="1"))
    rows = [sample(0, radius=0.5, radius_failed=0.6), sample(1, radius=None, margin=None)]
    run.write_part(0, rows, None, None)
    page = page_of(run.path)
    assert page.samples[1]["cells"][3:] == ["no question", *3 * [NOTHING]]
    assert "1 without a question" in page.said
    assert page.values["median"] == [0.5]


def test_no_radius_at_all(tmp_path):
    run = runs.create(tmp_path / "none", said(count=1))
    run.write_part(0, [sample(0, predicted=5, correct=False, radius=0.0, radius_failed=0.0, margin=-1.0)], None, None)
    page = page_of(run.path)
    assert page.samples[0]["cells"][3:] == ["misclassified", "0", "0", "-1.0000"]
    assert "distribution" not in page.ids
    assert "frames" not in page.ids


def test_a_long_table_is_cut_and_says_so(tmp_path):
    run = runs.create(tmp_path / "long", said(count=230, batch_size=230))
    radii = np.linspace(0.01, 0.4, 230)
    run.write_part(0, [sample(k, radius=r, radius_failed=None) for k, r in enumerate(radii)], None, None)
    page = page_of(run.path)
    assert len(page.samples) == 200
    assert "The first 200 of 230 samples" in page.said
    assert "results/*.parquet" in page.said
    assert page.values["samples"] == [230]


def test_the_nearest_class_skips_the_label(tmp_path):
    run = runs.create(tmp_path / "all", said(count=2, target="all"))
    rows = [
        sample(0, label=1, predicted=1, radius=0.1, radius_failed=0.2, target_radii=[0.1, 0.3, 0.4]),
        sample(1, label=1, predicted=1, radius=0.1, radius_failed=0.2, target_radii=[0.4, 0.1, 0.3]),
    ]
    run.write_part(0, rows, None, None)
    assert [row["cells"][-1] for row in page_of(run.path).samples] == ["0", "2"]


# Pictures of the frames


def test_frames_of_the_run_inside_are_pictured(search_run):
    page = page_of(search_run)
    alts = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg" and "aria-label" in attrs]
    rows = runs.open_run(search_run / "frames").samples()
    assert len(alts) == len(rows) == 2
    for alt, row in zip(alts, rows, strict=True):
        radii = row["frame_radii"]
        assert f"Sample {row['index']}, label {row['label']}" in alt
        assert f"most sensitive: frame {radii.index(min(radii))}." in alt
        for t, radius in enumerate(radii):
            shown = float(alt.split(f" {t}: ")[1].split(",")[0].rstrip("."))
            assert radius * 0.99 <= shown <= radius
    assert "1 row of the image" in page.said
    assert "--out run/frames" in page.inner["frames-command"]


def framed(path, data, shape, digest):
    asked = said(data=data, count=shape[0], frames="each")
    asked["data"] |= {"shape": list(shape), "digest": digest}
    run = runs.create(path, asked)
    radii = [0.1 * (t + 1) for t in range(shape[1])]
    rows = [sample(k, radius=0.1, radius_failed=0.2, frame_radii=radii) for k in range(shape[0])]
    run.write_part(0, rows, None, None)
    return page_of(run.path)


def paths(page):
    return [attrs for tag, attrs in page.tags if tag == "path" and "fill-opacity" in attrs]


def test_pictures_only_of_the_data_that_were_certified(tmp_path):
    digest = load_sequences("digits", input_size=8, count=2).digest
    assert paths(framed(tmp_path / "same", "digits", (2, 8, 8), digest))
    changed = framed(tmp_path / "changed", "digits", (2, 8, 8), "0" * 64)
    assert not paths(changed)
    assert "The data have changed since the run" in changed.said


def test_data_that_are_gone_leave_the_bars(tmp_path, monkeypatch):
    monkeypatch.delenv("REFCERT_DATA", raising=False)
    page = framed(tmp_path / "gone", "mnist", (1, 28, 28), "0" * 64)
    assert not paths(page)
    assert "The images are not available here" in page.said
    assert "REFCERT_DATA" in page.said


def test_other_data_have_bars(tmp_path):
    page = framed(tmp_path / "other", "speech.npz", (1, 5, 3), "0" * 64)
    assert not paths(page)
    assert len([attrs for tag, attrs in page.tags if tag == "rect" and "edge" in attrs.get("class", "")]) == 5
    assert "not available" not in page.said


# Bad input


def test_no_run_no_report(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(InputError, match="not a run folder"):
            write_report(path, None)
    assert not list((tmp_path / "empty").iterdir())


def test_a_run_without_finished_samples(tmp_path):
    run = runs.create(tmp_path / "new", said(count=2))
    with pytest.raises(InputError, match="no finished samples"):
        write_report(run.path, None)
    assert not (run.path / "report.html").exists()


@pytest.mark.parametrize("missing", ["request", "model", "versions", "machine", "audit"])
def test_a_request_that_lacks_something(tmp_path, missing):
    asked = said(count=1)
    del asked[missing]
    run = runs.create(tmp_path / "run", asked)
    run.write_part(0, [sample(0, radius=0.5, radius_failed=0.6)], None, None)
    with pytest.raises(InputError, match=f"{missing}|how many samples"):
        write_report(run.path, None)


def test_damaged_verdicts_are_named(tmp_path):
    run = runs.create(tmp_path / "run", said(count=1))
    run.write_part(0, [sample(0, radius=0.5, radius_failed=0.6)], None, None)
    (run.path / "audit" / "part-00000.parquet").write_bytes(b"damaged")
    with pytest.raises(InputError, match="part 0 cannot be read"):
        write_report(run.path, None)


def test_a_damaged_run_inside_is_named_and_the_rest_is_shown(tmp_path):
    run = runs.create(tmp_path / "run", said(count=1))
    run.write_part(0, [sample(0, radius=0.5, radius_failed=0.6)], None, None)
    (run.path / "frames").mkdir()
    (run.path / "frames" / "request.json").write_text("{")
    page = page_of(run.path)
    assert "cannot be shown" in page.said
    assert page.values["median"] == [0.5]


def test_a_page_that_cannot_be_written(fixed_run, tmp_path):
    with pytest.raises(OutputError):
        write_report(fixed_run, tmp_path / "no" / "such" / "folder.html")
    assert not list(tmp_path.iterdir())


# In a browser

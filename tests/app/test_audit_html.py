"""The page of an audit: it needs nothing, says what the report says, and draws what one wants to see."""

import html
import math
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from refcert.app.audit_report import AuditedTable
from refcert.app.errors import InputError, OutputError
from refcert.app.report.audit_page import audit_page
from refcert.app.report.audit_plots import LOOSEST, check_plot_target, shown_planes, write_plots
from refcert.app.report.audit_view import PICTURED, SHOWN, view_of
from refcert.app.report.plane_choice import gaps_at_centres
from refcert.app.report.plane_svg import picture_plane
from refcert.audit.verdicts import Judgement, Method
from refcert.kernel.claims import Status
from tests.app.made_audits import IDENTITY, TANH, audited, plane, report, table
from tests.app.page_reader import Page

BOX = ((-1.25, 1.5), (-0.75, 2.0))
LINE = {"slopes": (0.125, 0.0)}
GOOD = [plane(TANH, "upper", *BOX), plane(IDENTITY, "lower", *BOX), plane("tanh", "upper", BOX[0], **LINE)]
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;"


@pytest.fixture(scope="module")
def proved():
    return report(audited("a", GOOD, product=["output", "forget", "rnn"], t=[0, 1, 2]))


@pytest.fixture(scope="module")
def refuted():
    """Two tables, names that try to break out of the page, refuted planes of three sizes, ratios of the good ones."""
    bad = [plane(TANH, "upper", *BOX, by=0.1), plane("relu", "lower", (-1, 2), by=1e-6, **LINE)]
    bad.append(plane(IDENTITY, "upper", (1, 1), (2, 2), by=1e-3))
    return report(
        audited("good", GOOD, ratios=[1.5, 3.0, math.nan]),
        audited(HOSTILE, bad, ratios=[math.nan] * 3),
        source=HOSTILE,
        source_kind="directory",
        snippet=f"import numpy as np  # {HOSTILE}",
        request={HOSTILE: HOSTILE},
        versions={"python": HOSTILE},
        machine=HOSTILE,
    )


def exhibits(text):
    return re.findall(r'<li class="exhibit (\w+)">(.*?)</li>', text, re.S)


def plane_numbers(text):
    return [int(number.replace(",", "")) for number in re.findall(r"</b> plane ([\d,]+)", text)]


# The page needs nothing


def test_the_page_loads_nothing(proved, refuted):
    for made in (proved, refuted):
        text = audit_page(made)
        page = Page(text)
        for word in ("http:", "https:", "url(", "@import"):
            assert word not in text
        assert page.outside == set()
        assert {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe", "object", "form", "base"} == set()
        assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
        assert "default-src 'none'" in text


def test_the_page_is_accessible(refuted):
    page = Page(audit_page(refuted))
    assert ("html", {"lang": "en"}) in page.tags
    assert [tag for tag, _ in page.tags].count("h1") == 1
    drawings = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(drawings) > 6
    for attrs in drawings:
        assert attrs["role"] == "img"
        assert attrs.get("aria-label") or all(page.inner[name].strip() for name in attrs["aria-labelledby"].split())
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")


def test_names_cannot_break_out_of_the_page(refuted):
    text = audit_page(refuted)
    assert HOSTILE not in text
    assert html.escape(HOSTILE).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in text
    assert Page(text).said.count("alert('x')") >= 6  # source, table, snippet, setting, version, machine


def test_the_same_report_is_the_same_page(refuted):
    first = audit_page(refuted)
    picture_plane.cache_clear()
    assert audit_page(refuted) == first


# The numbers are the report's


def test_a_proved_audit(proved):
    page = Page(audit_page(proved))
    assert [page.values[name] for name in ("planes-total", "proved", "refuted", "undecided")] == [[3], [3], [0], [0]]
    assert "every plane is proved" in page.said
    assert "refuted-planes" not in page.ids
    for row in ("output, upper sigmoid_times_tanh 1 0 0", "forget, lower sigmoid_times_identity 1 0 0"):
        assert row in page.said
    assert "3 at 128 bits" in page.said


def test_a_refuted_audit(refuted):
    text = audit_page(refuted)
    page = Page(text)
    assert [page.values[name] for name in ("planes-total", "proved", "refuted")] == [[6], [3], [3]]
    assert "planes were refuted" in page.said
    assert plane_numbers(text)[:3] == [3, 5, 4]  # the worst first
    assert [status for status, _ in exhibits(text)][:3] == ["refuted"] * 3
    for example in refuted.examples:
        assert f"v = {example.judgement.point[0]!r}" in page.said
        assert f"at least {example.judgement.violation:.3g}" in page.said
        assert repr(example.claim.offset).lstrip("-") in page.said
    assert page.said.count("import numpy as np") == 3
    assert "figure-violations" in page.ids
    assert "The box is a single point" in page.said
    assert [row["cells"][1:5] for row in page.rows if row["cells"] and row["cells"][0] in ("good", HOSTILE)] == [
        ["3", "0", "0", "0"],
        ["0", "3", "0", "0"],
    ]


def test_tightness(refuted):
    text = audit_page(refuted)
    page = Page(text)
    assert "figure-ratios" in page.ids
    assert "Of 2 planes the ratio is known" in page.said
    assert "3 times the least volume" in page.said
    assert ["median", "2.25"] in [row["cells"] for row in page.rows]
    assert plane_numbers(text)[3:] == [1, 0]  # the loosest first


def test_figures_of_ratios_and_violations_at_any_size():
    known = [plane(TANH, "upper", *BOX)] * 40
    near, far, tail = ([1.0] * 39 + [1.0 + 1e-12], np.logspace(0, 5, 40), [1.5] * 39 + [1e6])
    labels = []
    for ratios in (near, far, tail):
        figure = view_of(report(audited("a", known, ratios=ratios))).ratios
        labels.append(figure.x_label)
        assert sum(int(count) for _, count in figure.rows) == (39 if ratios is tail else 40)
        assert len(figure.bars) <= 17
    assert [("power of ten" in label) for label in labels] == [False, True, False]
    assert "1 plane beyond 1.5 is not drawn" in audit_page(report(audited("a", known, ratios=tail)))
    bad = [plane("tanh", "upper", BOX[0], by=by, **LINE) for by in (2e-3, 3e-3, 2e-9)]
    rows = view_of(report(audited("a", bad))).violations.rows
    assert [count for _, count in rows if count != "0"] == ["1", "2"]
    assert len(rows) <= 8  # whole powers of ten


def test_planes_without_a_verdict_are_not_green():
    page = Page(audit_page(report(audited("a", GOOD, skip=2))))
    assert page.values["proved"] == [1]
    assert page.values["planes-total"] == [3]
    assert "not all were audited" in page.said
    assert "2 of 3 have no verdict" in page.inner["not-audited"]
    assert "every plane is proved" not in page.said
    assert page.values["unjudged"] == [2]
    assert page.values["undecided"] == [0]
    assert [attrs["class"] for _, attrs in page.tags if attrs.get("class", "").startswith("tile ")] == [
        "tile not-audited",
        "tile not-audited",
    ]


@pytest.mark.parametrize("resumable", [True, False])
def test_resume_is_named_only_where_there_is_a_folder(resumable):
    page = Page(audit_page(report(audited("a", GOOD, skip=2)), resumable=resumable))
    assert ("--resume" in page.inner["not-audited"]) == resumable


def test_no_tightness_where_it_was_not_asked_for(proved, refuted):
    page = Page(audit_page(proved))
    links = [attrs["href"].removeprefix("#") for tag, attrs in page.tags if tag == "a" and "href" in attrs]
    assert "proved-planes" in links
    assert "tightness" not in page.ids
    assert set(links) <= set(page.ids)
    page = Page(audit_page(refuted))
    assert "tightness" in page.ids
    assert "proved-planes" not in page.ids


def test_the_head_names_products_only_where_there_are_some(proved, refuted):
    assert "Product, side, nonlinearity" in Page(audit_page(proved)).said
    assert "Product" not in Page(audit_page(refuted)).said
    assert "Side, nonlinearity" in Page(audit_page(refuted)).said


def test_methods_have_the_names_of_the_json(proved):
    found = [Judgement(Status.PROVED, "", 128, method=method) for method in Method]
    made = report(AuditedTable("a", table(GOOD), tuple(found)), request={"cross_check": True})
    page = Page(audit_page(made))
    for method in Method:
        assert f"{method.value} 1 (" in page.said
    assert "3 judged by both methods, no contradiction" in page.inner["cross-check"]
    assert "cross-check" not in Page(audit_page(proved)).ids


def test_which_points_are_simplified():
    bad = [plane("tanh", "upper", BOX[0], by=1e-3 * (k + 1), **LINE) for k in range(3)]
    made = report(audited("a", bad))
    for kept, words in ((3, "Every point is"), (2, "Each of the first 2 points is"), (1, "The first point is")):
        said = Page(audit_page(replace(made, examples=made.examples[-kept:]))).said
        assert f"{words} the simplest that a search found" in said
        assert ("simplifies more" in said) == (kept < 3)
    assert "looks for simpler points" in Page(audit_page(replace(made, examples=()))).said


def test_an_unfinished_run_is_not_green():
    page = Page(audit_page(report(audited("a", GOOD[:1]), parts_missing=2)))
    assert "2 of its parts" in page.inner["unfinished"]
    assert "every plane is proved" not in page.said


def test_many_refuted_planes_make_no_large_page():
    bad = [plane("tanh", "upper", (-1.0, 1.0 + k / 64), by=1e-3 * (k + 1), **LINE) for k in range(SHOWN + 20)]
    text = audit_page(report(audited("a", bad)))
    assert len(plane_numbers(text)) == SHOWN
    assert plane_numbers(text)[0] == len(bad) - 1  # the worst
    assert f"The worst {SHOWN} of {len(bad)}" in Page(text).said
    assert text.count('<figure class="panel">') == 2 * PICTURED
    assert len(text) < 600_000


# Which planes are shown


def test_the_widest_and_a_typical_plane(proved):
    shown = list(shown_planes(proved, SHOWN))
    assert [found.why for found in shown] == ["widest", "typical"]
    assert shown[0].number == int(np.argmax(gaps_at_centres(proved.tables[0].table)))


def test_gaps_at_the_centres():
    claims = [*GOOD, plane("relu", "upper", (-1, 3), **LINE), plane("sigmoid", "lower", (-1, 3), **LINE)]
    claims.append(plane(TANH, "upper", (1, 1), (0, 1)))

    def gap(claim):
        v, z = (claim.lower_v + claim.upper_v) / 2, (claim.lower_z + claim.upper_z) / 2
        f = {
            TANH: math.tanh(z) / (1 + math.exp(-v)),
            IDENTITY: z / (1 + math.exp(-v)),
            "sigmoid": 1 / (1 + math.exp(-v)),
            "tanh": math.tanh(v),
            "relu": max(v, 0),
        }[claim.kind]
        return abs(claim.slope_v * v + claim.slope_z * z + claim.offset - f)

    found = gaps_at_centres(table(claims))
    assert found[:-1] == pytest.approx([gap(claim) for claim in claims[:-1]])
    assert math.isnan(found[-1])  # no area


def test_the_loosest_planes_come_with_the_optimum():
    claims = [plane(TANH, "upper", *BOX, slopes=(0.1 * k, 0.2)) for k in range(5)]
    shown = list(shown_planes(report(audited("a", claims, ratios=[1.1, 2.0, 1.5, 1.2, 4.0])), SHOWN))
    assert [found.why for found in shown] == ["loosest"] * LOOSEST + ["typical"]
    assert [found.number for found in shown] == [4, 1, 2, 2]
    assert all(found.optimum is not None for found in shown[:LOOSEST])


# Pictures as files


def test_pictures_as_files(refuted, tmp_path):
    written = write_plots(refuted, tmp_path / "new" / "plots", 3)
    assert [path.name for path in written] == [
        "plane-0000003-refuted.png",
        "plane-0000004-refuted.png",  # number 5 is over a point
        "plane-0000001-loosest.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    assert write_plots(refuted, tmp_path / "one.svg", 9) == [tmp_path / "one.svg"]
    with pytest.raises(InputError, match="at least 1"):
        write_plots(refuted, tmp_path / "none", 0)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["x.gif", "x.PNGX", "new/x.jpeg"])
def test_a_name_that_is_no_picture_is_refused(refuted, tmp_path, name):
    for use in (check_plot_target, lambda path: write_plots(refuted, path, 1)):
        with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf"):
            use(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_where_pictures_can_be_written(tmp_path):
    (tmp_path / "made.v2").mkdir()
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    for name in ("x.png", "x.SVG", "taken.pdf", "new", "new/deep", "run-0.5", "made.v2"):
        check_plot_target(tmp_path / name)
    wrong = {
        "new/x.png": "there is no directory",
        "folder.png": "is a directory; name a file",
        "taken": "is no directory",
        "taken/new": "is no directory",
        "taken/x.svg": "there is no directory",
        "lost/new": "is no directory",
    }
    for name, words in wrong.items():
        with pytest.raises(OutputError, match=words):
            check_plot_target(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_closed_directory_is_named_before_the_audit(tmp_path):
    tmp_path.chmod(0o500)
    for name in ("x.png", "new/deep"):
        with pytest.raises(OutputError, match="no permission"):
            check_plot_target(tmp_path / name)


# In a browser


def test_the_page_in_a_browser(refuted, chromium, tmp_path):
    from PIL import Image

    path = tmp_path / "audit.html"
    path.write_text(audit_page(refuted), encoding="utf-8")
    picture = tmp_path / "page.png"
    dom = chromium(path, tmp_path / "profile", "--dump-dom", f"--screenshot={picture}")
    assert len(exhibits(dom)) == 5
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    colors = {"the surface": "6b9fd2", "the violated part": "c01a35", "the refuted tile": "fdeaec"}
    for name, color in colors.items():
        near = np.abs(pixels.astype(int) - np.frombuffer(bytes.fromhex(color), dtype=np.uint8)).max(-1) <= 24
        assert near.sum() > 300, name

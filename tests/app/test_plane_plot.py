"""Pictures of planes: they show what the numbers say, at any size, and the same ones twice."""

import math
import re
from fractions import Fraction
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from refcert.app.errors import InputError, OutputError
from refcert.app.report import plane_values as values
from refcert.app.report.plane_panels import FAILING, TOUCHING
from refcert.app.report.plane_plot import panel_figure, plane_figure, write_plane_plot
from refcert.app.report.plane_scene import scene_of
from refcert.app.report.plane_svg import picture_plane
from refcert.app.report.plane_words import amount
from refcert.app.report.rulers import power_of_ten, ruler
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import KINDS, SIDES, PlaneClaim, Status
from refcert.reference.exact_planes import Plane
from tests.app.made_audits import IDENTITY, TANH, judged, plane

BOX = ((-1.25, 1.5), (-0.75, 2.0))
POINT_BOX = PlaneClaim(TANH, "upper", 1.0, 1.0, 0.5, 0.5, 0.0, 0.0, 1.0)


def marks(axes, name):
    return [line for line in axes.lines if line.get_gid() == name]


def panels(figure):
    """The panels' axes by what they show, without the scales beside the maps."""
    surface, *rest = [axes for axes in figure.axes if axes.get_xlabel()]
    return dict(zip(("surface", "gap", "zoom"), (surface, *rest), strict=False))


def exact_gap(claim, v, z):
    """plane minus function of an upper plane, the negative of it for a lower one, with 60 digits of mpmath."""
    with mp.workdps(60):
        v, z = (mpf(x.numerator) / x.denominator for x in (v, z))
        s = 1 / (1 + mp.exp(-v))
        f = {
            "sigmoid_times_tanh": lambda: s * mp.tanh(z),
            "sigmoid_times_identity": lambda: s * z,
            "sigmoid": lambda: s,
            "tanh": lambda: mp.tanh(v),
            "relu": lambda: max(v, mpf(0)),
        }[claim.kind]()
        two = claim.kind.startswith("sigmoid_times_")
        height = mpf(claim.slope_v) * v + (mpf(claim.slope_z) * z if two else 0) + mpf(claim.offset)
        return height - f if claim.side == "upper" else f - height


# The numbers behind a picture


@given(
    kind=st.sampled_from(KINDS),
    side=st.sampled_from(SIDES),
    ends=st.lists(st.floats(-30, 30), min_size=4, max_size=4),
    width=st.sampled_from([1e-12, 1e-6, 1.0]),
    by=st.sampled_from([0.0, 1e-12, 0.1]),
)
def test_gaps_are_right_at_any_size(kind, side, ends, width, by):
    v, z = (sorted((x, x + width * (y - x))) for x, y in (ends[:2], ends[2:]))
    claim = plane(kind, side, v, z, by=by)
    grid = values.whole_box(claim, 4)
    exact = [[exact_gap(claim, x, y) for y in grid.z] for x in grid.v]
    largest = max(abs(gap) for row in exact for gap in row)
    for row, found in zip(exact, grid.gap, strict=True):
        for gap, drawn in zip(row, found, strict=True):
            assert abs(drawn * mpf(10) ** grid.power - gap) <= largest / 500
            assert drawn == 0 or (drawn > 0) == (gap > 0)  # never the wrong sign


def test_a_relu_that_touches_everywhere_has_no_gap():
    grid = values.whole_box(PlaneClaim("relu", "upper", 1.0, 2.0, 0.0, 0.0, 1.0, 0.0, 0.0), 8)
    assert not grid.gap.any()


def test_saturated_boxes_have_nodes_where_the_function_bends():
    grid = values.whole_box(plane(TANH, "upper", (-1000, 1000), (-1000, 1000)), 8)
    assert sum(abs(v) <= 8 for v in grid.v) > 30
    assert grid.v[0] == -1000
    assert grid.v[-1] == 1000


def test_contacts_are_where_the_plane_touches():
    claim = plane(IDENTITY, "upper", *BOX, slopes=(0.3, 0.4))
    grid = values.whole_box(claim, 16)
    found = values.contacts(claim, grid)
    assert found
    for point in found:
        assert abs(exact_gap(claim, *point)) < 1e-12
        assert all(ends[0] <= x <= ends[-1] for x, ends in zip(point, (grid.v, grid.z), strict=True))
    assert values.contacts(plane(IDENTITY, "upper", *BOX, by=-0.5), grid) == ()


@pytest.mark.parametrize("by", [0.1, 1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("side", SIDES)
def test_the_violated_part_can_be_seen_at_any_size(side, by):
    claim = plane(TANH, side, *BOX, by=by)
    scene = scene_of(claim, judged(claim))
    part = scene.grid if scene.zoom is None else scene.zoom.grid
    assert part.violated >= 0.01
    assert all(ends[0] <= x <= ends[-1] for x, ends in zip(scene.failing, (part.v, part.z), strict=True))
    assert (scene.zoom is None) == (by > 0.01)


def test_a_point_between_the_floats_is_drawn_where_it_is():
    judgement = Judgement(Status.REFUTED, "", 128, (0.5, 0.25), 1e-9, rest=((2.0**-60,), (-(2.0**-70), 2.0**-90)))
    exact = (Fraction(1, 2) + Fraction(1, 2**60), Fraction(1, 4) - Fraction(1, 2**70) + Fraction(1, 2**90))
    assert values.exact_point(judgement) == exact


# Axes


def test_rulers():
    plain = ruler("v", Fraction(-3), Fraction(2), corner=True)
    assert (plain.label, plain.note, plain.at(Fraction(1, 2))) == ("v", "", 0.5)
    low = Fraction(0.3)
    thin = ruler("v", low, low + Fraction(1, 10**9), corner=True)
    assert (thin.label, thin.note) == ("Δv in 10⁻⁹", "Δv = v \N{MINUS SIGN} 0.3")
    assert (thin.at(low), thin.at(low + Fraction(1, 10**9))) == (0.0, 1.0)
    huge = ruler("z", Fraction(-(10**8)), Fraction(10**8), corner=True)
    assert (huge.label, huge.at(10**8)) == ("z in 10⁸", 1.0)
    value = ruler("value", Fraction(-0.364856562), Fraction(-0.364856561), corner=False)
    assert value.note == "Δvalue = value + 0.364856562"


@given(value=st.floats(0.01, 9.99), power=st.integers(-340, 300))
def test_amounts_say_their_size(value, power):
    text = amount(-value, power)
    digits, _, exponent = text.replace("\N{MINUS SIGN}", "-").partition("\N{MULTIPLICATION SIGN}10")
    raised = exponent.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    if digits.startswith("-10") and raised == "" and set(digits[3:]) & set("⁻⁰¹²³⁴⁵⁶⁷⁸⁹"):
        digits, raised = "-1", digits[3:].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    said = Fraction(digits) * Fraction(10) ** int(raised or 0)
    assert said == pytest.approx(-Fraction(value) * Fraction(10) ** power, rel=6e-3)


def test_powers_of_ten():
    assert (power_of_ten(-12), power_of_ten(3)) == ("10⁻¹²", "10³")
    assert [amount(x, 3) for x in (2.0, 20.0)] == ["2000", "2\N{MULTIPLICATION SIGN}10⁴"]  # no 2e+04


# The picture


def test_marks_lie_at_their_coordinates():
    claim = plane(TANH, "upper", *BOX, by=0.1)
    judgement = judged(claim)
    shown = panels(plane_figure(claim, judgement, touching=[(1.0, 1.5)]))
    assert list(shown) == ["surface", "gap"]
    v, z = judgement.point
    f = 1 / (1 + math.exp(-v)) * math.tanh(z)
    (mark,) = marks(shown["surface"], FAILING)
    assert np.ravel(mark.get_data_3d()) == pytest.approx([v, z, f])
    (mark,) = marks(shown["gap"], FAILING)
    assert np.ravel(mark.get_data()) == pytest.approx([v, z])
    (mark,) = marks(shown["gap"], TOUCHING)
    assert np.ravel(mark.get_data()) == pytest.approx([1.0, 1.5])


def test_a_tiny_violation_is_magnified():
    claim = plane(IDENTITY, "lower", *BOX, by=1e-12)
    zoom = panels(plane_figure(claim, judged(claim)))["zoom"]
    (mark,) = marks(zoom, FAILING)
    assert np.ravel(mark.get_data()) == pytest.approx([0.0, 0.0])  # counted from the point
    assert abs(np.diff(zoom.get_xlim())) * 10.0 ** _power_in(zoom.get_xlabel()) < 1e-4


def _power_in(label):
    raised = label.partition(" in 10")[2].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return int(raised or 0)


@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "relu"])
def test_lines_are_curves(kind):
    claim = plane(kind, "upper", (-1.0, 2.0), slopes=(0.5, 0.0), by=0.05)
    judgement = judged(claim)
    shown = panels(plane_figure(claim, judgement))
    curve = next(line for line in shown["surface"].lines if len(line.get_xdata()) > 100)
    x = np.asarray(curve.get_xdata(), dtype=float)
    function = {"sigmoid": lambda: 1 / (1 + np.exp(-x)), "tanh": lambda: np.tanh(x), "relu": lambda: np.maximum(x, 0)}
    assert curve.get_ydata() == pytest.approx(function[kind]())
    (mark,) = marks(shown["gap"], FAILING)
    assert mark.get_xdata() == [judgement.point[0]]


def test_a_box_without_width_in_z_is_a_curve():
    scene = scene_of(plane(IDENTITY, "upper", (-1.0, 2.0), (0.5, 0.5)))
    assert scene.axes == ("v",)
    assert "z = 0.5" in scene.notes
    assert panels(plane_figure(scene.claim))["gap"].get_ylabel() == "gap"


def test_a_thin_box_is_counted_from_its_corner():
    claim = plane(TANH, "upper", (0.3, 0.3 + 1e-9), (-0.75, -0.75 + 1e-9), slopes=(-0.155, 0.343))
    figure = plane_figure(claim)
    gap = panels(figure)["gap"]
    assert (gap.get_xlabel(), gap.get_ylabel()) == ("Δv in 10⁻⁹", "Δz in 10⁻⁹")
    assert gap.get_xlim() == pytest.approx((0.0, 1.0), abs=1e-6)
    assert any("Δv = v \N{MINUS SIGN} 0.3" in text.get_text() for text in figure.texts)


def test_tick_labels_do_not_overlap():
    for z in ((-1000.0, 1000.0), (0.3, 0.3 + 1e-9)):
        figure = plane_figure(plane(TANH, "upper", (-1.25, 1.5), z))
        figure.canvas.draw()
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]
                assert not any(one.overlaps(two) for one, two in pairwise(boxes))


LONG_LABELS = [
    plane("tanh", "upper", (1e-8, 1.5e-8), slopes=(1.0, 0.0), by=5e-17),
    plane("sigmoid", "lower", (-2, 3), slopes=(0.1, 0.0), by=1.5e-14),
    plane("sigmoid", "upper", (-1e-3, 1e-3), slopes=(0.25, 0.0)),
    plane(TANH, "lower", (-8, -7.5), (-0.001, 0.0005)),
    plane(IDENTITY, "upper", (-1000, 1000), (-1e4, 2e4)),
]


@pytest.mark.parametrize("claim", LONG_LABELS, ids=lambda claim: claim.kind)
def test_long_labels_have_room(claim):
    """Every label of every flat panel lies inside its panel, in the files and in the page."""
    scene = scene_of(claim, judged(claim))
    for figure in (plane_figure(claim, judged(claim)), *(panel_figure(scene, panel) for panel in scene.panels)):
        figure.canvas.draw()
        width, height = figure.bbox.size
        for axes in (axes for axes in figure.axes if axes.name == "rectilinear"):
            for axis in (axes.xaxis, axes.yaxis):
                if (box := axis.get_tightbbox()) is not None:
                    room = min(box.x0, box.y0, width - box.x1, height - box.y1)
                    assert room * 72 / figure.dpi > 4


def test_the_optimum_is_an_outline():
    claim = plane(TANH, "upper", *BOX)
    flat = Plane(0.0, 0.0, 0.9)
    with_best, without = (panels(plane_figure(claim, optimum=best))["surface"] for best in (flat, None))
    assert len(with_best.lines) == len(without.lines) + 1
    assert any(np.allclose(line.get_data_3d()[2], 0.9) for line in with_best.lines)


def test_a_point_box_has_no_picture(tmp_path):
    assert plane_figure(POINT_BOX) is None
    assert not write_plane_plot(tmp_path / "plane.png", POINT_BOX)
    assert list(tmp_path.iterdir()) == []
    picture = picture_plane(POINT_BOX, name="p")
    assert picture.panels == ()
    assert "single point" in picture.words


# Files


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_same_plane_is_the_same_bytes(tmp_path, suffix, start):
    claim = plane(TANH, "upper", *BOX) if suffix == ".png" else plane("tanh", "upper", BOX[0])
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "other", "axes.facecolor": "red"}):
        assert write_plane_plot(first, claim, judged(claim))
        assert matplotlib.rcParams["font.size"] == 30  # the user's own settings come back
    assert write_plane_plot(second, claim, judged(claim))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(start)


def test_files_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf"):
        write_plane_plot(tmp_path / "plane.gif", POINT_BOX)
    with pytest.raises(OutputError):
        write_plane_plot(tmp_path / "no" / "plane.png", plane("relu", "upper", (-1, 2), slopes=(0.5, 0.0)))
    assert list(tmp_path.iterdir()) == []


# Inside a page


def test_the_svg_of_a_page():
    claim = plane(TANH, "upper", *BOX, by=1e-6)
    drawn = picture_plane(claim, judged(claim), name="one")
    assert [panel.heading.split()[0].strip(":") for panel in drawn.panels] == ["Surface", "Gap", "Gap"]
    for panel in drawn.panels:
        assert panel.svg.startswith("<svg")
        assert 'role="img"' in panel.svg
        assert "refuted" in re.search(r'aria-label="([^"]*)"', panel.svg)[1]
        assert "var(--ink)" in panel.svg
        assert "font-family" not in panel.svg
        assert "url(" not in panel.svg
        assert all(name.startswith("one-") for name in re.findall(r' id="([^"]*)"', panel.svg))
        for link in re.findall(r'href="([^"]*)"', panel.svg):
            assert link.startswith(("#one-", "data:image/png;base64,"))
        assert len(panel.svg) < 150_000
    assert sum("<image" in panel.svg for panel in drawn.panels) == 3


def test_the_svg_keeps_the_digits_of_its_text():
    claim = plane(TANH, "upper", (-0.05, 0.05), (0.01, 0.09))
    text = picture_plane(claim, name="digits").panels[1].svg
    assert "0.025" in re.findall(r">(0\.\d+)</text>", text)

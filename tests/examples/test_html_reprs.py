"""What notebooks show of results: well-formed, escaped, all samples counted and the first ones listed."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
import torch

from gpu_engine.attacks.found import Smallest, Worst
from gpu_engine.html_table import SHOWN, html_table
from gpu_engine.search.certify import Certified
from gpu_engine.search.radius import Radii
from refcert.app.baseline.changes import Change, Comparison, Kind
from refcert.audit import verdicts_html
from refcert.audit.plane_audit import AuditResult
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import Status

EVIL = '<script>alert("&")</script>'


def parsed(result):
    """The page's tree; every tag is closed, or this raises."""
    return ElementTree.fromstring(result._repr_html_())


def summary(tree):
    return tree.find("p").text


def rows(tree):
    return [[cell.text or "" for cell in row] for row in tree.iter("tr")]


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_certified():
    tree = parsed(Certified(torch.zeros(3, 2), numbers(0.5, -0.125, 0.0)))
    assert summary(tree) == "1 of 3 samples proved"
    assert rows(tree) == [
        ["sample", "proved", "margin"],
        ["0", "yes", "0.5"],
        ["1", "no", "-0.125"],
        ["2", "no", "0"],
    ]


def test_radii():
    tree = parsed(Radii(numbers(0.25, 1.0), numbers(0.26, math.inf), numbers(1e-7, 3.0), 1e-3, 12))
    assert "2 samples" in summary(tree) and "0.001" in summary(tree)
    assert rows(tree)[1:] == [["0", "0.25", "0.26", "1e-07"], ["1", "1", "inf", "3"]]


def test_attacks():
    x = torch.zeros(2, 1, 1)
    worst, smallest = Worst(x, numbers(-1.0, 2.0)), Smallest(x, numbers(-1.0, 2.0), numbers(0.5, math.inf))
    assert summary(parsed(worst)) == "1 of 2 samples broken in their sets"
    assert rows(parsed(worst))[1:] == [["0", "yes", "-1"], ["1", "no", "2"]]
    assert summary(parsed(smallest)) == "an adversarial input found for 1 of 2 samples"
    assert rows(parsed(smallest))[1:] == [["0", "yes", "0.5", "-1"], ["1", "no", "inf", "2"]]


def test_a_tensor_with_a_gradient_is_shown():
    margin = numbers(0.5).requires_grad_(True)
    assert rows(parsed(Certified(torch.zeros(1, 1), margin)))[1] == ["0", "yes", "0.5"]


@pytest.mark.parametrize("count", [0, 1, SHOWN, SHOWN + 1, 1000])
def test_long_results_are_cut_and_say_so(count):
    tree = parsed(Certified(torch.zeros(count, 1), torch.ones(count)))
    assert summary(tree) == f"{count} of {count} samples proved"
    assert len(rows(tree)) == 1 + min(count, SHOWN)
    assert [p.text for p in tree.findall("p")[1:]] == ([f"and {count - SHOWN} more"] if count > SHOWN else [])


def test_an_audit_shows_its_counts_and_what_is_not_proved():
    undecided = Judgement(Status.UNDECIDED, EVIL, 64)
    refuted = Judgement(Status.REFUTED, "", 64, (0.5, 0.0), 1e-6)
    proved = Judgement(Status.PROVED, "", 64)
    result = AuditResult((proved, undecided, refuted))
    assert EVIL not in result._repr_html_()
    assert summary(parsed(result)) == "3 planes: 1 proved, 1 refuted, 1 undecided"
    assert rows(parsed(result))[1:] == [
        ["2", "REFUTED", "v = 0.5, z = 0.0", "1e-06"],
        ["1", "UNDECIDED", EVIL, ""],
    ]
    assert rows(parsed(AuditResult((proved,)))) == []
    many = AuditResult((undecided,) * (verdicts_html.SHOWN + 3))
    assert len(rows(parsed(many))) == 1 + verdicts_html.SHOWN
    assert "and 3 more that are not proved" in many._repr_html_()


def test_a_comparison_shows_failures_first_and_escapes():
    changes = (
        Change(Kind.LOST, EVIL, 0),
        Change(Kind.RADIUS_RISE, "sample 1 rose", 1),
        Change(Kind.MODEL, "the model is another one"),
    )
    comparison = Comparison(changes, compared=2, least="0.5")
    assert EVIL not in comparison._repr_html_()
    tree = parsed(comparison)
    assert summary(tree) == "2 samples compared, least certified radius 0.5: 1 failures"
    assert [row[0] for row in rows(tree)[1:]] == ["FAILED", "better", "note"]
    assert rows(tree)[1] == ["FAILED", "no longer certified", EVIL]
    assert "nothing is worse" in summary(parsed(Comparison((), compared=2)))


def test_names_of_columns_and_the_summary_are_escaped():
    page = html_table(EVIL, (EVIL,), [(EVIL,)])
    assert "<script>" not in page
    tree = ElementTree.fromstring(page)
    assert summary(tree) == rows(tree)[0][0] == rows(tree)[1][0] == EVIL

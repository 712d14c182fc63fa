"""`refcert certify --suppose`: recorded, resumed, searched, refused where it makes no sense, certificates VALID."""

from __future__ import annotations

import pytest

from gpu_engine.search.supposing import THRESHOLD
from refcert.app.report.words import command_line
from tests.app.commands import refcert
from tests.app.tiny_runs import Tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return Tiny(tmp_path_factory.mktemp("tiny"))


def radius_between(tiny):
    """A radius at which a proof by contradiction proves a sample that bounds do not."""
    for k in range(1, 200):
        asked = ("--radius", 0.02 * k, "--relaxation", "octagon")
        plain, after = tiny.margins(*asked), tiny.margins(*asked, "--suppose", 5)
        if any(before <= 0 < margin for before, margin in zip(plain, after, strict=True)):
            return 0.02 * k, plain, after
    raise AssertionError("contradiction never proves more")


def test_a_run_with_proofs_by_contradiction(tiny, tmp_path):
    radius, plain, after = radius_between(tiny)
    assert {margin for before, margin in zip(plain, after, strict=True) if before <= 0 < margin} == {THRESHOLD}
    out = tmp_path / "run"
    asked = ("--radius", radius, "--relaxation", "octagon", "--suppose", 5)
    summary = tiny.run(*asked, "--audit", "--certificates", "--out", out)
    assert summary["request"]["suppose"] == 5
    assert [row["margin"] for row in summary["samples"]] == after
    assert summary["planes"]["refuted"] == summary["planes"]["undecided"] == 0 < summary["planes"]["proved"]
    assert summary["certificates"] == sum(margin > 0 for margin in after)
    checked = refcert("check", out / "certificates", "--workers", 1, "--json").json
    assert {row["verdict"] for row in checked["files"]} == {"VALID"}
    assert "--suppose 5" in command_line(summary["request"], audit=False, keep_planes=True, out="again")
    resumed = tiny.run(*asked, "--audit", "--certificates", "--out", out, "--resume")
    assert [row["margin"] for row in resumed["samples"]] == after


def test_a_search_goes_on_from_what_bounds_prove(tiny):
    asked = ("--search", "--tolerance", 0.05, "--relaxation", "octagon")
    plain, after = (tiny.run(*asked, *more)["samples"] for more in ((), ("--suppose", 5)))
    radii = [(one["radius"], two["radius"]) for one, two in zip(plain, after, strict=True)]
    assert all(two >= one for one, two in radii)
    assert any(two > one for one, two in radii)

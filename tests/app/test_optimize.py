"""`refcert certify --optimize`: recorded, resumed, audited, and with certificates that the kernel accepts."""

from __future__ import annotations

import pytest

from refcert.app.report.words import command_line
from tests.app.commands import refcert
from tests.app.tiny_runs import Tiny

# Matrix products of other batches round in another order.
ROUNDING = 1e-9


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return Tiny(tmp_path_factory.mktemp("tiny"))


def margins(tiny, radius, *options):
    return tiny.margins("--radius", radius, "--relaxation", "constants", *options)


def radius_between(tiny):
    """A radius at which slopes of its own prove a sample that level planes do not."""
    for k in range(1, 200):
        radius = 0.02 * k
        plain, trained = margins(tiny, radius), margins(tiny, radius, "--optimize", 10)
        if any(before <= 0 < after for before, after in zip(plain, trained, strict=True)):
            return radius, plain, trained
    raise AssertionError("training never proves more")


def test_a_run_with_trained_slopes(tiny, tmp_path):
    radius, plain, trained = radius_between(tiny)
    assert all(after >= before - ROUNDING for before, after in zip(plain, trained, strict=True))
    out = tmp_path / "run"
    asked = ("--radius", radius, "--relaxation", "constants", "--optimize", 10)
    summary = tiny.run(*asked, "--audit", "--certificates", "--out", out)
    assert summary["request"]["optimize"] == 10
    assert [row["margin"] for row in summary["samples"]] == trained
    assert summary["planes"]["refuted"] == summary["planes"]["undecided"] == 0 < summary["planes"]["proved"]
    assert summary["certificates"] == sum(margin > 0 for margin in trained)
    checked = refcert("check", out / "certificates", "--workers", 1, "--json").json
    assert {row["verdict"] for row in checked["files"]} == {"VALID"}
    assert "--optimize 10" in command_line(summary["request"], audit=False, keep_planes=True, out="again")
    resumed = tiny.run(*asked, "--audit", "--certificates", "--out", out, "--resume")
    assert [row["margin"] for row in resumed["samples"]] == trained

"""Fixtures of the report's tests."""

import os
import shutil
import subprocess

import pytest

from refcert.app import runs
from refcert.audit.plane_audit import audit_planes
from tests.app.made_runs import HOSTILE_DATA, HOSTILE_MODEL, carry_out, request, said, sample, table


@pytest.fixture(scope="session")
def fixed_run(tmp_path_factory):
    """Four digits at a radius where some are certified; every plane audited."""
    return carry_out(request(radius=0.03), tmp_path_factory.mktemp("fixed") / "run", audit=True)


@pytest.fixture(scope="session")
def search_run(tmp_path_factory):
    """Radii of four digits, and in it, as the demo makes it, the run frame by frame; nothing audited."""
    out = carry_out(request(), tmp_path_factory.mktemp("search") / "run", audit=False)
    carry_out(request(count=2, frames="each"), out / "frames", audit=False)
    return out


@pytest.fixture
def refuted_run(tmp_path):
    """Three of five samples finished, some planes far too low, names that try to break out of the page."""
    run = runs.create(
        tmp_path / "refuted", said(model=HOSTILE_MODEL, data=HOSTILE_DATA, count=5, radius=0.25, norm=2.0, target="7")
    )
    planes = table([2.0, -3.0, 2.0, 2.0], [0, 0, 1, 2])
    rows = [
        sample(0, certified=True),
        sample(1, certified=True, margin=0.125),
        sample(2, certified=False, correct=False, predicted=9, margin=-2.0),
    ]
    run.write_part(0, rows, planes, audit_planes(planes))
    return run.path


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; skips, visibly, where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("REFCERT_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium on the PATH or in REFCERT_CHROMIUM: the report is not opened in a browser")

    def open_page(page, profile, *arguments):
        quiet = ("gpu", "quic", "background-networking", "component-update", "sync", "extensions", "dev-shm-usage")
        command = [
            *(found, "--headless", "--no-sandbox", "--no-first-run", "--hide-scrollbars"),
            *("--enable-logging=stderr", f"--user-data-dir={profile}", "--window-size=1000,1400"),
            *(f"--disable-{name}" for name in quiet),
            *arguments,
            page.as_uri(),
        ]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "CONSOLE" not in result.stderr, result.stderr
        return result.stdout

    return open_page

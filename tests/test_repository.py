"""What the documents say is true: commands, examples, rooms."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_two_commands_are_single_lines():
    install, test = _blocks(README, "sh")[:2]
    assert install.count("\n") == test.count("\n") == 1
    assert install.strip().endswith("refcert demo")
    assert test.strip().endswith("tox")
    assert all("-c constraints.txt" in command for command in (install, test))


def test_ci_runs_the_readme_test_command():
    script = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"grep -m1 -E '([^']+)'", script)
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert found == [_blocks(README, "sh")[1].strip()]


def test_the_python_example_of_the_readme_runs():
    (code,) = _blocks(README, "python")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "tensor([" in result.stdout


def test_the_planes_file_example_is_judged_as_the_page_says(tmp_path, monkeypatch):
    from refcert.audit.plane_audit import audit_planes
    from refcert.audit.plane_table import read_planes

    (code,) = _blocks((ROOT / "docs" / "runs.md").read_text(), "python")
    monkeypatch.chdir(tmp_path)
    exec(code, {"np": np})
    verdicts = audit_planes(read_planes(tmp_path / "planes.npz")).verdicts
    assert [str(verdict.status) for verdict in verdicts] == ["PROVED", "REFUTED"]


def test_exit_codes_of_the_readme_are_the_code_s():
    from refcert.app.errors import ExitCode

    table = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    interrupted = 130  # what shells report for Ctrl-C
    assert table == {int(code) for code in ExitCode} | {interrupted}


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} -> {link}"


def test_no_registry_host_is_named():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: the list of files is unknown")
    hosts = ["py" + "pi.org", "python" + "hosted.org", "deb" + "ian.org", "npm" + "js.org"]
    for name in tracked.stdout.splitlines():
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        assert not any(host.encode() in content for host in hosts), name


def test_top_level_is_what_was_agreed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: the list of files is unknown")
    top = {name.split("/")[0] for name in tracked.stdout.splitlines()}
    files = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "pyproject.toml", "constraints.txt", "tox.ini"}
    hidden = {".ci", ".gitignore", ".pre-commit-config.yaml"}
    rooms = {"refcert", "gpu_engine", "proofs", "tests", "docs", "benchmarks", "examples"}
    assert top == files | hidden | rooms

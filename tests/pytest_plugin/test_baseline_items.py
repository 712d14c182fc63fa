"""A committed baseline as test items: planted regressions fail them, what did not change passes."""

from __future__ import annotations

import pytest

from tests.app.baselines import CHANGES, change_model, change_preprocessing
from tests.app.commands import SAMPLES

pytest_plugins = ["pytester"]

ITEM = f"refcert-baseline.txt::samples 0-{SAMPLES - 1}"


def write(user, name, text):
    (user.path / name).write_text(text)


def test_what_did_not_change_passes(run):
    result = run("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [f"{ITEM} PASSED*", f"refcert-baseline.txt: {SAMPLES} samples guarded; least*no drops;*"]
    )


@pytest.mark.parametrize("change", CHANGES)
def test_a_worse_model_fails(run, user, change):
    change_model(user.path, change)
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    expected = ["the model is worse than refcert-baseline.txt says (seed 0)", "FAILED: *sample*", "*model changed*"]
    if change == "swapped gates":
        expected[-1] = "*the same gates in another order (f in the place of i*"
    result.stdout.fnmatch_lines([*expected, "refcert-baseline.txt: *FAILURES (samples *"])
    result.stdout.no_fnmatch_line("*guard.py*")  # no traceback through the plugin


def test_changed_preprocessing_fails(run, user):
    change_preprocessing(user.path)
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED: input changed: sample 0: *"])


MODULE = """
import pytest, torch
from safetensors.torch import load_file
from torch import nn

class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(self.lstm(x)[0][:, -1])

@pytest.fixture(scope="session")
def refcert_model():
    module = Classifier()
    module.load_state_dict(load_file("model.safetensors"))
    {change}
    return module
"""


@pytest.mark.parametrize(
    ("change", "outcome"),
    [("", {"passed": 1}), ("module.lstm.bias_hh_l0.data = module.lstm.bias_hh_l0.data.roll(4)", {"failed": 1})],
)
def test_the_model_may_come_from_the_users_code(run, user, change, outcome):
    write(user, "conftest.py", MODULE.replace("{change}", change))
    result = run("refcert-baseline.txt")
    result.assert_outcomes(**outcome)
    if change:
        result.stdout.fnmatch_lines(["*layers.0.0.bias_hh: the same gates in another order*"])
        result.stdout.no_fnmatch_line("*layers.0.0.weight_hh*")


@pytest.mark.parametrize(("scale", "outcome"), [("1.0", {"passed": 1}), ("0.99", {"failed": 1})])
def test_the_data_may_come_from_the_users_code(run, user, scale, outcome):
    write(
        user,
        "conftest.py",
        "import numpy as np, pytest\n@pytest.fixture\ndef refcert_data():\n"
        f"    stored = np.load('data.npz')\n    return stored['x'] * {scale}, stored['labels']\n",
    )
    run("refcert-baseline.txt").assert_outcomes(**outcome)


def test_attacks_are_held_against_the_radii(run, user):
    """By default; here the recorded radius of sample 1 is planted far above the nearest adversarial input."""
    text = (user.path / "refcert-baseline.txt").read_text()
    row = next(line for line in text.splitlines() if line.startswith("  [    1,"))
    radius = row.split(",")[5]
    write(user, "refcert-baseline.txt", text.replace(row, row.replace(radius, "  5.00000e-01")))
    write(user, "pytest.ini", (user.path / "pytest.ini").read_text().replace("refcert_attack = none\n", ""))
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["FAILED: radius dropped: sample 1: *pgd found an input at *: inside the recorded ball*"]
    )


def test_groups_of_samples_name_what_fell(run, user, recorded, monkeypatch):
    """In groups of three; the groups together are the whole."""
    monkeypatch.setattr("refcert.pytest_plugin.settings.GROUP", 3)
    result = run("-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*::samples 0-2 PASSED*", "*::samples 3-5 PASSED*", "*::sample 6 PASSED*"])
    result.stdout.fnmatch_lines([f"refcert-baseline.txt: {SAMPLES} samples guarded; *"])


def test_workers_of_xdist_send_their_part(run, user, monkeypatch):
    from tests.pytest_plugin.conftest import plugin_arguments

    write(user, "tests/test_more.py", "def test_more(refcert_baseline):\n    refcert_baseline.check()\n")
    result = user.runpytest_subprocess("-n", "2", "--refcert-seed", "random", *plugin_arguments(), timeout=300)
    result.assert_outcomes(passed=3)
    (line,) = [line for line in result.outlines if line.startswith("refcert-baseline.txt: ")]
    assert f"{SAMPLES} samples guarded" in line
    assert "; seed " in line  # the same for both workers


def test_a_call_that_names_tests_runs_those(run):
    run("tests/test_own.py").assert_outcomes(passed=1)
    run("refcert-baseline.txt").assert_outcomes(passed=1)
    run("-m", "not refcert").assert_outcomes(passed=1, deselected=1)
    run("-m", "refcert").assert_outcomes(passed=1, deselected=1)


@pytest.mark.parametrize(("testpaths", "found"), [("testpaths = tests", True), ("testpaths = .", False), ("", False)])
def test_a_baseline_in_a_folder_that_pytest_does_not_enter_is_said(run, user, testpaths, found):
    """Folders with a dot, among others, are passed over without a word."""
    hidden = user.path / ".robustness"
    hidden.mkdir()
    (user.path / "refcert-baseline.txt").rename(hidden / "refcert-baseline.txt")
    text = (user.path / "pytest.ini").read_text().replace("testpaths = tests", testpaths)
    write(user, "pytest.ini", text.replace("refcert-baseline.txt", ".robustness/refcert-baseline.txt"))
    result = run("--collect-only", "-q")
    if found:
        result.stdout.fnmatch_lines(["2 tests collected*"])
    else:
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*in a folder that pytest does not enter*"])


def test_a_folder_without_testpaths_has_it_once(run, user):
    text = (user.path / "pytest.ini").read_text().replace("testpaths = tests\n", "")
    write(user, "pytest.ini", text)
    run().assert_outcomes(passed=2)


def test_a_baseline_that_is_named_need_not_be_configured(run, user):
    write(user, "pytest.ini", "[pytest]\n")
    run("refcert-baseline.txt").assert_outcomes(passed=1)
    write(user, "other.txt", "hello\n")
    run("other.txt").stdout.no_fnmatch_line("*passed*")


def test_a_damaged_baseline_is_an_error(run, user):
    text = (user.path / "refcert-baseline.txt").read_text()
    write(user, "refcert-baseline.txt", text.replace("norm = ", "norm = 2 #"))
    result = run()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*edited by hand*"])


@pytest.mark.parametrize("arguments", [(), (".",)])
@pytest.mark.parametrize("testpaths", ["testpaths = tests", ""])
def test_a_baseline_that_is_missing_is_not_passed_over(run, user, testpaths, arguments):
    """A name misspelt in the configuration would guard nothing for ever."""
    write(user, "pytest.ini", (user.path / "pytest.ini").read_text().replace("testpaths = tests", testpaths))
    (user.path / "refcert-baseline.txt").unlink()
    result = run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*refcert-baseline.txt, which does not exist; record it*"])
    run("tests/test_own.py").assert_outcomes(passed=1)  # that call would not have guarded it


def test_data_without_the_samples_is_said(run, user):
    import numpy as np

    with np.load(user.path / "data.npz") as stored:
        arrays = {name: stored[name][:5] for name in stored.files}
    np.savez(user.path / "data.npz", **arrays)
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED: sample missing: sample 5 *"])

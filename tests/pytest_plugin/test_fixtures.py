"""Fixtures, marks and options, as a user's tests have them; and nothing where nobody uses them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from refcert.app.baseline.reading import load
from refcert.pytest_plugin.opened import KEPT, Opened
from refcert.pytest_plugin.settings import Settings
from tests.app.baselines import change_model

pytest_plugins = ["pytester"]


def write(user, text):
    (user.path / "tests" / "test_own.py").write_text(text)


CHECK = "def test_robustness(refcert_baseline):\n    refcert_baseline.check('model.safetensors', 'data.npz')\n"


def test_two_lines_guard_a_model(run, user):
    write(user, CHECK)
    result = run("tests")
    result.assert_outcomes(passed=1)
    change_model(user.path, "less robust")
    result = run("tests")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*BaselineRegressionError: the model is worse*", "*FAILED: radius dropped: sample 1*"])
    result.stdout.no_fnmatch_line("*guard.py:*")


def test_a_mark_says_how(run, user):
    change_model(user.path, "less robust")
    write(user, "import pytest\n@pytest.mark.refcert(tolerance_radius=0.9, attack='none')\n" + CHECK)
    run("tests").assert_outcomes(passed=1)


def test_a_mark_names_another_baseline(run, user):
    (user.path / "refcert-baseline.txt").rename(user.path / "other.txt")
    write(user, "import pytest\n@pytest.mark.refcert(baseline='other.txt')\n" + CHECK)
    run("tests").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("radius=0.1", "does not know radius"),
        ("'other.txt'", "does not know 'other.txt'"),
        ("tolerance_radius='0.5'", "has tolerance_radius='0.5'; give a number"),
        ("audit='no'", "has audit='no'; give True or False"),
        ("attack=0", "has attack=0; give a name"),
    ],
)
def test_a_mark_that_is_not_understood_is_refused(run, user, mark, message):
    write(user, f"import pytest\n@pytest.mark.refcert({mark})\n" + CHECK)
    result = run("tests")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{message}*"])


@pytest.mark.parametrize(("samples", "message"), [("[]", "samples is empty"), ("[0, 99]", "samples has 99")])
def test_samples_that_are_not_there_are_refused(run, user, samples, message):
    """Nothing compared would be nothing found."""
    write(user, f"def test_robustness(refcert_baseline):\n    refcert_baseline.check(samples={samples})\n")
    result = run("tests")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{message}*"])


CHANGED = """
import numpy as np, shutil, torch
from safetensors.torch import load_file, save_file
from torch import nn

class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(self.lstm(x)[0][:, -1])

def test_robustness(refcert_baseline):
    model = Classifier()
    model.load_state_dict(load_file("model.safetensors"))
    with np.load("data.npz") as stored:
        x, labels = stored["x"], stored["labels"]
    for _ in range(2):
        refcert_baseline.check(model, (x, labels))
        refcert_baseline.check()
    {change}
"""


@pytest.mark.parametrize(
    "change",
    [
        "model.lstm.weight_hh_l0.data.mul_(2.0)\n    refcert_baseline.check(model, (x, labels))",
        "x *= 0.98\n    refcert_baseline.check(model, (x, labels))",
        "save_file({k: 2 * v for k, v in load_file('model.safetensors').items()}, 'model.safetensors')\n"
        "    refcert_baseline.check()",
    ],
    ids=["module", "array", "file"],
)
def test_what_changed_in_place_between_two_checks_is_read_again(run, user, change):
    write(user, CHANGED.replace("{change}", change))
    result = run("tests")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*BaselineRegressionError: the model is worse*"])
    write(user, CHANGED.replace("{change}", ""))
    if "save_file" not in change:
        run("tests").assert_outcomes(passed=1)


def test_groups_share_what_was_read_and_new_data_is_not_kept_for_ever(recorded):
    opened, path = Opened(), recorded / "refcert-baseline.txt"
    baseline, settings = load(path), Settings(None, "cpu", 0, None)
    first = opened.subject(baseline, path, settings, None, None)
    assert opened.subject(baseline, path, settings, None, None) is first
    with np.load(recorded / "data.npz") as stored:
        x, labels = stored["x"], stored["labels"]
    for k in range(2 * KEPT):
        opened.subject(baseline, path, settings, None, (x + k / 100, labels))
    assert len(opened._known) == KEPT


def test_without_a_baseline_the_remedy_is_said(run, user):
    (user.path / "pytest.ini").write_text("[pytest]\n")
    write(user, CHECK)
    result = run("tests")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no baseline is named*"])


def test_what_is_no_model_or_data_is_said(run, user):
    write(user, "def test_robustness(refcert_baseline):\n    refcert_baseline.check(3, 'data.npz')\n")
    result = run("tests")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the model is a int; give a path*"])


def test_the_other_fixtures(run, user):
    write(
        user,
        "def test_all(refcert_settings, refcert_engine, refcert_model, refcert_data):\n"
        "    assert (refcert_settings.seed, refcert_settings.budget, refcert_engine.device) == (7, 90.0, 'cpu')\n"
        "    assert refcert_model.classes == 3 and refcert_data.x.shape == (7, 3, 3)\n",
    )
    run("tests", "--refcert-seed", "7", "--refcert-budget", "1.5m").assert_outcomes(passed=1)


SOUND = """
import numpy as np

def planes(kind, lower_v, upper_v, lower_z, upper_z):
    zero = np.zeros_like(lower_v)
    return (zero, zero, zero), (zero, zero, np.maximum(upper_v, 0.0) {fault})

def test_planes(refcert_check):
    report = refcert_check.planes_sound(planes, kinds=("relu",), boxes=("random",))
"""


@pytest.mark.parametrize(("fault", "outcome"), [("", {"passed": 1}), ("- 1e-6", {"failed": 1})])
def test_assertions_get_the_seed_and_the_budget(run, user, fault, outcome):
    write(user, SOUND.replace("{fault}", fault))
    result = run("tests", "--refcert-seed", "5", "--refcert-budget", "60")
    result.assert_outcomes(**outcome)
    held = "1 held" if not fault else "0 held, 1 FAILED"
    result.stdout.fnmatch_lines([f"assert_planes_sound: {held}; seed 5; *"])
    if fault:
        result.stdout.fnmatch_lines(["*seed*5*"])


def test_an_assertion_that_is_not_known(run, user):
    write(user, "def test_a(refcert_check):\n    refcert_check.nonsense\n")
    result = run("tests")
    result.stdout.fnmatch_lines(["*refcert_check has no 'nonsense'; it has *planes_sound*"])


# Options


def test_a_spent_budget_guards_nothing_and_says_so(run, user):
    result = run("--refcert-budget", "0")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["NOT GUARDED: 7 samples; the budget of 0 s is spent", "*0 samples guarded; 7 NOT GUARDED*"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--refcert-budget", "soon"), "budget is 'soon'"),
        (("--refcert-budget", "9 examples"), "not a time"),
        (("--refcert-budget", "-1"), "-1"),
        (("--refcert-budget", "nan"), "nan"),
        (("--refcert-seed", "-1"), "whole number"),
        (("--refcert-profile", "slow"), "invalid choice"),
        (("--refcert-profile", "ci", "--hypothesis-profile", "default"), "exclude each other"),
    ],
)
def test_options_that_make_no_sense(run, options, message):
    result = run(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}*"])


@pytest.mark.parametrize(
    ("profile", "examples", "same"), [("dev", 20, False), ("ci", 100, True), ("nightly", 2000, False)]
)
def test_profiles_are_those_of_hypothesis(run, user, profile, examples, same):
    write(
        user,
        "from hypothesis import settings\ndef test_profile():\n"
        "    now = settings()\n"
        f"    assert (now.max_examples, now.derandomize, now.deadline) == ({examples}, {same}, None)\n",
    )
    run("tests", "--refcert-profile", profile).assert_outcomes(passed=1)


def test_a_device_that_is_not_there(run):
    result = run("--refcert-device", "nonsense")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*device 'nonsense' cannot be used here*"])


# Projects that do not use it


def test_others_are_not_disturbed(run, user):
    (user.path / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n"
    )
    for name in ("refcert-baseline.txt", "model.safetensors", "data.npz"):
        (user.path / name).unlink()
    result = run()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*refcert: *")
    result.stdout.no_fnmatch_line("*= refcert =*")
    run("--markers").stdout.fnmatch_lines(["@pytest.mark.refcert(baseline, *"])


def test_loading_it_imports_nothing_heavy():
    heavy = ("torch", "numpy", "scipy", "hypothesis", "rich", "typer", "pyarrow", "flint", "gpu_engine")
    code = f"import sys, refcert.pytest_plugin.plugin; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_collecting_a_baseline_takes_no_torch(user):
    (user.path / "conftest.py").write_text(
        "import sys\ndef pytest_collection_finish(session):\n"
        "    assert 'torch' not in sys.modules and 'numpy' not in sys.modules and len(session.items) == 2\n"
    )
    from tests.pytest_plugin.conftest import plugin_arguments

    assert user.runpytest_subprocess("--collect-only", *plugin_arguments(), timeout=300).ret == 0

"""The example project: it passes as it is, fails with every planted regression, and its pages show what is printed."""

from __future__ import annotations

import re
import shutil
import tomllib

import numpy as np
import pytest

from tests.examples.conftest import PROJECT, run_pytest

ROOT = PROJECT.parents[1]
BASELINE = "refcert-baseline.txt"
MODEL, LINES, INTERVALS = (
    "tests/test_model.py",
    "tests/test_third_party.py::test_its_lines",
    "tests/test_third_party.py::test_its_intervals",
)

# What is run in the copy, and what its failure has to say.
EXPECTED = {
    "less_robust": (
        (MODEL, f"{BASELINE}::samples 0-9"),
        (
            "assert_radius_at_least: VIOLATED",
            "FAILED: radius dropped: sample 9: certified radius",
            "inside the recorded ball",
            "layers that moved",
        ),
    ),
    "swapped_gates": (
        (f"{BASELINE}::samples 10-19",),
        ("FAILED: newly wrong: sample 10 (label 5)", "the same gates in another order (f in the place of i"),
    ),
    "quantised": (
        (f"{BASELINE}::samples 0-9",),
        ("FAILED: newly wrong: sample 3 (label 5)", "radius dropped: sample 4", "gates i, f, g, o"),
    ),
    "unsound_bound": (
        (LINES, INTERVALS),
        (
            "the lower plane of tanh is above the surface",
            "box v in [0.0, 0.0], point v = 0.0",
            "the lower bound of third_party.interval_bounds is above the network's value",
            "9.99999",
        ),
    ),
    "other_preparation": (
        (f"{BASELINE}::samples 0-9",),
        ("FAILED: input changed: sample 8: its input is not the recorded one", "data changed"),
    ),
}


def without_numbers(text):
    """Last digits, digests and paths are the machine's own."""
    return re.sub(r"'/[^']*'|-?\b\d[\d.]*(e-?\d+)?%?|[+-]#|\b[0-9a-f]{12}\b", "#", text)


def shown(name):
    """The lines of the README's block about a regression, without those left out."""
    (block,) = re.findall(rf"### {name}\n.*?```text\n(.*?)```", (PROJECT / "README.md").read_text(), re.S)
    return [line for line in block.splitlines() if line.strip() and line.strip() != "..."]


def test_unchanged_it_passes(tmp_path):
    copy = tmp_path / "project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    code, printed = run_pytest(copy, "-q")
    assert code == 0, printed
    assert "5 passed" in printed
    assert f"{BASELINE}: 20 samples guarded; least certified radius 0.024034; no drops" in printed
    left = {path.relative_to(copy) for path in copy.rglob("*") if path.is_file()}
    assert not [path for path in left if not (PROJECT / path).exists()], "the run left files behind"


def test_every_regression_has_its_expectation(modules):
    assert modules["plant"].REGRESSIONS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_regression_is_caught(modules, run_in, tmp_path, name):
    copy = tmp_path / name
    modules["plant"].plant(name, copy)
    run, words = EXPECTED[name]
    code, printed = run_in(copy, "-q", "--tb=short", *run)
    assert code == 1, printed
    assert f"{len(run)} failed" in printed
    assert "passed" not in printed.splitlines()[-1]
    for word in words:
        assert word in printed
    told = {without_numbers(line) for line in printed.splitlines()}
    for line in shown(name):
        assert without_numbers(line) in told, line


def test_the_weights_are_those_that_the_page_speaks_of(modules):
    """The shipped file is small, and right on what is guarded."""
    x, labels = modules["prepare"].guarded_part()
    model = modules["model"].load()
    assert (PROJECT / "model.safetensors").stat().st_size < 100_000
    assert model(modules["model"].torch.from_numpy(x).float()).argmax(1).tolist() == labels.tolist()


def test_training_and_export_and_load_make_a_model_of_the_same_shape(modules, tmp_path):
    model = modules["model"]
    model.export(model.train(epochs=1), tmp_path / "model.safetensors")
    again, shipped = model.load(tmp_path / "model.safetensors"), model.load()
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in shipped.state_dict().items()}


def test_preparation_keeps_order_and_range(modules):
    x, _ = modules["prepare"].guarded_part()
    assert x.shape == (20, 4, 16)
    assert x.min() >= 0 and x.max() <= 1
    image = np.arange(64.0).reshape(1, 8, 8)
    assert modules["prepare"].prepare(image)[0, 1, 3] * 16 == image[0, 2, 3]


def test_pins_are_those_of_the_repository():
    def pins(path):
        return {line for line in path.read_text().splitlines() if "==" in line}

    own = pins(PROJECT / "constraints.txt")
    assert own and own <= pins(ROOT / "constraints.txt")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["test"]} - {"refcert"}
    assert wanted <= {pin.split("==")[0].lower() for pin in own}


def test_the_workflow_installs_with_the_pins_and_runs_pytest():
    workflow = (PROJECT / ".github" / "workflows" / "robustness.yml").read_text()
    assert "pip install -c constraints.txt" in workflow
    assert "python -m pytest" in workflow
    hook = (PROJECT / ".pre-commit-config.yaml").read_text()
    watched = re.compile(re.search(r"files: (.*)", hook)[1])
    assert all(watched.search(name) for name in ("model.py", "prepare.py", "model.safetensors", BASELINE))
    assert all((PROJECT / name).exists() for name in ("model.py", "prepare.py", "model.safetensors", BASELINE))


@pytest.mark.long
def test_an_unchanged_model_never_fails_with_any_seed(modules, tmp_path):
    """200 random seeds: the attack's, the search's and the assertions' own draws never raise a false alarm."""
    from refcert.app.baseline.reading import load
    from refcert.app.baseline.run import Guarding, compare_with, subject_of
    from refcert.app.baseline.subject import Computing
    from refcert.app.progress import Progress
    from refcert.testing import assert_bounds_sound, assert_planes_sound, assert_radius_at_least

    path = PROJECT / BASELINE
    recorded, model, data = load(path), modules["model"].load(), modules["prepare"].guarded_part()
    third_party = modules["third_party"]
    for seed in np.random.default_rng().integers(2**31, size=200).tolist():
        subject = subject_of(recorded, path, Computing(seed=seed), model, data)
        comparison, _ = compare_with(recorded, subject, Guarding(search=False, evidence=tmp_path), Progress(None))
        assert comparison.changes == (), (seed, comparison)
        assert_radius_at_least(model, data[0][:10], data[1][:10], 0.02, clip=(0.0, 1.0), seed=seed, evidence=tmp_path)
        assert_planes_sound(third_party.planes, kinds=("sigmoid", "tanh"), seed=seed)
        assert_bounds_sound(
            third_party.interval_bounds, model, frames=4, budget="7 examples", seed=seed, evidence=tmp_path
        )

"""`refcert baseline`: planted regressions are caught and named, what did not change passes, updates are shown first."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gpu_engine.loading import load_model
from refcert.app.baseline import measuring
from refcert.app.baseline.reading import load
from refcert.app.baseline.run import Guarding, run_compare
from refcert.app.certify_run import run as certify_run
from refcert.app.errors import ExitCode, InputError
from refcert.app.progress import Progress
from tests.app import tiny
from tests.app.baselines import CHANGES, call, change_model, change_preprocessing, project, record
from tests.app.commands import SAMPLES

QUIET = Progress(None)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = project(tmp_path_factory.mktemp("recorded"))
    return record(folder).parent


@pytest.fixture
def folder(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / "project")


def compare(folder, *options, code):
    """Without an attack, unless the options name one."""
    options = options if "--attack" in options else (*options, "--attack", "none")
    found, out = call("compare", "--baseline", folder / "refcert-baseline.txt", *options)
    assert found == code, out
    return out


def kinds(folder, *options, code):
    changes = json.loads(compare(folder, *options, "--json", code=code))
    return {change["kind"] for change in changes["failures"]}, changes


# What is recorded


def test_radii_are_those_of_certify_and_never_above(recorded):
    baseline = load(recorded / "refcert-baseline.txt")
    request = tiny.request(
        model=str(recorded / "model.safetensors"),
        data=str(recorded / "data.npz"),
        radius=None,
        tolerance=5e-3,
        relaxation="constants",
    )
    rows = certify_run(request, out=None, resume=False, audit=False, keep_planes=False, workers=None, progress=QUIET)[
        "samples"
    ]
    assert len(rows) == len(baseline.samples) == SAMPLES
    for row, sample in zip(rows, baseline.samples, strict=True):
        assert (sample.index, sample.label, sample.predicted, sample.correct) == tuple(
            row[name] for name in ("index", "label", "predicted", "correct")
        )
        assert float(sample.value) <= row["radius"] <= float(sample.value) * (1 + 1e-5)
        assert set(sample.gaps) == (
            set() if not row["radius"] else {f"layer 0 {g}" for g in ("input", "forget", "output")}
        )


def test_recording_twice_gives_the_same_bytes(recorded, tmp_path):
    again = record(shutil.copytree(recorded, tmp_path / "again"), name="second.txt")
    assert again.read_bytes() == (recorded / "refcert-baseline.txt").read_bytes()


def test_nothing_is_replaced_by_record(folder):
    before = (folder / "refcert-baseline.txt").read_bytes()
    with pytest.raises(InputError, match="baseline update"):
        record(folder)
    assert (folder / "refcert-baseline.txt").read_bytes() == before


def test_paths_are_relative_to_the_baseline(recorded, tmp_path, monkeypatch):
    moved = shutil.copytree(recorded, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert "nothing is worse" in compare(moved, "--quick", code=0)


# Comparing


@pytest.mark.parametrize("options", [("--attack", "pgd"), ("--quick", "--attack", "pgd"), ()])
def test_what_did_not_change_passes(recorded, options):
    found, changes = kinds(recorded, *options, code=0)
    assert found == set()
    assert changes["improvements"] == changes["notes"] == changes["layers"] == []
    assert changes["compared"] == SAMPLES


def test_an_improvement_is_named_and_passes(folder):
    shutil.copy(folder / "model.safetensors", folder / "good.safetensors")
    change_model(folder, "less robust")
    (folder / "refcert-baseline.txt").unlink()
    record(folder)
    found = json.loads(compare(folder, "--model", folder / "good.safetensors", "--json", code=0))
    assert {change["kind"] for change in found["improvements"]} == {"radius rose"}
    assert [note["kind"] for note in found["notes"]] == ["model changed"]


@pytest.mark.parametrize("quick", [(), ("--quick",)])
@pytest.mark.parametrize("change", CHANGES)
def test_a_worse_model_is_caught(folder, change, quick):
    change_model(folder, change)
    found, changes = kinds(folder, *quick, code=1)
    assert found <= {"radius dropped", "newly wrong"}
    (model,) = [note for note in changes["notes"] if note["kind"] == "model changed"]
    if change == "swapped gates":
        assert "layers.0.0.weight_hh: the same gates in another order (f in the place of i" in model["words"]
    if change == "less robust":
        assert found == {"radius dropped"}
        assert all("gates i, f, g, o" in words for words in model["words"].split("; ") if "layers.0.0" in words)
        assert [c["sample"] for c in changes["failures"]] == list(range(1, SAMPLES))


def test_an_adversarial_input_in_the_recorded_ball_is_shown(folder):
    (folder / "refcert-baseline.txt").unlink()
    record(folder, "--search", "--tolerance", "5e-3")
    change_model(folder, "quantised")
    state = load_file(folder / "model.safetensors")
    state["lstm.weight_ih_l0"] *= 1.03
    save_file(state, folder / "model.safetensors")
    _, changes = kinds(folder, "--attack", "pgd", code=1)
    shown = [c["words"] for c in changes["failures"] if "inside the recorded ball" in c["words"]]
    assert shown
    assert all("pgd found an input at" in words for words in shown)


def test_other_inputs_are_caught_by_sample(folder):
    change_preprocessing(folder)
    found, changes = kinds(folder, code=1)
    assert "input changed" in found
    assert {c["sample"] for c in changes["failures"] if c["kind"] == "input changed"} == set(range(SAMPLES))
    found, _ = kinds(folder, "--other-data", "--tolerance-radius", "0.5", code=0)
    assert found == set()


def test_a_tolerance_is_a_border(folder):
    change_model(folder, "less robust")
    assert kinds(folder, "--tolerance-radius", "0.9", code=0)[0] == set()
    assert "below --tolerance-radius 0.006" in compare(folder, "--tolerance-radius", "0.006", code=1)


def test_fewer_samples_are_missing(folder):
    with np.load(folder / "data.npz") as stored:
        arrays = {name: stored[name][:5] for name in stored.files}
    np.savez(folder / "data.npz", **arrays)
    found, changes = kinds(folder, code=1)
    assert found == {"sample missing"}
    assert [c["sample"] for c in changes["failures"]] == [5, 6]


def test_a_radius_above_an_attack_stops_with_the_evidence(folder, monkeypatch):
    """The engine's fault is planted: every radius a hundred times too large."""
    honest = measuring.answer

    def boasting(*arguments, **options):
        found = honest(*arguments, **options)
        return type(found)(found.radius * 100, found.failed, found.margin, found.proved)

    monkeypatch.setattr(measuring, "answer", boasting)
    monkeypatch.chdir(folder)
    out = compare(folder, "--attack", "pgd", code=ExitCode.FAULT)
    assert "FAILED: unsound" in out
    assert len(list(folder.glob("soundness_fault*.json"))) == 1


# Every question


def _tiny(folder, kind="lstm", readout=None, **options):
    metadata = tiny.save_model(folder / "model.safetensors", kind, **options)
    model = load_model(metadata, readout=readout)
    tiny.save_data(folder / "data.npz", model)
    return folder


@pytest.mark.parametrize(
    ("kind", "question"),
    [
        ("lstm", ("--radius", "0.01")),
        ("gru", ("--search", "--norm", "2", "--clip", "0", "1", "--relaxation", "constants")),
        ("rnn_tanh", ("--search", "--frames", "each", "--relaxation", "constants")),
        ("rnn_relu", ("--search", "--input-set", "sequence", "--relaxation", "best")),
        (
            "gru",
            ("--search", "--target", "all", "--audit", "--workers", "1", "--relaxation", "constants", "--count", "2"),
        ),
        ("lstm", ("--radius-db", "-40", "--readout", "every")),
    ],
)
def test_every_question_compares_as_unchanged_and_notices_a_change(tmp_path, kind, question):
    readout = "every" if "every" in question else None
    folder = _tiny(tmp_path, kind, readout)
    record(folder, *question)
    assert kinds(folder, *(("--audit", "--workers", "1") if "--audit" in question else ()), code=0)[0] == set()
    state = load_file(folder / "model.safetensors")
    with safe_open(folder / "model.safetensors", "pt") as stored:
        metadata = stored.metadata()
    name = next(name for name in state if "weight_ih" in name)
    state[name] = state[name] * 2
    save_file(state, folder / "model.safetensors", metadata)
    assert kinds(folder, code=1)[0]


def test_own_rows_are_guarded_with_their_digest(folder):
    (folder / "refcert-baseline.txt").unlink()
    np.savez(folder / "spec.npz", C=np.array([[1.0, -1.0, 0.0]]), d=np.array([20.0]))
    record(folder, "--radius", "0.01", "--spec", folder / "spec.npz")
    assert kinds(folder, code=0)[0] == set()
    np.savez(folder / "spec.npz", C=np.array([[1.0, -1.0, 0.0]]), d=np.array([21.0]))
    assert kinds(folder, code=1)[0] == {"request changed"}


# Objects in place of files


def test_a_module_and_arrays_are_the_files_that_they_came_from(recorded):
    state = load_file(recorded / "model.safetensors")

    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(3, 4, batch_first=True)
            self.linear = torch.nn.Linear(4, 3)

        def forward(self, x):
            return self.linear(self.lstm(x)[0][:, -1])

    module = Classifier()
    module.load_state_dict(state)
    with np.load(recorded / "data.npz") as stored:
        x, labels = stored["x"], stored["labels"]
    guarding = Guarding(search=False, attack="none")
    found = run_compare(
        recorded / "refcert-baseline.txt", guarding, model=module, data=(torch.from_numpy(x), labels), progress=QUIET
    )
    assert found.passed
    assert found.notes == ()


# Updating


def test_an_update_shows_what_changed_and_is_then_the_baseline(folder):
    change_model(folder, "less robust")
    path = folder / "refcert-baseline.txt"
    before = path.read_bytes()
    with pytest.raises(InputError, match="--yes"):
        call("update", "--baseline", path)
    assert path.read_bytes() == before
    _, out = call("update", "--baseline", path, "--yes", "--tolerance-radius", "0.02")
    assert "FAILED: radius dropped" in out
    assert "\n-digest = " in out
    assert "\n+digest = " in out
    compare(folder, code=0)
    assert load(path).tolerances.radius == 0.02
    fresh = folder / "fresh"
    fresh.mkdir()
    for name in ("model.safetensors", "data.npz"):
        shutil.copy(folder / name, fresh)
    assert load(record(fresh)).samples == load(path).samples


def test_an_update_without_a_change_writes_nothing(recorded):
    path = recorded / "refcert-baseline.txt"
    stamp = path.stat().st_mtime_ns
    _, out = call("update", "--baseline", path)
    assert "nothing is written" in out
    assert path.stat().st_mtime_ns == stamp

"""`refcert finetune`: a run from end to end, killed and resumed, and what it refuses."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file

from gpu_engine.loading import load_model
from gpu_engine.saving import save_model
from gpu_engine.training.recipe import Recipe, recommended
from refcert.app.datasets import Sequences
from refcert.app.errors import InputError
from refcert.app.finetuning.data import training_part
from refcert.app.finetuning.table import print_finetune
from tests.app.commands import GIVEN_UP, command, environment, refcert
from tests.engine.training.toy import toy_data, toy_network

MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 3, batch_first=True)
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])

def network():
    print("hello")
    return Net()

def nothing():
    return 3

def wrong():
    raise ValueError("a mistake")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a model, training and test data, and a module's file."""
    folder = tmp_path_factory.mktemp("finetune")
    save_model(toy_network(), folder / "toy.safetensors")
    for name, seed in (("train", 1), ("test", 2)):
        data = toy_data(24, seed)
        np.savez(folder / f"{name}.npz", x=data.x.numpy(), labels=data.labels.numpy())
    (folder / "net.py").write_text(MODULE)
    return folder


def words(made: Path, out: Path, **changes: str | None) -> list[str]:
    """The command's words; a change to None leaves an option out, '' makes it a flag."""
    given = {
        "model": str(made / "toy.safetensors"),
        "data": str(made / "train.npz"),
        "test": str(made / "test.npz"),
        "radius": "0.2",
        "method": "fgsm",
        "rounds": "3",
        "epochs": "2",
        "rate": "0.02",
        "attacks": "fgsm,lp",
        "out": str(out),
        **changes,
    }
    pairs = [(f"--{key.replace('_', '-')}", value) for key, value in given.items() if value is not None]
    return [word for key, value in pairs for word in ((key, value) if value else (key,))]


def tuned(*given: str) -> dict:
    """The JSON of a run that ends well."""
    result = refcert("finetune", *given, "--json")
    assert result.code == 0, result.err
    return result.json


def refused(*given: str) -> str:
    """The message of a run that does not, in one line."""
    result = refcert("finetune", *given, "--json")
    assert result.code == 2
    return " ".join(result.message.split())


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    tuned(*words(made, folder))
    return folder


def test_metrics_before_and_after_and_a_model_that_loads(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["after"]["attacks"]["fgsm"]["frequency"] <= summary["before"]["attacks"]["fgsm"]["frequency"]
    assert summary["after"]["accuracy"] >= summary["before"]["accuracy"]
    # What cannot be measured is named, and takes nothing else with it.
    assert "ReLU" in summary["after"]["attacks"]["lp"]["error"]
    assert [done["number"] for done in summary["rounds"]] == [1, 2, 3]
    assert load_model(finished / "model.safetensors").digest() == summary["digest"] != summary["model"]["digest"]
    assert load_model(finished / "rounds" / "round-0003.safetensors").digest() == summary["digest"]
    assert summary["nature"]["frequency"] == "lower bound" and summary["nature"]["severity"] == "estimate"


def test_the_table_rounds_bounds_outward_and_names_what_failed_on_one_network(finished):
    """An attack that failed before training only ended the table with a KeyError, after all the work."""
    summary = json.loads((finished / "summary.json").read_text())
    summary["before"]["attacks"]["fgsm"] = {"error": "numbers overflow"}
    found = {"frequency": 0.99999, "severity": 0.1, "median_radius": 0.123412}
    summary["after"] |= {"certified_accuracy": 0.99999, "attacks": {**summary["after"]["attacks"], "fgsm": found}}
    console = Console(file=io.StringIO(), width=200)
    print_finetune(console, summary)
    text = console.file.getvalue()
    cells = {row[1].strip(): row[2:4] for row in (line.split("│") for line in text.splitlines()) if len(row) > 3}
    assert [cell.strip() for cell in cells["adversarial frequency by fgsm, at least"]] == ["-", "99.99 %"]
    assert cells["certified accuracy, at least"][1].strip() == "99.99 %"
    assert cells["median radius of fgsm, at most"][1].strip() == "0.1235"
    assert "fgsm was not measured before: numbers overflow" in text


def test_where_no_attack_can_measure_it_does_not_look_like_success(made, tmp_path):
    """The network is trained and kept, but what was to be measured is not: exit code 3."""
    result = refcert("finetune", *words(made, tmp_path / "run", rounds="1", epochs="1", attacks="lp"), "--json")
    assert result.code == 3
    assert "ReLU" in result.json["after"]["attacks"]["lp"]["error"]
    assert (tmp_path / "run" / "model.safetensors").is_file()


def written(folder: Path) -> list[str]:
    """All files of a run in the order in which they are written."""
    rounds = [
        f"rounds/round-{k:04d}{end}" for k in (1, 2, 3) for end in (".safetensors", ".state.safetensors", ".json")
    ]
    return ["request.json", "before.json", *rounds, "model.safetensors", "summary.json"]


@pytest.mark.parametrize("kept", [1, 4, 11])
def test_a_run_cut_off_after_any_file_ends_with_the_same_bits(made, finished, tmp_path, kept):
    assert sorted(written(finished)) == sorted(str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file())
    folder = tmp_path / "cut"
    shutil.copytree(finished, folder)
    for name in written(folder)[kept:]:
        (folder / name).unlink()
    (folder / "rounds" / "round-0009.json.partial").write_text("half")
    summary = tuned(*words(made, folder), "--resume")
    assert summary["digest"] == json.loads((finished / "summary.json").read_text())["digest"]
    assert not list(folder.rglob("*.partial"))
    last = "rounds/round-0003.state.safetensors"
    assert (folder / last).read_bytes() == (finished / last).read_bytes()


def test_a_killed_process_goes_on_with_the_same_bits(made, tmp_path):
    changes = {"rounds": "25", "epochs": "1", "attacks": "fgsm"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    summary = tuned(*words(made, whole, **changes))
    process = subprocess.Popen(
        command("finetune", *words(made, killed, **changes)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(),
    )  # fmt: skip
    with process:
        end = time.monotonic() + GIVEN_UP
        while not (killed / "rounds" / "round-0002.json").exists() and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "model.safetensors").exists()
    assert tuned(*words(made, killed, **changes), "--resume")["digest"] == summary["digest"]
    last = "rounds/round-0025.state.safetensors"
    assert (killed / last).read_bytes() == (whole / last).read_bytes()


def test_a_run_is_resumed_as_it_was_asked(made, finished, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(finished, folder)
    said = refused(*words(made, folder, rate="0.03"), "--resume")
    assert "request.recipe.rate = 0.02, now it is 0.03" in said
    assert "exists" in refused(*words(made, folder))


def test_a_damaged_state_is_named(made, finished, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(finished, folder)
    state = folder / "rounds" / "round-0003.state.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"\x01")
    assert "round-0003.state.safetensors cannot be read" in refused(*words(made, folder), "--resume")


@pytest.mark.parametrize("certified", ["interval", "backsubstituted"])
def test_a_module_trains_on_bounds(made, tmp_path, certified):
    folder = tmp_path / "module"
    changes = {"model": None, "method": None, "module": f"{made / 'net.py'}:network", "certified": certified}
    summary = tuned(*words(made, folder, **changes))
    assert load_model(folder / "model.safetensors").digest() == summary["digest"]
    assert sorted(load_file(folder / "module.safetensors")) == sorted(
        ["head.bias", "head.weight", *(f"gru.{k}_{w}_l0" for k in ("weight", "bias") for w in ("ih", "hh"))]
    )
    # How far each round trained is in its record and in its network's file.
    radii = [done["radius"] for done in summary["rounds"]]
    assert 0 < radii[0] < radii[1] <= radii[2] == 0.2
    with safe_open(folder / "rounds" / "round-0001.safetensors", framework="pt") as file:
        assert f"round 1 of 3, trained up to radius {radii[0]:g}" in file.metadata()["made"]
    (folder / "rounds" / "round-0003.json").unlink()
    assert tuned(*words(made, folder, **changes), "--resume")["digest"] == summary["digest"]


def test_a_loss_that_is_no_number_keeps_the_rounds_before(made, tmp_path):
    folder = tmp_path / "nan"
    given = words(made, folder, method=None, certified="interval", rate="1.7e308", rounds="8", epochs="1")
    result = refcert("finetune", *given)
    assert result.code == 5
    assert "keeps the" in result.message or "no round was done" in result.message
    assert not (folder / "summary.json").exists()
    for path in (folder / "rounds").glob("round-????.safetensors"):
        load_model(path)


def test_what_people_read(made, tmp_path):
    given = words(made, tmp_path / "run", method=None, certified="interval", rounds="2", epochs="1", attacks="fgsm,lp")
    result = refcert("finetune", *given)
    assert result.code == 0, result.err
    shown = " ".join(result.out.split())
    assert "adversarial frequency by fgsm, at least" in shown and "lp was not measured" in shown
    assert "grew until round 2" in shown


@pytest.mark.parametrize("way", [("pgd", None), ("fgsm", None), ("cw", None), (None, "interval")])
def test_what_is_recommended_is_a_recipe(way):
    assert Recipe(*way, **recommended(*way)).rounds > 1


def mnist_files(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Training images (count, 28, 28) and labels in MNIST's own format below data/mnist."""
    (folder / "data" / "mnist").mkdir(parents=True)
    for kind, magic, values in (("images-idx3", 2051, images), ("labels-idx1", 2049, labels)):
        header = struct.pack(f">{values.ndim + 1}I", magic, *values.shape)
        path = folder / "data" / "mnist" / f"train-{kind}-ubyte.gz"
        path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def mnist_part(folder: Path, labels: list[int], monkeypatch) -> tuple[Sequences, np.ndarray]:
    """What training would read, for a network of 56 values a frame and two classes, and the pixels in the files."""
    model = toy_network(inputs=56)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28))
    mnist_files(folder, images, np.array(labels))
    monkeypatch.setenv("REFCERT_DATA", str(folder))
    return training_part("mnist", model), images


def test_mnist_trains_on_its_training_files(tmp_path, monkeypatch):
    part, images = mnist_part(tmp_path, [1, 0, 1], monkeypatch)
    np.testing.assert_array_equal(part.x, images.reshape(3, 14, 56) / 255)
    assert part.labels.tolist() == [1, 0, 1] and part.name == "mnist (training part)"


def test_mnist_labels_beyond_the_classes_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"mnist \(training part\).* 7"):
        mnist_part(tmp_path, [1, 7], monkeypatch)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": None}, "--model or with --module"),
        ({"method": None}, "one of the two"),
        ({"certified": "interval"}, "one of the two"),
        ({"method": "magic"}, "'magic' is not known"),
        ({"method": "lp"}, "--method lp: LP search is for piecewise-linear networks"),
        ({"method": None, "certified": "interval", "steps": "3"}, "--steps is 3, but bounds are trained on"),
        ({"seed": "-1"}, "--seed is -1; give 0 or more"),
        ({"seed": "9" * 25}, "is too large; give at most 9223372036854775807"),
        ({"attacks": "pgd,magic"}, "'magic' is not known"),
        ({"attacks": "pgd,fgsm,pgd"}, "--attacks names 'pgd' more than once"),
        ({"radius": "0"}, "radius is 0"),
        ({"norm": "0.5"}, "0.5"),
        ({"test": None}, "--test FILE.npz"),
        ({"data": "digits", "test": None}, "2 values a frame|reads 2 values|data has 8 values"),
        ({"model": "absent.safetensors"}, "does not exist"),
        ({"dtype": "float16"}, "float16"),
        ({"resume": ""}, "not a run folder"),
        ({"count": "1000"}, "count 1000"),
        ({"model": None, "module": "net.py"}, r"FILE\.py:function"),
        ({"model": None, "module": "absent.py:network"}, "does not exist"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(made, tmp_path, changes, said):
    assert re.search(said, refused(*words(made, tmp_path / "run", **changes)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "said"), [("absent", "it has .*network"), ("nothing", "int"), ("wrong", "a mistake")])
def test_modules_that_are_none_are_named(made, tmp_path, name, said):
    assert re.search(said, refused(*words(made, tmp_path / "run", model=None, module=f"{made / 'net.py'}:{name}")))


def test_the_training_data_does_not_measure(made, tmp_path):
    assert "is the training data" in refused(*words(made, tmp_path / "run", test=str(made / "train.npz")))


def test_a_folder_that_cannot_be_made(made, tmp_path):
    (tmp_path / "file").write_text("")
    result = refcert("finetune", *words(made, tmp_path / "file" / "run"))
    assert result.code in (2, 4)
    assert "file" in result.message

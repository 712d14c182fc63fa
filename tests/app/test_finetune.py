"""`refcert finetune`: a run from end to end, killed at any point and resumed, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from gpu_engine.errors import NumericalError
from gpu_engine.loading import load_model
from gpu_engine.saving import save_model
from refcert.app.commands.finetune import finetune
from refcert.app.errors import InputError, OutputError
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


def command(*given: str) -> dict:
    """The JSON of a run; exceptions come through."""
    app = typer.Typer()
    app.command()(finetune)
    result = CliRunner().invoke(app, [*given, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    command(*words(made, folder))
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


def written(folder: Path) -> list[str]:
    """All files of a run in the order in which they are written."""
    rounds = [
        f"rounds/round-{k:04d}{end}" for k in (1, 2, 3) for end in (".safetensors", ".state.safetensors", ".json")
    ]
    return ["request.json", "before.json", *rounds, "model.safetensors", "summary.json"]


@pytest.mark.parametrize("kept", [1, 2, 4, 5, 7, 10, 11, 12])
def test_a_run_killed_after_any_file_ends_with_the_same_bits(made, finished, tmp_path, kept):
    assert sorted(written(finished)) == sorted(str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file())
    folder = tmp_path / "killed"
    shutil.copytree(finished, folder)
    for name in written(folder)[kept:]:
        (folder / name).unlink()
    (folder / "rounds" / "round-0009.json.partial").write_text("half")
    summary = command(*words(made, folder), "--resume")
    assert summary["digest"] == json.loads((finished / "summary.json").read_text())["digest"]
    assert not list(folder.rglob("*.partial"))
    for name in ("rounds/round-0003.state.safetensors",):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()


def test_a_run_is_resumed_as_it_was_asked(made, finished, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(finished, folder)
    with pytest.raises(InputError, match=r"request\.recipe\.rate = 0\.02, now it is 0\.03"):
        command(*words(made, folder, rate="0.03"), "--resume")
    with pytest.raises(InputError, match="exists"):
        command(*words(made, folder))


def test_a_damaged_state_is_named(made, finished, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(finished, folder)
    state = folder / "rounds" / "round-0003.state.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"\x01")
    with pytest.raises(InputError, match=r"round-0003\.state\.safetensors cannot be read"):
        command(*words(made, folder), "--resume")


@pytest.mark.parametrize("certified", ["interval", "backsubstituted"])
def test_a_module_trains_on_bounds(made, tmp_path, certified, capsys):
    folder = tmp_path / "module"
    changes = {"model": None, "method": None, "module": f"{made / 'net.py'}:network", "certified": certified}
    summary = command(*words(made, folder, **changes))
    assert load_model(folder / "model.safetensors").digest() == summary["digest"]
    assert summary["rounds"][-1]["worst"] is not None and summary["rounds"][-1]["adversarial"] is None
    from safetensors.torch import load_file

    assert sorted(load_file(folder / "module.safetensors")) == sorted(
        ["head.bias", "head.weight", *(f"gru.{k}_{w}_l0" for k in ("weight", "bias") for w in ("ih", "hh"))]
    )
    (folder / "rounds" / "round-0003.json").unlink()
    assert command(*words(made, folder, **changes), "--resume")["digest"] == summary["digest"]


def test_a_loss_that_is_no_number_keeps_the_rounds_before(made, tmp_path):
    folder = tmp_path / "nan"
    given = words(made, folder, method=None, certified="interval", rate="1.7e308", rounds="8", epochs="1")
    with pytest.raises(NumericalError, match=r"keeps the|no round was done"):
        command(*given)
    assert not (folder / "summary.json").exists()
    for path in (folder / "rounds").glob("round-????.safetensors"):
        load_model(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": None}, "--model or with --module"),
        ({"method": None}, "one of the two"),
        ({"certified": "interval"}, "one of the two"),
        ({"method": "magic"}, "'magic' is not known"),
        ({"attacks": "pgd,magic"}, "'magic' is not known"),
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
    with pytest.raises(InputError, match=said):
        command(*words(made, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "said"), [("absent", "it has .*network"), ("nothing", "int"), ("wrong", "a mistake")])
def test_modules_that_are_none_are_named(made, tmp_path, name, said):
    with pytest.raises(InputError, match=said):
        command(*words(made, tmp_path / "run", model=None, module=f"{made / 'net.py'}:{name}"))


def test_the_training_data_does_not_measure(made, tmp_path):
    with pytest.raises(InputError, match="is the training data"):
        command(*words(made, tmp_path / "run", test=str(made / "train.npz")))


def test_a_folder_that_cannot_be_made(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((OutputError, InputError)):
        command(*words(made, tmp_path / "file" / "run"))

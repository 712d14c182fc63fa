"""The models that come with the package: present, readable, and as good as their metadata says."""

import json
import re

import pytest
import torch
from safetensors import safe_open
from torch import nn

from gpu_engine.loading import load_model
from gpu_engine.propagation.schedule import bound
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.spec import FrameBalls, untargeted
from refcert.app.datasets import load_sequences
from refcert.app.errors import InputError
from refcert.app.pretrained import PRETRAINED, pretrained_path

KINDS = {"digits_lstm": nn.LSTM, "digits_gru": nn.GRU, "digits_rnn": nn.RNN}
SMALLEST_ACCURACY = {"digits_lstm": 0.96, "digits_gru": 0.96, "digits_rnn": 0.94}


@pytest.fixture(scope="module")
def digits():
    return load_sequences("digits", input_size=8, count=None, classes=10)


def stored(name):
    with safe_open(pretrained_path(name), framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def test_every_known_model_is_there_and_small():
    paths = [pretrained_path(name) for name in PRETRAINED]
    assert set(PRETRAINED) == set(KINDS)
    assert [path.name for path in paths] == [f"{name}.safetensors" for name in PRETRAINED]
    assert sum(path.stat().st_size for path in paths) < 100_000


@pytest.mark.parametrize("name", ["digits", "", "../digits_lstm", "digits_lstm.safetensors", "DIGITS_LSTM"])
def test_unknown_names_are_refused_with_the_known_ones(name):
    with pytest.raises(InputError, match=re.escape(repr(name))) as caught:
        pretrained_path(name)
    assert all(known in str(caught.value) for known in PRETRAINED)


@pytest.mark.parametrize("name", PRETRAINED)
def test_weights_have_pytorchs_names_and_the_accuracy_that_the_metadata_says(name, digits):
    weights, metadata = stored(name)
    prefix = name.removeprefix("digits_")
    hidden = weights["linear.weight"].shape[1]
    network = nn.ModuleDict({prefix: KINDS[name](8, hidden, batch_first=True), "linear": nn.Linear(hidden, 10)})
    network.load_state_dict(weights, strict=True)
    assert {value.dtype for value in weights.values()} == {torch.float32}
    with torch.no_grad():
        outputs, _ = network[prefix](torch.from_numpy(digits.x).float())
        right = network["linear"](outputs[:, -1]).argmax(dim=1) == torch.from_numpy(digits.labels)
    accuracy = right.double().mean().item()
    assert accuracy >= SMALLEST_ACCURACY[name]
    assert f"test accuracy {accuracy:.4f}" in metadata["made"], json.dumps(metadata)
    assert "--seed 0" in metadata["made"]


def test_the_lstm_is_certified_at_meaningful_radii(digits):
    """At 0.01 of the pixels' range on all frames at once, most of the first 30 test images are certified."""
    model = load_model(pretrained_path("digits_lstm"))
    x, labels = torch.from_numpy(digits.x[:30]), torch.from_numpy(digits.labels[:30])
    balls = FrameBalls(x, torch.full(x.shape[:2], 0.01, dtype=torch.float64), clip=(0.0, 1.0))
    lower = bound(model, balls, untargeted(labels, 10), RELAXATIONS["parallel"], dtype=torch.float64).lower
    assert (lower > 0).all(dim=1).double().mean().item() >= 0.8


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_engine_decides_as_pytorch_does(name, digits):
    """The file itself says what its weights do not: the nonlinearity of the vanilla RNN."""
    weights, _ = stored(name)
    prefix, hidden = name.removeprefix("digits_"), weights["linear.weight"].shape[1]
    network = nn.ModuleDict(
        {prefix: KINDS[name](8, hidden, batch_first=True), "linear": nn.Linear(hidden, 10)}
    ).double()
    network.load_state_dict(weights)
    x = torch.from_numpy(digits.x)
    with torch.no_grad():
        outputs, _ = network[prefix](x)
        expected = network["linear"](outputs[:, -1])
    torch.testing.assert_close(load_model(pretrained_path(name)).logits(x), expected, rtol=1e-12, atol=1e-12)

"""Saving: what is written loads as the same network, and what cannot be written is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from gpu_engine.errors import ModelError
from gpu_engine.loading import load_model
from gpu_engine.saving import model_bytes, save_model
from refcert.app.pretrained import PRETRAINED, pretrained_path
from refcert.strategies import classifiers


@given(model=classifiers(max_layers=3, directions=("forward", "both"), embeddings=True))
def test_every_network_comes_back_with_its_digest(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    save_model(model, path)
    loaded = load_model(path)
    assert loaded.digest() == model.digest()
    assert loaded.readout == model.readout


@given(model=classifiers(directions=("reverse",)))
def test_a_layer_that_reads_backward_alone_is_refused(model):
    with pytest.raises(ModelError, match=r"layer [01] of the recurrence reads in the directions backward"):
        model_bytes(model)


@given(model=classifiers(directions=("both",), initial_states=False), data=st.data())
def test_directions_that_pytorch_cannot_join_are_refused(model, data):
    k = data.draw(st.integers(0, len(model.layers) - 1))
    forward, backward = model.layers[k]
    started = replace(backward, initial_hidden=torch.ones(backward.output_size, dtype=torch.float64))
    layers = (*model.layers[:k], (forward, started), *model.layers[k + 1 :])
    with pytest.raises(ModelError, match=f"layer {k} of the recurrence has directions of different"):
        model_bytes(replace(model, layers=layers))


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_shipped_models_keep_their_entries(name, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(load_model(pretrained_path(name)), path, {"made": "copied"})
    with safe_open(pretrained_path(name), framework="pt") as first, safe_open(path, framework="pt") as second:
        assert sorted(first.keys()) == sorted(second.keys())
        assert all(torch.equal(first.get_tensor(key), second.get_tensor(key)) for key in first.keys())  # noqa: SIM118
        assert all(first.get_tensor(key).dtype == second.get_tensor(key).dtype for key in first.keys())  # noqa: SIM118
        assert second.metadata()["made"] == "copied"


def test_notes_cannot_be_options(tmp_path):
    with pytest.raises(ModelError, match=r"refcert\.readout"):
        model_bytes(load_model(pretrained_path("digits_rnn")), {"refcert.readout": "max"})


def test_nothing_half_written_where_the_folder_is_missing(tmp_path):
    with pytest.raises(OSError):
        save_model(load_model(pretrained_path("digits_rnn")), tmp_path / "absent" / "model.safetensors")
    assert not list(tmp_path.iterdir())

"""Trainable networks: the same function as what they were made from, with gradients to every weight."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gpu_engine.errors import ModelError
from gpu_engine.module_loading import from_module
from gpu_engine.training.trainable import Trainable, TrainableModule
from refcert.strategies import classifiers, sequences
from tests.engine.modules import Net, inputs_of, nets


@settings(max_examples=40)
@given(model=classifiers(embeddings=True), data=st.data())
def test_a_trainable_network_is_the_network(model, data):
    network, x = Trainable(model), data.draw(sequences(model, ragged=False)).x
    assert network.frozen().digest() == model.digest()
    assert torch.equal(network(x).detach(), model.logits(x))


@settings(max_examples=40)
@given(model=classifiers(scales=(0.5, 0.1)), data=st.data())
def test_float32_is_the_network_up_to_rounding(model, data):
    network, x = Trainable(model, torch.float32), data.draw(sequences(model, ragged=False)).x.clamp(-1, 1)
    found = network(x).detach()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), model.logits(x), rtol=1e-3, atol=1e-3)
    assert network.frozen().stored_dtype == "float32"


def test_a_frozen_copy_does_not_follow():
    network = Trainable(from_module(Net()))
    frozen = network.frozen()
    before = frozen.digest()
    with torch.no_grad():
        network.weights[0].add_(1.0)
    assert frozen.digest() == before
    assert network.frozen().digest() != before


@settings(max_examples=25)
@given(module=nets())
def test_a_module_is_seen_through_the_normal_form(module):
    network = TrainableModule(module, module.structure, module.readout)
    x, frames = inputs_of(module)
    torch.testing.assert_close(network(frames).detach(), module(x).detach())
    assert network.frozen().digest() == from_module(module, structure=module.structure, readout=module.readout).digest()
    # The same gradients as through the module's own code; an embedding does not train.
    own = [value for name, value in module.named_parameters() if not name.startswith("embed")]
    mine = torch.autograd.grad(network(frames).square().sum(), own)
    for a, b in zip(mine, torch.autograd.grad(module(x).square().sum(), own), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


def test_a_module_that_cannot_be_read_is_refused():
    with pytest.raises(ModelError, match="LSTM"):
        TrainableModule(nn.Sequential(nn.Linear(3, 2)))

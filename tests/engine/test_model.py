"""The normal form: what it computes, what it accepts, and what its digest depends on."""

import dataclasses
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gpu_engine.errors import ModelError
from gpu_engine.model import LSTMLayer, RecurrentClassifier


def layer(inputs: int, hidden: int, generator: torch.Generator) -> LSTMLayer:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return LSTMLayer(normal(4 * hidden, inputs), normal(4 * hidden, hidden), normal(4 * hidden), normal(4 * hidden))


def classifier(sizes: tuple[int, ...] = (3, 4, 2), classes: int = 5, seed: int = 0) -> RecurrentClassifier:
    """sizes: input size, then every layer's hidden size."""
    generator = torch.Generator().manual_seed(seed)
    layers = tuple(layer(below, hidden, generator) for below, hidden in itertools.pairwise(sizes))
    weight = torch.randn(classes, sizes[-1], generator=generator, dtype=torch.float64)
    return RecurrentClassifier(layers, weight, torch.arange(classes, dtype=torch.float64))


def changed(model: RecurrentClassifier, k: int, **weights: torch.Tensor) -> RecurrentClassifier:
    layers = list(model.layers)
    layers[k] = dataclasses.replace(layers[k], **weights)
    return dataclasses.replace(model, layers=tuple(layers))


@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple),
    batch=st.integers(1, 3),
    time=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_logits_are_those_of_pytorchs_own_cells(sizes, batch, time, seed):
    model = classifier(sizes, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    x = torch.randn(batch, time, sizes[0], generator=generator, dtype=torch.float64)
    frames = list(x.unbind(dim=1))
    for part in model.layers:
        cell = nn.LSTMCell(part.input_size, part.hidden_size, dtype=torch.float64)
        cell.load_state_dict({name: getattr(part, name) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")})
        state = None
        for t, frame in enumerate(frames):
            state = cell(frame, state)
            frames[t] = state[0]
    expected = (frames[-1] @ model.head_weight.T + model.head_bias).detach()
    torch.testing.assert_close(model.logits(x), expected, rtol=0, atol=1e-12)


def test_one_cell_by_hand():
    """i, f, g, o in this order: only g sees the input, and the other gates' biases are told apart."""
    weight = torch.tensor([[0.0], [0.0], [1.0], [0.0]], dtype=torch.float64)
    bias = torch.tensor([0.5, -1.0, 0.0, 2.0], dtype=torch.float64)
    cell = LSTMLayer(weight, torch.zeros(4, 1, dtype=torch.float64), bias, torch.zeros_like(bias))
    model = RecurrentClassifier(
        (cell,), torch.tensor([[3.0]], dtype=torch.float64), torch.tensor([0.25], dtype=torch.float64)
    )
    x = torch.tensor([[[0.3], [-0.7]]], dtype=torch.float64)
    i, f, o = (torch.sigmoid(bias[k]) for k in (0, 1, 3))
    first = i * torch.tanh(x[0, 0, 0])
    second = f * first + i * torch.tanh(x[0, 1, 0])
    expected = 3 * o * torch.tanh(second) + 0.25
    assert model.logits(x).item() == pytest.approx(expected.item(), abs=1e-15)


def test_logits_of_a_batch_are_those_of_its_samples():
    model = classifier()
    x = torch.randn(6, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    alone = torch.cat([model.logits(sample[None]) for sample in x])
    torch.testing.assert_close(model.logits(x), alone, rtol=0, atol=1e-13)


def test_sizes_and_description():
    model = classifier((3, 4, 2), classes=5)
    assert (model.input_size, model.classes) == (3, 5)
    assert model.describe() == "LSTM, 2 layers of 4, 2 units, 3 inputs per frame, 5 classes"
    assert classifier((3, 4)).describe() == "LSTM, 1 layer of 4 units, 3 inputs per frame, 5 classes"


def test_named_weights_are_complete_and_in_a_stable_order():
    names = list(classifier((3, 4, 2)).named_weights())
    kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert names == [f"layers.{k}.{kind}" for k in (0, 1) for kind in kinds] + ["head.weight", "head.bias"]


def test_digest_depends_on_every_weight_and_on_nothing_else():
    model = classifier()
    same = dataclasses.replace(model, stored_dtype="float16")
    assert model.digest() == same.digest() == classifier().digest()
    seen = {model.digest()}
    for name, weight in model.named_weights().items():
        weight.view(-1)[-1] += 2.0**-40
        assert model.digest() not in seen, name
        seen.add(model.digest())


def test_digest_does_not_depend_on_memory_layout():
    model = classifier()
    turned = changed(model, 0, weight_ih=model.layers[0].weight_ih.T.contiguous().T)
    assert not turned.layers[0].weight_ih.is_contiguous()
    assert turned.digest() == model.digest()


def test_digest_tells_shapes_apart_that_hold_the_same_numbers():
    def zeros(*shape: int) -> torch.Tensor:
        return torch.zeros(*shape, dtype=torch.float64)

    def model(inputs: int, classes: int) -> RecurrentClassifier:
        part = LSTMLayer(zeros(4, inputs), zeros(4, 1), zeros(4), zeros(4))
        return RecurrentClassifier((part,), zeros(classes, 1), zeros(classes))

    assert model(1, 3).digest() != model(2, 1).digest()


@pytest.mark.parametrize(
    ("k", "weights", "message"),
    [
        (
            0,
            {"weight_ih": torch.zeros(15, 3)},
            r"layer 0: weight_ih has shape \(15, 3\), an LSTM needs \(16, 3\)",
        ),
        (
            0,
            {"weight_hh": torch.zeros(12, 4)},
            r"layer 0: weight_hh has shape \(12, 4\), an LSTM needs \(16, 4\)",
        ),
        (
            1,
            {"weight_ih": torch.zeros(8, 3)},
            r"layer 1: weight_ih has shape \(8, 3\), an LSTM needs \(8, 4\)",
        ),
        (1, {"bias_ih": torch.zeros(7)}, r"layer 1: bias_ih has shape \(7,\), an LSTM needs \(8,\)"),
        (1, {"bias_hh": torch.zeros(8, 1)}, r"layer 1: bias_hh has shape \(8, 1\), an LSTM needs \(8,\)"),
        (0, {"bias_ih": torch.zeros(16)}, r"layers\.0\.bias_ih is torch\.float32"),
    ],
)
def test_wrong_layers_are_refused(k, weights, message):
    with pytest.raises(ModelError, match=message):
        changed(classifier((3, 4, 2)), k, **weights)


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        ({"layers": ()}, "no recurrent layer"),
        (
            {"head_weight": torch.zeros(5, 3).double()},
            r"head's weight has shape \(5, 3\), it needs \(classes, 2\)",
        ),
        ({"head_weight": torch.zeros(2).double()}, r"head's weight has shape \(2,\)"),
        ({"head_bias": torch.zeros(4).double()}, r"head's bias has shape \(4,\), it needs \(5,\)"),
        ({"head_bias": torch.zeros(5)}, r"head\.bias is torch\.float32"),
    ],
)
def test_wrong_heads_are_refused(replacement, message):
    with pytest.raises(ModelError, match=message):
        dataclasses.replace(classifier((3, 4, 2)), **replacement)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_with_their_index(value):
    model = classifier((3, 4, 2))
    weight = model.layers[1].weight_hh.clone()
    weight[5, 1] = value
    with pytest.raises(ModelError, match=rf"layers\.1\.weight_hh\[5, 1\] is {value}"):
        changed(model, 1, weight_hh=weight)

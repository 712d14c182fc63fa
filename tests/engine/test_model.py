"""The normal form: what it computes, what it accepts, and what its digest depends on."""

import dataclasses
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.errors import ModelError
from gpu_engine.model import (
    ACTIVATIONS,
    GATES,
    READOUTS,
    Activation,
    Dense,
    Direction,
    RecurrentClassifier,
)
from refcert.strategies import classifiers


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def direction(below: int, hidden: int, generator: torch.Generator, cell: str = "lstm", **more) -> Direction:
    rows = GATES[cell] * hidden
    shapes = ((rows, below), (rows, hidden), (rows,), (rows,))
    return Direction(cell, *(normal(generator, *shape) for shape in shapes), **more)


def classifier(sizes: tuple[int, ...] = (3, 4, 2), classes: int = 5, seed: int = 0, cell="lstm") -> RecurrentClassifier:
    """sizes: input size, then every layer's hidden size."""
    generator = torch.Generator().manual_seed(seed)
    layers = tuple((direction(below, hidden, generator, cell),) for below, hidden in itertools.pairwise(sizes))
    head = Dense(normal(generator, classes, sizes[-1]), torch.arange(classes, dtype=torch.float64))
    return RecurrentClassifier(layers, (head,))


def everything() -> RecurrentClassifier:
    """Every kind of weight at once: embedding, both stacks, two directions, projection, start states."""
    g = torch.Generator().manual_seed(0)
    top = tuple(
        Direction(
            "lstm",
            *(normal(g, *shape) for shape in ((16, 4), (16, 2), (16,), (16,), (2, 4), (2,), (4,))),
            reverse=reverse,
        )
        for reverse in (False, True)
    )
    return RecurrentClassifier(
        layers=((direction(6, 4, g, "gru"),), top),
        after=(Activation("tanh"), Dense(normal(g, 3, 4), normal(g, 3)), Dense(normal(g, 5, 3), normal(g, 5))),
        before=(Dense(normal(g, 6, 3), normal(g, 6)), Activation("relu")),
        readout="mean",
        embedding=normal(g, 7, 3),
    )


def changed(model: RecurrentClassifier, k: int, **weights: torch.Tensor) -> RecurrentClassifier:
    layers = list(model.layers)
    layers[k] = (dataclasses.replace(layers[k][0], **weights), *layers[k][1:])
    return dataclasses.replace(model, layers=tuple(layers))


def test_one_cell_by_hand():
    """i, f, g, o in this order: only g sees the input, and the other gates' biases are told apart."""
    weight = torch.tensor([[0.0], [0.0], [1.0], [0.0]], dtype=torch.float64)
    bias = torch.tensor([0.5, -1.0, 0.0, 2.0], dtype=torch.float64)
    cell = Direction("lstm", weight, torch.zeros(4, 1, dtype=torch.float64), bias, torch.zeros_like(bias))
    head = Dense(torch.tensor([[3.0]], dtype=torch.float64), torch.tensor([0.25], dtype=torch.float64))
    model = RecurrentClassifier(((cell,),), (head,))
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
    full = everything()
    assert (full.input_size, full.classes, full.outputs(4)) == (3, 5, 5)
    assert full.describe() == (
        "GRU and LSTM, 2 layers of 4, 4 units, bidirectional, projected, layers in front, mean over time, "
        "3 inputs per frame, 5 classes"
    )
    assert full.structure() == "dense/relu|gru>;lstm>,lstm<|mean|tanh/dense/dense"
    assert dataclasses.replace(full, readout="every").outputs(4) == 20


def test_named_weights_are_complete_and_in_a_stable_order():
    names = list(classifier((3, 4, 2)).named_weights())
    kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert names == [f"layers.{k}.0.{kind}" for k in (0, 1) for kind in kinds] + ["after.0.weight", "after.0.bias"]
    names = list(everything().named_weights())
    projected = [*kinds, "weight_hr", "initial_hidden", "initial_cell"]
    assert names == [
        *("embedding", "before.0.weight", "before.0.bias"),
        *(f"layers.0.0.{kind}" for kind in kinds),
        *(f"layers.1.{j}.{kind}" for j in (0, 1) for kind in projected),
        *(f"after.{k}.{kind}" for k in (1, 2) for kind in ("weight", "bias")),
    ]


def test_digest_depends_on_every_weight_and_on_nothing_else():
    model = everything()
    same = dataclasses.replace(model, stored_dtype="float16", reading="lstm linear")
    assert model.digest() == same.digest() == everything().digest()
    seen = {model.digest()}
    for name, weight in model.named_weights().items():
        weight.view(-1)[-1] += 2.0**-40
        assert model.digest() not in seen, name
        seen.add(model.digest())


def test_digest_does_not_depend_on_memory_layout():
    model = classifier()
    turned = changed(model, 0, weight_ih=model.layers[0][0].weight_ih.T.contiguous().T)
    assert not turned.layers[0][0].weight_ih.is_contiguous()
    assert turned.digest() == model.digest()


def test_digest_tells_shapes_apart_that_hold_the_same_numbers():
    def model(inputs: int, classes: int) -> RecurrentClassifier:
        part = Direction("lstm", zeros(4, inputs), zeros(4, 1), zeros(4), zeros(4))
        return RecurrentClassifier(((part,),), (Dense(zeros(classes, 1), zeros(classes)),))

    assert model(1, 3).digest() != model(2, 1).digest()


def other_functions() -> dict[str, RecurrentClassifier]:
    """Networks with the same numbers (shared where shapes allow) that compute different functions."""
    generator = torch.Generator().manual_seed(0)
    rows = {gates: (normal(generator, gates * 2, 2), normal(generator, gates * 2, 2)) for gates in (1, 3, 4)}
    bias = {gates: normal(generator, gates * 2) for gates in (1, 3, 4)}
    one, wide = (Dense(normal(generator, 2, n), normal(generator, 2)) for n in (2, 4))

    def part(cell: str = "lstm", **more) -> Direction:
        gates = GATES[cell]
        return Direction(cell, *rows[gates], bias[gates], bias[gates], **more)

    def model(*layers, after=(one,), **more) -> RecurrentClassifier:
        return RecurrentClassifier(layers, after, **more)

    both, state = (part(), part(reverse=True)), normal(generator, 2)
    found = {cell: model((part(cell),)) for cell in GATES}
    found |= {"reverse": model((part(reverse=True),)), "two layers": model((part(),), (part(),))}
    found |= {"other directions": model(both[::-1], after=(wide,))}
    found |= {f"both, {kind}": model(both, after=(wide,), readout=kind) for kind in READOUTS}
    found |= {f"{kind} behind": model((part(),), after=(Activation(kind), one)) for kind in ACTIVATIONS}
    found |= {f"{kind} in front": model((part(),), before=(Activation(kind),)) for kind in ACTIVATIONS}
    found |= {"a layer behind": model((part(),), after=(one, one)), "in front": model((part(),), before=(one,))}
    found |= {"around": model((part(),), after=(one, Activation("tanh"), one), before=(one, Activation("relu")))}
    found |= {"start": model((part(initial_hidden=state),)), "cell": model((part(initial_cell=state),))}
    found |= {"start in GRU": model((part("gru", initial_hidden=state),))}
    return found


def test_digests_and_structures_tell_different_functions_apart():
    """Networks that compute different things never share a digest, however many numbers they share."""
    models = other_functions()
    digests = {name: model.digest() for name, model in models.items()}
    assert len(set(digests.values())) == len(models)
    x = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    answers = {name: model.logits(x) for name, model in models.items()}
    for (a, first), (b, second) in itertools.combinations(answers.items(), 2):
        assert first.shape != second.shape or (first - second).abs().max() > 1e-6, (a, b)


@given(classifiers(max_layers=3, embeddings=True), st.data())
def test_digests_depend_on_every_weight_of_every_kind_of_network(model, data):
    before, names = model.digest(), model.named_weights()
    name = data.draw(st.sampled_from(sorted(names)))
    names[name].view(-1)[-1] += 1.0
    assert model.digest() != before


def zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.float64)


HEAD = Dense(zeros(5, 2), zeros(5))


@pytest.mark.parametrize(
    ("k", "weights", "message"),
    [
        (
            0,
            {"weight_ih": torch.zeros(15, 3)},
            r"layer 0: weight_ih has shape \(15, 3\), it needs \(16, any\)",
        ),
        (
            0,
            {"weight_hh": torch.zeros(12, 4)},
            r"layer 0: weight_hh has shape \(12, 4\), a lstm cell without projection needs \(16, 4\)",
        ),
        (
            1,
            {"weight_ih": torch.zeros(8, 3)},
            r"layer 1: weight_ih has shape \(8, 3\), it needs \(8, 4\)",
        ),
        (1, {"bias_ih": torch.zeros(7)}, r"layer 1: bias_ih has shape \(7,\), it needs \(8,\)"),
        (1, {"bias_hh": torch.zeros(8, 1)}, r"layer 1: bias_hh has shape \(8, 1\), it needs \(8,\)"),
        (0, {"bias_ih": torch.zeros(16)}, r"layers\.0\.0\.bias_ih is torch\.float32"),
        (0, {"cell": "elman"}, "layer 0: cell 'elman' is not known; known: lstm, gru"),
        (0, {"cell": "gru"}, r"layer 0: weight_hh has shape \(16, 4\); a gru cell needs 3 blocks"),
        (0, {"cell": "rnn_tanh"}, r"a rnn_tanh cell without projection needs \(4, 4\)"),
        (0, {"weight_hr": zeros(3, 4)}, r"layer 0: weight_hr has shape \(3, 4\), it needs \(4, 4\)"),
        (0, {"weight_hh": zeros(16, 3)}, r"a lstm cell without projection needs \(12, 3\)"),
        (0, {"initial_hidden": zeros(3)}, r"layer 0: initial_hidden has shape \(3,\), it needs \(4,\)"),
        (0, {"initial_cell": zeros(1, 4)}, r"layer 0: initial_cell has shape \(1, 4\), it needs \(4,\)"),
    ],
)
def test_wrong_layers_are_refused(k, weights, message):
    with pytest.raises(ModelError, match=message):
        changed(classifier((3, 4, 2)), k, **weights)


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        ({"layers": ()}, "no recurrent layer"),
        ({"layers": ((),)}, "no recurrent layer"),
        ({"after": ()}, "no linear head"),
        ({"after": (HEAD, Activation("relu"))}, "no linear head"),
        ({"after": (Dense(zeros(5, 3), zeros(5)),)}, r"after\.0: weight has shape \(5, 3\), it needs \(any, 2\)"),
        ({"after": (Dense(zeros(2), zeros(5)),)}, r"after\.0: weight has shape \(2,\)"),
        ({"after": (Dense(zeros(5, 2), zeros(4)),)}, r"after\.0: bias has shape \(4,\), it needs \(5,\)"),
        ({"after": (Dense(zeros(5, 2), torch.zeros(5)),)}, r"after\.0\.bias is torch\.float32"),
        ({"after": (Activation("elu"), HEAD)}, r"after\.0: activation 'elu' is not known; known: relu"),
        ({"before": (Dense(zeros(4, 3), zeros(4)),)}, r"layer 0: weight_ih has shape \(16, 3\), it needs \(16, 4\)"),
        ({"readout": "first"}, "readout 'first' is not known; known: final"),
        ({"embedding": zeros(9)}, r"the embedding has shape \(9,\)"),
        ({"embedding": zeros(9, 4)}, r"layer 0: weight_ih has shape \(16, 3\), it needs \(16, 4\)"),
    ],
)
def test_wrong_parts_are_refused(replacement, message):
    with pytest.raises(ModelError, match=message):
        dataclasses.replace(classifier((3, 4, 2)), **replacement)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_with_their_index(value):
    model = classifier((3, 4, 2))
    weight = model.layers[1][0].weight_hh.clone()
    weight[5, 1] = value
    with pytest.raises(ModelError, match=rf"layers\.1\.0\.weight_hh\[5, 1\] is {value}"):
        changed(model, 1, weight_hh=weight)


def test_cells_without_projection_or_cell_state_refuse_them():
    with pytest.raises(ModelError, match="layer 0: weight_hr is given, but a gru cell has none"):
        changed(classifier((3, 4), cell="gru"), 0, weight_hr=zeros(4, 4))
    with pytest.raises(ModelError, match="layer 0: initial_cell is given, but a rnn_relu cell has none"):
        changed(classifier((3, 4), cell="rnn_relu"), 0, initial_cell=zeros(4))


def test_two_directions_of_one_layer_have_to_differ():
    model = classifier((3, 4))
    part = model.layers[0][0]
    with pytest.raises(ModelError, match="layer 0 has 2 directions; it may have one forward and one backward"):
        dataclasses.replace(model, layers=((part, part),))

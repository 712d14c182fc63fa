"""The plain forward pass: PyTorch's own cells, or the equations one unit at a time, on networks of every kind."""

import math

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from gpu_engine import forward
from gpu_engine.errors import SpecificationError
from gpu_engine.loading import from_state_dict
from gpu_engine.model import GATES, READOUTS, Activation, Dense
from refcert.strategies import classifiers, sequences
from tests.engine.modules import Net, RaggedNet, fill, inputs_of, nets

FUNCTIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
PYTORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}


def by_pytorch(direction, x):
    """One sequence (time, input) -> (time, output) by PyTorch's own layer, which reads forward."""
    options = {"proj_size": direction.output_size} if direction.weight_hr is not None else {}
    if direction.cell.startswith("rnn"):
        options["nonlinearity"] = direction.cell.removeprefix("rnn_")
    part = PYTORCH[direction.cell](direction.input_size, direction.hidden_size, dtype=torch.float64, **options)
    weights = dict(direction.named_weights())
    part.load_state_dict({f"{name}_l0": value for name, value in weights.items() if not name.startswith("initial")})
    hidden = weights.get("initial_hidden", torch.zeros(direction.output_size).double())[None]
    cell = weights.get("initial_cell", torch.zeros(direction.hidden_size).double())[None]
    with torch.no_grad():
        return part(x, (hidden, cell) if direction.cell == "lstm" else hidden)[0]


def by_hand(direction, x):
    """The two cells that PyTorch has not, one unit at a time, in Python's floats."""
    wx, wh, bx, bh = (value.tolist() for _, value in list(direction.named_weights())[:4])
    size = direction.hidden_size
    h = [0.0] * size if direction.initial_hidden is None else direction.initial_hidden.tolist()
    outputs = []
    for frame in x.tolist():

        def gate(row, state, frame=frame):
            return math.fsum(
                [bx[row], bh[row]]
                + [w * value for w, value in zip(wx[row], frame, strict=True)]
                + [w * value for w, value in zip(wh[row], state, strict=True)]
            )

        if direction.cell == "rnn_sigmoid":
            h = [sigmoid(gate(k, h)) for k in range(size)]
        else:
            r = [sigmoid(gate(k, h)) for k in range(size)]
            z = [sigmoid(gate(size + k, h)) for k in range(size)]
            kept = [a * b for a, b in zip(r, h, strict=True)]
            n = [math.tanh(gate(2 * size + k, kept)) for k in range(size)]
            h = [(1 - z[k]) * n[k] + z[k] * h[k] for k in range(size)]
        outputs.append(h)
    return torch.tensor(outputs, dtype=torch.float64)


def sigmoid(v):
    return 1 / (1 + math.exp(-v)) if v > -700 else 0.0


def blocks(stack, value):
    for block in stack:
        if isinstance(block, Activation):
            value = FUNCTIONS[block.kind](value)
        else:
            assert isinstance(block, Dense)
            value = nn.functional.linear(value, block.weight, block.bias)
    return value


def expected(model, sequence):
    """Logits of one sequence (time, input)."""
    value = blocks(model.before, sequence)
    for layer in model.layers:
        runs = []
        for direction in layer:
            run = by_pytorch if direction.cell in PYTORCH else by_hand
            runs.append(run(direction, value.flip(0)).flip(0) if direction.reverse else run(direction, value))
        value = torch.cat(runs, dim=1)
    if model.readout == "final":
        ends = [run[0] if d.reverse else run[-1] for d, run in zip(layer, runs, strict=True)]
        value = torch.cat(ends)
    elif model.readout != "every":
        value = {"last_frame": value[-1], "mean": value.mean(0), "max": value.max(0).values}[model.readout]
    return blocks(model.after, value)


def assert_equal_up_to_rounding(found, wanted, **options):
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11 * (1 + wanted.nan_to_num().abs().max().item()))


GENTLE = (0.5, 0.1, 1.0)
"""Recurrences with larger weights can amplify the rounding of two equal formulas without bound."""


@given(classifiers(max_layers=3, scales=GENTLE), st.data())
def test_logits_are_those_of_the_equations_for_networks_of_every_kind(model, data):
    x = data.draw(sequences(model, ragged=False)).x
    wanted = torch.stack([expected(model, sequence) for sequence in x])
    assert_equal_up_to_rounding(model.logits(x), wanted)
    assert wanted[0].numel() == model.outputs(x.shape[1])


@given(
    classifiers(max_layers=3, scales=GENTLE), st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 999)
)
def test_a_ragged_batch_gives_what_each_sequence_gives_alone(model, lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    time = max(lengths)
    x = torch.randn(len(lengths), time, model.input_size, generator=generator, dtype=torch.float64)
    found = forward.logits_ragged(model, x, lengths)
    for b, length in enumerate(lengths):
        alone = expected(model, x[b, :length])
        if model.readout == "every":
            assert found[b, length:].isnan().all()
            assert_equal_up_to_rounding(found[b, :length], alone)
        else:
            assert_equal_up_to_rounding(found[b], alone)
    behind = x.clone()
    for b, length in enumerate(lengths):
        behind[b, length:] = torch.nan
    again = forward.logits_ragged(model, behind, torch.tensor(lengths))
    torch.testing.assert_close(again, found, rtol=0, atol=0, equal_nan=True)


@given(nets(kind=RaggedNet), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_ragged_batch_gives_what_pytorchs_packed_sequences_give(module, lengths):
    model = from_state_dict(module.state_dict(), structure=module.structure, readout=module.readout)
    x, frames = inputs_of(module, len(lengths), max(lengths))
    wanted = module(x, torch.tensor(lengths)).detach()
    found = forward.logits_ragged(model, frames, lengths)
    if module.readout == "every":
        there = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        assert found[~there].isnan().all()
        found, wanted = found[there], wanted[there]
    assert_equal_up_to_rounding(found, wanted)


@pytest.mark.parametrize("lengths", [[1, 2], [0, 1, 1], [1, 5, 1], [-1, 1, 1]])
def test_lengths_that_do_not_fit_are_refused(lengths):
    model = from_state_dict(fill(Net(), seed=0).state_dict())
    with pytest.raises(SpecificationError, match=r"lengths .* 3 sequences of up to 4 frames"):
        forward.logits_ragged(model, torch.zeros(3, 4, 3), lengths)


def some(model, test):
    return any(test(direction) for layer in model.layers for direction in layer)


KINDS_DRAWN = {
    **{cell: lambda m, cell=cell: some(m, lambda d: d.cell == cell) for cell in GATES},
    **{readout: lambda m, readout=readout: m.readout == readout for readout in READOUTS},
    "three layers": lambda m: len(m.layers) == 3,
    "both directions": lambda m: any(len(layer) == 2 for layer in m.layers),
    "reverse only": lambda m: any(len(layer) == 1 and layer[0].reverse for layer in m.layers),
    "projection": lambda m: some(m, lambda d: d.weight_hr is not None),
    "start states": lambda m: some(m, lambda d: d.initial_hidden is not None and d.initial_cell is not None),
    "no bias": lambda m: not some(m, lambda d: d.bias_ih.any()),
    "saturating": lambda m: some(m, lambda d: d.weight_ih.abs().max() > 20),
    "in front": lambda m: any(isinstance(block, Dense) for block in m.before),
    "behind": lambda m: len(m.after) > 1,
    "embedding": lambda m: m.embedding is not None,
    "mixed cells": lambda m: len({d.cell for layer in m.layers for d in layer}) > 1,
}


def test_the_strategy_draws_networks_of_every_kind():
    """Laws over networks say something about a kind only if it occurs."""
    missing = set(KINDS_DRAWN)

    @settings(max_examples=300, phases=[Phase.generate], database=None)
    @given(classifiers(max_layers=3, embeddings=True))
    def draw(model):
        missing.difference_update([kind for kind in missing if KINDS_DRAWN[kind](model)])

    draw()
    assert not missing


@given(
    classifiers(max_layers=1, cells=["gru"], readouts=["mean"], directions=["both"], initial_states=False, stacks=False)
)
def test_the_strategy_keeps_to_what_is_asked_for(model):
    assert (len(model.layers), len(model.layers[0]), model.readout, model.before) == (1, 2, "mean", ())
    assert not some(model, lambda d: d.cell != "gru" or d.initial_hidden is not None)
    assert len(model.after) == 1

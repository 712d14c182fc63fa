"""The plain forward pass equals torch.nn's, and the scalar equations equal the plain forward pass."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from refcert.reference.equations import evaluate
from refcert.reference.errors import ReferenceInputError
from refcert.reference.networks import Dense, Network, Recurrent, logits, network_from_plain
from refcert.reference.unrolling import unroll
from tests.reference.drawn import networks, seeds

TORCH = {
    "lstm": torch.nn.LSTM,
    "gru": torch.nn.GRU,
    "rnn_tanh": torch.nn.RNN,
    "rnn_relu": lambda *args, **options: torch.nn.RNN(*args, nonlinearity="relu", **options),
}


def parts_of(module, cell, layers, ways, start, start_cell):
    """Our layers from a torch module; start: h0 (layers ways, output)."""
    result = []
    for k in range(layers):
        layer = []
        for d in range(ways):
            end = f"l{k}" + ("_reverse" if d else "")
            take = {name: getattr(module, f"{name}_{end}", None) for name in ("weight_ih", "weight_hh", "weight_hr")}
            arrays = {name: None if value is None else value.detach().numpy() for name, value in take.items()}
            rows = len(arrays["weight_ih"])
            for name in ("bias_ih", "bias_hh"):
                value = getattr(module, f"{name}_{end}", None)
                arrays[name] = np.zeros(rows) if value is None else value.detach().numpy()
            layer.append(
                Recurrent(
                    cell,
                    initial_hidden=start[k * ways + d],
                    initial_cell=start_cell[k * ways + d] if cell == "lstm" else None,
                    reverse=bool(d),
                    **arrays,
                )
            )
        result.append(tuple(layer))
    return tuple(result)


@pytest.mark.parametrize("cell", TORCH)
@pytest.mark.parametrize(
    ("layers", "both", "bias", "proj_size"),
    [(1, False, True, 0), (2, True, True, 0), (1, True, False, 0), (2, True, True, 2)],
)
def test_torch(cell, layers, both, bias, proj_size):
    if proj_size and cell != "lstm":
        proj_size = 0
    torch.manual_seed(layers + 7 * len(cell))
    hidden, inputs, time, ways = 3, 2, 4, 2 if both else 1
    options = {"num_layers": layers, "bidirectional": both, "bias": bias, "dtype": torch.float64}
    module = TORCH[cell](inputs, hidden, **options, **({"proj_size": proj_size} if proj_size else {}))
    h0 = torch.randn(layers * ways, proj_size or hidden, dtype=torch.float64)
    c0 = torch.randn(layers * ways, hidden, dtype=torch.float64)
    x = torch.randn(time, inputs, dtype=torch.float64)
    with torch.no_grad():
        output, state = module(x, (h0, c0) if cell == "lstm" else h0)
    finals = (state[0] if cell == "lstm" else state).view(layers, ways, -1)[-1].reshape(-1)
    expected = {
        "final": finals,
        "last_frame": output[-1],
        "mean": output.mean(0),
        "max": output.amax(0),
        "every": output,
    }
    parts = parts_of(module, cell, layers, ways, h0.numpy(), c0.numpy())
    size = output.shape[1]
    for readout, values in expected.items():
        network = Network(parts, (Dense(np.eye(size), np.zeros(size)),), (), readout)
        np.testing.assert_allclose(logits(network, x.numpy()), values.numpy(), rtol=0, atol=1e-13)


def test_reset_before_and_sigmoid_cells_by_hand():
    """The two cells that torch.nn has not, on one unit, against numbers worked out from their equations."""
    weights = (
        np.array([[1.0], [2.0], [3.0]]),
        np.array([[0.5], [0.25], [2.0]]),
        np.array([0.1, 0.2, 0.3]),
        np.zeros(3),
    )
    part = Recurrent("gru_reset_before", *weights, initial_hidden=np.array([0.5]))
    head = (Dense(np.eye(1), np.zeros(1)),)
    r, z = (1 / (1 + np.exp(-(a * 0.4 + u * 0.5 + b))) for a, u, b in ((1, 0.5, 0.1), (2, 0.25, 0.2)))
    n = np.tanh(3 * 0.4 + 0.3 + 2.0 * (r * 0.5))
    found = logits(Network(((part,),), head), np.array([[0.4]]))
    np.testing.assert_allclose(found, [(1 - z) * n + z * 0.5], atol=1e-15)
    cell = Recurrent("rnn_sigmoid", np.array([[2.0]]), np.array([[1.0]]), np.array([0.5]), np.array([0.25]))
    np.testing.assert_allclose(
        logits(Network(((cell,),), head), np.array([[0.4]])), [1 / (1 + np.exp(-(0.8 + 0.75)))], atol=1e-15
    )


@given(networks(), st.integers(1, 4), seeds, st.sampled_from(("chain", "tree")))
def test_equations_equal_the_forward_pass(drawn, time, seed, maximum):
    network, inputs = drawn
    x = np.random.default_rng(seed).normal(0, 1, (time, inputs))
    program = unroll(network, time, inputs, maximum)
    values = evaluate(program, x)
    found = np.array([values[variable] for variable in program.outputs])
    np.testing.assert_allclose(found, logits(network, x).reshape(-1), rtol=1e-12, atol=1e-12)


def test_activations_in_a_stack():
    part = Recurrent("rnn_relu", np.eye(2), np.zeros((2, 2)), np.zeros(2), np.zeros(2))
    network = Network(((part,),), ("sigmoid", Dense(np.eye(2), np.zeros(2))), ("tanh",))
    x = np.array([[0.5, -0.5]])
    expected = 1 / (1 + np.exp(-np.maximum(np.tanh(x[0]), 0)))
    np.testing.assert_allclose(logits(network, x), expected, atol=1e-15)


def test_plain_dictionaries_and_their_faults():
    weights = {"weight_ih": [[1.0]], "weight_hh": [[0.5]], "bias_ih": [0.0], "bias_hh": [0.0]}
    plain = {
        "before": ["relu"],
        "layers": [[{"cell": "rnn_tanh", **weights}]],
        "after": [{"weight": [[2.0]], "bias": [1.0]}],
        "readout": "mean",
    }
    network = network_from_plain(plain)
    np.testing.assert_allclose(logits(network, np.array([[0.5]])), [2 * np.tanh(0.5) + 1])
    with pytest.raises(ReferenceInputError, match="bias"):
        network_from_plain({**plain, "after": [{"weight": [[2.0]], "bias": [float("nan")]}]})
    with pytest.raises(ReferenceInputError, match="weight"):
        network_from_plain({**plain, "after": [{"weight": np.float32([[2.0]]), "bias": [0.0]}]})
    with pytest.raises(ReferenceInputError, match="median"):
        network_from_plain({**plain, "readout": "median"})
    with pytest.raises(ReferenceInputError, match="gelu"):
        network_from_plain({**plain, "before": ["gelu"]})
    with pytest.raises(ReferenceInputError, match="lst"):
        network_from_plain({**plain, "layers": [[{"cell": "lst", **weights}]]})

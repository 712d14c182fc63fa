"""What is loaded computes what its own framework computes: PyTorch's modules, and ONNX graphs run by onnx itself."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from gpu_engine.cells.unroll import unroll
from gpu_engine.errors import ModelError
from gpu_engine.forward import logits_ragged
from gpu_engine.inputs import FrameBalls
from gpu_engine.loading import from_state_dict, load_model
from gpu_engine.model import RecurrentClassifier
from gpu_engine.module_loading import from_module
from gpu_engine.onnx_loading import load_onnx
from gpu_engine.search.certify import certify
from gpu_engine.spec import matrix, untargeted_steps
from refcert.app.pretrained import PRETRAINED
from tests.end_to_end.runs import digits, plain, shipped
from tests.engine import onnx_graphs
from tests.engine.plain_steps import evaluate, outputs

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def steps_of(model, x):
    """Outputs by the unrolled steps, which bounds are about."""
    tape = unroll(model, x.shape[1])
    return torch.from_numpy(outputs(tape, evaluate(tape, x.numpy())))


@pytest.mark.parametrize("name", PRETRAINED)
def test_shipped_networks(name):
    x, labels = digits(4)
    expected = plain(name)(x).detach()
    torch.testing.assert_close(shipped(name).logits(x), expected, **CLOSE)
    torch.testing.assert_close(steps_of(shipped(name), x), expected, **CLOSE)
    assert torch.equal(expected.argmax(1), labels)


class Classifier(nn.Module):
    """Two layers, both directions, a head over the outputs that `readout` names."""

    def __init__(self, kind, readout, **options):
        super().__init__()
        torch.manual_seed(5)
        self.rnn = kind(3, 4, 2, batch_first=True, bidirectional=True, **options)
        self.head = nn.Linear(8 if not options.get("proj_size") else 4, 3)
        self.readout = readout
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.0, 0.7)

    def forward(self, x):
        every, last = self.rnn(x)
        last = last[0] if isinstance(last, tuple) else last
        read = {
            "final": lambda: torch.cat((last[-2], last[-1]), 1),
            "last_frame": lambda: every[:, -1],
            "mean": lambda: every.mean(1),
            "max": lambda: every.amax(1),
        }[self.readout]()
        return self.head(read)


@pytest.mark.parametrize("readout", ["final", "last_frame", "mean", "max"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (nn.LSTM, {}),
        (nn.LSTM, {"proj_size": 2}),
        (nn.GRU, {}),
        (nn.RNN, {}),
        (nn.RNN, {"nonlinearity": "relu"}),
    ],
)
def test_modules(kind, options, readout):
    module = Classifier(kind, readout, **options).double().eval()
    model = from_module(module)
    x = torch.tensor(np.random.default_rng(0).normal(0, 1, (2, 5, 3)))
    expected = module(x).detach()
    torch.testing.assert_close(model.logits(x), expected, **CLOSE)
    torch.testing.assert_close(steps_of(model, x), expected, **CLOSE)
    point = FrameBalls(x, torch.zeros(2, 5, dtype=torch.float64))
    rows = torch.cat((torch.eye(3), -torch.eye(3))).double()
    lower = certify(model, point, matrix(rows, batch=2)).lower
    torch.testing.assert_close(lower, expected @ rows.T, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        onnx_graphs.Options("LSTM", initial="one", seed=1),
        onnx_graphs.Options("LSTM", "bidirectional", initial="one", readout="mean", seed=2),
        onnx_graphs.Options("GRU", linear_before_reset=0, seed=3),
        onnx_graphs.Options("GRU", "bidirectional", initial="one", linear_before_reset=1, readout="max", seed=4),
        onnx_graphs.Options("RNN", "reverse", activations=("Relu",), readout="gather", seed=5),
    ],
    ids=lambda options: f"{options.operator} {options.direction}",
)
def test_onnx_graphs(tmp_path, options):
    graph = onnx_graphs.build(dataclasses.replace(options, batch=1), "float64")
    onnx.save(graph, tmp_path / "model.onnx")
    model = load_onnx(tmp_path / "model.onnx")
    x = onnx_graphs.frames(dataclasses.replace(options, batch=1))
    expected = onnx_graphs.run(graph, x=x.transpose(1, 0, 2))
    np.testing.assert_allclose(model.logits(torch.tensor(x)), expected, rtol=1e-9, atol=1e-9)


def test_a_graph_with_peepholes_is_not_taken_for_one_without(tmp_path):
    graph = onnx_graphs.Graph("float32")
    value = graph.input(["t", "b", 3])
    peepholes = graph.weights(1, 6)
    _, states = graph.cell("LSTM", value, 3, peepholes=peepholes)
    model = graph.model(graph.gemm(graph.squeeze(states, 0), 2, 3))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="peephole"):
        load_onnx(tmp_path / "model.onnx")


def test_what_is_not_understood_is_not_left_out(tmp_path):
    module = Classifier(nn.LSTM, "final").double()
    entries = dict(module.state_dict())
    with pytest.raises(ModelError, match="gain"):
        from_state_dict({**entries, "gain": torch.ones(8, 1, 1)}, readout="final")
    entries["rnn.weight_hh_l0"] = entries["rnn.weight_hh_l0"].clone()
    entries["rnn.weight_hh_l0"][3, 1] = torch.nan
    with pytest.raises(ModelError, match=r"3, 1.*nan"):
        from_state_dict(entries, readout="final")
    with pytest.raises(ModelError, match="does not exist"):
        load_model(tmp_path / "none.safetensors")


def test_two_networks_never_share_a_digest():
    """A run names the network by it: other numbers, names and shapes give another one."""
    x = shipped("digits_rnn")
    head = x.head
    turned = dataclasses.replace(head, weight=head.weight.flip(0))
    one = RecurrentClassifier(x.layers, (turned,))
    names = {x.digest(), one.digest(), *(shipped(name).digest() for name in PRETRAINED)}
    assert len(names) == len(PRETRAINED) + 1


def test_padding_has_no_influence():
    """Sequences of different lengths in one batch are those sequences one by one, also with an answer per frame."""
    torch.manual_seed(1)
    model = dataclasses.replace(from_module(Classifier(nn.GRU, "mean").double().eval()), readout="every")
    x = torch.tensor(np.random.default_rng(3).normal(0, 1, (3, 4, 3)))
    lengths, labels = torch.tensor([2, 4, 1]), torch.tensor([[0, 1, 2, 0]] * 3)
    radius = torch.tensor([[0.01, 0.02, 0.05, 0.3]] * 3).double()
    found = certify(model, FrameBalls(x, radius), untargeted_steps(labels, 3, lengths), lengths=lengths)
    every = logits_ragged(model, x, lengths)
    for k, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(every[k, :length], model.logits(x[k : k + 1, :length])[0], **CLOSE)
        ball = FrameBalls(x[k : k + 1, :length], radius[k : k + 1, :length])
        alone = certify(model, ball, untargeted_steps(labels[k : k + 1, :length], 3))
        torch.testing.assert_close(found.margin[k], alone.margin[0], **CLOSE)
        values = model.logits(x[k : k + 1, :length])[0]
        own = values.gather(1, labels[k, :length, None])
        least = (own - values).masked_fill(own == values, np.inf).amin()
        assert float(alone.margin[0]) <= float(least) + 1e-9

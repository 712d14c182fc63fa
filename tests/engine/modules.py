"""PyTorch modules with every option that can be loaded, and a strategy that draws them.

No twin of `refcert.strategies.classifiers`, which draws networks that are in the normal form already.
"""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}
FUNCTIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


class Net(nn.Module):
    """[embedding] [front act] recurrence, readout, [act behind act] head; `structure` is the text that says so."""

    def __init__(
        self,
        cell="lstm",
        inputs=3,
        hidden=4,
        layers=1,
        classes=5,
        *,
        bias=True,
        head_bias=True,
        batch_first=True,
        bidirectional=False,
        proj_size=0,
        starts=False,
        words=0,
        front=None,
        behind=None,
        readout="final",
    ):
        super().__init__()
        words_of = []
        if words:
            self.embed = nn.Embedding(words, inputs)
            words_of.append("embed:embedding")
        size = inputs
        self.front_activation, self.behind_activation = front, behind
        if front:
            self.front = nn.Linear(inputs, 6)
            words_of += ["front", front]
            size = 6
        options = {"nonlinearity": cell.removeprefix("rnn_")} if cell.startswith("rnn") else {}
        if proj_size:
            options["proj_size"] = proj_size
        self.rnn = KINDS[cell](
            size, hidden, layers, bias=bias, batch_first=batch_first, bidirectional=bidirectional, **options
        )
        ways, output = 1 + bidirectional, proj_size or hidden
        if starts:
            self.h0 = nn.Parameter(torch.zeros(layers * ways, 1, output))
            words_of.append("h0:initial_hidden")
            if cell == "lstm":
                self.c0 = nn.Parameter(torch.zeros(layers * ways, 1, hidden))
                words_of.append("c0:initial_cell")
        words_of.append(f"rnn:{cell}" if cell.startswith("rnn") else "rnn")
        top = output * ways
        if behind:
            self.behind = nn.Linear(top, 6)
            words_of += [behind, "behind", behind]
            top = 6
        self.head = nn.Linear(top, classes, bias=head_bias)
        self.structure, self.readout = " ".join([*words_of, "head"]), readout
        self.starts, self.ways, self.batch_first = starts, ways, batch_first

    def forward(self, x, lengths=None):
        if hasattr(self, "embed"):
            x = self.embed(x)
        if self.front_activation:
            x = FUNCTIONS[self.front_activation](self.front(x))
        batch = x.shape[0 if self.batch_first else 1]
        states = None
        if self.starts:
            states = self.h0.expand(-1, batch, -1).contiguous()
            if isinstance(self.rnn, nn.LSTM):
                states = states, self.c0.expand(-1, batch, -1).contiguous()
        if lengths is not None:
            x = pack_padded_sequence(x, lengths, batch_first=self.batch_first, enforce_sorted=False)
        output, state = self.rnn(x, states)
        if lengths is not None:
            output, _ = pad_packed_sequence(output, batch_first=self.batch_first)
        h = state[0] if isinstance(self.rnn, nn.LSTM) else state
        output = output if self.batch_first else output.transpose(0, 1)
        y = self.read(output, torch.cat(list(h[-self.ways :]), dim=1), lengths)
        if self.behind_activation:
            function = FUNCTIONS[self.behind_activation]
            y = function(self.behind(function(y)))
        return self.head(y)

    def read(self, output, final, lengths):
        if self.readout == "final":
            return final
        if self.readout == "every":
            return output
        counts = torch.full((len(output),), output.shape[1]) if lengths is None else lengths
        if self.readout == "last_frame":
            return output[torch.arange(len(output)), counts - 1]
        there = (torch.arange(output.shape[1]) < counts[:, None])[:, :, None]
        if self.readout == "mean":
            return torch.where(there, output, 0).sum(1) / counts[:, None]
        return torch.where(there, output, -torch.inf).amax(1)


class RaggedNet(Net):
    """The same with lengths as a required argument."""

    def forward(self, x, lengths):
        return super().forward(x, lengths)


def fill(module, seed, scale=1.0):
    """Standard normal weights in float64, so that every part matters."""
    module = module.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module


@st.composite
def nets(draw, kind=Net, readouts=("final", "last_frame", "mean", "max", "every"), scale=0.5):
    """A module with options drawn from all there are, with random weights."""
    cell = draw(st.sampled_from(tuple(KINDS)))
    hidden = draw(st.integers(1, 5))
    acts = st.sampled_from((None, "relu", "tanh", "sigmoid"))
    projected = cell == "lstm" and hidden > 1 and draw(st.booleans())
    options = {
        "cell": cell,
        "hidden": hidden,
        "inputs": draw(st.integers(1, 5)),
        "layers": draw(st.integers(1, 3)),
        "classes": draw(st.integers(1, 4)),
        "proj_size": draw(st.integers(1, hidden - 1)) if projected else 0,
        "words": draw(st.sampled_from((0, 0, 7))),
        "front": draw(acts),
        "behind": draw(acts),
        "readout": draw(st.sampled_from(readouts)),
    }
    for name in ("bias", "head_bias", "batch_first", "bidirectional", "starts"):
        options[name] = draw(st.booleans())
    with torch.random.fork_rng(devices=[]):
        module = kind(**options)
    return fill(module, draw(st.integers(0, 10_000)), scale).eval()


def inputs_of(module, batch=3, time=4, seed=7):
    """x as the module reads it, and as the normal form does: (batch, time, input) in float64."""
    generator = torch.Generator().manual_seed(seed)
    if hasattr(module, "embed"):
        x = torch.randint(module.embed.num_embeddings, (batch, time), generator=generator)
        frames = module.embed.weight.detach()[x]
    else:
        size = module.front.in_features if hasattr(module, "front") else module.rnn.input_size
        frames = x = torch.randn(batch, time, size, generator=generator, dtype=torch.float64)
    return (x if module.batch_first else x.transpose(0, 1)), frames


def softmaxed(module):
    """The module with a softmax behind its logits."""

    class Ended(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = module
            self.end = nn.Softmax(dim=-1)

        def forward(self, x):
            return self.end(self.body(x))

    return Ended()

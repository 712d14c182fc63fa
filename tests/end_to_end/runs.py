"""Small real runs: the shipped classifiers on a few digits, through the engine's front door."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from gpu_engine.inputs import FrameBalls
from gpu_engine.loading import load_model
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import untargeted
from refcert.app.datasets import load_sequences
from refcert.app.plane_export import PlaneCollector
from refcert.app.pretrained import PRETRAINED, pretrained_path
from refcert.kernel.claims import Status
from refcert.kernel.plane_proof import check_plane

CLIP = (0.0, 1.0)
MODULES = {"digits_lstm": nn.LSTM, "digits_gru": nn.GRU, "digits_rnn": nn.RNN}
assert set(MODULES) == set(PRETRAINED)


@functools.cache
def digits(count=4):
    """(x (count, 8, 8) float64, labels (count,)) of the test part."""
    data = load_sequences("digits", input_size=8, count=count)
    return torch.tensor(data.x), torch.tensor(data.labels)


@functools.cache
def shipped(name):
    return load_model(pretrained_path(name))


def balls(count, radius, p=math.inf, clip=CLIP):
    x, _ = digits(count)
    return FrameBalls(x, torch.full(x.shape[:2], radius, dtype=torch.float64), p, clip)


@functools.cache
def certified(name, relaxation="parallel", radius=0.01, count=3, p=math.inf, dtype="float64"):
    """(what `certify` says, the planes behind it) of a run."""
    collector = PlaneCollector(0)
    _, labels = digits(count)
    found = certify(
        shipped(name), balls(count, radius, p), untargeted(labels, 10), Options(relaxation, dtype), collector.add
    )
    return found, collector.table()


class Plain(nn.Module):
    """The shipped network as PyTorch itself computes it, from the stored entries; nothing of the engine."""

    def __init__(self, name):
        super().__init__()
        entries = {key: value.double() for key, value in load_file(pretrained_path(name)).items()}
        recurrent = {key.split(".", 1)[1]: v for key, v in entries.items() if "_l0" in key}
        head = {key.rsplit(".", 1)[1]: v for key, v in entries.items() if "_l0" not in key}
        self.rnn = MODULES[name](8, recurrent["weight_hh_l0"].shape[1], batch_first=True).double()
        self.rnn.load_state_dict(recurrent)
        self.head = nn.Linear(*reversed(head["weight"].shape)).double()
        self.head.load_state_dict(head)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


@functools.cache
def plain(name):
    return Plain(name).eval()


def not_proved(claims):
    """Those that the kernel does not prove."""
    return [claim for claim in claims if check_plane(claim).status is not Status.PROVED]


def some_claims(table, count, seed=0):
    """Claims at random places of a table."""
    every = list(table.claims())
    chosen = np.random.default_rng(seed).choice(len(every), min(count, len(every)), replace=False)
    return [every[k] for k in chosen]

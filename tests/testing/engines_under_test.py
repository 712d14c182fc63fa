"""Functions that users would test: refcert's own engine as a third party, and the same with planted faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from gpu_engine.bounds import Box
from gpu_engine.inputs import Boxes
from gpu_engine.model import RecurrentClassifier
from gpu_engine.module_loading import from_module
from gpu_engine.relaxations.curves import CURVES
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import Specification


def engine_planes(kind, lower_v, upper_v, lower_z, upper_z, name="planes"):
    """Our engine as a function of docs/audit.md."""
    v, z = (Box(torch.tensor(low), torch.tensor(high)) for low, high in ((lower_v, upper_v), (lower_z, upper_z)))
    relaxation = RELAXATIONS[name]
    pair = relaxation.product(PRODUCTS[kind], v, z) if kind in PRODUCTS else relaxation.curve(CURVES[kind], v)
    return tuple((plane.slope_v, plane.slope_z, plane.offset) for plane in (pair.lower, pair.upper))


def shifted(side, by, kind=None, where=None):
    """Our engine's planes, those of one side moved inward by so much; where(box) (count,): boxes with the fault."""

    def planes(asked, *box):
        found = list(engine_planes(asked, *box))
        if kind in (None, asked):
            wrong = np.ones(len(box[0]), bool) if where is None else where(*box)
            k = ("lower", "upper").index(side)
            slope_v, slope_z, offset = found[k]
            step = torch.tensor(np.where(wrong, by if side == "lower" else -by, 0.0))
            found[k] = (slope_v, slope_z, offset + step)
        return tuple(found)

    return planes


class Small(nn.Module):
    """A little LSTM classifier; seeded."""

    def __init__(self, inputs=2, hidden=3, classes=3, cell=nn.LSTM, seed=0, scale=1.0):
        super().__init__()
        torch.manual_seed(seed)
        self.rnn = cell(inputs, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter *= scale

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


def small(**options):
    """The same in the engine's form: no probing, so tests are quick."""
    return from_module(Small(**options), probe=False, structure="rnn head", readout="final")


def balanced(network, x):
    """The same network, its outputs shifted so that several classes occur among the inputs, and none by far."""
    head = network.after[-1]
    shift = network.logits(x).flatten(0, -2).median(0).values
    return replace(network, after=(*network.after[:-1], replace(head, bias=head.bias - shift)))


def bounds_of(network: RecurrentClassifier, inputs, rows, relaxation="parallel"):
    """(lower, upper) by our own engine."""
    both = torch.cat([rows, -rows], 1)
    lower = certify(network, inputs, Specification(both, torch.zeros_like(both[:, :, 0])), Options(relaxation)).lower
    return lower[:, : rows.shape[1]], -lower[:, rows.shape[1] :]


def honest(network, inputs, rows):
    """A sound bounds function, and a quick one."""
    return bounds_of(network, inputs, rows, "constants")


def of_module(module, inputs, rows):
    """The same for whoever hands over an nn.Module."""
    return bounds_of(from_module(module), inputs, rows)


def narrowed(inputs, share=0.9):
    """The fault of an engine that makes boxes too small."""
    if not isinstance(inputs, Boxes):
        return inputs
    middle = inputs.center
    return Boxes(*(middle + share * (end - middle) for end in (inputs.lower, inputs.upper)))


def run(snippet):
    """Run a snippet as a user would, alone; it fails unless it shows what it claims."""
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(snippet, "snippet", "exec"), names)
    return names

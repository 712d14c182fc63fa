"""Tiny models of every kind as files, and data for them; weights and values come from fixed seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from gpu_engine.forward import logits_ragged
from gpu_engine.loading import load_model
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.saving import save_model as write_network
from refcert.app.request import Request

COUNT, TIME, INPUT, HIDDEN, CLASSES = 4, 3, 2, 3, 3
KINDS: dict[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}


def save_model(path: Path, kind: str = "lstm", *, words: int = 0, **options: Any) -> Path:
    """A recurrent layer, a linear head, and an embedding of so many words in front. options: of nn.LSTM and so on."""
    generator = torch.Generator().manual_seed(11)
    metadata = {}
    if kind.startswith("rnn"):
        metadata["refcert.cell"] = kind
    layer = KINDS[kind](INPUT, HIDDEN, batch_first=True, **options)
    outputs = HIDDEN * (2 if layer.bidirectional else 1)
    network = nn.ModuleDict({"layer": layer, "head": nn.Linear(outputs, CLASSES)})
    if words:
        network["embedding"] = nn.Embedding(words, INPUT)
    state = {name: torch.randn(value.shape, generator=generator) for name, value in network.state_dict().items()}
    state["head.weight"] *= 2
    # The mean of the logits as the bias: decisions for more than one class.
    state["head.bias"] = torch.zeros(CLASSES)
    save_file(state, path, metadata=metadata)
    state["head.bias"] = -load_model(path, readout="final").logits(torch.from_numpy(values())).mean(0).float()
    save_file(state, path, metadata=metadata)
    return path


def values(count: int = COUNT, time: int = TIME) -> np.ndarray:
    return np.random.default_rng(5).uniform(0, 1, (count, time, INPUT))


def save_data(path: Path, model: RecurrentClassifier, **arrays: np.ndarray) -> Path:
    """x with the model's own decisions as labels, and whatever else is given."""
    x = arrays.pop("x", values())
    real = np.nan_to_num(x)
    lengths = arrays.get("lengths", np.full(len(x), x.shape[1]))
    found = logits_ragged(model, torch.from_numpy(real), torch.from_numpy(lengths))
    labels = arrays.pop("labels", torch.nan_to_num(found, nan=0.0).argmax(-1).numpy())
    np.savez(path, x=x, labels=labels, **arrays)
    return path


def save_overflowing(folder: Path, last: np.ndarray, *, bias: float = 20.0) -> tuple[Path, Path]:
    """A model and data: h = relu(4e307 x), outputs bias - x and 0, so that it overflows from x = 4.5 on.

    last (count,): the value of each sample; two frames of one value each, of which the last one decides. Labels are 0.
    """
    one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    unit = Direction("rnn_relu", 4e307 * one, 0 * one, zero, zero)
    weight = torch.tensor([[-1 / 4e307], [0.0]], dtype=torch.float64)
    constant = torch.tensor([bias, 0.0], dtype=torch.float64)
    model, data = folder / "overflowing.safetensors", folder / "overflowing.npz"
    write_network(RecurrentClassifier(((unit,),), (Dense(weight, constant),)), model)
    np.savez(data, x=np.repeat(last[:, None, None], 2, 1), labels=np.zeros(len(last), dtype=np.int64))
    return model, data


def request(**changes: Any) -> Request:
    plain: dict[str, Any] = {
        "model": "m.safetensors",
        "data": "d.npz",
        "count": None,
        "norm": float("inf"),
        "radius": 0.05,
        "frames": "all",
        "clip": None,
        "target": "untargeted",
        "relaxation": "parallel",
        "dtype": "float64",
        "device": "cpu",
        "batch_size": 50,
        "tolerance": 1e-3,
        "seed": 0,
    }
    return Request(**{**plain, **changes})

"""Protocols P5 and P6 on the shared files: at least the counts that planes without optimisation reach."""

from __future__ import annotations

import pytest
import torch

from gpu_engine.loading import load_model
from gpu_engine.onnx_loading import load_onnx
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, untargeted
from refcert.app.datasets import load_sequences

SMALL, TINY = (0.005, 0.01, 0.015, 0.02, 0.025), (0.0025, 0.005, 0.0075, 0.01, 0.0125)
# Counts of 100 by exact offsets and parallel planes in one pass, and what an attack leaves at the last radius.
P5 = {
    "MNIST_GRU15net": (SMALL, (95, 87, 60, 25, 3), 65),
    "MNIST_GRU30net": (TINY, (100, 98, 93, 88, 75), 93),
    "MNIST_LSTM15net": (SMALL, (97, 88, 44, 15, 7), 53),
    "MNIST_LSTM30net": (TINY, (100, 96, 93, 89, 74), 93),
}
# P6 at radius .010: the better of CROWN and the prototype, and what an attack leaves where that is known.
P6_AT_010 = {
    "mnist_04f_032h_1l": (91, 98),
    "mnist_04f_032h_2l": (84, 95),
    "mnist_04f_032h_3l": (73, 94),
    "mnist_04f_064h_1l": (93, 100),
    "mnist_04f_128h_1l": (95, 100),
    "mnist_07f_032h_1l": (80, 98),
    "mnist_14f_032h_1l": (47, 98),
}


def correct(model, index):
    """The first 100 of these test images that the model classifies correctly."""
    data = load_sequences("mnist", input_size=model.input_size, count=None)
    x, labels = torch.from_numpy(data.x)[index], torch.from_numpy(data.labels)[index]
    right = (model.logits(x).argmax(1) == labels).nonzero()[:100, 0]
    assert len(right) == 100
    return x[right], labels[right]


def certified(model, x, labels, radius, clip, relaxation="parallel"):
    balls = FrameBalls(x, torch.full(x.shape[:2], radius, dtype=torch.float64), clip=clip)
    return int(certify(model, balls, untargeted(labels, model.classes), Options(relaxation)).proved.sum())


@pytest.mark.parametrize("name", sorted(P5))
def test_p5_counts(name, shared_data, monkeypatch):
    monkeypatch.setenv("REFCERT_DATA", str(shared_data))
    model = load_onnx(shared_data / "models/starv" / f"{name}.onnx")
    x, labels = correct(model, torch.arange(200))
    radii, needed, ceiling = P5[name]
    counts = [certified(model, x, labels, radius, None) for radius in radii]
    assert all(count >= least for count, least in zip(counts, needed, strict=True)), counts
    assert counts[-1] <= ceiling


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(P6_AT_010))
def test_p6_counts(name, shared_data, monkeypatch):
    monkeypatch.setenv("REFCERT_DATA", str(shared_data))
    model = load_model(shared_data / "models/prover" / f"{name}.safetensors")
    order = torch.randperm(10_000, generator=torch.Generator().manual_seed(1000))
    x, labels = correct(model, order[:200])
    count = certified(model, x, labels, 0.01, (0.0, 1.0), "best")
    needed, ceiling = P6_AT_010[name]
    assert needed <= count <= ceiling

"""Train piecewise-linear networks on MNIST: two ReLU MLPs, 784-300-100-10 and 784-100-10, and ReLU RNNs of 32 units.

The first MLP has the fully connected shape of LeNet-300-100 (LeCun et al., 1998); the RNNs read 4 or 7 frames of whole
rows, as those of `train_mnist.py`, whose data and settings are used: pixels / 255, Adam with a one-cycle rate,
gradients clipped, test accuracy measured once at the end. Everything is seeded and runs in one thread.

    python -m examples.train_relu [--out FOLDER] [--models mlp_300_100,mlp_100,relu_rnn_04f,relu_rnn_07f]

The files are safetensors that `load_model` reads: an MLP is stored in its recurrent form (`gpu_engine.feedforward`), as
a classifier of sequences of one frame. Without --out they go to $REFCERT_CACHE/models, where the benchmarks look.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from examples.train_mnist import (
    BATCH,
    CLASSES,
    EPOCHS,
    HIDDEN,
    LONGEST_GRADIENT,
    SIDE,
    accuracy,
    mnist,
    model_folder,
)
from gpu_engine.feedforward import recurrent_entries

PEAK_RATE: Final = 0.003

MLPS: Final = {"mlp_300_100": (300, 100), "mlp_100": (100,)}
RNNS: Final = {"relu_rnn_04f": 4, "relu_rnn_07f": 7}


class MLP(nn.Module):
    """Linear layers fc1, fc2, ... with ReLUs between them. Reads (batch, 1, 784)."""

    def __init__(self, hidden: tuple[int, ...]) -> None:
        super().__init__()
        sizes = (SIDE * SIDE, *hidden, CLASSES)
        self.count = len(sizes) - 1
        for k, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
            setattr(self, f"fc{k}", nn.Linear(inputs, outputs))

    @property
    def structure(self) -> str:
        """The structure text."""
        return " relu ".join(f"fc{k}" for k in range(1, self.count + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        value = x.flatten(1)
        for k in range(1, self.count + 1):
            value = getattr(self, f"fc{k}")(value)
            if k < self.count:
                value = torch.relu(value)
        return value


class ReLURNN(nn.Module):
    """One ReLU layer over frames of whole rows, and a linear head on the last hidden state."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(SIDE * SIDE // frames, HIDDEN, nonlinearity="relu", batch_first=True)
        self.linear = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes) of x (batch, time, input)."""
        outputs, _ = self.rnn(x)
        logits: Tensor = self.linear(outputs[:, -1])
        return logits


def train(name: str, *, seed: int, epochs: int = EPOCHS) -> tuple[MLP | ReLURNN, float]:
    """One trained network and its test accuracy. The same seed gives the same weights."""
    frames = RNNS.get(name, 1)
    x, labels = mnist("train", frames)
    torch.manual_seed(seed)  # the layers' own initialisation knows no other generator
    generator = torch.Generator().manual_seed(seed)
    network = MLP(MLPS[name]) if name in MLPS else ReLURNN(frames)
    optimizer = torch.optim.Adam(network.parameters(), lr=PEAK_RATE)
    steps = epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(x), generator=generator), BATCH):
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(network(x[batch]), labels[batch]))
            nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
            optimizer.step()
            schedule.step()
    return network, accuracy(network, *mnist("t10k", frames))


def stored(network: MLP | ReLURNN) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Entries and metadata of the file."""
    entries = dict(network.state_dict())
    if isinstance(network, ReLURNN):
        return entries, {"refcert.cell": "rnn_relu"}
    renamed, text = recurrent_entries(entries, network.structure)
    return renamed, {"refcert.structure": text}


def main() -> None:
    """Train and save the networks asked for."""
    parser = argparse.ArgumentParser(description="Train ReLU MLPs and ReLU RNNs on MNIST.")
    parser.add_argument("--out", type=Path, default=None, help="folder for the models (default: the cache)")
    parser.add_argument("--models", default=",".join([*MLPS, *RNNS]))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out = arguments.out or model_folder()
    out.mkdir(parents=True, exist_ok=True)
    for name in arguments.models.split(","):
        network, share = train(name, seed=arguments.seed, epochs=arguments.epochs)
        made = (
            f"python -m examples.train_relu --seed {arguments.seed} --epochs {arguments.epochs}; "
            f"torch {torch.__version__}; test accuracy {share:.4f}"
        )
        entries, metadata = stored(network)
        path = out / f"mnist_{name}.safetensors"
        weights = {key: value.detach().contiguous() for key, value in entries.items()}
        save_file(weights, path, metadata={"made": made} | metadata)
        print(f"{path}: test accuracy {share:.2%}", flush=True)


if __name__ == "__main__":
    main()

"""Train GRUs and tanh RNNs on MNIST in the shapes of the shared LSTMs: 4, 7 and 14 frames of whole rows, 32 units.

Data are the 60 000 training images of MNIST below the folder that REFCERT_DATA names, pixels / 255, no augmentation;
the test accuracy is measured once, at the end. One recurrent layer and a linear head on the hidden state after the last
frame, Adam with a one-cycle rate, gradients clipped (an RNN over 14 frames needs it). Everything is seeded and runs in
one thread, so one version of PyTorch gives the same weights every time.

    python examples/train_mnist.py [--out FOLDER] [--kinds gru,rnn] [--frames 4,7,14]

The files are PyTorch state dicts, `mnist_gru_04f_032h_1l.safetensors` and so on. Without --out they go to
$REFCERT_CACHE/models (by default ~/.cache/refcert/models), where the benchmarks look for them.
"""

from __future__ import annotations

import argparse
import gzip
import os
import struct
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

CLASSES: Final = 10
SIDE: Final = 28
HIDDEN: Final = 32
EPOCHS: Final = 10
BATCH: Final = 256
PEAK_RATE: Final = 0.01
LONGEST_GRADIENT: Final = 1.0
IDX_IMAGES, IDX_LABELS = 2051, 2049

LAYERS: Final = {"gru": nn.GRU, "rnn": nn.RNN}


def model_folder() -> Path:
    """The cache for models that are not part of the repository: $REFCERT_CACHE/models or ~/.cache/refcert/models."""
    root = os.environ.get("REFCERT_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "refcert") / "models"


def data_folder() -> Path:
    """$REFCERT_DATA/data. Ends the program where the variable is not set."""
    root = os.environ.get("REFCERT_DATA")
    if not root:
        raise SystemExit("REFCERT_DATA is not set; set it to the folder that holds data/")
    return Path(root) / "data"


class RowsClassifier(nn.Module):
    """One recurrent layer over frames of whole rows, and a linear head. The layer is called after its kind."""

    def __init__(self, kind: str, frames: int) -> None:
        super().__init__()
        self.kind = kind
        setattr(self, kind, LAYERS[kind](SIDE * SIDE // frames, HIDDEN, batch_first=True))
        self.linear = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes) of x (batch, time, input)."""
        outputs, _ = getattr(self, self.kind)(x)
        logits: Tensor = self.linear(outputs[:, -1])
        return logits


def read_idx(path: Path, magic: int) -> np.ndarray:
    """One gzipped idx file of bytes. Raises ValueError for another kind of file."""
    content = gzip.decompress(path.read_bytes())
    dimensions = 3 if magic == IDX_IMAGES else 1
    found, *sizes = struct.unpack_from(f">{dimensions + 1}I", content)
    if found != magic:
        raise ValueError(f"{path} starts with the number {found}, an idx file of this kind with {magic}")
    return np.frombuffer(content, dtype=np.uint8, offset=4 * (dimensions + 1)).reshape(sizes)


def mnist(part: str, frames: int) -> tuple[Tensor, Tensor]:
    """x (count, time, input) float32 in [0, 1] and labels (count,) int64. part: `train` or `t10k`."""
    folder = data_folder() / "mnist"
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz", IDX_IMAGES)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", IDX_LABELS)
    x = torch.from_numpy(images.astype(np.float32) / 255).reshape(len(images), frames, -1)
    return x, torch.from_numpy(labels.astype(np.int64))


def accuracy(network: nn.Module, x: Tensor, labels: Tensor) -> float:
    """The share of images whose largest logit is the label's, in [0, 1]."""
    with torch.no_grad():
        return float((network(x).argmax(dim=1) == labels).double().mean())


def train(kind: str, frames: int, *, seed: int, epochs: int = EPOCHS) -> tuple[RowsClassifier, float]:
    """One trained network and its test accuracy. The same seed gives the same weights."""
    x, labels = mnist("train", frames)
    torch.manual_seed(seed)  # the layers' own initialisation knows no other generator
    generator = torch.Generator().manual_seed(seed)
    network = RowsClassifier(kind, frames)
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


def main() -> None:
    """Train and save the networks asked for."""
    parser = argparse.ArgumentParser(description="Train GRUs and RNNs on MNIST in the shapes of the shared LSTMs.")
    parser.add_argument("--out", type=Path, default=None, help="folder for the models (default: the cache)")
    parser.add_argument("--kinds", default="gru,rnn")
    parser.add_argument("--frames", default="4,7,14")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out = arguments.out or model_folder()
    out.mkdir(parents=True, exist_ok=True)
    for kind in arguments.kinds.split(","):
        for frames in map(int, arguments.frames.split(",")):
            network, share = train(kind, frames, seed=arguments.seed, epochs=arguments.epochs)
            made = (
                f"examples/train_mnist.py --seed {arguments.seed} --epochs {arguments.epochs}; "
                f"torch {torch.__version__}; test accuracy {share:.4f}"
            )
            metadata = {"made": made} | ({"refcert.cell": "rnn_tanh"} if kind == "rnn" else {})
            path = out / f"mnist_{kind}_{frames:02d}f_{HIDDEN:03d}h_1l.safetensors"
            weights = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
            save_file(weights, path, metadata=metadata)
            print(f"{path}: test accuracy {share:.2%}", flush=True)


if __name__ == "__main__":
    main()

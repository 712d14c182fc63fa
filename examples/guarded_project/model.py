"""A small classifier of digits: how it is trained, exported and loaded.

python model.py    trains it anew (seconds) and writes model.safetensors
"""

from __future__ import annotations

from pathlib import Path

import torch
from prepare import FRAME, training_part
from safetensors.torch import load_file, save_file
from torch import nn

EXPORTED = Path(__file__).with_name("model.safetensors")
EPOCHS = 30
NOISE = 0.15  # standard deviation; pixels lie in [0, 1]


class Classifier(nn.Module):
    """An LSTM of 12 units and a linear head on the hidden state after the last frame."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FRAME, 12, batch_first=True)
        self.linear = nn.Linear(12, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, 10) of x (batch, time, 16)."""
        outputs, _ = self.lstm(x)
        return self.linear(outputs[:, -1])


def train(*, seed: int = 0, epochs: int = EPOCHS, noise: float = NOISE) -> Classifier:
    """Training on noisy images makes the certified radii larger. One version of PyTorch gives the same weights."""
    x, labels = (torch.from_numpy(part) for part in training_part())
    torch.manual_seed(seed)
    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.05)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            noisy = x[batch].float() + noise * torch.randn(len(batch), *x.shape[1:])
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(noisy), labels[batch]).backward()
            optimizer.step()
    return model


def export(model: Classifier, path: Path = EXPORTED) -> None:
    """Write the weights under PyTorch's names."""
    save_file({name: value.detach().contiguous() for name, value in model.state_dict().items()}, path)


def load(path: Path = EXPORTED) -> Classifier:
    """The model that is shipped."""
    model = Classifier()
    model.load_state_dict(load_file(path))
    return model.eval()


if __name__ == "__main__":
    torch.set_num_threads(1)
    export(train())

"""Train two small bidirectional LSTMs on the TREC questions: one plain, one with projections.

Data below the folder that REFCERT_DATA names: 5452 training and 500 test questions in 6 coarse classes (Li and Roth
2002). A frame is a token, as the 50-dimensional GloVe vector (Pennington et al. 2014) of its lower-cased form; a word
without a vector is the zero vector. The questions are ragged: lengths go in with `pack_padded_sequence`, and the head
reads the final state of each direction behind its own last word. While training, whole words are dropped to the zero
vector and the vectors get noise. The test accuracy is measured once, at the end. Everything is seeded and runs in one
thread.

    python examples/train_trec.py [--out FOLDER]

The files are PyTorch state dicts, `trec_bilstm.safetensors` and `trec_bilstm_projected.safetensors`. Without --out they
go to $REFCERT_CACHE/models (by default ~/.cache/refcert/models), where the benchmarks look for them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

CLASSES: Final = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
PARTS: Final = {"train": "train_5500.label", "test": "TREC_10.label"}
VALUES: Final = 50
EPOCHS: Final = 30
BATCH: Final = 64
PEAK_RATE: Final = 0.01
WEIGHT_DECAY: Final = 0.01
DROPPED_WORDS: Final = 0.1
NOISE: Final = 0.1  # standard deviation; a GloVe value has one of about 0.65
LONGEST_GRADIENT: Final = 1.0

NETWORKS: Final = {"trec_bilstm": (16, 0), "trec_bilstm_projected": (24, 12)}
"""Hidden units and outputs of a projection (0 for none), each way."""


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


@dataclass(frozen=True)
class Questions:
    """x (count, time, 50) float32, zero behind a question's end; lengths, labels (count,) int64.

    words: the tokens as written; known: which of them have a vector.
    """

    x: Tensor
    lengths: Tensor
    labels: Tensor
    words: list[list[str]]
    known: list[list[bool]]


def load_questions(part: str) -> Questions:
    """The `train` or `test` questions in their order."""
    folder = data_folder()
    with np.load(folder / "glove6B_50d_top9k.npz", allow_pickle=False) as stored:
        vectors = dict(zip(stored["words"].tolist(), stored["vectors"].astype(np.float32), strict=True))
    words, labels = [], []
    for line in (folder / "trec" / PARTS[part]).read_text(encoding="latin-1").splitlines():
        label, *tokens = line.split()
        labels.append(CLASSES.index(label.partition(":")[0]))
        words.append(tokens)
    lengths = torch.tensor([len(tokens) for tokens in words])
    x = torch.zeros(len(words), int(lengths.max()), VALUES)
    known = [[token.lower() in vectors for token in tokens] for tokens in words]
    for k, tokens in enumerate(words):
        for t, token in enumerate(tokens):
            if known[k][t]:
                x[k, t] = torch.from_numpy(vectors[token.lower()])
    return Questions(x, lengths, torch.tensor(labels), words, known)


class QuestionClassifier(nn.Module):
    """One bidirectional LSTM and a linear head on the final state of both directions."""

    def __init__(self, hidden: int, projection: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(VALUES, hidden, batch_first=True, bidirectional=True, proj_size=projection)
        self.linear = nn.Linear(2 * (projection or hidden), len(CLASSES))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits (batch, classes) of x (batch, time, input); frames from lengths (batch,) on are not read."""
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, (final, _) = self.lstm(packed)
        logits: Tensor = self.linear(torch.cat((final[0], final[1]), dim=1))
        return logits


def accuracy(network: nn.Module, questions: Questions) -> float:
    """The share of questions whose largest logit is the label's, in [0, 1]."""
    with torch.no_grad():
        return float((network(questions.x, questions.lengths).argmax(dim=1) == questions.labels).double().mean())


def train(name: str, questions: Questions, *, seed: int, epochs: int = EPOCHS) -> QuestionClassifier:
    """One trained network. The same seed gives the same weights."""
    torch.manual_seed(seed)  # the layers' own initialisation knows no other generator
    generator = torch.Generator().manual_seed(seed)
    network = QuestionClassifier(*NETWORKS[name])
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(questions.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(questions.labels), generator=generator), BATCH):
            lengths = questions.lengths[batch]
            x = questions.x[batch, : int(lengths.max())]
            kept = torch.rand(x.shape[:2], generator=generator) >= DROPPED_WORDS
            x = (x + NOISE * torch.randn(x.shape, generator=generator)) * kept[:, :, None]
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(network(x, lengths), questions.labels[batch]))
            nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
            optimizer.step()
            schedule.step()
    return network


def main(names: Sequence[str] = tuple(NETWORKS)) -> None:
    """Train and save both networks."""
    parser = argparse.ArgumentParser(description="Train two small bidirectional LSTMs on the TREC questions.")
    parser.add_argument("--out", type=Path, default=None, help="folder for the models (default: the cache)")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out = arguments.out or model_folder()
    out.mkdir(parents=True, exist_ok=True)
    training, test = load_questions("train"), load_questions("test")
    for name in names:
        network = train(name, training, seed=arguments.seed, epochs=arguments.epochs)
        share = accuracy(network, test)
        made = (
            f"examples/train_trec.py --seed {arguments.seed} --epochs {arguments.epochs}; torch {torch.__version__}; "
            f"train accuracy {accuracy(network, training):.4f}, test accuracy {share:.4f}"
        )
        weights = {key: value.detach().contiguous() for key, value in network.state_dict().items()}
        path = out / f"{name}.safetensors"
        save_file(weights, path, metadata={"made": made, "refcert.readout": "final"})
        print(f"{path}: {made.rpartition('; ')[2]}", flush=True)


if __name__ == "__main__":
    main()

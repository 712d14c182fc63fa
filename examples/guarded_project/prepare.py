"""From scikit-learn's digits to what the model reads: 4 frames of 16 pixels in [0, 1]."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

BRIGHTEST = 16.0
FRAMES, FRAME = 4, 16
TRAINING = 1437  # the rest was written by other people
GUARDED = 20


def prepare(images: np.ndarray) -> np.ndarray:
    """Images (count, 8, 8) from 0 to 16 as sequences (count, 4, 16) from 0 to 1, two rows of pixels a frame."""
    return (images / BRIGHTEST).reshape(len(images), FRAMES, FRAME)


def training_part() -> tuple[np.ndarray, np.ndarray]:
    """Sequences and their labels (count,)."""
    digits = load_digits()
    return prepare(digits.images[:TRAINING]), digits.target[:TRAINING]


def guarded_part() -> tuple[np.ndarray, np.ndarray]:
    """The test samples whose robustness is guarded, with their labels."""
    digits = load_digits()
    part = slice(TRAINING, TRAINING + GUARDED)
    return prepare(digits.images[part]), digits.target[part]


if __name__ == "__main__":
    x, labels = guarded_part()
    np.savez("samples.npz", x=x, labels=labels)

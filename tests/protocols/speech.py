"""Spoken digits as the shared model fsdd reads them: log mel energies of overlapping frames of sound.

As the model's README says: frames of 256 samples every 200; pre-emphasis 0.97, periodic Hamming window, power of the
real Fourier transform over 256, ten triangular mel filters up to 4 kHz, natural logarithm.
"""

from __future__ import annotations

import numpy as np
import torch

RATE, WINDOW, STEP, FILTERS = 8000, 256, 200, 10
TEST_BELOW = 5  # the official split: recordings 0 to 4


def filters():
    """(filters, bins), heights 0 to 1."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), FILTERS + 2)
    edges = np.floor((WINDOW + 1) * 700 * (10 ** (mel / 2595) - 1) / RATE).astype(int)
    bank = np.zeros((FILTERS, WINDOW // 2 + 1))
    for k, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        bank[k, low:middle] = (np.arange(low, middle) - low) / (middle - low)
        bank[k, middle:high] = (high - np.arange(middle, high)) / (high - middle)
    return bank


def features(audio):
    """audio (samples,) -> (frames, 10)."""
    audio = np.asarray(audio, dtype=np.float64)
    if len(audio) % STEP:
        audio = np.concatenate((audio, np.zeros(STEP)))
    starts = range(0, len(audio) - WINDOW + 1, STEP)
    frames = np.stack([audio[start : start + WINDOW] for start in starts])
    frames = np.concatenate((frames[:, :1], frames[:, 1:] - 0.97 * frames[:, :-1]), axis=1)
    frames = frames * (0.54 - 0.46 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 / WINDOW
    return np.log(power @ filters().T + 1e-10)


def spoken_digits(path, count):
    """Test recordings spread over speakers and digits: x (count, time, 10), lengths (count,), labels (count,)."""
    data = np.load(path)
    index = np.flatnonzero(data["index"] < TEST_BELOW)
    index = index[np.linspace(0, len(index) - 1, count).astype(int)]
    found = [features(data["audio"][data["offsets"][k] : data["offsets"][k + 1]]) for k in index]
    lengths = torch.tensor([len(frames) for frames in found])
    x = torch.zeros(count, int(lengths.max()), FILTERS, dtype=torch.float64)
    for k, frames in enumerate(found):
        x[k, : len(frames)] = torch.tensor(frames)
    return x, lengths, torch.tensor(data["label"][index].astype(np.int64))

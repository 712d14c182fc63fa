"""Appendix B.1 of POPQORN in kind: mean certified l_2 radius of every relaxation, on LSTMs, GRUs and RNNs.

    python -m benchmarks.relaxations [--count 100] [--seed 0]

l_2, the same radius on every frame, no clip, targeted: one random wrong class a sample, from the same seed for every
model and relaxation. The first `count` test images that the model classifies correctly. The GRUs and RNNs come from
`examples/train_mnist.py`. Pixels are in [0, 1]; the paper's are in [-1, 1], so its radii are halved here.
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmarks.common import first_correct, header, samples, shared_model, table, trained_model
from gpu_engine.search.certify import Options
from gpu_engine.search.radius import certified_radius
from gpu_engine.spec import targeted

FRAMES = (4, 7, 14)
MODELS = {
    "LSTM": [f"mnist_{frames:02d}f_032h_1l" for frames in FRAMES],
    "GRU": [f"mnist_gru_{frames:02d}f_032h_1l" for frames in FRAMES],
    "tanh RNN": [f"mnist_rnn_{frames:02d}f_032h_1l" for frames in FRAMES],
}
RELAXATIONS = ("planes", "parallel", "mccormick", "lines", "lines_either", "constants")
WEAKER = ("lines", "lines_either", "constants")
# Appendix B.1: LSTMs of 32 units of the paper's own training, 1000 samples, halved to the unit of pixels in [0, 1].
PAPER = {
    "planes": (0.232 / 2, 0.140 / 2, 0.059 / 2),
    "lines": (0.071 / 2, 0.015 / 2, 1.5e-4 / 2),
    "constants": (0.041 / 2, 0.012 / 2, 2e-5 / 2),
}


def number(value: float) -> str:
    return f"{value:.4f}" if value >= 0.001 else f"{value:.1e}"


def wrong_classes(labels: torch.Tensor, classes: int, seed: int) -> torch.Tensor:
    """A random class other than the label for every sample, (batch,)."""
    step = torch.randint(1, classes, labels.shape, generator=torch.Generator().manual_seed(seed))
    return (labels + step) % classes


def mean_radii(name: str, kind: str, arguments: argparse.Namespace) -> tuple[dict[str, float], dict[str, float]]:
    """Mean radius and seconds per sample of every relaxation."""
    model = (shared_model if kind == "LSTM" else trained_model)(name)
    x, labels = first_correct(model, *samples(name, model, None), arguments.count)
    rows = targeted(labels, wrong_classes(labels, model.classes, arguments.seed), model.classes)
    radii, seconds = {}, {}
    for relaxation in arguments.relaxations.split(","):
        began = time.perf_counter()
        found = certified_radius(
            model,
            x,
            torch.ones(x.shape[:2], dtype=torch.float64),
            rows,
            p=2,
            tolerance=arguments.tolerance,
            options=Options(relaxation),
        )
        seconds[relaxation] = (time.perf_counter() - began) / len(x)
        radii[relaxation] = float(found.proved.mean())
    return radii, seconds


def ratio(radii: dict[str, float], below: str) -> str:
    """How many times larger the mean radius of `planes` is."""
    if not {"planes", below} <= set(radii):
        return "-"
    return f"{radii['planes'] / radii[below]:.2g}" if radii[below] > 0 else "inf"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="seed of the targets")
    parser.add_argument("--kinds", default=",".join(MODELS))
    parser.add_argument("--relaxations", default=",".join(RELAXATIONS))
    parser.add_argument("--tolerance", type=float, default=0.01)
    arguments = parser.parse_args()
    relaxations = arguments.relaxations.split(",")
    rows, times = [], []
    for kind in arguments.kinds.split(","):
        for frames, name in zip(FRAMES, MODELS[kind], strict=True):
            radii, seconds = mean_radii(name, kind, arguments)
            ratios = [ratio(radii, below) for below in WEAKER]
            rows.append([f"{kind}, {frames} frames", *(number(radii[r]) for r in relaxations), *ratios])
            times.append([f"{kind}, {frames} frames", *(f"{1e3 * seconds[r]:.0f}" for r in relaxations)])
    for k, frames in enumerate(FRAMES):
        paper = {relaxation: values[k] for relaxation, values in PAPER.items()}
        shown = [number(paper[r]) if r in paper else "-" for r in relaxations]
        rows.append([f"the paper's LSTM, {frames} frames", *shown, *(ratio(paper, below) for below in WEAKER)])
    print(header("Appendix B.1 in kind: mean certified l_2 radius by relaxation", f"Targets: seed {arguments.seed}."))
    print(
        f"First {arguments.count} correctly classified test images, targeted, no clip, pixels in [0, 1], "
        f"tolerance {arguments.tolerance:g}.\n"
        "The paper's figures are of its own networks and 1000 samples, halved to this unit.\n"
        "`lines` is its appendix A.6 to the letter, `lines_either` takes the better factor for the line.\n"
        "A tanh RNN has no products: all but `constants` bound its tanh by the same lines.\n"
    )
    print(table(["network", *relaxations, *(f"planes / {below}" for below in WEAKER)], rows))
    print("Milliseconds per radius search and sample, elapsed:\n")
    print(table(["network", *relaxations], times))


if __name__ == "__main__":
    main()

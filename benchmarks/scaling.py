"""Cost against the number of frames: time of one evaluation, and peak memory with and without a memory budget.

    python -m benchmarks.scaling [--frames 4,8,16,32,64,128] [--memory 16] [--out benchmarks/results/scaling.png]

One LSTM of 16 units with random weights, 8 inputs a frame, 10 classes, the same for every number of frames; a batch of
samples in l_inf balls, untargeted, float64, one thread. Every figure comes from a process of its own: CPU time of the
fastest evaluation, and how far the resident memory rose above where it stood before (Linux only). The exponent is the
slope of a least-squares line through the logarithms. Claim: time grows no faster than the square of the frames.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import header, table
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.search.certify import Certified, Options, certify
from gpu_engine.spec import FrameBalls, untargeted

INPUTS, HIDDEN, CLASSES = 8, 16, 10
RADIUS = 0.01
MEGABYTE = 2**20
ENOUGH = 20.0  # CPU seconds after which an evaluation is not repeated
RELAXATIONS = ("parallel", "planes")


def network(seed: int) -> RecurrentClassifier:
    """PyTorch's own initialisation: uniform within 1 / sqrt(hidden)."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((4 * HIDDEN, INPUTS), (4 * HIDDEN, HIDDEN), (4 * HIDDEN,), (4 * HIDDEN,), (CLASSES, HIDDEN), (CLASSES,))
    weights = [
        (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1) / math.sqrt(HIDDEN) for shape in shapes
    ]
    w_input, w_state, b_input, b_state, head, bias = weights
    return RecurrentClassifier(((Direction("lstm", w_input, w_state, b_input, b_state),),), (Dense(head, bias),))


def evaluate(model: RecurrentClassifier, frames: int, samples: int, seed: int, options: Options) -> Certified:
    generator = torch.Generator().manual_seed(seed + 1)
    x = torch.rand(samples, frames, INPUTS, generator=generator, dtype=torch.float64)
    balls = FrameBalls(x, torch.full((samples, frames), RADIUS, dtype=torch.float64))
    return certify(model, balls, untargeted(model.logits(x).argmax(1), CLASSES), options)


def resident(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/self/status has no {field}; the memory figures need Linux")


def measure(job: dict[str, object]) -> dict[str, object]:
    """Run in a process of its own: {frames, samples, seed, relaxation, memory, repeat} -> seconds, megabytes, lower."""
    torch.set_num_threads(1)
    frames, samples, seed, repeat = (int(str(job[key])) for key in ("frames", "samples", "seed", "repeat"))
    memory = job["memory"]
    options = Options(str(job["relaxation"]), memory=None if memory is None else int(str(memory)) * MEGABYTE)
    model = network(seed)
    evaluate(model, 2, samples, seed, options)  # imports and the libraries' own buffers
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    seconds = math.inf
    spent, runs = 0.0, 0
    while runs == 0 or (runs < repeat and spent < ENOUGH):
        began = time.process_time()
        found = evaluate(model, frames, samples, seed, options)
        took = time.process_time() - began
        seconds, spent, runs = min(seconds, took), spent + took, runs + 1
    return {"seconds": seconds / samples, "megabytes": resident("VmHWM") - before, "lower": found.lower.tolist()}


def in_own_process(job: dict[str, object]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scaling", "--job", json.dumps(job)]
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    result: dict[str, object] = json.loads(answer.stdout)
    return result


def exponent(frames: list[int], values: list[float]) -> float:
    return float(np.polyfit(np.log(frames), np.log(values), 1)[0])


def draw(frames: list[int], curves: dict[str, dict[str, list[float]]], budget: int, samples: int, path: Path) -> None:
    """Two log-log panels: time per sample, peak memory."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    colours = dict(zip(RELAXATIONS, ("#0b6e99", "#c2571a"), strict=True))
    for relaxation, columns in curves.items():
        colour = colours[relaxation]
        slope = exponent(frames, columns["ms"])
        left.plot(frames, columns["ms"], "o-", color=colour, label=f"{relaxation}: fitted exponent {slope:.2f}")
        right.plot(frames, columns["free"], "o-", color=colour, label=f"{relaxation}, no budget")
        right.plot(frames, columns["budget"], "s--", color=colour, label=f"{relaxation}, budget {budget} MiB")
    first = max(columns["ms"][0] for columns in curves.values())
    left.plot(frames, [first * (t / frames[0]) ** 2 for t in frames], ":", color="0.45", label="square of the frames")
    right.axhline(budget, linestyle=":", color="0.45", label=f"{budget} MiB")
    left.set_ylabel("CPU milliseconds per sample")
    right.set_ylabel("peak memory above the start, MiB")
    left.set_title("Time of one evaluation", fontsize=11)
    right.set_title(f"Memory of a batch of {samples}", fontsize=11)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2 if axes is right else 10)
        axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())
        axes.set_xticks(frames, [str(t) for t in frames])
        axes.set_xlabel("frames")
        axes.grid(True, which="both", axis="y", alpha=0.2)
        axes.grid(True, which="major", axis="x", alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", default="4,8,16,32,64,128")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--memory", type=int, default=16, help="the budget in MiB")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scaling.png"))
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job is not None:
        print(json.dumps(measure(arguments.job)))
        return
    torch.set_num_threads(1)
    frames = [int(t) for t in arguments.frames.split(",")]
    rows, curves, fits = [], {}, []
    for relaxation in RELAXATIONS:
        columns: dict[str, list[float]] = {"ms": [], "ms_budget": [], "free": [], "budget": []}
        for t in frames:
            job = {"frames": t, "samples": arguments.samples, "seed": arguments.seed, "relaxation": relaxation}
            job |= {"repeat": arguments.repeat, "memory": None}
            free, kept = in_own_process(job), in_own_process(job | {"memory": arguments.memory})
            lower = [np.array(result["lower"]) for result in (free, kept)]
            columns["ms"].append(1e3 * free["seconds"])
            columns["ms_budget"].append(1e3 * kept["seconds"])
            columns["free"].append(free["megabytes"])
            columns["budget"].append(kept["megabytes"])
            apart = float((np.abs(lower[0] - lower[1]) / np.abs(lower[0])).max())
            rows.append([relaxation, str(t), *(f"{values[-1]:.1f}" for values in columns.values()), f"{apart:.1e}"])
        curves[relaxation] = columns
        upper = [k for k, t in enumerate(frames) if t >= 16]
        fits.append(
            f"{relaxation}: {exponent(frames, columns['ms']):.2f} over all frames, "
            f"{exponent([frames[k] for k in upper], [columns['ms'][k] for k in upper]):.2f} from 16 frames on"
        )
    draw(frames, curves, arguments.memory, arguments.samples, arguments.out)
    print(header("Cost against frames", f"Weights and data: seed {arguments.seed}.", extra=("matplotlib",)))
    print(
        f"LSTM of {HIDDEN} units, {INPUTS} inputs a frame, {CLASSES} classes, {arguments.samples} samples in a batch, "
        f"l_inf radius {RADIUS:g},\nuntargeted, float64. Time: CPU time per sample, the shortest of up to "
        f"{arguments.repeat} runs. Memory: rise of the resident memory.\n"
        "Last column: largest relative difference between the lower bounds with and without budget.\n"
    )
    print("Fitted exponents of the time without budget: " + "; ".join(fits) + ".\n")
    head = [
        "relaxation",
        "frames",
        "ms/sample",
        f"ms/sample, {arguments.memory} MiB",
        "MiB",
        f"MiB, {arguments.memory} MiB",
    ]
    print(table([*head, "difference"], rows))
    print(f"![Cost against frames]({arguments.out.name})")


if __name__ == "__main__":
    main()

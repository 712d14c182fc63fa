"""Time of one evaluation at a fixed radius, against the matrix-product roofline of the same run.

    python -m benchmarks.engine_speed [--models a,b] [--dtype float64] [--device cpu] [--repeat 7]

The roofline is the rate of one large matrix product in the same dtype on the same device; the ratio is the time
that the evaluation's matrix products would take at that rate, over the time the whole evaluation takes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import P1_MODELS, header, samples, shared_model, table
from gpu_engine.search.certify import DTYPES, Options, certify
from gpu_engine.spec import FrameBalls, untargeted


def timed(action: Callable[[], object], repeat: int, device: str) -> list[float]:
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        action()
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds


def roofline(dtype: torch.dtype, device: str) -> float:
    """Floating-point operations per second of a large matrix product."""
    size = 2048
    a = torch.randn(size, size, dtype=dtype, device=device)
    timed(lambda: a @ a, 2, device)
    return 2 * size**3 / min(timed(lambda: a @ a, 5, device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(P1_MODELS))
    parser.add_argument("--dtype", default="float64", choices=sorted(DTYPES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--radius", type=float, default=0.01)
    parser.add_argument("--chunk", type=int, default=Options().chunk)
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    rate = roofline(DTYPES[arguments.dtype], arguments.device)
    rows = []
    for name in arguments.models.split(","):
        model = shared_model(name)
        x, labels = samples(name, model)
        balls = FrameBalls(x, torch.full(x.shape[:2], arguments.radius, dtype=torch.float64), clip=(0.0, 1.0))
        rows_spec = untargeted(labels, model.classes)
        for relaxation in ("parallel", "planes"):
            options = Options(relaxation, arguments.dtype, arguments.device, arguments.chunk)

            evaluate = partial(certify, model, balls, rows_spec, options)

            with FlopCounterMode(display=False) as counter:
                evaluate()
            seconds = timed(evaluate, arguments.repeat, arguments.device)
            middle, least = statistics.median(seconds), min(seconds)
            share = counter.get_total_flops() / rate / middle
            per_sample = [f"{1e3 * s / len(x):.2f}" for s in (least, middle)]
            rows.append(
                [name, relaxation, *per_sample, f"{counter.get_total_flops() / len(x) / 1e6:.0f}", f"{share:.2f}"]
            )
    print(header("Engine speed: one evaluation at a fixed radius, batch of 100"))
    print(f"{arguments.dtype} on {arguments.device}, roofline {rate / 1e9:.0f} GFLOP/s, chunk {arguments.chunk}.\n")
    print(
        table(
            ["model", "relaxation", "ms/sample, best", "ms/sample, median", "MFLOP/sample", "share of roofline"], rows
        )
    )


if __name__ == "__main__":
    main()

"""Certificates: how many the kernel accepts, and what writing, checking and keeping them costs.

    python -m benchmarks.certificates [--models a,b:0.003,c:0.01:best] [--count 100] [--dtypes float64,float32]

l_inf, the same radius on every frame, clip [0, 1], untargeted; one certificate for every one of the first `count` test
samples that the engine claims. Checks run in processes of their own that never load torch; times are CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import P1_MODELS, header, samples, shared_model, table
from gpu_engine.certificates.container import LENGTH_BYTES
from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.search.certify import BoundedBatch, Options, certify
from gpu_engine.spec import FrameBalls, untargeted

RUNS = (
    *(f"{name}:0.01" for name in P1_MODELS),
    "mnist_04f_032h_1l:0.01:best",
    "mnist_14f_032h_1l:0.003",
    "mnist_14f_032h_1l:0.008",
    "digits_lstm:0.02",
    "digits_gru:0.02",
    "digits_rnn:0.05",
)
VALID, INVALID, HOLEY = "VALID", "INVALID", "HOLEY"
# What is demanded: the share of accepted claims by dtype, and the seconds that a check may take by model.
LEAST_SHARE = {"float64": 1.0, "float32": 0.99}
MOST_SECONDS = {"mnist_04f_032h_1l": 2.0, "mnist_14f_032h_1l": 30.0}
NETWORK_FILE = "network.safetensors"
REPEAT = 3


@dataclass(frozen=True)
class Run:
    """One question about the first test samples of a model."""

    name: str
    radius: float
    relaxation: str
    dtype: str

    @property
    def title(self) -> str:
        """Without the dtype."""
        return f"{self.name}, {self.radius:g}" + ("" if self.relaxation == "parallel" else f", {self.relaxation}")


@dataclass(frozen=True)
class Written:
    """What the engine left. correct: samples classified correctly; files: by sample; seconds: a sample, a file."""

    run: Run
    correct: int
    files: dict[int, Path]
    engine_seconds: float
    write_seconds: float
    network_bytes: int


@dataclass(frozen=True)
class Checked:
    """What the kernel said; outcomes: by sample, the objects of `benchmarks.kernel_timing`."""

    written: Written
    outcomes: dict[int, dict[str, Any]]

    @property
    def counts(self) -> Counter[str]:
        """Certificates by verdict."""
        return Counter(outcome["verdict"] for outcome in self.outcomes.values())

    @property
    def seconds(self) -> list[float]:
        return [outcome["seconds"] for outcome in self.outcomes.values()]


def runs(entry: str, dtypes: Sequence[str]) -> list[Run]:
    """entry: model:radius or model:radius:relaxation."""
    name, radius, relaxation = (*entry.split(":"), "parallel")[:3]
    return [Run(name, float(radius), relaxation, dtype) for dtype in dtypes]


def write(run: Run, count: int, folder: Path) -> Written:
    """Bound the first `count` samples, once more with certificates of all that is claimed."""
    model = shared_model(run.name)
    x, labels = samples(run.name, model, count)
    balls = FrameBalls(x, torch.full(x.shape[:2], run.radius, dtype=torch.float64), clip=(0.0, 1.0))
    rows, options = untargeted(labels, model.classes), Options(run.relaxation, run.dtype)
    bounding = []
    for _ in range(1 + REPEAT):  # the first one warms up
        began = time.process_time()
        certify(model, balls, rows, options)
        bounding.append(time.process_time() - began)
    network = Network(model, NETWORK_FILE)
    (folder / NETWORK_FILE).write_bytes(network.content())
    files: dict[int, Path] = {}
    writing = 0.0

    def keep(batch: BoundedBatch) -> None:
        nonlocal writing
        began = time.process_time()
        certificates = Certificates(batch, network)
        for k, sample in enumerate(batch.samples.tolist()):
            if certificates.margins[k] > 0:
                files[sample] = folder / f"sample-{sample:05d}.safetensors"
                files[sample].write_bytes(certificates.write(k))
        writing += time.process_time() - began

    certify(model, balls, rows, options, batch_sink=keep)
    return Written(
        run,
        int((model.logits(x).argmax(1) == labels).sum()),
        files,
        statistics.median(bounding[1:]) / len(x),
        writing / max(1, len(files)),
        (folder / NETWORK_FILE).stat().st_size,
    )


def check(written: Written, workers: int) -> Checked:
    """Hand the files to as many processes in turn. Ends the program where one of them does not come back."""
    files = {str(path): sample for sample, path in written.files.items()}
    names = list(files)
    processes = [
        subprocess.Popen([sys.executable, "-m", "benchmarks.kernel_timing", *share], stdout=subprocess.PIPE, text=True)
        for share in (names[k::workers] for k in range(workers))
        if share
    ]
    outcomes = {}
    for process in processes:
        output, _ = process.communicate()
        if process.returncode:
            sys.exit(f"{' '.join(map(str, process.args))} ended with code {process.returncode}")  # type: ignore[arg-type]
        for outcome in map(json.loads, output.splitlines()):
            outcomes[files[outcome["file"]]] = outcome
    return Checked(written, dict(sorted(outcomes.items())))


def parts(content: bytes) -> tuple[int, int]:
    """Bytes of a container's header, with its length in front, and of its data."""
    head = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    return head, len(content) - head


def shortfalls(checked: Sequence[Checked]) -> list[str]:
    """Every demand that is not met, in words."""
    found = []
    for one in checked:
        run, counts = one.written.run, one.counts
        what = f"{run.title}, {run.dtype}"
        if counts[VALID] < LEAST_SHARE[run.dtype] * counts.total():
            found.append(f"{what}: {counts[VALID]} of {counts.total()} VALID")
        limit = MOST_SECONDS.get(run.name)
        if limit is not None and run.relaxation == "parallel" and any(s >= limit for s in one.seconds):
            found.append(f"{what}: {max(one.seconds):.1f} s for a check, {limit:g} s are allowed")
    return found


def refused(checked: Sequence[Checked]) -> list[list[str]]:
    """Every certificate that was not accepted, and what became of the same sample in the run's other dtypes."""
    lines = []
    for title, several in groupby(checked, lambda one: one.written.run.title):
        group = list(several)
        for one in group:
            for sample, outcome in one.outcomes.items():
                if outcome["verdict"] != VALID:
                    others = (
                        f"{other.written.run.dtype}: {other.outcomes[sample]['verdict']}"
                        if sample in other.outcomes
                        else f"{other.written.run.dtype}: not claimed"
                        for other in group
                        if other is not one
                    )
                    why = f"step {outcome['step']}, {outcome['rule']}: {outcome['reason']}"
                    run = one.written.run
                    lines.append([title, run.dtype, str(sample), outcome["verdict"], why, ", ".join(others)])
    return lines


def verdict_row(one: Checked) -> list[str]:
    counts = one.counts
    others = counts.total() - counts[VALID] - counts[INVALID] - counts[HOLEY]
    share = f"{counts[VALID] / counts.total():.1%}" if counts else "-"
    numbers = (one.written.correct, counts.total(), counts[VALID], counts[INVALID], counts[HOLEY], others)
    return [one.written.run.title, one.written.run.dtype, *map(str, numbers), share]


def time_row(one: Checked) -> list[str]:
    written, middle = one.written, statistics.median(one.seconds)
    return [
        *(written.run.title, written.run.dtype, f"{middle:.2f}", f"{max(one.seconds):.2f}"),
        *(f"{1e3 * written.engine_seconds:.1f}", f"{1e3 * written.write_seconds:.1f}"),
        f"{middle / written.engine_seconds:,.0f}",
    ]


def size_row(one: Checked) -> list[str]:
    sizes = [parts(path.read_bytes()) for path in one.written.files.values()]
    middle = [statistics.median(column) for column in (map(sum, sizes), *zip(*sizes, strict=True))]
    peaks = [outcome["peak"] for outcome in one.outcomes.values()]
    peak = "-" if None in peaks else f"{max(peaks) / 2**20:.0f}"
    return [
        *(one.written.run.title, one.written.run.dtype, *(f"{size:,.0f}" for size in middle)),
        *(f"{one.written.network_bytes:,}", peak),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(RUNS), help="model:radius or model:radius:relaxation, by commas")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--dtypes", default="float64,float32")
    parser.add_argument("--workers", type=int, default=2, help="processes that check")
    arguments = parser.parse_args()
    checked: list[Checked] = []
    sizes = []
    for run in (run for entry in arguments.models.split(",") for run in runs(entry, arguments.dtypes.split(","))):
        with tempfile.TemporaryDirectory() as folder:
            one = check(write(run, arguments.count, Path(folder)), arguments.workers)
            if one.outcomes:
                sizes.append(size_row(one))
        checked.append(one)
        print(f"{run.title}, {run.dtype}: {dict(one.counts)}", file=sys.stderr, flush=True)
    print(header("Certificates: what the kernel accepts, and at what cost"))
    print(
        f"First {arguments.count} test samples, l_inf radius as given, the same on every frame, clip [0, 1], "
        "untargeted;\nplanes of `parallel` where no other relaxation is named. Claimed: the engine's margin is "
        "positive, and a\ncertificate of it was written.\n"
    )
    head = ["run", "engine's dtype", "correct", "claimed", VALID, INVALID, HOLEY, "unreadable", "accepted"]
    print(table(head, [verdict_row(one) for one in checked]))
    lines = refused(checked)
    if lines:
        print("Not accepted:\n")
        print(table(["run", "dtype", "sample", "verdict", "why", "the same sample in other dtypes"], lines))
    missed = shortfalls(checked)
    print(
        "Demanded: all claims in float64 and 99 % of those in float32 are VALID; a check takes\nunder "
        + " and under ".join(f"{most:g} s on {name}" for name, most in MOST_SECONDS.items())
        + ".\n"
        + ("All of it is met.\n" if not missed else "Falls short: " + "; ".join(missed) + ".\n")
    )
    print(
        f"CPU time of one core. Check: reading and replaying one certificate. Engine: the pass that bounds all "
        f"samples\n(median of {REPEAT}), by sample. Writing: by certificate. Ratio: the median check over the engine.\n"
    )
    some = [one for one in checked if one.outcomes]
    head = ["run", "dtype", "check s, median", "check s, largest", "engine ms", "writing ms", "check / engine"]
    print(table(head, [time_row(one) for one in some]))
    print(
        "Median bytes of a certificate, its header and its data; bytes of the network's file, which all certificates "
        "of a run\nshare; the most memory that a checking process took, Python included.\n"
    )
    print(table(["run", "dtype", "certificate", "header", "data", "network's file", "peak MiB"], sizes))


if __name__ == "__main__":
    main()

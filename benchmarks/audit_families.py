"""Both rigorous methods on planes drawn over all families, and their speed on planes of real runs.

    python -m benchmarks.audit_families [--count 1000000] [--seed 0] [--workers 2] [--real 100]

Every drawn plane is judged by both methods: by critical points (the kernel) and by branch and bound. Where the truth is
known, an offset moved by 1e-12 of the size of its terms or more, the verdict is compared with it. Ends with exit code 1
where a plane stays undecided, the methods contradict each other, or a verdict is wrong.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.common import P1_MODELS, header, samples, shared_model, table
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, untargeted
from refcert.app.plane_export import PlaneCollector
from refcert.audit.branching.search import check_plane_by_branching
from refcert.audit.families.boxes import BOX_FAMILIES
from refcert.audit.families.planes import BLOCK, MOVES, PLANE_FAMILIES, draw_block
from refcert.audit.families.special import OWN
from refcert.audit.judge import JudgesDisagreeError, reconcile
from refcert.audit.verdicts import Judgement, from_kernel
from refcert.kernel.claims import KINDS, PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane

GROUPS = ("family", "boxes", "move", "kind")
# Contradictions that are printed; all are counted.
SHOWN = 10
COLUMNS = ("planes", "PROVED", "REFUTED", "UNDECIDED", "first undecided", "second undecided", "known", "wrong")


class BlockResult(NamedTuple):
    """Counts by (group, name, column), planes by (method, bits), CPU seconds by task, and contradictions in words."""

    counts: Counter[tuple[str, str, str]]
    bits: Counter[tuple[str, int]]
    seconds: Counter[str]
    disagreements: list[str]


def judge_block(index: int, count: int, seed: int) -> BlockResult:
    """Draw a block and judge it by both methods."""
    began = time.process_time()
    drawn = draw_block(index, count, seed)
    claims = list(drawn.table.claims())
    first, after_first = judged(claims, lambda claim: from_kernel(check_plane(claim)))
    second, after_second = judged(claims, check_plane_by_branching)
    drawing = time.process_time() - began - after_first - after_second
    seconds = Counter({"drawing": drawing, "first": after_first, "second": after_second})
    counts: Counter[tuple[str, str, str]] = Counter()
    disagreements = []
    names = (drawn.family, drawn.boxes, drawn.move, drawn.table.columns["kind"])
    keys = zip(*(column.tolist() for column in names), strict=True)
    for claim, key, truth, one, two in zip(claims, keys, drawn.truth.tolist(), first, second, strict=True):
        try:
            status = reconcile(claim, one, two).status
        except JudgesDisagreeError as error:
            disagreements.append(str(error))
            continue
        columns = ["planes", status.value]
        columns += ["first undecided"] * (one.status is Status.UNDECIDED)
        columns += ["second undecided"] * (two.status is Status.UNDECIDED)
        columns += ["known"] * bool(truth) + ["wrong"] * (bool(truth) and truth != status.value)
        counts.update((group, name, column) for group, name in zip(GROUPS, key, strict=True) for column in columns)
    bits = Counter(("first", v.precision) for v in first) + Counter(("second", v.precision) for v in second)
    return BlockResult(counts, bits, seconds, disagreements)


def judged(claims: list[PlaneClaim], method: Callable[[PlaneClaim], Judgement]) -> tuple[list[Judgement], float]:
    """Verdicts of one method and the CPU seconds it took."""
    began = time.process_time()
    verdicts = [method(claim) for claim in claims]
    return verdicts, time.process_time() - began


def drawn_results(count: int, seed: int, workers: int) -> Iterator[BlockResult]:
    work = partial(judge_block, count=count, seed=seed)
    blocks = range(-(-count // BLOCK))
    if workers == 1:
        yield from map(work, blocks)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, blocks)


def show_group(group: str, names: tuple[str, ...], counts: Counter[tuple[str, str, str]]) -> None:
    rows = [[name, *(f"{counts[group, name, column]:,}" for column in COLUMNS)] for name in names]
    rows.append(
        ["all", *(f"{sum(counts[group, name, column] for name in names):,}" for column in COLUMNS)],
    )
    print(f"## By {group}\n")
    head = [group, *(c.lower() for c in COLUMNS[:4]), "undecided by the first", "undecided by the second"]
    print(table([*head, "truth known", "verdict wrong"], rows))


def real_planes(name: str, relaxation: str, count: int, radius: float, keep: int) -> list[PlaneClaim]:
    """At most `keep` planes of a run, drawn at random from all of them."""
    model = shared_model(name)
    x, labels = samples(name, model, count)
    balls = FrameBalls(x, torch.full(x.shape[:2], radius, dtype=torch.float64), clip=(0.0, 1.0))
    collector = PlaneCollector(0)
    certify(model, balls, untargeted(labels, model.classes), Options(relaxation), collector.add)
    planes = collector.table()
    assert planes is not None
    claims = list(planes.claims())
    order = np.random.default_rng(0).permutation(len(claims))[:keep]
    return [claims[i] for i in order]


def show_real(count: int, radius: float, keep: int) -> bool:
    """Both methods on planes of real runs; True where both prove them all."""
    rows, good = [], True
    for name in P1_MODELS:
        for relaxation in ("parallel", "planes"):
            claims = real_planes(name, relaxation, count, radius, keep)
            first, first_seconds = judged(claims, lambda claim: from_kernel(check_plane(claim)))
            second, second_seconds = judged(claims, check_plane_by_branching)
            proved = [sum(v.status is Status.PROVED for v in verdicts) for verdicts in (first, second)]
            good &= proved == [len(claims)] * 2
            rows.append(
                [
                    name,
                    relaxation,
                    f"{len(claims):,}",
                    *(f"{n:,}" for n in proved),
                    *(f"{len(claims) / seconds:,.0f}" for seconds in (first_seconds, second_seconds)),
                    f"{second_seconds / first_seconds:.2f}",
                ]
            )
    print("## Planes of real runs\n")
    print(f"First {count} test samples, l_inf radius {radius:g}, clip [0, 1]; planes drawn from all of a run's.\n")
    head = ["model", "relaxation", "planes", "proved by the first", "by the second"]
    print(table([*head, "planes/s and core, first", "second", "second's time / first's"], rows))
    return good


def show_drawn(count: int, seed: int, workers: int) -> bool:
    """Both methods on drawn planes; True where all are decided and rightly so."""
    counts: Counter[tuple[str, str, str]] = Counter()
    bits: Counter[tuple[str, int]] = Counter()
    seconds: Counter[str] = Counter()
    disagreements: list[str] = []
    for result in drawn_results(count, seed, workers):
        counts.update(result.counts)
        bits.update(result.bits)
        seconds.update(result.seconds)
        disagreements += result.disagreements
    print("## Drawn planes\n")
    for method in ("first", "second"):
        used = ", ".join(f"{n:,} at {b} bits" for (m, b), n in sorted(bits.items()) if m == method)
        print(f"- {method}: {count / seconds[method]:,.0f} planes/s; {used}")
    print(f"- drawing: {count / seconds['drawing']:,.0f} planes/s")
    print(f"- contradictions between the methods: {len(disagreements)}\n")
    for group, names in zip(GROUPS, (PLANE_FAMILIES, (*BOX_FAMILIES, OWN), tuple(MOVES), KINDS), strict=True):
        show_group(group, names, counts)
    print("\n".join(disagreements[:SHOWN]))
    bad = sum(n for (_, _, column), n in counts.items() if column in ("UNDECIDED", "wrong"))
    return not disagreements and bad == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000, help="planes drawn; 0 leaves them out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes for the drawn planes")
    parser.add_argument("--real", type=int, default=100, help="samples per real run; 0 leaves them out")
    parser.add_argument("--keep", type=int, default=10_000, help="planes of each real run")
    arguments = parser.parse_args()
    print(header("Two rigorous methods on planes of all families", f"Seed {arguments.seed}."))
    print("first: critical points (kernel); second: branch and bound. Speeds by CPU time, per core.\n")
    good = arguments.real == 0 or show_real(arguments.real, 0.01, arguments.keep)
    good &= arguments.count == 0 or show_drawn(arguments.count, arguments.seed, arguments.workers)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

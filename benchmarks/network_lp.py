"""What is lost where: single planes, back-substitution and boxes, on real networks.

    python -m benchmarks.network_lp [--count 2] [--models ...] [--relaxation parallel]

For the first `count` test samples that each model classifies correctly, at one l_inf radius: the least margin of every
rung of `audit.network_lp`, as certified means and counts. Every bound is rigorous: planes are proved on boxes that the
reference derives, values come from repaired duals. Only the row that can be the worst is followed up.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.common import first_correct, header, samples, shared_model, table
from gpu_engine.inputs import FrameBalls
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import untargeted
from refcert.app.lp_ladder import FOUND, NAMES, SEVERAL
from refcert.app.plane_export import PlaneCollector
from refcert.app.reference_forms import planes_of, reference_network, reference_set, starts_of
from refcert.audit.network_lp import RUNGS, Ladder, network_ladder
from refcert.reference.given_planes import COLUMNS, given_from_columns

MODELS = (
    "digits_rnn:0.07",
    "digits_gru:0.03",
    "digits_lstm:0.022",
    "mnist_04f_032h_1l:0.01",
    "mnist_04f_032h_1l:0.015",
)
# Boxes by linear programs are for small networks.
LEFT_OUT = ("tightened",)


@dataclass
class Totals:
    """Margins (rungs) of every sample, the largest gap, seconds and programs by rung."""

    margins: list[list[float]] = field(default_factory=list)
    gap: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)

    def add(self, ladder: Ladder) -> None:
        self.margins.append([rung.worst for rung in ladder.rungs])
        for rung in ladder.rungs:
            self.seconds[rung.name] = self.seconds.get(rung.name, 0.0) + rung.seconds
            self.programs[rung.name] = self.programs.get(rung.name, 0) + rung.programs
            if rung.name != FOUND:
                self.gap = max(self.gap, abs(rung.gap))


def ladders(name: str, radius: float, arguments: argparse.Namespace) -> Totals:
    model = shared_model(name)
    x, labels = first_correct(model, *samples(name, model), arguments.count)
    network, rows = reference_network(model), untargeted(labels, model.classes)
    rungs = [rung for rung in RUNGS if rung not in LEFT_OUT]
    totals = Totals()
    for k in range(len(x)):
        here = slice(k, k + 1)
        balls = FrameBalls(x[here], torch.full(x[here].shape[:2], radius, dtype=torch.float64))
        collector = PlaneCollector(0)
        certify(model, balls, rows.select(here), Options(arguments.relaxation), collector.add)
        planes = collector.table()
        assert planes is not None
        both = {**planes.columns, **planes.origin}
        starts = starts_of({column: both[column].tolist() for column in COLUMNS})
        time_steps = x.shape[1]
        totals.add(
            network_ladder(
                network,
                reference_set(balls),
                rows.C[k].numpy(),
                rows.d[k].numpy(),
                [given_from_columns(network, time_steps, start) for start in starts],
                [given_from_columns(network, time_steps, planes_of(RELAXATIONS[rule], starts[0])) for rule in SEVERAL],
                rungs,
                worst_only=True,
                rounds=arguments.rounds,
                tolerance=arguments.tolerance,
            )
        )
    return totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--models", default=",".join(MODELS), help="name:radius, separated by commas")
    parser.add_argument("--relaxation", default="parallel")
    parser.add_argument("--rounds", type=int, default=6, help="of cutting planes")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="of cutting planes, in units of a variable's box")
    arguments = parser.parse_args()
    names = [rung for rung in RUNGS if rung not in LEFT_OUT]
    found = {}
    for entry in arguments.models.split(","):
        name, radius = entry.split(":")
        began = time.process_time()
        found[f"{name}, {radius}"] = ladders(name, float(radius), arguments), time.process_time() - began
    print(header("What single planes, back-substitution and boxes lose", extra=("cvxpy", "highspy")))
    print(
        f"First {arguments.count} correctly classified samples, l_inf, no clip, untargeted, planes of "
        f"`{arguments.relaxation}`; cutting planes: at most {arguments.rounds} rounds, to {arguments.tolerance:g} of a "
        f"box.\n`several`: {', '.join(SEVERAL)} together. Bounds are rigorous; an attack's value is no bound.\n"
    )
    print("Mean of the worst margins (higher is better), and how many are positive:\n")
    rows = []
    for rung in names:
        row = [NAMES[rung]]
        for totals, _ in found.values():
            values = np.array([sample[names.index(rung)] for sample in totals.margins])
            row.append(f"{values.mean():.4f} ({int((values > 0).sum())})")
        rows.append(row)
    print(table(["relaxation", *found], rows))
    print("Milliseconds a program, elapsed (other work on the machine counts), and how many programs a sample:\n")
    rows = []
    for rung in names:
        row = [NAMES[rung]]
        for totals, _ in found.values():
            programs = totals.programs[rung]
            each = 1e3 * totals.seconds[rung] / programs if programs else math.nan
            row.append(f"{each:.0f} ({programs / len(totals.margins):.1f})" if programs else "-")
        rows.append(row)
    print(table(["relaxation", *found], rows))
    print("Largest gap between the solver's optimum and the rigorous bound, and CPU seconds a sample, all rungs:\n")
    rows = [
        [name, f"{totals.gap:.1e}", f"{seconds / arguments.count:.0f}"] for name, (totals, seconds) in found.items()
    ]
    print(table(["model, radius", "gap", "CPU seconds"], rows))


if __name__ == "__main__":
    main()

"""LP search (Bastani et al., 2016): lazy constraints against all at once, against L-BFGS, with and without walking.

    python -m benchmarks.lp_search [--speed-count 20] [--count 50] [--models mlp_100,mlp_300_100,...]

MNIST test images that each model classifies correctly, l_inf (speed: l_1, too), clip [0, 1]. The models are those of
`python -m examples.train_relu`. Frequency is the share of samples with an adversarial input within the threshold,
severity the mean radius of those; thresholds in units of the data, Bastani et al.'s is 20 / 255.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.common import first_correct, header, samples, table, trained_model
from gpu_engine.attacks.base import RadiusAttack
from gpu_engine.attacks.bisection import Bisected
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.lbfgs import LBFGS
from gpu_engine.attacks.lp.highs import Deadline
from gpu_engine.attacks.lp.lazy import solve_at_once, solve_lazily
from gpu_engine.attacks.lp.program import OPTIMAL, TIME_LIMIT, Answer, Program, solve_spelled_out
from gpu_engine.attacks.lp.sample import STRICTNESS, Sample
from gpu_engine.attacks.lp.search import LPSearch
from gpu_engine.attacks.lp.targets import SECOND, targets_of
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.cells.unroll import unroll
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import untargeted
from refcert.app.metrics.estimates import adversarial_frequency, adversarial_severity

MODELS = ("mlp_100", "mlp_300_100", "relu_rnn_04f", "relu_rnn_07f")
CLIP = (0.0, 1.0)
THRESHOLDS = (5 / 255, 10 / 255, 20 / 255)

# Seconds for a program: HiGHS was seen to circle for half an hour on one that it was given as a whole.
LIMIT = 60.0

Solver = Callable[[Program], Answer]
SOLVERS: dict[str, Solver] = {
    "cvxpy, all at once": lambda program: solve_spelled_out(program, LIMIT),
    "HiGHS, all at once": lambda program: solve_at_once(program, Deadline.after(LIMIT)),
    "rising radius, all at once": lambda program: solve_at_once(
        program, Deadline.after(LIMIT), rising=program.budget.p == math.inf
    ),
    "lazy": lambda program: solve_lazily(program, Deadline.after(LIMIT)),
}
REFERENCE, DIRECT, LAZY = "cvxpy, all at once", "HiGHS, all at once", "lazy"


def programs_of(model: RecurrentClassifier, x: torch.Tensor, labels: torch.Tensor, p: float) -> list[Program]:
    """The program of every sample in its own region, for the second most likely label."""
    tape = unroll(model, x.shape[1])
    found = []
    for b in range(len(x)):
        here = slice(b, b + 1)
        question = Question(model, untargeted(labels[here], model.classes))
        family = BallFamily(x[here], torch.ones(1, x.shape[1], dtype=torch.float64), p, CLIP)
        sample = Sample(question, family, tape, x.shape[1])
        region = sample.region(point=sample.center)
        (target,) = targets_of(question.specification, region.output_value, SECOND)
        found.append(Program(region, sample.budget, target.rows, target.offset, STRICTNESS[0]))
    return found


@dataclass
class Timed:
    """Seconds by solver, over the programs that have an optimum; the largest difference of optima; constraints.

    late: by solver, the programs that it did not finish within LIMIT; these count nowhere else.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SOLVERS, 0.0))
    solved: int = 0
    infeasible: int = 0
    apart: float = 0.0
    signs: list[int] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    late: Counter[str] = field(default_factory=Counter)


def speed(programs: list[Program]) -> Timed:
    """Every program by every solver; they must agree on which are infeasible."""
    timed = Timed()
    for program in programs:
        answers, seconds = {}, {}
        for name, solver in SOLVERS.items():
            began = time.process_time()
            answers[name] = solver(program)
            seconds[name] = time.process_time() - began
        late = [name for name, answer in answers.items() if answer.status == TIME_LIMIT]
        timed.late.update(late)
        statuses = {answer.status for answer in answers.values()} - {TIME_LIMIT}
        if len(statuses) > 1:
            raise AssertionError(f"solvers disagree: { {name: answer.status for name, answer in answers.items()} }")
        if late:
            continue
        if statuses != {OPTIMAL}:
            timed.infeasible += 1
            continue
        timed.solved += 1
        radii = [answer.radius for answer in answers.values()]
        timed.apart = max(timed.apart, max(radii) - min(radii))
        timed.signs.append(answers[LAZY].signs)
        timed.rounds.append(answers[LAZY].rounds)
        for name in SOLVERS:
            timed.seconds[name] += seconds[name]
    return timed


def speed_table(models: list[str], count: int) -> str:
    rows = []
    for name in models:
        model = trained_model(f"mnist_{name}")
        x, labels = first_correct(model, *samples(f"mnist_{name}", model), count)
        for p in (math.inf, 1.0):
            programs = programs_of(model, x, labels, p)
            timed = speed(programs)
            units = int(programs[0].region.constrained.sum())
            each = {solver: 1e3 * timed.seconds[solver] / max(timed.solved, 1) for solver in SOLVERS}
            rows.append(
                [
                    name,
                    "inf" if p == math.inf else "1",
                    f"{timed.solved} ({timed.infeasible})",
                    *(f"{each[solver]:.1f}" for solver in SOLVERS),
                    *(f"{each[solver] / each[LAZY]:.1f}" for solver in SOLVERS if solver != LAZY),
                    f"{np.mean(timed.signs):.0f} of {units}",
                    f"{np.mean(timed.rounds):.1f}",
                    f"{timed.apart:.1e}",
                    ", ".join(f"{solver}: {number}" for solver, number in timed.late.items()) or "none",
                ]
            )
            print(rows[-1], file=sys.stderr, flush=True)
    ratios = [f"{solver} / lazy" for solver in SOLVERS if solver != LAZY]
    head = ["model", "p", "optima (infeasible)", *(f"{solver}, ms" for solver in SOLVERS), *ratios]
    return table([*head, "sign constraints, lazy", "rounds", "optima apart", f"not done in {LIMIT:.0f} s"], rows)


def searches() -> dict[str, RadiusAttack]:
    return {
        "L-BFGS": LBFGS(),
        "LP, second label": LPSearch(steps=0, targets=SECOND),
        "LP, all labels": LPSearch(steps=0),
        "LP, all labels, walking": LPSearch(),
        "PGD, bisected": Bisected(PGD()),
    }


def search_table(models: list[str], count: int) -> str:
    rows = []
    for name in models:
        model = trained_model(f"mnist_{name}")
        x, labels = first_correct(model, *samples(f"mnist_{name}", model), count)
        question = Question(model, untargeted(labels, model.classes))
        family = BallFamily(x, torch.ones(x.shape[:2], dtype=torch.float64), math.inf, CLIP)
        for method, attack in searches().items():
            began = time.process_time()
            radii = attack.smallest(question, family, torch.Generator().manual_seed(0)).radius.numpy()
            seconds = (time.process_time() - began) / count
            row = [name, method, f"{int(np.isfinite(radii).sum())}"]
            for threshold in THRESHOLDS:
                frequency = float(adversarial_frequency(radii, threshold))
                severity = float(adversarial_severity(radii, threshold)) if frequency else math.nan
                row.append(f"{frequency:.0%}, {severity:.4f}" if frequency else "0%, -")
            finite = radii[np.isfinite(radii)]
            rows.append([*row, f"{np.median(radii):.4f}", f"{finite.mean():.4f}", f"{seconds:.2f}"])
            print(rows[-1], file=sys.stderr, flush=True)
    head = ["model", "search", "found"]
    head += [f"{round(255 * threshold)}/255: frequency, severity" for threshold in THRESHOLDS]
    return table([*head, "median radius", "mean radius", "CPU s a sample"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed-count", type=int, default=20, help="samples a model for the times of programs")
    parser.add_argument("--count", type=int, default=50, help="samples a model for frequency and severity")
    parser.add_argument("--models", default=",".join(MODELS))
    arguments = parser.parse_args()
    models = arguments.models.split(",")
    print(header("LP search", "PGD: seed 0; nothing else is random.", ("cvxpy", "highspy", "scipy")))
    print(
        f"First correctly classified MNIST test images, clip [0, 1]. Programs: {arguments.speed_count} a model, in the "
        "region of the image, for the second most\nlikely label; CPU milliseconds a program, over those with an "
        "optimum; `all at once` holds every sign constraint from the\nbeginning: spelled out through cvxpy, the same "
        "directly to HiGHS, and by rising radii (p = inf) as the lazy one.\n"
    )
    print(speed_table(models, arguments.speed_count))
    print(
        f"l_inf, {arguments.count} images a model, the same for every search; upper ends of the true radii, not "
        "guaranteed to be the least. LP without walking\nis the search of the paper. Mean radius: of those found.\n"
    )
    print(search_table(models, arguments.count))


if __name__ == "__main__":
    main()

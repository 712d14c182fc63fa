"""How small the perturbations are that each attack finds, and what they cost: FGSM, PGD, C&W-Ada, L-BFGS.

    python -m benchmarks.attack_strength [--models mnist_04f_032h_1l,...] [--norms inf,2,1] [--count 50] [--seed 0]

Protocol P1's questions: the first test images that are classified correctly, the same radius on every frame, clip range
[0, 1], untargeted. Every attack with its defaults. `cw as printed` is C&W-Ada as the POPQORN paper's appendix B.3 gives
it: Adam on q + (v + c) max_t ||delta_t||_p, here on the margin, so that nobody has to take our departures on trust.
Radii of attacks are upper bounds; what an attack misses proves nothing.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import ClassVar

import torch

from benchmarks.common import first_correct, header, samples, shared_model, table
from gpu_engine.attacks.base import RadiusAttack
from gpu_engine.attacks.bisection import nearest_on_segment
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.found import Smallest, smallest_at
from gpu_engine.attacks.question import Question
from gpu_engine.attacks.registry import ATTACKS
from gpu_engine.spec import untargeted

MODELS = "mnist_04f_032h_1l,mnist_07f_032h_1l,mnist_14f_032h_1l,digits_lstm"
CLIP = (0.0, 1.0)
REFERENCE = "pgd"
COMPARED = ("fgsm", REFERENCE, "cw", "lbfgs")
# B.3 names no numbers: c is "small".
PRINTED_C, PRINTED_RATE, PRINTED_STEPS = 1e-2, 1e-2, 500


class AsPrinted(RadiusAttack):
    """C&W-Ada of the paper, per frame: one run of Adam with a fixed c, values cut to the clip range after each step."""

    name: ClassVar[str] = "cw as printed"

    def smallest(self, question: Question, family: BallFamily, generator: torch.Generator) -> Smallest:
        """Nothing is random."""
        center, best = family.center, family.center.clone()
        size = torch.full((len(family),), math.inf, dtype=torch.float64)
        x = center.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([x], lr=PRINTED_RATE)
        for _ in range(PRINTED_STEPS):
            margin = question.margins(x)
            broken = margin.detach() <= 0
            found = torch.where(broken, family.size(x.detach()), math.inf)
            smaller = found < size
            best, size = torch.where(smaller[:, None, None], x.detach(), best), torch.where(smaller, found, size)
            longest = torch.linalg.vector_norm(x - center, family.p, dim=2).amax(1)
            optimiser.zero_grad()
            (margin.clamp(min=0.0) + (broken + PRINTED_C) * longest).sum().backward()
            optimiser.step()
            with torch.no_grad():
                x.nan_to_num_(0.0).clamp_(*CLIP)
        return smallest_at(question, family, nearest_on_segment(question, center, best))


def attacks() -> list[RadiusAttack]:
    return [*(ATTACKS[name].builder(None, None) for name in COMPARED), AsPrinted()]


def rows_of(name: str, norm: str, count: int, seed: int) -> list[list[str]]:
    """A row for each attack: found, mean radius, ratio to PGD, how often it is smaller, seconds of CPU."""
    model = shared_model(name)
    x, labels = first_correct(model, *samples(name, model, 2 * count), count)
    question = Question(model, untargeted(labels, model.classes))
    family = BallFamily(x, torch.ones_like(x[:, :, 0]), float(norm), CLIP)
    radii, seconds, names = {}, {}, []
    for attack in attacks():
        began = time.process_time()
        radii[attack.name] = attack.smallest(question, family, torch.Generator().manual_seed(seed)).radius
        seconds[attack.name] = time.process_time() - began
        names.append(attack.name)
    rows = []
    for attack_name in names:
        radius, reference = radii[attack_name], radii[REFERENCE]
        both = torch.isfinite(radius) & torch.isfinite(reference)
        ratio = float(radius[both].mean() / reference[both].mean())
        smaller = int((radius < reference).sum())
        mean = float(radius[torch.isfinite(radius)].mean())
        found = f"{int(torch.isfinite(radius).sum())}/{count}"
        rows.append(
            [name, norm, attack_name, found, f"{mean:.4f}", f"{ratio:.3f}", str(smaller), f"{seconds[attack_name]:.1f}"]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--norms", default="inf,2,1")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(header("Strength of attacks", f"Random starts from seed {given.seed}.", ("scipy",)))
    rows = []
    for name in given.models.split(","):
        for norm in given.norms.split(","):
            rows += rows_of(name, norm, given.count, given.seed)
    head = ("model", "norm", "attack", "found", "mean radius", "ratio to PGD", "smaller than PGD's", "CPU s")
    print(table(head, rows))
    print(
        "Mean over the samples where the attack found something; the ratio is that of the means over the samples where "
        "PGD did, too. Smaller than PGD's: so many samples. Upper bounds of the true radii, without guarantee of being "
        "near them."
    )


if __name__ == "__main__":
    main()

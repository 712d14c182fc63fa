"""Protocol P6: PROVER's own sampling on the seven shared LSTMs, between CROWN's counts and an attack's.

    python -m benchmarks.prover_sampling [--relaxations best,octagon+suppose=10] [--models a,b] [--radii a,b]

`torch.randperm(10000)` with a generator seeded 1000, walked until 100 MNIST test images are classified correctly;
l_inf, the same radius on every frame, clip [0, 1], untargeted. A cell of `best`, or of
proofs by contradiction, is marked where it is below CROWN's or
the prototype's count; any cell is marked where it is above the number of samples that a PGD attack leaves.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.common import first_correct, header, samples, shared_model, table
from benchmarks.counts import certified_counts, marked, marks, options_of

RADII = (0.005, 0.008, 0.010, 0.011, 0.014, 0.017, 0.020)
UNKNOWN = (None,) * len(RADII)


@dataclass(frozen=True)
class Known:
    """Certified of 100 at RADII by CROWN (auto_LiRPA 0.7.1, float32) and by the prototype; what PGD leaves."""

    crown: tuple[int, ...]
    prototype: tuple[int | None, ...] = UNKNOWN
    ceiling: tuple[int | None, ...] = UNKNOWN


MODELS = {
    "mnist_04f_032h_1l": Known(
        (98, 98, 90, 87, 70, 42, 25), (None, 98, 91, 88, 72, 54, 31), (98, 98, 98, 98, 98, 96, 91)
    ),
    "mnist_04f_032h_2l": Known(
        (97, 88, 78, 71, 39, 12, 5), (None, 89, 84, 78, 49, 23, 9), (100, 96, 95, 93, 91, 88, 88)
    ),
    "mnist_04f_032h_3l": Known((94, 89, 73, 60, 20, 7, 1), ceiling=(99, 95, 94, 94, 93, 91, 89)),
    "mnist_04f_064h_1l": Known((99, 98, 93, 91, 70, 37, 18)),
    "mnist_04f_128h_1l": Known((100, 99, 95, 94, 77, 49, 21)),
    "mnist_07f_032h_1l": Known((98, 89, 69, 59, 12, 2, 0), (None, 91, 80, 68, 22, 5, 1), (98, 98, 98, 98, 94, 93, 93)),
    "mnist_14f_032h_1l": Known((95, 69, 18, 8, 0, 0, 0), (None, 81, 47, 21, 2, 0, 0), (100, 100, 98, 97, 97, 95, 91)),
}


def shown(counts: Sequence[int | None]) -> list[str]:
    return ["-" if count is None else str(count) for count in counts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--relaxations", default="parallel,best,octagon,octagon+suppose=10")
    parser.add_argument("--radii", default=",".join(f"{radius:g}" for radius in RADII), help="some of the protocol's")
    arguments = parser.parse_args()
    chosen = [RADII.index(float(radius)) for radius in arguments.radii.split(",")]
    order = torch.randperm(10000, generator=torch.Generator().manual_seed(1000))
    sections, cells = [], []
    for name in arguments.models.split(","):
        known, model = MODELS[name], shared_model(name)
        x, labels = samples(name, model, None)
        x, labels = first_correct(model, x[order[:200]], labels[order[:200]], 100)
        crown, prototype, ceiling = ([one[k] for k in chosen] for one in (known.crown, known.prototype, known.ceiling))
        rows = [["CROWN", *shown(crown), "-"]]
        if any(prototype):
            rows.append(["prototype, parallel", *shown(prototype), "-"])
        radii = [RADII[k] for k in chosen]
        for relaxation in arguments.relaxations.split(","):
            counts, milliseconds = certified_counts(model, x, labels, radii, options_of(relaxation), (0.0, 1.0))
            needed = [max(a or 0, b or 0) for a, b in zip(crown, prototype, strict=True)]
            compared = relaxation.startswith(("best", "octagon+"))
            cells.append(marked(counts, needed if compared else [0] * len(radii), ceiling))
            rows.append([f"**{relaxation}**", *cells[-1], f"{milliseconds:.1f}"])
        if any(ceiling):
            rows.append(["PGD leaves", *shown(ceiling), "-"])
        head = [name, *(f"{radius:.3f}" for radius in radii), "ms/sample"]
        sections.append(table(head, rows))
    print(header("Protocol P6: PROVER's sampling, certified of 100", "Samples: torch.randperm(10000), seed 1000."))
    print(
        "l_inf, clip [0, 1], untargeted, float64. Only the rows of this engine (bold) were run here.\n"
        f"Times are CPU time per sample and radius, of one run. {marks(cells)}"
    )
    print("\n".join(sections), end="")


if __name__ == "__main__":
    main()

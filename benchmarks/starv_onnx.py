"""Protocol P5: certified counts on the GRUs and LSTMs that the StarV evaluation published as ONNX files.

    python -m benchmarks.starv_onnx [--relaxations parallel,octagon+suppose=10] [--repeat 3]

First 100 correctly classified MNIST test images in order, two frames of 392 pixels in [0, 1], l_inf on both frames, no
clip, untargeted. A cell is marked where it is below the prototype's count (planes parallel in the state) or above the
number of samples that a PGD attack leaves.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from benchmarks.common import first_correct, header, samples, shared_folder, table
from benchmarks.counts import certified_counts, marked, marks, options_of
from gpu_engine.onnx_loading import load_onnx

SMALL, LARGE = (0.005, 0.010, 0.015, 0.020, 0.025), (0.0025, 0.005, 0.0075, 0.010, 0.0125)


@dataclass(frozen=True)
class Published:
    """Certified of 100 at `radii`, and the samples that an attack leaves (None: not measured)."""

    radii: tuple[float, ...]
    others: dict[str, tuple[int, ...]]
    prototype: tuple[int, ...]
    ceiling: tuple[int | None, ...]


STARV, AUTO_LIRPA, POPQORN = "StarV, LP (published)", "auto_LiRPA (published)", "POPQORN (published)"
MODELS = {
    "GRU15": Published(
        SMALL,
        {STARV: (92, 73, 31, 8, 0), AUTO_LIRPA: (93, 71, 22, 3, 0)},
        (95, 87, 60, 25, 3),
        (None, None, None, None, 65),
    ),
    "GRU30": Published(
        LARGE,
        {STARV: (98, 95, 87, 65, 42), AUTO_LIRPA: (100, 96, 87, 67, 41)},
        (100, 98, 93, 88, 75),
        (None, None, None, None, 93),
    ),
    "LSTM15": Published(
        SMALL,
        {STARV: (94, 72, 26, 10, 3), AUTO_LIRPA: (94, 66, 19, 4, 1), POPQORN: (64, 12, 4, 1, 0)},
        (97, 88, 44, 15, 7),
        (98, 93, 88, 75, 53),
    ),
    "LSTM30": Published(
        LARGE,
        {STARV: (100, 94, 88, 73, 44), AUTO_LIRPA: (100, 95, 89, 73, 43), POPQORN: (85, 45, 15, 2, 0)},
        (100, 96, 93, 89, 74),
        (100, 100, 95, 95, 93),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--relaxations", default="parallel,planes,best,octagon,octagon+suppose=10")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the time is the shortest")
    arguments = parser.parse_args()
    sections, cells = [], []
    totals: dict[str, int] = {}
    for name in arguments.models.split(","):
        published = MODELS[name]
        model = load_onnx(shared_folder("models", "starv") / f"MNIST_{name}net.onnx")
        x, labels = first_correct(model, *samples("mnist", model, 400), 100)
        rows = [[who, *map(str, counts), "-"] for who, counts in published.others.items()]
        rows.append(["prototype, parallel", *map(str, published.prototype), "-"])
        for relaxation in arguments.relaxations.split(","):
            runs = [
                certified_counts(model, x, labels, published.radii, options_of(relaxation), None)
                for _ in range(arguments.repeat)
            ]
            needed = published.prototype if relaxation != "planes" else (0,) * len(published.radii)
            cells.append(marked(runs[0][0], needed, published.ceiling))
            totals[relaxation] = totals.get(relaxation, 0) + sum(runs[0][0])
            rows.append([f"**{relaxation}**", *cells[-1], f"{min(run[1] for run in runs):.1f}"])
        rows.append(["a PGD attack leaves", *("-" if most is None else str(most) for most in published.ceiling), "-"])
        head = ["certified of 100", *(f"{radius:g}" for radius in published.radii), "ms/sample"]
        sections.append(f"{name}: {model.describe()}\n\n{table(head, rows)}")
    print(header("Protocol P5: the ONNX models of the StarV evaluation", extra=("onnx",)))
    print(
        "l_inf, no clip, untargeted, float64. Only the rows of this engine (bold) were run here.\n"
        f"Times are CPU time per sample and radius, the shortest of {arguments.repeat} runs. {marks(cells)}"
        f"Sums of all cells: {', '.join(f'{name} {total}' for name, total in totals.items())}.\n"
    )
    print("\n".join(sections), end="")


if __name__ == "__main__":
    main()

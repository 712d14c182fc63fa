"""The tables of `benchmarks.sandwich`: means, spreads and ratios of what it measured; the networks and their order."""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.common import header, table

TRAINED = tuple(f"mnist_{cell}_{frames}f_032h_1l" for cell in ("rnn", "gru") for frames in ("04", "07", "14"))
SHARED = (
    *("mnist_04f_032h_1l", "mnist_07f_032h_1l", "mnist_14f_032h_1l"),
    *("mnist_04f_064h_1l", "mnist_04f_128h_1l", "mnist_04f_032h_2l", "mnist_04f_032h_3l"),
)
NORMS = {"inf": math.inf, "2": 2.0, "1": 1.0}
METHODS = {"certified": "certified", "clever": "CLEVER-RNN", "cw": "C&W-Ada", "pgd": "PGD"}
ATTACKING = ("cw", "pgd")
# Mean certified radius over mean C&W-Ada radius in the paper, table 5, for networks of the same cell, frames and units.
PAPER = {
    "mnist_rnn_04f_032h_1l": (0.0190 / 0.2561, 0.2026 / 1.3768, 1.0551 / 5.1592),
    "mnist_rnn_14f_032h_1l": (0.0083 / 0.2891, 0.0493 / 0.7577, 0.1459 / 1.6339),
    "mnist_04f_032h_1l": (0.0202 / 0.2546, 0.2321 / 1.3321, 1.1913 / 4.9689),
    "mnist_04f_128h_1l": (0.0218 / 0.3303, 0.2491 / 1.9379, 1.2839 / 7.7319),
    "mnist_07f_032h_1l": (0.0165 / 0.2635, 0.1400 / 1.0733, 0.5680 / 3.2309),
    "mnist_14f_032h_1l": (0.0099 / 0.3148, 0.0593 / 0.9088, 0.1805 / 2.0035),
}
# Mean radius of a short PGD search, protocol P3, and the certified mean of exact-offset parallel planes over it.
P3 = {
    "mnist_04f_032h_1l": (0.0856, 0.20),
    "mnist_07f_032h_1l": (0.0915, 0.13),
    "mnist_14f_032h_1l": (0.0987, 0.09),
}

Key = tuple[str, str, str, str]
"""Protocol, model, norm, method."""
Lines = Mapping[Key, Mapping[str, Any]]
"""A measurement with its settings, radii and seconds."""


def spread(radii: Sequence[float]) -> str:
    """Mean and standard deviation; what was not found has none."""
    known = [radius for radius in radii if math.isfinite(radius)]
    if len(known) < 2:
        return "-"
    missing = f" ({len(radii) - len(known)} not found)" if len(known) < len(radii) else ""
    return f"{statistics.fmean(known):.4f} +- {statistics.stdev(known):.4f}{missing}"


def ratio(above: Sequence[float] | None, below: Sequence[float] | None) -> float | None:
    """Of means, over the samples that have both."""
    if above is None or below is None:
        return None
    pairs = [(a, b) for a, b in zip(above, below, strict=True) if math.isfinite(a) and math.isfinite(b)]
    return sum(a for a, _ in pairs) / sum(b for _, b in pairs) if pairs else None


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def least(known: Mapping[str, Sequence[float]]) -> list[float] | None:
    """The smaller of what the attacks found, sample by sample."""
    found = [known[method] for method in ATTACKING if method in known]
    return [min(radii) for radii in zip(*found, strict=True)] if found else None


def render(lines: Lines, arguments: argparse.Namespace) -> None:
    """Both tables."""
    parts = f"{arguments.clever_batches} batches of {arguments.clever_samples} points"
    print(
        header(
            "Sandwich: certified <= true <= attack",
            f"Targets, starts and points drawn from seed {arguments.seed}.",
            ("scipy",),
        )
    )
    print(
        "Radii in units of pixels in [0, 1]: those of the paper, whose pixels lie in [-1, 1], are twice as large; "
        f"ratios\ncompare. Mean +- standard deviation over the samples. Certified: `{arguments.relaxation}`, bisection "
        f"to {arguments.tolerance:g}.\nCLEVER-RNN ({parts} a sample) is an estimate without guarantee. C&W-Ada: "
        f"{arguments.cw_steps or 'its own number of'} steps; PGD:\n"
        f"{arguments.steps or 'its own number of'} steps, {arguments.restarts or 'its own number of'} restarts, "
        "bisection. certified / attack: ratio of means, the attack being the smaller of both.\n"
    )
    for protocol, title in (("targeted", TARGETED), ("clipped", CLIPPED)):
        found = render_protocol(protocol, lines)
        if found:
            print(f"{title}\n\n{found}")
    timing(lines)


TARGETED = (
    "## Targeted, random target, one radius on every frame, no clip range (P2)\n\n"
    "paper: its mean certified radius over its mean C&W-Ada radius, for networks of the same size but its own training."
)
CLIPPED = (
    "## Untargeted, l_inf, pixels kept in [0, 1] (P1, P3)\n\n"
    "The ratio certified / attack is the field's gap; 1 is its limit. P3: the mean radius of another, short PGD search."
)


def render_protocol(protocol: str, lines: Lines) -> str:
    rows = []
    places = dict.fromkeys((model, norm) for kept, model, norm, _ in lines if kept == protocol)
    for model, norm in sorted(places, key=lambda place: (_order(place[0]), list(NORMS).index(place[1]))):
        known = {
            method: lines[protocol, model, norm, method]["radii"]
            for method in METHODS
            if (protocol, model, norm, method) in lines
        }
        compared = PAPER.get(model)
        other = "-" if compared is None else f"{compared[list(NORMS).index(norm)]:.3f}"
        if protocol == "clipped":
            other = "{:.4f}, {:.2f}".format(*P3[model]) if model in P3 else "-"
        rows.append(
            [
                *(model, norm, str(len(next(iter(known.values()))))),
                *(spread(known[method]) if method in known else "-" for method in METHODS),
                shown(ratio(known.get("certified"), least(known))),
                shown(ratio(known.get("cw"), known.get("pgd"))),
                other,
            ]
        )
    compared_with = "paper" if protocol == "targeted" else "P3: PGD, ratio"
    head = ["network", "norm", "samples", *METHODS.values(), "certified / attack", "C&W / PGD", compared_with]
    return table(head, rows) if rows else ""


def _order(model: str) -> int:
    known = (*SHARED, *TRAINED)
    return known.index(model) if model in known else len(known)


def timing(lines: Lines) -> None:
    """How many comparisons were made, and what a sample costs."""
    compared = sum(len(line["radii"]) for (*_, method), line in lines.items() if method in ATTACKING)
    print(f"{compared:,} comparisons of a certified radius with an attack, none contradicted. CPU seconds a sample:\n")
    rows = []
    for protocol, model in sorted({(key[0], key[1]) for key in lines}, key=lambda place: (place[0], _order(place[1]))):
        cells = []
        for method in METHODS:
            here = [line for (p, m, _, how), line in lines.items() if (p, m, how) == (protocol, model, method)]
            count = sum(len(line["radii"]) for line in here)
            cells.append(f"{sum(line['seconds'] for line in here) / count:.2f}" if count else "-")
        rows.append([protocol, model, *cells])
    print(table(["protocol", "network", *METHODS.values()], rows))

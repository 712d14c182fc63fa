"""Samples without proof, told: with a counter-example and the source that shows it, or with how far a proof goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from gpu_engine.bounds import BoundedProduct
from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions
from gpu_engine.search.certify import certify
from gpu_engine.spec import KthLeast, LabelAgainstOthers
from refcert.testing.adversarial import CounterExample
from refcert.testing.network_code import network_source
from refcert.testing.questions import Asked
from refcert.testing.report import Violation
from refcert.testing.words import listed, plural


@dataclass(frozen=True)
class Reached:
    """What is known of a sample without proof and counter-example; None where it was not searched.

    radius, scale: with a proof by the planes of `relaxation`. weakest: see `weakest`.
    """

    attack_margin: float | None = None
    radius: float | None = None
    scale: float | None = None
    relaxation: str = ""
    weakest: Mapping[str, object] = field(default_factory=dict)
    attacked: bool = True


def broken_sample(
    asked: Asked, sample: int, margin: float | None, found: CounterExample, evidence: Path | None, *, snippet: bool
) -> Violation:
    """asked: the question about this sample alone; sample: its number."""
    frames = sorted({t for t, _ in found.changed})
    where: dict[str, object] = {"sample": sample, **_label(asked, 0)}
    if found.changed:
        where["changed"] = f"{plural(len(frames), 'frame')} ({listed(frames)}), {plural(len(found.changed), 'value')}"
    else:
        where["changed"] = "nothing: the sample itself is wrong"
    details = [f"margin there {_between(found.margin)} (exact), certified margin {_margin(margin)}"]
    details += [
        f"frame {t}, coordinate {i}: {float(asked.x[0, t, i])!r} -> {float(found.x[t, i])!r}"
        for t, i in found.changed[:6]
    ]
    if len(found.changed) > 6:
        details.append(f"and {len(found.changed) - 6} more, in .violations[...].data['x']")
    asked_radius = asked.radius
    if found.radius is not None and asked_radius is not None:
        details.append(
            f"the smallest radius at which the attack finds one is {found.radius!r}, "
            f"asked was {float(asked_radius[0])!r}"
        )
    return Violation(
        f"sample {sample} has a counter-example in its input set",
        where,
        max(-found.margin[1], 0.0),
        "margin below zero, at least",
        tuple(details),
        _snippet(asked, sample, found, evidence) if snippet else "",
        {"x": found.x, "sample": asked.x[0], "margin": margin, "exact margin": found.margin, "radius": found.radius},
    )


def open_sample(asked: Asked, sample: int, margin: float | None, objection: str | None, reached: Reached) -> Violation:
    """asked: all samples."""
    one = asked.select([sample])
    where: dict[str, object] = {"sample": sample, **_label(asked, sample)}
    details = []
    if objection is not None:
        details.append(objection)
    elif reached.attack_margin is not None:
        details.append(
            f"no counter-example was found: the least margin that the attack found is {reached.attack_margin!r}"
        )
    elif not reached.attacked:
        details.append("there was no time for an attack")
    asked_radius = one.radius
    if reached.radius is not None and asked_radius is not None:
        whole = float(asked_radius[0])
        share = f"{reached.radius / whole:.1%}, {reached.relaxation} planes"
        details.append(f"proved up to radius {reached.radius!r} of {whole!r} ({share})")
    if reached.scale is not None:
        details.append(f"proved for the box scaled by {reached.scale!r} ({reached.relaxation} planes)")
    if objection is None:
        where |= reached.weakest
    return Violation(
        f"sample {sample} is not proved" + (", bounds overflow" if margin != margin else ""),
        where,
        None if margin is None or margin != margin else max(0.0, -margin),
        "of a positive margin is missing",
        tuple(details),
        data={"margin": margin, "radius": reached.radius, "scale": reached.scale, "objection": objection},
    )


def weakest(asked: Asked) -> list[dict[str, object]]:
    """Of every sample the row with the least bound, and the nonlinearity whose argument is bounded worst: layer, frame,
    gate, unit. Raises NumericalError where bounds overflow."""
    widest = [(-1.0, "")] * len(asked)

    def look(samples: Tensor, products: tuple[BoundedProduct, ...]) -> None:
        for product in products:
            lower, upper = product.v.lower.cpu(), product.v.upper.cpu()
            spans, units = (upper - lower).max(1)
            for k, (sample, span, unit) in enumerate(
                zip(samples.tolist(), spans.tolist(), units.tolist(), strict=True)
            ):
                if span > widest[sample][0]:
                    widest[sample] = (
                        span,
                        f"layer {product.layer}, frame {product.t}, {product.name} of unit {unit}, argument in "
                        f"[{float(lower[k, unit]):.4g}, {float(upper[k, unit]):.4g}]",
                    )

    found = certify(asked.model, asked.inputs, asked.specification, asked.options, look, asked.lengths)
    rows = found.lower.argmin(1).tolist()
    told: list[dict[str, object]] = []
    for k, row in enumerate(rows):
        place = {"widest": widest[k][1]} if widest[k][1] else {}
        told.append({"row": f"{row} ({_row(asked, k, row)})", **place})
    return told


def _row(asked: Asked, sample: int, row: int) -> str:
    terms = [f"{value:+g} y[{k}]" for k, value in enumerate(asked.specification.C[sample, row].tolist()) if value]
    constant = float(asked.specification.d[sample, row])
    return listed(terms).replace(", ", " ") + (f" {constant:+g}" if constant else "")


def _label(asked: Asked, sample: int) -> dict[str, object]:
    return {} if asked.labels is None else {"label": asked.labels[sample].tolist()}


def _margin(margin: float | None) -> str:
    return "unknown" if margin is None else repr(margin)


def _between(ends: tuple[float, float]) -> str:
    return repr(ends[1]) if ends[0] == ends[1] else f"between {ends[0]!r} and {ends[1]!r}"


def _snippet(asked: Asked, sample: int, found: CounterExample, evidence: Path | None) -> str:
    frames = asked.x.shape[1] if asked.lengths is None else int(asked.lengths[0])
    outputs = asked.model.outputs(frames)
    specification = asked.specification
    data = {
        "sample": asked.x[0, :frames],
        "C": specification.C[0, :, :outputs],
        "d": specification.d[0],
        **_set_data(asked, frames),
    }
    changed = [(t, i) for t, i in found.changed if t < frames]
    few = len(changed) <= 40
    if not few:
        data["x"] = found.x[:frames]
    lines = [
        f"# A counter-example to sample {sample}: an input of its set for which the specification C y + d > 0 fails.",
        *network_source(asked.model, evidence, data),
    ]
    if few:
        lines.append('x = W["sample"].clone()')
        lines += [f"x[{t}, {i}] = {float(found.x[t, i])!r}  # was {float(asked.x[0, t, i])!r}" for t, i in changed]
    else:
        lines.append('x = W["x"]')
    lines += _set_lines(asked)
    lines += ['rows = W["C"] @ network(x[None]).flatten() + W["d"]', f"margin = float({_reading(asked)})"]
    lines += ['print("outputs", network(x[None]).tolist())', 'print("margin", margin)', "assert margin <= 0", ""]
    return "\n".join(lines)


def _reading(asked: Asked) -> str:
    reading = asked.specification.reading
    if isinstance(reading, LabelAgainstOthers):
        return "rows[0] + rows[1:].min()"
    return f"rows.kthvalue({reading.k}).values" if isinstance(reading, KthLeast) else "rows.min()"


def _set_data(asked: Asked, frames: int) -> dict[str, Tensor]:
    inputs = asked.inputs
    if isinstance(inputs, Boxes):
        return {"lower": inputs.lower[0, :frames], "upper": inputs.upper[0, :frames]}
    if isinstance(inputs, Substitutions):
        return {"candidates": inputs.candidates[0, :frames], "allowed": inputs.allowed[0, :frames]}
    radius = inputs.radius[0, :frames] if isinstance(inputs, FrameBalls) else inputs.radius[:1]
    center = {} if torch.equal(inputs.center, asked.x) else {"center": inputs.center[0, :frames]}
    return {"radius": radius, **center}


def _set_lines(asked: Asked) -> list[str]:
    """Assertions that x is in the set, up to the rounding of a norm."""
    inputs = asked.inputs
    if isinstance(inputs, Boxes):
        return ['assert bool(((W["lower"] <= x) & (x <= W["upper"])).all())  # x is in the box']
    if isinstance(inputs, Substitutions):
        return [
            'allowed = (W["candidates"] == x[:, None]).all(-1) & W["allowed"]',
            'assert bool((allowed.any(1) | (x == W["sample"]).all(1)).all())  # each frame is its own, or a candidate',
        ]
    center = 'W["sample"]' if torch.equal(inputs.center, asked.x) else 'W["center"]'
    p = "float('inf')" if inputs.p == float("inf") else repr(inputs.p)
    whole = isinstance(inputs, SequenceBall)
    offset = f"(x - {center})" + (".flatten()[None]" if whole else "")
    lines = [
        f"size = torch.linalg.vector_norm({offset}, ord={p}, dim=1)",
        'assert bool((size <= W["radius"] * (1 + 1e-12)).all())  # x is in the ball',
    ]
    if inputs.clip is not None:
        lines.append(f"assert {inputs.clip[0]!r} <= float(x.min()) and float(x.max()) <= {inputs.clip[1]!r}")
    return lines

"""The input set of one sample, as section 5 of `proofs/spec/certificate_v1.md` writes it.

The set itself is written, not the engine's rounded one around it. How a cut ball was bounded (`clip_bound`) is no
part of the set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from gpu_engine.certificates.container import CertificateError, Section, number
from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions

MAX_FRAMES: Final = 2**16


def input_section(inputs: InputSet, sample: int) -> Section:
    """The body's `inputs` and its tensors. Raises CertificateError for more frames than the format allows."""
    if inputs.time > MAX_FRAMES:
        raise CertificateError(f"the sequence has {inputs.time} frames; a certificate may have {MAX_FRAMES}")
    section = next(SECTIONS[kind] for kind in type(inputs).__mro__ if kind in SECTIONS)
    return section(inputs, sample)


def _frame_balls(balls: FrameBalls, sample: int) -> Section:
    tensors = {"center": balls.center[sample], "radius": balls.radius[sample]}
    return Section({"kind": "frame_balls", **_norm(balls)}, tensors)


def _sequence_ball(ball: SequenceBall, sample: int) -> Section:
    body: dict[str, Any] = {"kind": "sequence_ball", **_norm(ball)}
    if ball.moves is not None and not bool(ball.moves[sample].all()):
        body["moves"] = ball.moves[sample].nonzero()[:, 0].tolist()
    return Section(body, {"center": ball.center[sample], "radius": ball.radius[sample : sample + 1]})


def _boxes(boxes: Boxes, sample: int) -> Section:
    return Section({"kind": "boxes"}, {"lower": boxes.lower[sample], "upper": boxes.upper[sample]})


def _substitutions(words: Substitutions, sample: int) -> Section:
    allowed = words.allowed[sample]
    tensors = {"center": words.center[sample]}
    if bool(allowed.any()):
        # Row by row: frame after frame, each frame's candidates in their order.
        tensors["candidates"] = words.candidates[sample][allowed]
    return Section({"kind": "substitutions", "counts": allowed.sum(1).tolist()}, tensors)


def _norm(ball: FrameBalls | SequenceBall) -> dict[str, Any]:
    body: dict[str, Any] = {"p": "inf" if math.isinf(ball.p) else number(float(ball.p))}
    if ball.clip is not None:
        body["clip"] = [number(float(end)) for end in ball.clip]
    return body


SECTIONS: Final[Mapping[type, Callable[[Any, int], Section]]] = {
    FrameBalls: _frame_balls,
    SequenceBall: _sequence_ball,
    Boxes: _boxes,
    Substitutions: _substitutions,
}

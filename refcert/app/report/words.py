"""A run's request and numbers in words: the question, the command line, numbers rounded to the safe side."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

from refcert.app.options import BALLS

_FIGURES: Final = 4  # significant digits of a typical number
_MOST_DECIMALS: Final = 12
# Outside of these, digits after the point say less than a power of ten.
_SMALLEST_PLAIN, _LARGEST_PLAIN = 1e-9, 1e9


def count(number: int) -> str:
    """1234567 as 1,234,567."""
    return f"{number:,}"


def plural(number: int, word: str) -> str:
    """'1 frame', '8 frames'."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def share(part: int, whole: int) -> str:
    """A percentage that says 100 % or 0 % only when it is exactly that."""
    if whole == 0:
        return "none"
    permille = part * 1000 // whole
    if permille == 0 and part:
        return "under 0.1 %"
    return f"{permille / 10:g} %"


def decimals_for(values: Iterable[float]) -> int:
    """Digits after the point that show the median of the values with `_FIGURES` digits."""
    sizes = sorted(abs(value) for value in values if value)
    if not sizes:
        return _FIGURES
    typical = sizes[len(sizes) // 2]
    return min(max(_FIGURES - 1 - math.floor(math.log10(typical)), 0), _MOST_DECIMALS)


def exact(value: float) -> str:
    """Every digit that the number has: 0.03, 1."""
    return repr(value).removesuffix(".0")


def at_least(value: float, decimals: int) -> str:
    """The value rounded down: what is shown is never more than what was found."""
    return _rounded(value, decimals, ROUND_FLOOR)


def at_most(value: float, decimals: int) -> str:
    """The value rounded up."""
    return _rounded(value, decimals, ROUND_CEILING)


def _rounded(value: float, decimals: int, direction: str) -> str:
    exact = Decimal(value)
    plain = _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN
    if value == 0:
        return "0"
    if plain:
        shown = exact.quantize(Decimal(1).scaleb(-decimals), rounding=direction)
        if shown:
            return f"{shown:f}"
    # Too small or too large for these digits: three figures and a power of ten.
    shown = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), rounding=direction)
    return f"{shown:.2e}"


def labels(value: int | list[int]) -> str:
    """One label, or one for each frame."""
    return str(value) if isinstance(value, int) else " ".join(map(str, value))


# What was asked. A request is the mapping of `Request.to_json`.


def searches(request: Mapping[str, Any]) -> bool:
    """Whether the largest radius was searched."""
    return request["radius"] is None and request["radius_db"] is None and has_ball(request)


def has_ball(request: Mapping[str, Any]) -> bool:
    """Whether the input set has a norm and a radius."""
    return request["input_set"] in BALLS


def about_label(request: Mapping[str, Any]) -> bool:
    """Whether the question is about the sample's label."""
    return request["spec"] is None


def norm_phrase(norm: str) -> str:
    """What a norm of at most r means for one frame."""
    return {
        "inf": "each of its values by at most r",
        "2": "by a Euclidean length of at most r",
        "1": "by at most r in the sum of absolute changes",
    }.get(norm, f"by at most r in the l_{norm} norm")


def question(
    request: Mapping[str, Any], unit: str, frames: int, *, ragged: bool = False, per_frame: bool = False
) -> str:
    """The run's question, one plain sentence. ragged: sequences of up to so many frames."""
    decision = _decision(request, per_frame)
    if not has_ball(request):
        return f"Is it proved for each sample that {decision} {_STORED[request['input_set']]}?"
    if searches(request):
        start = "For each sample, up to which radius r is it proved that "
    elif request["radius_db"] is not None:
        start = (
            f"At a radius r of {exact(request['radius_db'])} dB relative to the sample's own peak (its largest "
            "absolute value), is it proved for each sample that "
        )
    else:
        start = f"At radius r = {exact(request['radius'])}, is it proved for each sample that "
    clip = request["clip"]
    inside = "" if clip is None else f", all values staying within {exact(clip[0])} and {exact(clip[1])}"
    return f"{start}{decision} when {_moving(request, frames, ragged)}{inside}? (Unit of r: {unit}.)"


_STORED: Final = {
    "box": "when each value may lie anywhere between its own two ends, lower and upper of the data",
    "substitutions": "when every frame may be replaced, independently of the others, by one of the candidates that the "
    "data allow for it",
}


def _decision(request: Mapping[str, Any], per_frame: bool) -> str:
    target = request["target"]
    if request["spec"] is not None:
        return f"all rows C F(x) + d of {request['spec']} are positive for the network's outputs F(x)"
    if request["top_k"] is not None:
        return f"the label's score stays among the {request['top_k']} largest"
    if target == "untargeted":
        return (
            "the network's decision at every frame stays with that frame's label"
            if per_frame
            else "the network's decision stays with the label"
        )
    if target == "all":
        return "the label's score stays above that of each other class, taken one at a time,"
    return f"the label's score stays above that of class {target}"


def margin(request: Mapping[str, Any], per_frame: bool = False) -> str:
    """What the margin is a lower bound of."""
    if request["spec"] is not None:
        return "the least row of C F(x) + d"
    if request["top_k"] is not None and request["top_k"] > 1:
        return f"the label's score minus number {request['top_k']} of the other scores, the largest being number 1"
    if request["target"] not in ("untargeted", "all"):
        return f"the label's score minus that of class {request['target']}"
    rest = ", at the frame where this is least" if per_frame else ""
    return f"the label's score minus the best other one{rest}"


def place(request: Mapping[str, Any]) -> str:
    """Where a question without a search is asked."""
    if request["radius_db"] is not None:
        return f"at {exact(request['radius_db'])} dB"
    if request["radius"] is not None:
        return f"at radius {exact(request['radius'])}"
    return {"box": "on its whole box", "substitutions": "for all its substitutions"}[request["input_set"]]


def correct(request: Mapping[str, Any], per_frame: bool) -> str:
    """What a correct sample is."""
    if request["top_k"] is not None:
        return f"Label among the {request['top_k']} largest scores"
    return "Every frame classified correctly" if per_frame else "Classified correctly"


def counted(request: Mapping[str, Any]) -> str:
    """The samples that the figures are about: where the question is about the label, the correct ones."""
    if request["top_k"] is not None:
        return f"samples with the label among the {request['top_k']} largest"
    return "correct samples" if about_label(request) else "samples that were asked"


def _moving(request: Mapping[str, Any], number: int, ragged: bool) -> str:
    frames, norm = request["frames"], norm_phrase(request["norm"])
    count = f"{'up to ' if ragged else ''}{plural(number, 'frame')}"
    shared = request["input_set"] == "sequence"
    if frames == "all":
        if shared:
            return f"the sequence of {count} may change as a whole, {norm}"
        return f"every one of the {count} may change, {norm}"
    if frames == "each":
        return f"one of the {count} at a time may change, {norm}, and the others stay fixed"
    chosen = [part.strip() for part in frames.split(",")]
    names = f"frame {chosen[0]}" if len(chosen) == 1 else f"frames {', '.join(chosen[:-1])} and {chosen[-1]}"
    each = "may change" if len(chosen) == 1 else "may change together" if shared else "may each change"
    within = norm.replace("each of its values", "each of their values") if shared and len(chosen) > 1 else norm
    return f"{names} {each}, {within}, and the others stay fixed"


def details(request: Mapping[str, Any], readout: str = "") -> list[tuple[str, str]]:
    """Every setting of the request that a number depends on, as (name, value). readout: the model's own."""
    clip = request["clip"]
    rows = [("Input set", _SETS[request["input_set"]])]
    if has_ball(request):
        ball = "per frame" if request["input_set"] == "frames" else "of the whole sequence"
        if request["radius_db"] is not None:
            radius = f"{exact(request['radius_db'])} dB: max|x| · 10^({exact(request['radius_db'])}/20) of each sample"
        elif searches(request):
            radius = f"searched, to a relative tolerance of {exact(request['tolerance'])}"
        else:
            radius = exact(request["radius"])
        rows += [
            ("Norm", "l∞" if request["norm"] == "inf" else f"l{request['norm']}"),
            ("Radius", f"{radius}, {ball}"),
            ("Frames that move", str(request["frames"])),
            ("Valid range", "none" if clip is None else f"{exact(clip[0])} to {exact(clip[1])}"),
        ]
        if clip is not None and request["norm"] != "inf":
            rows.append(("Clip bound", str(request["clip_bound"])))
    if request["spec"] is not None:
        rows.append(("Rows", str(request["spec"])))
    elif request["top_k"] is not None:
        rows.append(("Top k", f"the label among the {request['top_k']} largest"))
    else:
        rows.append(("Target", str(request["target"])))
    if about_label(request) and request["top_k"] is None:
        rows.append(("Criterion", _CRITERIA[request["criterion"]]))
    rows.append(("Relaxation", str(request["relaxation"])))
    if request["structure"] is not None:
        rows.append(("Structure", str(request["structure"])))
    if readout:
        rows.append(("Readout", readout))
    rows.append(("Arithmetic", f"{request['dtype']} on {request['device']}"))
    rows.append(("Seed", str(request["seed"])))
    return rows


_SETS: Final = {
    "frames": "a ball for each frame",
    "sequence": "one ball around the whole sequence",
    "box": "boxes of the data",
    "substitutions": "substitutions of the data",
}
_CRITERIA: Final = {
    "margins": "bounds of the differences of scores",
    "per-class": "the label's lower bound against the others' upper bounds",
}


def command_line(request: Mapping[str, Any], *, audit: bool, keep_planes: bool, out: str) -> str:
    """The `refcert certify` call that asks the same again; `out` must be a folder that does not exist yet."""
    words = ["refcert", "certify", "--model", str(request["model"]), "--data", str(request["data"])]
    for name in ("structure", "readout", "count"):
        words += _option(request, name)
    words += ["--input-set", str(request["input_set"])]
    if has_ball(request):
        words += ["--norm", str(request["norm"])]
    words += ["--search"] if searches(request) else []
    for name in ("radius", "radius_db"):
        words += [] if request[name] is None else [f"--{name.replace('_', '-')}", repr(request[name])]
    words += ["--frames", str(request["frames"])]
    if request["clip"] is not None:
        words += ["--clip", *(repr(value) for value in request["clip"])]
        words += ["--clip-bound", str(request["clip_bound"])]
    for name in (
        "target",
        "top_k",
        "spec",
        "criterion",
        "relaxation",
        "optimize",
        "suppose",
        "dtype",
        "device",
        "batch_size",
        "memory",
    ):
        words += _option(request, name)
    for name in ("tolerance", "seed"):
        words += _option(request, name)
    words += ["--audit"] if audit else []
    words += [] if keep_planes else ["--no-planes"]
    return shlex.join([*words, "--out", out])


def _option(request: Mapping[str, Any], name: str) -> list[str]:
    value = request[name]
    return [] if value is None else [f"--{name.replace('_', '-')}", str(value)]


def audit_command(out: str) -> str:
    """The call that audits the planes of a run folder."""
    return shlex.join(["refcert", "audit", out])


def check_command(out: str, network: str | None = None) -> str:
    """The call that checks the certificates of a run folder. network: the digest to demand."""
    return shlex.join(["refcert", "check", out, *([] if network is None else ["--network", network])])

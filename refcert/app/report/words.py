"""A run's request and numbers in words: the question, the command line, numbers rounded to the safe side."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

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


def norm_phrase(norm: str) -> str:
    """What a norm of at most r means for one frame."""
    return {
        "inf": "each of its values by at most r",
        "2": "by a Euclidean length of at most r",
        "1": "by at most r in the sum of absolute changes",
    }.get(norm, f"by at most r in the l_{norm} norm")


def question(request: Mapping[str, Any], unit: str, frames: int) -> str:
    """The run's question, one plain sentence."""
    fixed = request["radius"] is not None
    start = (
        f"At radius r = {exact(request['radius'])}, is it proved for each sample that "
        if fixed
        else "For each sample, up to which radius r is it proved that "
    )
    moving = _moving(request["frames"], frames, norm_phrase(request["norm"]))
    clip = request["clip"]
    inside = "" if clip is None else f", all values staying within {exact(clip[0])} and {exact(clip[1])}"
    return f"{start}{_decision(request['target'])} when {moving}{inside}? (Unit of r: {unit}.)"


def _decision(target: str) -> str:
    if target == "untargeted":
        return "the network's decision stays with the label"
    if target == "all":
        return "the label's score stays above that of each other class, taken one at a time,"
    return f"the label's score stays above that of class {target}"


def rival(target: str) -> str:
    """The score that the margin compares the label's with."""
    return f"that of class {target}" if target not in ("untargeted", "all") else "the best other one"


def _moving(frames: str, number: int, norm: str) -> str:
    if frames == "all":
        return f"every one of the {plural(number, 'frame')} may change, {norm}"
    if frames == "each":
        return f"one of the {plural(number, 'frame')} at a time may change, {norm}, and the others stay fixed"
    chosen = [part.strip() for part in frames.split(",")]
    names = f"frame {chosen[0]}" if len(chosen) == 1 else f"frames {', '.join(chosen[:-1])} and {chosen[-1]}"
    each = "may change" if len(chosen) == 1 else "may each change"
    return f"{names} {each}, {norm}, and the others stay fixed"


def details(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every setting of the request that a number depends on, as (name, value)."""
    radius = (
        f"searched, to a relative tolerance of {exact(request['tolerance'])}"
        if request["radius"] is None
        else exact(request["radius"])
    )
    clip = request["clip"]
    return [
        ("Norm", "l∞" if request["norm"] == "inf" else f"l{request['norm']}"),
        ("Radius", f"{radius}, per frame"),
        ("Frames that move", str(request["frames"])),
        ("Valid range", "none" if clip is None else f"{exact(clip[0])} to {exact(clip[1])}"),
        ("Target", str(request["target"])),
        ("Relaxation", str(request["relaxation"])),
        ("Arithmetic", f"{request['dtype']} on {request['device']}"),
        ("Seed", str(request["seed"])),
    ]


def command_line(request: Mapping[str, Any], *, audit: bool, keep_planes: bool, out: str) -> str:
    """The `refcert certify` call that asks the same again; `out` must be a folder that does not exist yet."""
    words = ["refcert", "certify", "--model", str(request["model"]), "--data", str(request["data"])]
    if request["count"] is not None:
        words += ["--count", str(request["count"])]
    words += ["--norm", str(request["norm"])]
    words += ["--search"] if request["radius"] is None else ["--radius", repr(request["radius"])]
    words += ["--frames", str(request["frames"])]
    if request["clip"] is not None:
        words += ["--clip", *(repr(value) for value in request["clip"])]
    for name in ("target", "relaxation", "dtype", "device", "batch_size", "tolerance", "seed"):
        words += [f"--{name.replace('_', '-')}", str(request[name])]
    words += ["--audit"] if audit else []
    words += [] if keep_planes else ["--no-planes"]
    return shlex.join([*words, "--out", out])


def audit_command(out: str) -> str:
    """The call that audits the planes of a run folder."""
    return shlex.join(["refcert", "audit", out])

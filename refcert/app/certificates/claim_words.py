"""What a certificate claims, in words and in mathematics: its network, input set and specification."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from refcert.kernel.check import Certificate
from refcert.kernel.network import Direction, Network
from refcert.kernel.specification import Row

# Longer lists are cut in sentences; the file has all.
LISTED: Final = 8
_TERMS: Final = 20

_NORMS: Final = {
    "inf": "no value moves further than that",
    "2": "the Euclidean length of the change",
    "1": "the sum of all absolute changes",
}
_READOUTS: Final = {
    "final": "each direction's state after its own last frame",
    "last_frame": "all directions' states at the last frame",
    "mean": "each direction's mean state over all frames",
    "max": "each direction's largest states over all frames",
    "every": "the states of every frame, one answer for each frame",
}


def plural(number: int, word: str) -> str:
    """'1 frame', '8 frames', '10 classes'."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}{'es' if word.endswith('s') else 's'}"


def decimal(value: float) -> str:
    """The shortest decimal that names just this number: 0.03, 1."""
    return repr(value).removesuffix(".0")


def numbers(found: Iterable[int]) -> str:
    """Rising whole numbers as '0-3, 7'; never cut."""
    runs: list[list[int]] = []
    for one in found:
        if runs and one == runs[-1][1] + 1:
            runs[-1][1] = one
        else:
            runs.append([one, one])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) or "none"


# The network


def network_lines(certificate: Certificate) -> list[str]:
    """Digest, structure and sizes."""
    network = certificate.network
    file = certificate.body["network"].get("file")
    place = "in this file" if file is None else f"in {file} beside it"
    lines = [
        f"digest     {network.digest}",
        f"weights    {plural(weights_in(network), 'number')}, {place}",
        f"structure  {structure_of(certificate)}",
    ]
    if certificate.named_digest != network.digest:
        lines.insert(1, f"           but the certificate names {certificate.named_digest}: it is about another network")
    if "embedding" in network.weights:
        words = network.weights["embedding"].shape[0]
        lines.append(f"embedding  of {plural(words, 'token')}; the program begins with their vectors")
    lines.append(f"reads      {plural(certificate.inputs.frames, 'frame')} of {plural(network.input_size, 'value')}")
    lines += [f"before     {words}" for words in _blocks(network, "before", network.before)]
    for k, layer in enumerate(network.layers):
        lines += [f"layer {k:<4} {_direction(one)}" for one in layer]
    lines.append(f"readout    {network.readout}: {_READOUTS[network.readout]}")
    lines += [f"after      {words}" for words in _blocks(network, "after", network.after)]
    return [*lines, f"answer     y, {plural(network.classes, 'class')}"]


def structure_of(certificate: Certificate) -> str:
    """The structure's text as section 4 of the format writes it, whoever holds it."""
    network = certificate.network
    layers = ";".join(",".join(one.cell + ("<" if one.reverse else ">") for one in layer) for layer in network.layers)
    return "|".join(("/".join(network.before), layers, network.readout, "/".join(network.after)))


def weights_in(network: Network) -> int:
    """How many numbers it has."""
    return sum(len(table.values) for table in network.weights.values())


def _blocks(network: Network, where: str, blocks: Sequence[str]) -> list[str]:
    found = []
    for k, block in enumerate(blocks):
        shape = network.weights[f"{where}.{k}.weight"].shape if block == "dense" else None
        found.append(block if shape is None else f"dense, from {shape[1]} to {plural(shape[0], 'unit')}")
    return found


def _direction(one: Direction) -> str:
    way = "backward in time" if one.reverse else "forward in time"
    projected = f", projected to {one.output}" if one.output != one.hidden else ""
    return f"{one.cell}, {way}, {plural(one.hidden, 'unit')}{projected}"


# The input set


def input_lines(certificate: Certificate) -> list[str]:
    """The set X, as conditions on its sequences."""
    inputs, entry = certificate.inputs, certificate.body["inputs"]
    last = "" if inputs.frames == 1 else f" .. x_{inputs.frames - 1}"
    first = f"X: all sequences x_0{last} of {plural(inputs.size, 'value')} a frame for which"
    return [first, *(f"   {line}" for line in _INPUTS[entry["kind"]](certificate, entry))]


def _frame_balls(certificate: Certificate, entry: Mapping[str, Any]) -> list[str]:
    by_radius: dict[float, list[int]] = {}
    for t, radius in enumerate(certificate.inputs.tensors["radius"].values):
        by_radius.setdefault(radius, []).append(t)
    radii = [
        f"radius_t = {decimal(radius)} for t = {numbers(frames)}" + ("" if radius else ", which stay as they are")
        for radius, frames in list(by_radius.items())[:LISTED]
    ]
    if len(by_radius) > LISTED:
        radii.append(f"... and {len(by_radius) - LISTED} other radii")
    norm = norm_name(entry)
    meaning = _NORMS.get(norm, f"the l_{norm} norm of the change")
    lines = [f"norm_{norm}(x_t - center_t) <= radius_t for every frame t: {meaning}", *radii]
    return lines + _center(certificate) + _clip(entry)


def _sequence_ball(certificate: Certificate, entry: Mapping[str, Any]) -> list[str]:
    norm = norm_name(entry)
    meaning = _NORMS.get(norm, f"the l_{norm} norm of the change")
    radius = decimal(certificate.inputs.tensors["radius"].values[0])
    lines = [f"norm_{norm}(x - center) <= {radius}, one norm over all frames joined: {meaning}"]
    if "moves" in entry:
        lines.append(f"x_t = center_t for every frame t but {numbers(entry['moves'])}")
    return lines + _center(certificate) + _clip(entry)


def _boxes(certificate: Certificate, _: Mapping[str, Any]) -> list[str]:
    lower, upper = (certificate.inputs.tensors[name].values for name in ("lower", "upper"))
    widths = [b - a for a, b in zip(lower, upper, strict=True)]
    fixed = f"{widths.count(0.0):,} of {plural(len(widths), 'value')} stay"
    return [
        "lower <= x <= upper, value by value",
        f"the widths are about {min(widths):.4g} to {max(widths):.4g}; {fixed}",
    ]


def _substitutions(certificate: Certificate, entry: Mapping[str, Any]) -> list[str]:
    counts = entry["counts"]
    free = [t for t, count in enumerate(counts) if count]
    lines = ["every frame x_t is center_t or one of its candidates"]
    lines += [f"frame {t} has {plural(counts[t], 'candidate')}" for t in free[:LISTED]]
    if len(free) > LISTED:
        lines.append(f"... and {len(free) - LISTED} other frames have some")
    lines.append(f"frames without candidates: {numbers(t for t, count in enumerate(counts) if not count)}")
    size = sum(math.log10(1 + count) for count in counts)
    several = f"{math.prod(1 + count for count in counts):,}" if size < LISTED else f"about 10^{size:.1f}"
    return [*lines, f"that is {several} sequences in all" if free else "that is the one sequence of the centers"]


def _center(certificate: Certificate) -> list[str]:
    values = certificate.inputs.tensors["center"].values
    return [f"the center's values lie between {decimal(min(values))} and {decimal(max(values))}"]


def _clip(entry: Mapping[str, Any]) -> list[str]:
    if "clip" not in entry:
        return []
    low, high = (decimal(float.fromhex(end)) for end in entry["clip"])
    return [f"{low} <= every value <= {high}"]


def norm_name(entry: Mapping[str, Any]) -> str:
    """p as people write it: inf, 2, 1.5."""
    return "inf" if entry["p"] == "inf" else decimal(float.fromhex(entry["p"]))


_INPUTS: Final = {
    "frame_balls": _frame_balls,
    "sequence_ball": _sequence_ball,
    "boxes": _boxes,
    "substitutions": _substitutions,
}


# The specification


def claim_lines(certificate: Certificate) -> list[str]:
    """The claim for all x of X: first in mathematics, then in words."""
    return _CLAIMS[certificate.body["specification"]["kind"]](certificate, certificate.body["specification"])


def _untargeted(_: Certificate, entry: Mapping[str, Any]) -> list[str]:
    label = entry["label"]
    return [
        f"y[{label}] - y[j] >= m for all x in X and all classes j other than {label}",
        f"On X the network always decides for class {label}; every other class stays below it by at least m.",
    ]


def _targeted(_: Certificate, entry: Mapping[str, Any]) -> list[str]:
    label, target = entry["label"], entry["target"]
    return [
        f"y[{label}] - y[{target}] >= m for all x in X",
        f"On X class {target} stays below class {label} by at least m. Of other classes nothing is said.",
    ]


def _top_k(_: Certificate, entry: Mapping[str, Any]) -> list[str]:
    label, k = entry["label"], entry["k"]
    spare = "no class" if k == 1 else f"the same {plural(k - 1, 'class')} at most"
    return [
        f"there is a set J of at most {k - 1} classes, the same for all x in X, with y[{label}] - y[j] >= m for all x "
        f"in X and all classes j other than {label} outside J",
        f"On X class {label} is always among the {k} largest outputs: {spare} can come near it or above it, all others "
        "stay below it by at least m.",
    ]


def _untargeted_steps(_: Certificate, entry: Mapping[str, Any]) -> list[str]:
    labels = entry["labels"]
    shown = ", ".join(f"l_{t} = {label}" for t, label in enumerate(labels[:LISTED]))
    more = f", ... ({plural(len(labels), 'label')})" if len(labels) > LISTED else ""
    return [
        "y_t[l_t] - y_t[j] >= m for all x in X, every frame t and all classes j other than l_t, where y_t is the "
        f"answer of frame t and {shown}{more}",
        "On X the network decides at every frame for that frame's label; every other class stays below it by at least "
        "m.",
    ]


def _rows(certificate: Certificate, _: Mapping[str, Any]) -> list[str]:
    specification = certificate.specification
    lines = [
        f"{form(certificate, row, constant)} >= m for all x in X"
        for row, constant in list(zip(specification.rows, specification.constants, strict=True))[:LISTED]
    ]
    if len(specification.rows) > LISTED:
        lines.append(f"... and {len(specification.rows) - LISTED} more rows of C y + d")
    return [*lines, f"On X every entry of C y + d is at least m; C has {plural(len(specification.rows), 'row')}."]


def form(certificate: Certificate, row: Row, constant: float) -> str:
    """One row over the outputs: '0.5 y[0] - y[2] + 3'; of the answers of frames: 'y_1[0]'."""
    network = certificate.network
    text = ""
    for place, (k, value) in enumerate(row.items()):
        if place == _TERMS:
            text += f" + ... ({plural(len(row), 'term')})"
            break
        t, j = divmod(k, network.classes)
        name = f"y[{j}]" if network.one_answer else f"y_{t}[{j}]"
        size = "" if abs(value) == 1 else f"{decimal(abs(value))} "
        text += f"{_sign(value, text)}{size}{name}"
    return text + f"{_sign(constant, text)}{decimal(abs(constant))}" if constant or not text else text


def _sign(value: float, before: str) -> str:
    if not before:
        return "-" if value < 0 else ""
    return " - " if value < 0 else " + "


_CLAIMS: Final = {
    "untargeted": _untargeted,
    "targeted": _targeted,
    "top_k": _top_k,
    "untargeted_steps": _untargeted_steps,
    "rows": _rows,
}

"""The specification as rows over the outputs, and how their bounds answer it (certificate_v1.md, sections 1 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from refcert.kernel.container import Container, Table, require_keys, shaped, shown, whole
from refcert.kernel.errors import UnreadableError
from refcert.kernel.network import Network
from refcert.kernel.program import Form, Program

MAX_ROWS: Final = 1 << 20

Row = Mapping[int, float]
"""Coefficients by output; those that are missing are 0."""


@dataclass(frozen=True, slots=True)
class Specification:
    """rows and constants: linear forms over the outputs. spare: how many of them may stay below the margin.

    label, others: for `margin.per_class`, where the claim is about one label. tensors: for the claim's digest.
    """

    rows: list[Row]
    constants: list[float]
    spare: int = 0
    label: int | None = None
    others: tuple[int, ...] = ()
    tensors: Mapping[str, Table] | None = None


def over_answers(program: Program, row: Row) -> Form:
    """A row over the outputs as one over the answers' units."""
    classes = program.answers[0].size
    return {(program.answers[j // classes].variable, j % classes): x for j, x in row.items()}


class Claimed(NamedTuple):
    """What the whole certificate claims."""

    specification: Specification
    margin: float


def read_specification(entry: Any, certificate: Container, network: Network, frames: int) -> Specification:
    """The specification of a certificate. Raises UnreadableError."""
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in READERS:
        raise UnreadableError(f"the specification's kind is {shown(kind)}; known: {', '.join(READERS)}")
    if not network.one_answer and kind not in ("untargeted_steps", "rows"):
        raise UnreadableError(f"{kind} needs one answer, but the network answers every frame")
    return READERS[kind](entry, certificate, network, frames)


def _label(entry: Any, key: str, network: Network) -> int:
    return whole(entry[key], 0, network.classes - 1, key)


def _others(label: int, network: Network) -> tuple[int, ...]:
    if network.classes < 2:
        raise UnreadableError("the network has one class; a label has nothing to stand against")
    return tuple(j for j in range(network.classes) if j != label)


def _margins(label: int, others: tuple[int, ...], first: int = 0) -> list[Row]:
    return [{first + label: 1.0, first + j: -1.0} for j in others]


def _untargeted(entry: Any, certificate: Container, network: Network, frames: int) -> Specification:
    require_keys(entry, ("kind", "label"), "the specification")
    label = _label(entry, "label", network)
    others = _others(label, network)
    return Specification(_margins(label, others), [0.0] * len(others), label=label, others=others)


def _targeted(entry: Any, certificate: Container, network: Network, frames: int) -> Specification:
    require_keys(entry, ("kind", "label", "target"), "the specification")
    label, target = _label(entry, "label", network), _label(entry, "target", network)
    if label == target:
        raise UnreadableError(f"the target {target} is the label itself")
    return Specification(_margins(label, (target,)), [0.0], label=label, others=(target,))


def _top_k(entry: Any, certificate: Container, network: Network, frames: int) -> Specification:
    require_keys(entry, ("kind", "label", "k"), "the specification")
    label = _label(entry, "label", network)
    others = _others(label, network)
    k = whole(entry["k"], 1, len(others), "k")
    return Specification(_margins(label, others), [0.0] * len(others), spare=k - 1)


def _untargeted_steps(entry: Any, certificate: Container, network: Network, frames: int) -> Specification:
    require_keys(entry, ("kind", "labels"), "the specification")
    labels = entry["labels"]
    if network.one_answer or not isinstance(labels, list) or len(labels) != frames:
        raise UnreadableError(
            f"`labels` is {shown(labels)}; it needs one for each of {frames} frames, and as many answers"
        )
    if len(labels) * (network.classes - 1) > MAX_ROWS:
        raise UnreadableError(f"{len(labels)} labels among {network.classes} classes make over {MAX_ROWS} rows")
    rows: list[Row] = []
    for t, found in enumerate(labels):
        label = whole(found, 0, network.classes - 1, "a label")
        rows += _margins(label, _others(label, network), t * network.classes)
    return Specification(rows, [0.0] * len(rows))


def _rows(entry: Any, certificate: Container, network: Network, frames: int) -> Specification:
    require_keys(entry, ("kind",), "the specification")
    outputs = network.classes * (1 if network.one_answer else frames)
    C = shaped(certificate.tensors, "rows.C", (None, outputs), "tensor")
    d = shaped(certificate.tensors, "rows.d", C.shape[:1], "tensor")
    if len(d.values) > MAX_ROWS:
        raise UnreadableError(f"there are {len(d.values)} rows; at most {MAX_ROWS} are allowed")
    rows = [{j: x for j, x in enumerate(C.row(k)) if x} for k in range(len(d.values))]
    return Specification(list(rows), list(d.values), tensors={"rows.C": C, "rows.d": d})


READERS: Final[dict[str, Callable[[Any, Container, Network, int], Specification]]] = {
    "untargeted": _untargeted,
    "targeted": _targeted,
    "top_k": _top_k,
    "untargeted_steps": _untargeted_steps,
    "rows": _rows,
}

"""One certificate from file to verdict: read everything strictly, then replay step by step.

The verdict is that of the first step that does not hold; VALID only if the last one, the margin, was proved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from refcert.kernel.blocks import Blocks
from refcert.kernel.container import Container, number, parse_container, read_bytes, require_keys, shown
from refcert.kernel.errors import FailedStepError, KernelInputError, UndecidedStepError, UnreadableError
from refcert.kernel.input_sets import InputSet, read_input_set
from refcert.kernel.network import Network, digest_text, read_network
from refcert.kernel.program import Program, unroll
from refcert.kernel.specification import Claimed, Specification, read_specification
from refcert.kernel.state import Budget, State
from refcert.kernel.steps import Step, has_tensor, read_steps, require_list

FORMAT: Final = ("refcert certificate", 1)

_KEYS: Final = ("format", "version", "network", "inputs", "specification", "steps", "margin", "claim")


class Verdict(StrEnum):
    """VALID: the claim is proved. INVALID: a step does not follow. HOLEY: a step is not decided."""

    VALID = "VALID"
    INVALID = "INVALID"
    HOLEY = "HOLEY"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a certificate says. digest: its one name (section 9); inputs, specification: as in the file."""

    digest: str
    network: str
    inputs: Mapping[str, Any]
    specification: Mapping[str, Any]
    margin: float


@dataclass(frozen=True, slots=True)
class Result:
    """verdict with, unless it is VALID, the step's number (None: before any), its rule, the reason and a witness."""

    verdict: Verdict
    claim: Claim
    step: int | None = None
    rule: str | None = None
    reason: str = ""
    witness: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was read, with everything that it names; nothing of it is proved yet.

    sha256: of the very bytes that were read.
    """

    body: Mapping[str, Any]
    sha256: str
    network: Network
    named_digest: str
    inputs: InputSet
    specification: Specification
    program: Program
    steps: tuple[Step, ...]
    margin: float

    def claim(self) -> Claim:
        """What it claims of the network that was found."""
        body = self.body
        tensors = {**self.inputs.tensors, **(self.specification.tensors or {})}
        lines = [
            "refcert claim 1",
            f"network {self.network.digest}",
            f"inputs {_plain_json(body['inputs'])}",
            f"specification {_plain_json(body['specification'])}",
            f"margin {body['margin']}",
            *(f"tensor {name} {tensors[name].shape} {tensors[name].digest()}" for name in sorted(tensors)),
        ]
        digest = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
        return Claim(digest, self.network.digest, body["inputs"], body["specification"], self.margin)


def check(path: Path, seconds: float | None = None, known: dict[str, Network] | None = None) -> Result:
    """Read and replay a certificate. seconds: the budget; known: networks read before, which this call may add to.

    Raises UnreadableError where the file, or the network file beside it, is none.
    """
    budget = Budget(seconds)  # reading counts
    return replay(read_certificate(path, {} if known is None else known), budget)


def read_certificate(path: Path, known: dict[str, Network]) -> Certificate:
    """Read a certificate and its network. Raises UnreadableError."""
    try:
        data = read_bytes(path)
        return _read(parse_container(data), hashlib.sha256(data).hexdigest(), path.parent, known)
    except UnreadableError as error:
        raise UnreadableError(f"{path}: {error}") from error


def replay(certificate: Certificate, budget: Budget) -> Result:
    """Prove every step, or say which one does not hold."""
    claim = certificate.claim()
    claimed = Claimed(certificate.specification, certificate.margin)
    blocks = Blocks(State(certificate.program, certificate.inputs, budget), claimed)
    certificate.inputs.tick = budget.check
    position: int | None = None
    rule: str | None = None
    try:
        _require_named(certificate, claim)
        for position, step in enumerate(certificate.steps):
            rule = step.rule
            blocks.take(step, last=position == len(certificate.steps) - 1)
    except FailedStepError as error:
        return Result(Verdict.INVALID, claim, position, rule, error.reason, error.witness)
    except UndecidedStepError as error:
        return Result(Verdict.HOLEY, claim, position, rule, error.reason, error.witness)
    except (ArithmeticError, MemoryError, KernelInputError) as error:
        reason = f"the kernel gave up: {type(error).__name__}: {error}"
        return Result(Verdict.HOLEY, claim, position, rule, reason)
    return Result(Verdict.VALID, claim)


def _require_named(certificate: Certificate, claim: Claim) -> None:
    if certificate.named_digest != claim.network:
        raise FailedStepError("the network is another one", {"named": certificate.named_digest, "found": claim.network})
    if certificate.body["claim"] != claim.digest:
        raise FailedStepError("the claim is another one", {"named": certificate.body["claim"], "found": claim.digest})


def _read(container: Container, sha256: str, folder: Path, known: dict[str, Network]) -> Certificate:
    body = require_keys(container.body, _KEYS, "the body", ("about",))
    if (body["format"], body["version"]) != FORMAT:
        found = f"{shown(body['format'])}, version {shown(body['version'])}"
        raise UnreadableError(f"the format is {found}; this is a reader of {FORMAT[0]!r}, version {FORMAT[1]}")
    digest_text(body["claim"], "the claim's digest")
    margin = number(body["margin"], "the margin")
    if not margin > 0:
        raise UnreadableError(f"the margin is {margin!r}; it must be greater than zero")
    about = body.get("about", {})
    if not isinstance(about, dict) or not all(isinstance(text, str) for text in about.values()):
        raise UnreadableError(f"`about` is {shown(about)}; it must be an object of strings")
    entries = require_list(body["steps"])
    network, named = read_network(body["network"], container, folder, known)
    inputs = read_input_set(body["inputs"], container, network.input_size)
    program = unroll(network, inputs.frames)  # its limits hold before rows are made for every frame
    specification = read_specification(body["specification"], container, network, inputs.frames)
    _require_no_more(container, [*inputs.tensors, *(specification.tensors or {})], "file" not in body["network"])
    steps = read_steps(entries, container.tensors, program, len(specification.rows))
    return Certificate(body, sha256, network, named, inputs, specification, program, steps, margin)


def _require_no_more(container: Container, named: list[str], embedded: bool) -> None:
    """No tensors but those that the text names."""
    allowed = {*named, *(f"step.{k}" for k, entry in enumerate(container.body["steps"]) if has_tensor(entry))}
    for name in container.tensors:
        if name not in allowed and not (embedded and name.startswith("network.")):
            raise UnreadableError(f"the tensor {name} has no meaning here")


def _plain_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))

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

from refcert.kernel.ball import precision
from refcert.kernel.container import Container, Table, number, parse_container, read_bytes, require_keys, shown
from refcert.kernel.errors import FailedStepError, StepError, UndecidedStepError, UnreadableError
from refcert.kernel.input_sets import InputSet, read_input_set
from refcert.kernel.interval import fill_boxes
from refcert.kernel.network import Network, digest_text, read_network
from refcert.kernel.program import Program, unroll
from refcert.kernel.rules import BOX, END, PLANES, PRECISIONS, RULES, Step, keys_of, variable_of
from refcert.kernel.specification import Specification, read_specification
from refcert.kernel.state import Budget, State

FORMAT: Final = ("refcert certificate", 1)
MAX_STEPS: Final = 1 << 20

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
    """A certificate that was read, with everything that it names; nothing of it is proved yet."""

    body: Mapping[str, Any]
    tensors: Mapping[str, Table]
    network: Network
    named_digest: str
    inputs: InputSet
    specification: Specification
    program: Program
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
    return replay(read_certificate(path, {} if known is None else known), Budget(seconds))


def read_certificate(path: Path, known: dict[str, Network]) -> Certificate:
    """Read a certificate and its network. Raises UnreadableError."""
    try:
        return _read(parse_container(read_bytes(path)), path.parent, known)
    except UnreadableError as error:
        raise UnreadableError(f"{path}: {error}") from error


def replay(certificate: Certificate, budget: Budget) -> Result:
    """Prove every step, or say which one does not hold."""
    claim = certificate.claim()
    state = State(certificate.program, certificate.inputs, budget)
    position: int | None = None
    rule: str | None = None
    try:
        _require_named(certificate, claim)
        steps = certificate.body["steps"]
        order = _Order(state)
        with precision(PRECISIONS[0]):
            for position, entry in enumerate(steps):
                rule = entry["rule"]
                if rule not in RULES:
                    raise UndecidedStepError(f"the rule {shown(rule)} is not known")
                step = Step(entry, certificate.tensors.get(f"step.{position}"), certificate.specification, claim.margin)
                order.next(step, last=position == len(steps) - 1)
                RULES[rule].prove(step, state)
    except FailedStepError as error:
        return Result(Verdict.INVALID, claim, position, rule, error.reason, error.witness)
    except StepError as error:
        return Result(Verdict.HOLEY, claim, position, rule, error.reason, error.witness)
    except (ArithmeticError, MemoryError, RecursionError) as error:
        return Result(Verdict.HOLEY, claim, position, rule, f"the kernel gave up: {type(error).__name__}: {error}")
    return Result(Verdict.VALID, claim)


class _Order:
    """The order of steps, and the boxes of interval arithmetic for the variables that are passed by."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.variable = state.program.frames
        self.stage = PLANES
        fill_boxes(state, 0, self.variable)

    def next(self, step: Step, *, last: bool) -> None:
        """Raise FailedStepError unless the step may stand here."""
        stage = RULES[step.entry["rule"]].stage
        if last != (stage == END):
            raise FailedStepError("the last step, and no other, proves the margin")
        if stage == END:
            return
        number = variable_of(step, self.state)
        if number < self.variable:
            raise FailedStepError(f"variable {number} comes behind variable {self.variable}")
        if number > self.variable:
            fill_boxes(self.state, self.variable, number)
            self.variable, self.stage = number, PLANES
        if stage < self.stage or (stage == BOX and number in self.state.boxes):
            raise FailedStepError(f"variable {number} has its box already")
        self.stage = stage
        if stage == PLANES and (step.entry["set"], number, step.entry["part"]) in self.state.planes:
            raise FailedStepError(f"part {step.entry['part']} of variable {number} has planes of this set already")


def _require_named(certificate: Certificate, claim: Claim) -> None:
    if certificate.named_digest != claim.network:
        raise FailedStepError("the network is another one", {"named": certificate.named_digest, "found": claim.network})
    if certificate.body["claim"] != claim.digest:
        raise FailedStepError("the claim is another one", {"named": certificate.body["claim"], "found": claim.digest})


def _read(container: Container, folder: Path, known: dict[str, Network]) -> Certificate:
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
    _require_steps(body["steps"])
    network, named = read_network(body["network"], container, folder, known)
    inputs = read_input_set(body["inputs"], container, network.input_size)
    specification = read_specification(body["specification"], container, network, inputs.frames)
    _require_no_more(container, [*inputs.tensors, *(specification.tensors or {})], "file" not in body["network"])
    program = unroll(network, inputs.frames)
    return Certificate(body, container.tensors, network, named, inputs, specification, program, margin)


def _require_steps(steps: Any) -> None:
    if not isinstance(steps, list) or not 1 <= len(steps) <= MAX_STEPS:
        raise UnreadableError(f"`steps` is {shown(steps)}; it must be a list of 1 to {MAX_STEPS} steps")
    for entry in steps:
        if not isinstance(entry, dict) or not isinstance(entry.get("rule"), str):
            raise UnreadableError(f"a step is {shown(entry)}; it must be an object with a rule")
        if entry["rule"] in RULES:
            keys_of(entry, RULES[entry["rule"]])


def _require_no_more(container: Container, named: list[str], embedded: bool) -> None:
    """No tensors but those that the text names."""
    steps = container.body["steps"]
    allowed = {*named, *(f"step.{k}" for k, entry in enumerate(steps) if not entry["rule"].startswith("margin"))}
    for name in container.tensors:
        if name not in allowed and not (embedded and name.startswith("network.")):
            raise UnreadableError(f"the tensor {name} has no meaning here")


def _plain_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))

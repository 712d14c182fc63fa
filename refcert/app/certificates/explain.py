"""`refcert explain`: what a certificate says, read strictly and proved not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refcert.app.certificates.claim_words import claim_lines, input_lines, network_lines, structure_of, weights_in
from refcert.app.certificates.reading import why_unreadable
from refcert.app.certificates.step_words import Placed, about, definition, follows, placed, rows_text
from refcert.app.errors import InputError
from refcert.kernel.check import Certificate, read_certificate
from refcert.kernel.errors import UnreadableError
from refcert.kernel.steps import DIAGONALS, PLANES


@dataclass(frozen=True)
class Explanation:
    """A certificate that was read. asked: the step whose numbers are wanted."""

    path: Path
    certificate: Certificate
    steps: tuple[Placed, ...]
    asked: Placed | None

    @property
    def digest_differs(self) -> bool:
        """Whether the claim that the file names is another one than it makes."""
        return bool(self.certificate.body["claim"] != self.certificate.claim().digest)

    def to_json(self) -> dict[str, Any]:
        """See docs/json.md."""
        certificate = self.certificate
        found: dict[str, Any] = {
            "path": str(self.path),
            "checked": False,
            "about": certificate.body.get("about", {}),
            "network": self._network(),
            "claim": self._claim(),
            "variables": self._variables(),
            "steps": [self._step(step) for step in self.steps],
        }
        return found if self.asked is None else found | {"step": self._step(self.asked) | self._numbers(self.asked)}

    def _network(self) -> dict[str, Any]:
        network = self.certificate.network
        return {
            "digest": network.digest,
            "named_digest": self.certificate.named_digest,
            "file": self.certificate.body["network"].get("file"),
            "structure": structure_of(self.certificate),
            "frames": self.certificate.inputs.frames,
            "input_size": network.input_size,
            "classes": network.classes,
            "weights": {name: list(table.shape) for name, table in network.weights.items()},
            "numbers": weights_in(network),
            "text": network_lines(self.certificate),
        }

    def _claim(self) -> dict[str, Any]:
        claim = self.certificate.claim()
        return {
            "digest": claim.digest,
            "named_digest": self.certificate.body["claim"],
            "margin": claim.margin,
            "inputs": dict(claim.inputs),
            "specification": dict(claim.specification),
            "text": [*input_lines(self.certificate), *claim_lines(self.certificate)],
        }

    def _variables(self) -> list[dict[str, Any]]:
        return [
            {
                "number": number,
                "label": variable.label,
                "units": variable.size,
                "definition": definition(self.certificate, number),
            }
            for number, variable in enumerate(self.certificate.program.variables)
        ]

    def _step(self, one: Placed) -> dict[str, Any]:
        planes = one.step.stage == PLANES
        of_a_part = planes or one.step.stage == DIAGONALS
        return {
            "number": one.number,
            "rule": one.step.rule,
            "of": one.variable,
            "part": one.step.part if of_a_part else None,
            "set": one.step.which if planes else None,
            "sets": list(one.step.sets) or None,
            "numbers": one.numbers,
            "about": about(self.certificate, one),
            "follows": follows(self.certificate, one),
        }

    def _numbers(self, one: Placed) -> dict[str, Any]:
        if one.step.rows:
            return {"rows": list(one.rows), "values": [list(row) for row in one.step.rows]}
        return {"rows": rows_text(self.certificate) if one.known else None, "values": None}


def explain(path: Path, asked: int | None = None) -> Explanation:
    """Read a certificate. Raises InputError where it is none, or has no step `asked`."""
    try:
        certificate = read_certificate(path, {})
    except (UnreadableError, OSError) as error:
        raise InputError(f"{path}: {why_unreadable(path, error)}") from error
    steps = placed(certificate)
    if asked is not None and not 0 <= asked < len(steps):
        raise InputError(f"--step is {asked}; {path} has the steps 0 to {len(steps) - 1}, give one of them")
    return Explanation(path, certificate, tuple(steps), None if asked is None else steps[asked])

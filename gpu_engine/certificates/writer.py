"""Certificates of the samples of one pass of bounds.

    network = Network(model, "network.safetensors")
    (folder / network.file).write_bytes(network.content())
    certify(..., batch_sink=lambda batch: ...)
    certificates = Certificates(batch, network)
    certificates.write(k, {"sample": "17"}) for every k with certificates.margins[k] > 0

Boxes and planes are the engine's own numbers, exactly. Each has paid for its rounding (lemma `charged_rounding`), far
more than rounding really costs, so that in exact arithmetic it follows from those before it with room to spare. That is
no theorem: the lemma holds a bound against the network's values, a certificate holds it against the exact substitution
of the same planes. Where planes leave their boxes by orders of magnitude while coefficients cancel, the exact
substitution can lie below a sound bound. So the margin, whose last digits nobody needs, is claimed a little smaller
than it is (MARGIN_SHARE).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch

from gpu_engine.cells.unroll import unroll
from gpu_engine.certificates.claim import claim_digest
from gpu_engine.certificates.container import (
    CERTIFICATE_DTYPES,
    VERSION,
    CertificateError,
    Section,
    narrowed,
    number,
    pack,
)
from gpu_engine.certificates.input_sets import input_section
from gpu_engine.certificates.network import Network
from gpu_engine.certificates.questions import Asked, question
from gpu_engine.certificates.steps import OwnStep, StepBatch, steps_of, supposed_steps
from gpu_engine.search.certify import BoundedBatch
from gpu_engine.search.supposing import RowProof

MAX_STEPS: Final = 2**20

# The share of the engine's margin that a certificate claims. Nothing that is sound depends on it.
MARGIN_SHARE: Final = 1 - 2.0**-20


@dataclass(frozen=True)
class Certificates:
    """The certificates of a batch. What all samples share is computed once; `write` makes the bytes of one.

    Raises ValueError where the network is not the batch's.
    """

    batch: BoundedBatch
    network: Network

    def __post_init__(self) -> None:
        if self.network.model is not self.batch.model:
            raise ValueError("the batch was bounded for another model than the one that its certificates would name")

    @cached_property
    def margins(self) -> tuple[float, ...]:
        """What each sample's certificate claims, by position in the batch; where not positive, there is none."""
        lower = self.batch.bounds.lower.to(device="cpu", dtype=torch.float64)
        margins: list[float] = (self.batch.specification.margins(lower) * MARGIN_SHARE).tolist()
        return tuple(margins)

    def write(self, sample: int, about: Mapping[str, str] | None = None) -> bytes:
        """The certificate of the sample at this position of the batch. about: remarks for people, any text.

        Raises CertificateError where nothing is proved, where the format has no words for what was asked, and where
        one of its limits is exceeded.
        """
        margin = self.margins[sample]
        if not 0 < margin < math.inf:
            raise CertificateError(
                f"the margin of sample {int(self.batch.samples[sample])} is {margin}; a certificate claims a finite "
                "one above zero. Ask for a smaller input set"
            )
        batch = self.batch
        network = self.network.section
        inputs, asked = self._asked(sample)
        blocks = [step for proof in batch.supposed.get(sample, ()) for step in self._block(proof)]
        steps = [*(step.body for step in self._steps), *(step.body for step in blocks)]
        options = batch.options
        body = {
            "format": "refcert certificate",
            "version": VERSION,
            "network": network.body,
            "inputs": inputs.body,
            "specification": asked.section.body,
            "steps": [*steps, {"rule": asked.rule, "sets": list(self.batch.bounds.row_sets)}],
            "margin": number(margin),
            "claim": claim_digest(self.network.digest, inputs, asked.section, number(margin)),
            "about": {"relaxation": options.relaxation, "dtype": options.dtype, **_readable(about or {})},
        }
        own = {f"step.{k}": step.of(sample) for k, step in enumerate(self._steps)}
        first = len(self._steps)
        own |= {f"step.{first + k}": step.values for k, step in enumerate(blocks) if step.values is not None}
        exact = narrowed(inputs.tensors | asked.section.tensors | own, CERTIFICATE_DTYPES)
        return pack(body, network.tensors | exact)

    def claim(self, sample: int) -> str:
        """The digest that names what the sample's certificate claims. Raises CertificateError as `write`."""
        inputs, asked = self._asked(sample)
        return claim_digest(self.network.digest, inputs, asked.section, number(self.margins[sample]))

    def _asked(self, sample: int) -> tuple[Section, Asked]:
        batch = self.batch
        asked = question(batch.specification, sample, batch.model, batch.inputs.time)
        return input_section(batch.inputs, sample), asked

    def _block(self, proof: RowProof) -> list[OwnStep]:
        time = self.batch.inputs.time
        return supposed_steps(unroll(self.batch.model, time), time, proof)

    @cached_property
    def _steps(self) -> list[StepBatch]:
        time = self.batch.inputs.time
        steps = steps_of(unroll(self.batch.model, time), time, self.batch.bounds)
        if len(steps) >= MAX_STEPS:
            raise CertificateError(
                f"there are {len(steps)} steps and a last one; a certificate may have {MAX_STEPS}. Use fewer frames"
            )
        return steps


def _readable(about: Mapping[str, str]) -> dict[str, str]:
    """Any text as UTF-8 can hold it: a path may have bytes that are no characters."""

    def plain(text: str) -> str:
        return text.encode("utf-8", "replace").decode()

    return {plain(name): plain(text) for name, text in about.items()}

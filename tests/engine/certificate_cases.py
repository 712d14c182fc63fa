"""The engine's certificates of whole questions, for tests."""

from __future__ import annotations

from torch import Tensor

from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.inputs import InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import BoundedBatch, Options, certify
from gpu_engine.spec import Specification
from tests.engine.certificate_files import File, check_body, network_of, open_file

NETWORK_FILE = "network.safetensors"


def batches(
    model: RecurrentClassifier,
    inputs: InputSet,
    specification: Specification,
    options: Options | None = None,
    lengths: Tensor | None = None,
) -> list[BoundedBatch]:
    """The passes of one call, as `certify` hands them out."""
    found: list[BoundedBatch] = []
    certify(model, inputs, specification, options, None, lengths, found.append)
    return found


def certificates(
    model: RecurrentClassifier,
    inputs: InputSet,
    specification: Specification,
    options: Options | None = None,
    lengths: Tensor | None = None,
    file: str | None = NETWORK_FILE,
) -> dict[int, File]:
    """The certificates of all samples with a positive margin, opened and with their forms checked, by position."""
    network, found = Network(model, file), {}
    for batch in batches(model, inputs, specification, options, lengths):
        written = Certificates(batch, network)
        for k, sample in enumerate(batch.samples.tolist()):
            if written.margins[k] > 0:
                found[sample] = open_file(written.write(k, {"sample": str(sample)}))
                check_body(found[sample])
    return found


def stored(model: RecurrentClassifier):
    """(structure, weights) of the model's network file."""
    return network_of(Network(model, NETWORK_FILE).content())


def proved(specification: Specification, lower: Tensor, by: float = 1.0) -> Specification:
    """The same rows, each raised by a constant so that its bound is `by`."""
    return Specification(specification.C, specification.d + (by - lower), specification.reading)


def lower_bounds(model, inputs, specification, options=None) -> Tensor:
    return certify(model, inputs, specification, options).lower

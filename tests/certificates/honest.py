"""Certificates as the engine writes them, of random questions: rows moved so that they hold by little."""

from __future__ import annotations

from pathlib import Path

import torch

from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import Specification
from refcert.strategies import Question


def barely_true(question: Question, options: Options) -> Specification:
    """The question's rows, each lifted so that its bound is a small positive number."""
    lower = certify(question.model, question.inputs, question.spec, options).lower
    lift = 2.0**-20 * (1 + lower.abs())
    return Specification(question.spec.C, question.spec.d - lower + lift)


def write_all(folder: Path, question: Question, specification: Specification, options: Options) -> list[Path]:
    """One certificate for each sample whose margin is positive, with the network's file beside them."""
    network = Network(question.model, "network.safetensors")
    (folder / network.file).write_bytes(network.content())
    written: list[Path] = []

    def on_batch(batch) -> None:
        certificates = Certificates(batch, network)
        for k, margin in enumerate(certificates.margins):
            if margin > 0:
                path = folder / f"sample-{int(batch.samples[k]):05d}.safetensors"
                path.write_bytes(certificates.write(k))
                written.append(path)

    certify(question.model, question.inputs, specification, options, batch_sink=on_batch)
    return sorted(written)


def relaxed(name: str, dtype: torch.dtype = torch.float64) -> Options:
    """Options for a relaxation in a dtype."""
    return Options(name, str(dtype).removeprefix("torch."))

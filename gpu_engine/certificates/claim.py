"""The claim's digest, section 9 of `proofs/spec/certificate_v1.md`: one name for a claim, whatever the steps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from gpu_engine.certificates.container import Section, json_text


def claim_digest(network: str, inputs: Section, specification: Section, margin: str) -> str:
    """network: its digest; margin: as the body writes it."""
    lines = [
        "refcert claim 1",
        f"network {network}",
        f"inputs {json_text(inputs.body)}",
        f"specification {json_text(specification.body)}",
        f"margin {margin}",
        *_tensor_lines({**inputs.tensors, **specification.tensors}),
    ]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _tensor_lines(tensors: Mapping[str, Tensor]) -> list[str]:
    lines = []
    for name in sorted(tensors):
        values = tensors[name].detach().to(device="cpu", dtype=torch.float64).contiguous().numpy()
        digest = hashlib.sha256(values.astype("<f8", copy=False).tobytes()).hexdigest()
        lines.append(f"tensor {name} {values.shape} {digest}")
    return lines

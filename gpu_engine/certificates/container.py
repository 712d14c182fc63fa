"""The file that holds a certificate or a network: safetensors, whose only metadata is the JSON text of a body.

Section 2 of `proofs/spec/certificate_v1.md`. The bytes are made by the safetensors library, because what it writes is
what that section asks for: the one metadata key that it is given, tensors behind one another without gaps, spaces up to
a multiple of 8 behind the header. Only the limits are checked here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import safetensors.torch
import torch
from torch import Tensor

from gpu_engine.errors import EngineError

METADATA_KEY: Final = "refcert"
VERSION: Final = 1
MAX_HEADER: Final = 2**24
MAX_FILE: Final = 2**30
LENGTH_BYTES: Final = 8

CERTIFICATE_DTYPES: Final = (torch.float32, torch.float64)
NETWORK_DTYPES: Final = (torch.float16, torch.bfloat16, *CERTIFICATE_DTYPES)
"""Narrowest first: a tensor takes the first dtype that holds every value exactly."""


class CertificateError(EngineError):
    """Something that a certificate cannot say: no positive margin, a limit of the format, an unusual question."""


@dataclass(frozen=True)
class Section:
    """A part of a body and the tensors that belong to it, by name."""

    body: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)


def pack(body: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """The file's bytes, tensors as they are (`narrowed`). Raises CertificateError beyond the format's limits."""
    content: bytes = safetensors.torch.save(dict(tensors), {METADATA_KEY: json_text(body)})
    header = int.from_bytes(content[:LENGTH_BYTES], "little")
    for what, size, limit in (("header", header, MAX_HEADER), ("file", len(content), MAX_FILE)):
        if size > limit:
            raise CertificateError(f"the {what} would have {size} bytes; the format allows {limit}. Use fewer frames")
    return content


def narrowed(tensors: Mapping[str, Tensor], dtypes: Sequence[torch.dtype]) -> dict[str, Tensor]:
    """Copies on the CPU, each as narrow as its values allow."""
    return {name: narrowest(value, dtypes) for name, value in tensors.items()}


def narrowest(value: Tensor, dtypes: Sequence[torch.dtype]) -> Tensor:
    """A copy on the CPU in the first of the dtypes that holds every value exactly, bit by bit (also -0.0)."""
    wide = value.detach().to(device="cpu", dtype=torch.float64)
    for dtype in dtypes:
        narrow = wide.to(dtype)
        if same_bits(narrow.to(torch.float64), wide):
            return narrow.clone(memory_format=torch.contiguous_format)
    raise ValueError(f"none of {dtypes} holds every float64 number")


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two float64 tensors are the same numbers with the same signs of zero, however subnormals are treated."""
    return torch.equal(one.contiguous().view(torch.int64), other.contiguous().view(torch.int64))


def json_text(value: Mapping[str, Any]) -> str:
    """Without spaces, keys in alphabetical order, as section 9 asks for; ASCII, so that any text fits into UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def number(value: float) -> str:
    """A real number as the format writes it. The sum turns -0.0, which has no form of its own there, into 0.0."""
    return (value + 0.0).hex()

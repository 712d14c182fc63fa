"""A certificate's file as a draft that can be changed, whoever wrote it; its network is embedded."""

from __future__ import annotations

from pathlib import Path

from tests.certificates.naive_container import read_container
from tests.certificates.tiny_certificates import Array, Draft

PREFIX = "network."


def opened(path: Path) -> Draft:
    """The same body, tensors and weights; written again the bytes may differ, as spaces in JSON may."""
    body, tensors = read_container(path)
    arrays = {name: Array(tensor.shape, list(tensor.values), tensor.dtype) for name, tensor in tensors.left.items()}
    weights = {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
    return Draft(body, arrays, weights, body["network"]["structure"])

"""Matrix products in the engine's own dtype, whatever the user has told torch to allow.

TensorFloat-32, bfloat16 products and autocast would break the bounds of rounding without a sign. Only float32 is
concerned.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def full_precision_products(device: torch.device) -> Iterator[None]:
    """Plain float32 products inside; the user's settings are put back afterwards, as they were."""
    with torch.autocast(device_type=device.type, enabled=False), _ieee_products():
        yield


@contextlib.contextmanager
def _ieee_products() -> Iterator[None]:
    backends: list[Any] = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    if not all(hasattr(backend, "fp32_precision") for backend in backends):  # torch before 2.9 has one setting for all
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
        return
    # The newer settings, one per backend: reading the older one raises where the user has set these.
    saved = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, value in zip(backends, saved, strict=True):
            backend.fp32_precision = value

"""Kernel tables and containers out of numpy arrays."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refcert.kernel.container import Container, Table


def table(values: NDArray[np.float64]) -> Table:
    """The array as the kernel's reader would give it."""
    return Table(values.shape, array("d", values.astype(np.float64).ravel().tolist()))


def container(body: Mapping[str, Any], **tensors: NDArray[np.float64]) -> Container:
    """A container with these tensors."""
    return Container(dict(body), {name: table(values) for name, values in tensors.items()})

"""The engine's networks as the kernel reads them."""

from __future__ import annotations

from gpu_engine.model import RecurrentClassifier
from refcert.kernel.network import Network, build_network
from tests.certificates.tables import table


def kernel_network(model: RecurrentClassifier) -> Network:
    """The same network, as from a file."""
    return build_network(
        model.structure(), {name: table(value.numpy()) for name, value in model.named_weights().items()}
    )

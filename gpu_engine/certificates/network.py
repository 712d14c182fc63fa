"""The network of a certificate: by digest, its weights in a file beside the certificates or in each of them.

Section 4 of `proofs/spec/certificate_v1.md`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from gpu_engine.certificates.container import (
    CERTIFICATE_DTYPES,
    NETWORK_DTYPES,
    VERSION,
    CertificateError,
    Section,
    narrowed,
    pack,
)
from gpu_engine.model import RecurrentClassifier

PREFIX: Final = "network."
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")


@dataclass(frozen=True)
class Network:
    """A network as certificates name it. file: its file's name, None to write the weights into every certificate.

    Raises CertificateError for a name that the format does not allow.
    """

    model: RecurrentClassifier
    file: str | None

    def __post_init__(self) -> None:
        if self.file is not None and not _NAME.fullmatch(self.file):
            raise CertificateError(
                f"the network's file is called {self.file!r}; give a name of 1 to 255 letters, digits, '_', '.' or '-' "
                "that does not begin with a dot, without a folder"
            )

    @cached_property
    def digest(self) -> str:
        """The digest of the exact weights: once, not for every certificate."""
        return self.model.digest()

    @cached_property
    def section(self) -> Section:
        """The body's `network` and the tensors that it needs."""
        if self.file is not None:
            return Section({"digest": self.digest, "file": self.file})
        # Half precision is for a network's own file; inside a certificate every reader knows F32 and F64.
        weights = narrowed(self.model.named_weights(), CERTIFICATE_DTYPES)
        named = {PREFIX + name: value for name, value in weights.items()}
        return Section({"digest": self.digest, "structure": self.model.structure()}, named)

    def content(self) -> bytes:
        """The bytes of the network's file."""
        body = {"format": "refcert network", "version": VERSION, "structure": self.model.structure()}
        return pack(body, narrowed(self.model.named_weights(), NETWORK_DTYPES))

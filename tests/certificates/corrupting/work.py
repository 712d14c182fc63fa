"""One corruption in the making."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.certificates.corruption_seeds import CERTIFICATE, Seed
from tests.certificates.tiny_certificates import Array, Draft, encode

Bytes = Callable[[bytes], bytes]


@dataclass
class Work:
    """One corruption in the making. network_data: what is done to the network's bytes; folder: to the files."""

    seed: Seed
    others: Sequence[Seed]
    draft: Draft
    draw: random.Random
    network_data: Bytes = bytes
    folder: Callable[[Path], None] | None = None
    seconds: float | None = None

    @property
    def steps(self) -> list[dict[str, Any]]:
        return self.draft.body["steps"]

    def tables(self, *prefixes: str) -> list[Array]:
        """The tensors whose names begin so, in the certificate and in the network's file (as `network.`)."""
        named = {f"network.{name}": table for name, table in (self.draft.file or {}).items()} | self.draft.tensors
        return [table for name, table in named.items() if name.startswith(prefixes)]

    def files(self) -> dict[str, bytes]:
        """What is written, by name."""
        draft = self.draft
        files = {CERTIFICATE: draft.data(encode(draft.body, draft.tensors, draft.text, draft.header))}
        if draft.file is not None:
            (name,) = list(self.seed.files)[1:]
            files[name] = self.network_data(encode(draft.file_body, draft.file))
        return files


Change = Callable[[Work], None]

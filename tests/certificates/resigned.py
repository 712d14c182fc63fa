"""Certificates changed after they were written, with a claim digest that fits again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refcert.kernel.check import read_certificate

Edit = Callable[[dict[str, Any], dict[str, Any]], None]


def resigned(path: Path, edit: Edit) -> bytes:
    """The file's bytes after `edit(body, header)`; the claim's digest is what the kernel finds. Tensors stay."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    body = json.loads(header["__metadata__"]["refcert"])
    edit(body, header)
    whole = packed(header, body, data[8 + length :])
    scratch = path.with_name("scratch.safetensors")  # beside the network's file
    scratch.write_bytes(whole)
    body["claim"] = read_certificate(scratch, {}).claim().digest
    scratch.unlink()
    return packed(header, body, data[8 + length :])


def packed(header: dict[str, Any], body: dict[str, Any], tail: bytes) -> bytes:
    """The container with this body."""
    header["__metadata__"] = {"refcert": json.dumps(body, sort_keys=True)}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tail

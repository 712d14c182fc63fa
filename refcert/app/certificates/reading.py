"""Why a file is no certificate, for people who want to mend that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from refcert.kernel.container import WIDTHS, Container, parse_container, read_bytes, shown
from refcert.kernel.errors import UnreadableError

_NETWORK: Final = "refcert network"


def is_network(path: Path) -> bool:
    """Whether the file says of itself that it is a network's."""
    container = _container(path)
    return container is not None and container.body.get("format") == _NETWORK


def why_unreadable(path: Path, error: UnreadableError | OSError) -> str:
    """The reason with its remedy, without the path in front of it."""
    if not os.path.lexists(path):
        return "does not exist; give a certificate, a folder of certificates, or a run folder"
    if path.is_dir():
        return "is a folder; name a certificate in it"
    if is_network(path):
        return "is a network, not a certificate; give the certificates that lie beside it"
    name = _named_file(path)
    if name is not None and not os.path.lexists(path.parent / name):
        return f"there is no {name} beside it, which holds its network; put that file into the same folder"
    if isinstance(error, OSError):
        return f"it, or the file of its network, cannot be read ({error.strerror}); give regular files"
    reason, start = str(error), f"{path}: "
    while reason.startswith(start):
        reason = reason.removeprefix(start)
    return reason


def _named_file(path: Path) -> str | None:
    """The file in which the certificate's network should be, if it names one in its own folder."""
    container = _container(path)
    network = None if container is None else container.body.get("network")
    name = network.get("file") if isinstance(network, dict) else None
    return name if isinstance(name, str) and name == shown(name)[1:-1] and name == Path(name).name else None


def _container(path: Path) -> Container | None:
    try:
        return parse_container(read_bytes(path), WIDTHS)
    except (UnreadableError, OSError):
        return None

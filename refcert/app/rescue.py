"""What was computed must not be lost where it cannot be written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from refcert.app.errors import OutputError

Rescue = Callable[[dict[str, Any]], None]
"""Shows a result in another place."""


@contextlib.contextmanager
def rescued(result: dict[str, Any], rescue: Rescue | None) -> Iterator[None]:
    """Where the block cannot write, show the result before the OutputError goes on."""
    try:
        yield
    except OutputError:
        if rescue is not None:
            rescue(result)
        raise

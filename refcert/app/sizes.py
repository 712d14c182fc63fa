"""Sizes of memory as people write them, without any heavy import."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from refcert.app.errors import InputError

_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_memory(text: str) -> int:
    """'500MB', '2GB', '1.5GiB' or a number of bytes, as bytes. kB, MB, GB are powers of 1000, KiB, MiB of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"--memory {text!r} is not a size; give bytes, or a size such as 500MB or 2GB")
    number, power, binary = match.groups()
    return int(Decimal(number) * (1024 if binary else 1000) ** _POWERS[(power or "").lower()])

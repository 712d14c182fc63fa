"""Reprs evaluated under the names that `from refcert.strategies import *` gives."""

from __future__ import annotations

from typing import Any

from refcert import strategies

NAMES = {name: getattr(strategies, name) for name in strategies.__all__}


def rebuilt(text: str) -> Any:
    return eval(text, dict(NAMES))

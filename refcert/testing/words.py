"""Names and numbers as messages say them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def called(function: Callable[..., Any]) -> str:
    """The name of a function: module and qualified name, or its type's."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if module not in (None, "__main__", "builtins") else name


def plural(count: int, word: str) -> str:
    """'1 plane', '2 planes'."""
    return f"{count:,} {word}{'' if count == 1 else 's' if not word.endswith('x') else 'es'}"


def listed(values: Iterable[object], most: int = 8) -> str:
    """The values with commas, cut where there are too many."""
    texts = [str(value) for value in values]
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")

"""The public strategy for questions under the name by which tests of attacks import it."""

from __future__ import annotations

from refcert.strategies import questions

__all__ = ["questions"]

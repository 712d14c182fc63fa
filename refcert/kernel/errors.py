"""Errors of the trusted kernel."""

from __future__ import annotations


class KernelInputError(ValueError):
    """Input that the kernel refuses: it shows the value and the remedy, and nothing is claimed."""

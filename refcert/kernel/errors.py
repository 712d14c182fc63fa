"""Errors of the trusted kernel."""

from __future__ import annotations

from collections.abc import Mapping


class KernelInputError(ValueError):
    """Input that the kernel refuses: it shows the value and the remedy, and nothing is claimed."""


class UnreadableError(KernelInputError):
    """A file that is no certificate, or no network, as `proofs/spec/certificate_v1.md` says; it has no verdict."""


class StepError(Exception):
    """A step that does not hold. reason: one sentence; witness: the place and the numbers behind it."""

    def __init__(self, reason: str, witness: Mapping[str, object] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.witness = dict(witness or {})


class FailedStepError(StepError):
    """It certainly does not follow by its rule: INVALID."""


class UndecidedStepError(StepError):
    """It could not be decided, or a budget ended: HOLEY."""

"""How one attempt ends when it does not prove the claim. Caught by `search` alone."""

from __future__ import annotations

from flint import arb


class ViolatedError(Exception):
    """F is certainly positive at a point, given by the exact coordinates v and y of the normal form."""

    def __init__(self, v: arb, y: arb) -> None:
        super().__init__()
        self.v, self.y = v, y


class MoreBitsError(Exception):
    """The sign of a value at a point, or a bound that is as sharp as it gets, is hidden by the width of its ball."""


class OutOfNodesError(Exception):
    """The budget of sub-boxes is spent."""

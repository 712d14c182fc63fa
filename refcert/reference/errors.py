"""What the reference raises."""

from __future__ import annotations


class ReferenceInputError(ValueError):
    """A network, an input set or planes that make no sense; the message names the value and the remedy."""


class ReferenceFailureError(ArithmeticError):
    """A number left the range of floats, or two sound bounds contradict each other, so that one has a fault."""

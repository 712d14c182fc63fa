"""Errors that a user can act on: each message shows the value and the remedy."""

from __future__ import annotations


class EngineError(ValueError):
    """Base of all errors raised for bad input to the engine."""


class ModelError(EngineError):
    """A model that cannot be read, is not supported, or has values that cannot be used."""


class SpecificationError(EngineError):
    """An input set, a norm, a radius or specification rows that make no sense."""


class NumericalError(ArithmeticError):
    """A bound overflowed or is not a number; nothing is claimed."""


class SoundnessFault(AssertionError):  # noqa: N818 - a fault, not an error of the user
    """Two bounds that both have to hold contradict each other: a fault of ours, never of the user."""

"""Errors that a user can act on, each with its exit code: the message shows the value and the remedy."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line returns; documented in the README."""

    OK = 0
    REFUTED = 1
    BAD_INPUT = 2
    UNDECIDED = 3
    OUTPUT_FAILED = 4
    OVERFLOW = 5
    FAULT = 70


class InputError(ValueError):
    """Bad input from the user: a file, a name or a number that cannot be used."""


class OutputError(OSError):
    """A result could not be written: disk full, no permission. What was finished before is kept."""


class Interrupted(SystemExit):
    """Ctrl-C, past every handler of the command line library: each of its versions has another exit code for it."""

"""Assertions for the tests of other projects: planes, bounds, certified samples, radii, certificates.

Each returns a `Report` where it holds and raises a `RefcertAssertionError` where not; its message says what, where, by
how much, with a snippet that shows it and the seed. Bad arguments raise `InputError` or the engine's `EngineError`.
Docs: docs/assertions.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from refcert.app.errors import InputError
    from refcert.testing.bounds import assert_bounds_sound
    from refcert.testing.budget import Budget
    from refcert.testing.certificate import assert_certificate_valid
    from refcert.testing.certified import assert_certified, assert_radius_at_least
    from refcert.testing.planes import assert_planes_sound
    from refcert.testing.report import (
        NotDecidedError,
        NotProvedError,
        Outcome,
        RefcertAssertionError,
        Report,
        ViolatedError,
        Violation,
    )

__all__ = [
    "Budget",
    "InputError",
    "NotDecidedError",
    "NotProvedError",
    "Outcome",
    "RefcertAssertionError",
    "Report",
    "ViolatedError",
    "Violation",
    "assert_bounds_sound",
    "assert_certificate_valid",
    "assert_certified",
    "assert_planes_sound",
    "assert_radius_at_least",
]

_REPORT: Final = "refcert.testing.report"
_WHERE: Final = {
    "assert_planes_sound": "refcert.testing.planes",
    "assert_bounds_sound": "refcert.testing.bounds",
    "assert_certified": "refcert.testing.certified",
    "assert_radius_at_least": "refcert.testing.certified",
    "assert_certificate_valid": "refcert.testing.certificate",
    "Budget": "refcert.testing.budget",
    "InputError": "refcert.app.errors",
}


def __getattr__(name: str) -> Any:
    """Each name is read when it is first used: torch takes a second to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE.get(name, _REPORT)), name)


def __dir__() -> list[str]:
    return sorted(__all__)

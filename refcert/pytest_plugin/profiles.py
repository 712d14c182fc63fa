"""Hypothesis profiles: few examples while writing, the same ones in every build, new and many at night.

Registered when one is asked for: importing Hypothesis takes a good part of a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "refcert-"
"""Before the names, as Hypothesis knows them: a project's own profile `ci` stays its own."""


@dataclass(frozen=True)
class Profile:
    """examples: how many a property test tries; derandomize: the same ones in every run."""

    examples: int
    derandomize: bool

    @property
    def summary(self) -> str:
        """For people."""
        return f"{self.examples} examples" + (", the same in every run" if self.derandomize else "")


PROFILES: Final[Mapping[str, Profile]] = {
    "dev": Profile(20, derandomize=False),
    "ci": Profile(100, derandomize=True),
    "nightly": Profile(2000, derandomize=False),
}


def load(name: str) -> None:
    """Register a profile and make it the current one; no deadline, since bounds take longer than Hypothesis expects."""
    from hypothesis import HealthCheck, settings

    profile = PROFILES[name]
    settings.register_profile(
        PREFIX + name,
        max_examples=profile.examples,
        derandomize=profile.derandomize,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile(PREFIX + name)

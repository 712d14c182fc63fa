"""`refcert_check`: the assertions of `refcert.testing` with the session's seed and what is left of its budget."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from refcert.pytest_plugin.ledger import ASSERTION, Entry, Stopwatch
from refcert.pytest_plugin.settings import Settings


@dataclass(frozen=True)
class Checks:
    """`refcert_check.planes_sound(f)` is `refcert.testing.assert_planes_sound(f, seed=..., budget=...)`, and so on.

    Every assertion of `refcert.testing` by its name without `assert_`, or with it. Seed, budget and device go to those
    that take them; what a test gives itself wins.
    """

    node: pytest.Item
    settings: Settings
    stopwatch: Stopwatch

    def __getattr__(self, name: str) -> Callable[..., Any]:
        from refcert import testing

        full = name if name.startswith("assert_") else f"assert_{name}"
        if full not in testing.__all__:
            known = ", ".join(known.removeprefix("assert_") for known in testing.__all__ if known.startswith("assert_"))
            raise AttributeError(f"refcert_check has no {name!r}; it has {known}")
        return self._bound(full, getattr(testing, full))

    def _bound(self, name: str, assertion: Callable[..., Any]) -> Callable[..., Any]:
        taken = inspect.signature(assertion).parameters

        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            given: dict[str, Any] = {"seed": self.settings.seed, "device": self.settings.device}
            if self.stopwatch.budget is not None:
                given["budget"] = self.stopwatch.left
            given = {key: value for key, value in given.items() if key in taken} | kwargs
            began, failures = time.monotonic(), 1
            try:
                with self.stopwatch:
                    result = assertion(*args, **given)
                failures = 0
            finally:
                seed = given.get("seed", self.settings.seed)
                Entry(ASSERTION, name, seed, time.monotonic() - began, failures=failures).attach(self.node)
            return result

        call.__name__, call.__doc__ = name, assertion.__doc__
        return call

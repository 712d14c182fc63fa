"""The pytest plugin: baselines as test items, fixtures, options and a summary. Docs: docs/pytest.md.

Loaded by its entry point, `refcert.pytest_plugin.plugin`. It imports neither torch nor Hypothesis before a test needs
them: it is there in every project of an environment that refcert is installed in.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from refcert.pytest_plugin.checks import Checks
    from refcert.pytest_plugin.guard import BaselineRegressionError, Guard
    from refcert.pytest_plugin.settings import Settings

__all__ = ["BaselineRegressionError", "Checks", "Guard", "Settings"]

_WHERE: Final = {"BaselineRegressionError": "guard", "Checks": "checks", "Guard": "guard", "Settings": "settings"}


def __getattr__(name: str) -> Any:
    """For the types of fixtures in annotations, read when they are asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)

"""Shared settings: Hypothesis profiles, real data, one thread per process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

torch.set_num_threads(1)  # processes run side by side

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# The default run repeats the same examples, so that it says something about a change and not about luck; `tox -e long`
# and `--hypothesis-profile=explore` look for new ones.
settings.register_profile("default", max_examples=60, derandomize=True, **_COMMON)
# While writing: few examples, and failing ones are not made smaller.
_UNSHRUNK = [phase for phase in Phase if phase is not Phase.shrink and phase is not Phase.explain]
settings.register_profile("quick", max_examples=8, derandomize=True, phases=_UNSHRUNK, **_COMMON)
settings.register_profile("explore", max_examples=60, **_COMMON)
settings.register_profile("long", max_examples=400, **_COMMON)
settings.load_profile("long" if os.environ.get("REFCERT_LONG") else "default")  # or --hypothesis-profile=explore


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Campaigns marked `long` run only under `tox -e long`."""
    if os.environ.get("REFCERT_LONG"):
        return
    skip = pytest.mark.skip(reason="a long campaign: tox -e long")
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data and models; skips, visibly, where REFCERT_DATA does not name it."""
    value = os.environ.get("REFCERT_DATA")
    if not value:
        pytest.skip("REFCERT_DATA is not set: real data and shared models are not tested")
    folder = Path(value)
    if not (folder / "models").is_dir():
        pytest.skip(f"REFCERT_DATA={folder} has no models/: shared models are not tested")
    return folder

"""The named slope rules; a new one is a file with one function and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gpu_engine.bounds import Box, PlanePair
from gpu_engine.relaxations.least_volume import least_volume
from gpu_engine.relaxations.parallel import parallel
from gpu_engine.relaxations.products import Product

SlopeRule = Callable[[Product, Box, Box], PlanePair]

RULES: Final[Mapping[str, SlopeRule]] = {"least_volume": least_volume, "parallel": parallel}

DEFAULT_RULE: Final = "parallel"

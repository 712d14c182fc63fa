"""Names and defaults of the options of `refcert certify`, without any heavy import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

BALLS: Final = ("frames", "sequence")
"""Input sets that grow with a radius."""

STORED_SETS: Final = {"box": ("lower", "upper"), "substitutions": ("candidates", "allowed")}
"""Input sets that the data's file holds, with the names of their arrays."""

INPUT_SETS: Final = (*BALLS, *STORED_SETS)
CRITERIA: Final = ("margins", "per-class")

REQUIRED: Final = (
    *("model", "data", "count", "norm", "radius", "frames", "clip", "target", "relaxation"),
    *("dtype", "device", "batch_size", "tolerance", "seed"),
)
"""What the JSON of every request says."""

DEFAULTS: Final[Mapping[str, Any]] = {
    "structure": None,
    "readout": None,
    "input_set": "frames",
    "clip_bound": "exact",
    "radius_db": None,
    "top_k": None,
    "spec": None,
    "criterion": "margins",
    "memory": None,
    "optimize": 0,
    "suppose": 0,
}
"""What a request means that says nothing of these; requests of the first version do not."""


def completed(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request's JSON with everything that it leaves out."""
    return {**DEFAULTS, **request}

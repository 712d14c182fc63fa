"""The question that a baseline's samples answer, without any heavy import."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

NOT_ASKED: Final = ("model", "data", "device", "batch_size", "memory", "seed")
"""Fields of a request that say where things are and how they are computed, not what is asked."""


OFF: Final[Mapping[str, Any]] = {"optimize": 0, "suppose": 0}
"""Options that came after the first baselines, with their value where they are off: older baselines stay valid."""


def question_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a request without NOT_ASKED, without fields that are not set and without what is OFF."""
    return {
        name: value
        for name, value in request.items()
        if name not in NOT_ASKED and value is not None and not (name in OFF and value == OFF[name])
    }


def question_digest(question: Mapping[str, Any], specification: str | None) -> str:
    """SHA-256 of the question, and of the user's own rows, wherever their file lies."""
    plain = {name: value for name, value in question.items() if name != "spec"}
    text = json.dumps([plain, specification], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

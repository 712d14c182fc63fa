"""`refcert attack`: from a request and a method to the JSON object and the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from refcert.app.attacking.method import Method
from refcert.app.attacking.records import attack_records, outcome
from refcert.app.attacking.saving import NAME as ARRAYS
from refcert.app.attacking.saving import adversarial_arrays, npz_bytes
from refcert.app.attacking.work import attack_all
from refcert.app.errors import InputError
from refcert.app.new_folder import new_folder
from refcert.app.opening import open_request
from refcert.app.progress import Progress
from refcert.app.request import Request
from refcert.app.rescue import Rescue, rescued
from refcert.app.storage import json_bytes, write_file

JSON_NAME: Final = "attack.json"

MEANING_OF_RADII: Final = (
    "upper bounds of the true pointwise robustness, each by an actual input; that nothing was found proves nothing"
)
MEANING_OF_BROKEN: Final = "broken is shown by an actual input of the set; that nothing was found proves nothing"


def run_attack(
    request: Request, method: Method, *, out: Path | None, progress: Progress, rescue: Rescue | None = None
) -> dict[str, Any]:
    """Carry out the attack; returns what `--json` prints and `attack.json` holds.

    Raises InputError or EngineError on bad input, OutputError when writing fails; then nothing is left in
    `out`, and `rescue` has shown what was computed.
    """
    if request.seed < 0:
        raise InputError(f"--seed is {request.seed}; give 0 or more")
    opened = open_request(request)
    with new_folder(out) as folder:
        parts = attack_all(opened, method, progress)
        rows = attack_records(request, parts)
        meaning = MEANING_OF_RADII if request.search else MEANING_OF_BROKEN
        result: dict[str, Any] = {"method": method.name, "attack": method.to_json(), "meaning": meaning}
        result |= outcome(request, rows, grid=method.grid is not None)
        result["seconds"] = round(sum(part.seconds for part in parts), 6)
        result |= opened.identity
        result["request"] = request_json(request)
        result["samples"] = rows
        if folder is None:
            return result
        with rescued(result, rescue):
            write_file(folder / ARRAYS, npz_bytes(adversarial_arrays(request, parts)))
            write_file(folder / JSON_NAME, json_bytes(result))
    return result


def request_json(request: Request) -> dict[str, Any]:
    """The request without what an attack does not use: planes and their search."""
    unused = ("relaxation", "tolerance", "clip_bound", "memory", "optimize", "suppose", "dtype")
    return {name: value for name, value in request.to_json().items() if name not in unused}

"""What a run says in its request and records, checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from refcert.app.errors import InputError
from refcert.app.options import INPUT_SETS, REQUIRED, completed
from refcert.app.report import words
from refcert.app.runs import RunFolder

RECORD: Final = ("index", "label", "predicted", "correct", "margin")


def checked_samples(run: RunFolder) -> list[dict[str, Any]]:
    """All finished records. Raises InputError if they or the request lack anything that the page needs."""
    path, said = run.path, run.request
    for keys in (("model", "source"), ("model", "digest"), ("model", "stored_dtype"), ("audit",), ("versions",)):
        _need(said, path, *keys)
    for keys in (("data", "name"), ("data", "unit"), ("data", "digest"), ("machine",), ("started",)):
        _need(said, path, *keys)
    request = asked_for(run)["request"]
    shape = _need(said, path, "data", "shape")
    if not (isinstance(shape, list) and len(shape) == 3 and all(isinstance(n, int) and n > 0 for n in shape)):
        raise InputError(f"{path}/request.json has data.shape {shape!r}; it is not a run of this version")
    samples = run.samples()
    verdict = "radius" if words.searches(request) else "certified"
    for row in samples:
        for name in (*RECORD, verdict):
            if name not in row:
                raise InputError(f"{path}/results has a record without {name!r}; it is not a run of this version")
    return samples


def asked_for(run: RunFolder) -> dict[str, Any]:
    """What request.json says, its request as this version writes it. Raises InputError if it lacks anything."""
    said = run.request
    for name in REQUIRED:
        _need(said, run.path, "request", name)
    request = completed(said["request"])
    if request["input_set"] not in INPUT_SETS:
        raise InputError(
            f"{run.path}/request.json has request.input_set {request['input_set']!r}; it is not a run of this version"
        )
    return said | {"request": request}


def _need(source: Mapping[str, Any], path: Path, *keys: str) -> Any:
    """source[key][key]...; InputError if the run does not say it."""
    value: Any = source
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            raise InputError(f"{path}/request.json does not say {'.'.join(keys)}; it is not a run of this version")
        value = value[key]
    return value


def command_of(run: RunFolder, out: str, asked: bool) -> str:
    """The command line of a run. asked: whether any of its samples had a question, and so planes."""
    said = asked_for(run)
    keep = bool(said.get("planes", run.plane_parts() or not asked))
    return words.command_line(said["request"], audit=bool(said["audit"]), keep_planes=keep, out=out)

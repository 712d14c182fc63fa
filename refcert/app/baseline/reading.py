"""A baseline's text read back, every field checked: a merge gone wrong must not guard less than it seems to."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

from refcert.app.baseline.entries import Baseline, DataEntry, Label, ModelEntry, Sample, Tolerances
from refcert.app.baseline.question import question_digest
from refcert.app.baseline.text import FORMAT, GAP_PREFIX, columns_of
from refcert.app.errors import InputError

_REMEDY: Final = "restore it from version control, or record it again"
_HIDDEN: Final = "-"
T = TypeVar("T")


def load(path: Path) -> Baseline:
    """The baseline in a file. Raises InputError with the place and the remedy."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(
            f"{path} does not exist; record it first: refcert baseline record --model FILE --data FILE --search "
            f"--out {path}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    baseline = parse(text, str(path))
    _require_all(baseline, str(path))
    return baseline


def _require_all(baseline: Baseline, name: str) -> None:
    """Raise InputError unless there is a row for each sample of the data: a row that was lost guards nothing."""
    shape = baseline.data.shape
    wanted = range(shape[0]) if shape and type(shape[0]) is int else range(0)
    there = baseline.by_index().keys()
    if not wanted or there != set(wanted):
        odd = sorted(there ^ set(wanted))
        said = f"the rows of samples {odd[:5]} are missing, or too many" if odd else "it has no samples"
        raise InputError(f"{name}: {said}; its data has the shape {list(shape)}; {_REMEDY}")


def parse(text: str, name: str = "the baseline") -> Baseline:
    """The baseline in a text; `name` is for messages. Raises InputError."""
    try:
        plain = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is not a baseline ({error}); {_REMEDY}") from error
    found = _take(plain, "format", int, name)
    if found != FORMAT:
        raise InputError(f"{name} has baseline format {found}, this version reads format {FORMAT}; record it again")
    model, data, request, tolerances, samples = (
        _take(plain, key, dict, name) for key in ("model", "data", "request", "tolerances", "samples")
    )
    question = {key: _number(value) for key, value in request.items() if key not in ("digest", "specification")}
    specification = request.get("specification")
    baseline = Baseline(
        ModelEntry(
            _take(model, "source", str, name), _take(model, "digest", str, name), _take(model, "weights", dict, name)
        ),
        DataEntry(
            _take(data, "source", str, name),
            _take(data, "digest", str, name),
            _take(data, "unit", str, name),
            tuple(_take(data, "shape", list, name)),
        ),
        question,
        specification,
        Tolerances(**{key: float(_take(tolerances, key, Decimal, name)) for key in ("radius", "margin", "gap")}),
        tuple(_samples(samples, name)),
        _take(plain, "refcert", str, name),
    )
    if question_digest(question, specification) != request.get("digest"):
        raise InputError(f"{name}: the request was edited by hand; its samples answer another one. Record it again")
    columns = _take(samples, "columns", list, name)
    if columns != columns_of(baseline):
        raise InputError(f"{name}: the columns are {columns}, those of its request {columns_of(baseline)}; {_REMEDY}")
    return baseline


def _samples(table: Mapping[str, Any], name: str) -> list[Sample]:
    columns, rows = _take(table, "columns", list, name), _take(table, "rows", list, name)
    found = []
    for number, row in enumerate(rows):
        where = f"{name}, row {number} of the samples"
        if not isinstance(row, list) or len(row) != len(columns):
            raise InputError(f"{where}: it has not the {len(columns)} columns; {_REMEDY}")
        cells = {key: value for key, value in zip(columns, row, strict=True) if value != _HIDDEN}
        values = [cells.get(key) for key in ("radius", "margin") if key in cells]
        gaps = {key.removeprefix(GAP_PREFIX): value for key, value in cells.items() if key.startswith(GAP_PREFIX)}
        for value in (*values, *gaps.values()):
            if not isinstance(value, Decimal) or not value.is_finite():
                raise InputError(f"{where}: {value} is not a finite number with a point; {_REMEDY}")
        found.append(
            Sample(
                _take(cells, "index", int, where),
                _take(cells, "input", str, where),
                _label(cells, "label", where),
                _label(cells, "predicted", where),
                _take(cells, "correct", bool, where),
                values[0] if values else None,
                gaps,
                _take(cells, "undecided", int, where) if "undecided" in cells else None,
            )
        )
    return found


def _label(cells: Mapping[str, Any], key: str, where: str) -> Label:
    value = cells.get(key)
    if isinstance(value, list) and all(type(item) is int for item in value):
        return tuple(value)
    return _take(cells, key, int, where)


def _take(table: Mapping[str, Any], key: str, kind: type[T], where: str) -> T:
    value = table.get(key)
    if type(value) is not kind:
        raise InputError(f"{where}: {key} is {value!r}, not a {kind.__name__}; {_REMEDY}")
    return value


def _number(value: Any) -> Any:
    """Decimals of the request as the floats that they are."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_number(item) for item in value]
    return value

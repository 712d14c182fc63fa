"""A baseline as text: valid TOML, one sample a line, numbers of one width, nothing that changes by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from refcert.app.baseline.decimals import bound_text, gap_text
from refcert.app.baseline.entries import Baseline, Label, Sample
from refcert.app.baseline.question import question_digest

FORMAT: Final = 1
HEADER: Final = "# refcert baseline"
NOTHING: Final = '"-"'
"""Where a sample has no question, no gap or no audit: TOML has no null."""

GAP_PREFIX: Final = "gap "
_COLUMNS: Final = ("index", "input", "label", "predicted", "correct")


def text_of(baseline: Baseline) -> str:
    """The whole file."""
    return "\n".join(_lines(baseline)) + "\n"


def columns_of(baseline: Baseline) -> list[str]:
    """Names of what a line of the table holds, in order."""
    undecided = ["undecided"] if baseline.audited else []
    return [*_COLUMNS, baseline.measure, *undecided, *(GAP_PREFIX + name for name in gap_names(baseline))]


def gap_names(baseline: Baseline) -> list[str]:
    """The layers and gates of all samples, sorted."""
    return sorted({name for sample in baseline.samples for name in sample.gaps})


def _lines(baseline: Baseline) -> Iterator[str]:
    yield f"{HEADER}: commit this file. `refcert baseline compare` (or pytest) fails where the model falls below it,"
    yield "# `refcert baseline update` shows what changed and writes it anew. Paths are relative to this file."
    yield f"format = {FORMAT}"
    yield f"refcert = {_string(baseline.version)}"
    yield from _table("model", {"source": baseline.model.source, "digest": baseline.model.digest})
    yield ""
    yield "[model.weights]  # digests by gate"
    for name, blocks in baseline.model.weights.items():
        inside = ", ".join(f"{block} = {_string(digest)}" for block, digest in blocks.items())
        yield f"{_string(name)} = {{ {inside} }}"
    data = baseline.data
    shape = list(data.shape)
    yield from _table("data", {"source": data.source, "digest": data.digest, "unit": data.unit, "shape": shape})
    digest = question_digest(baseline.request, baseline.specification)
    specification = {} if baseline.specification is None else {"specification": baseline.specification}
    yield from _table("request", {**dict(sorted(baseline.request.items())), **specification, "digest": digest})
    tolerances = baseline.tolerances
    yield ""
    yield "[tolerances]"
    yield f"radius = {tolerances.radius!r}  # relative"
    yield f"margin = {tolerances.margin!r}  # in units of the logits"
    yield f"gap = {tolerances.gap!r}  # relative; a layer that moved further is named"
    yield ""
    yield "[samples]"
    yield f"columns = {_value(columns_of(baseline))}"
    yield "rows = ["
    names = gap_names(baseline)
    for sample in baseline.samples:
        yield f"  [{', '.join(_cells(baseline, sample, names))}],"
    yield "]"


def _cells(baseline: Baseline, sample: Sample, names: list[str]) -> Iterator[str]:
    yield f"{sample.index:>5}"
    yield _string(sample.input)
    yield _label(sample.label)
    yield _label(sample.predicted)
    yield "true " if sample.correct else "false"
    yield NOTHING if sample.value is None else bound_text(sample.value)
    if baseline.audited:
        yield NOTHING if sample.undecided is None else str(sample.undecided)
    for name in names:
        yield gap_text(sample.gaps[name]) if name in sample.gaps else NOTHING


def _label(label: Label) -> str:
    return f"{label:>2}" if isinstance(label, int) else str(list(label))


def _table(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"[{name}]"
    for key, value in values.items():
        yield f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)


def _string(text: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON (but for DEL, which JSON leaves as it is)."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

"""Tables of results for notebooks. Everything that comes from outside is escaped. Needs no torch to be read."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

SHOWN: Final = 20
"""Samples of a table; the summary above it is about all."""


def html_table(summary: str, columns: Sequence[str], rows: Iterable[Sequence[object]], count: int | None = None) -> str:
    """A heading line, a table, and how many of `count` rows are left out. Numbers are shown with 6 digits.

    rows: at least the first SHOWN; more are not read. count: how many there are, None for as many as SHOWN at most.
    """
    shown = [tuple(row) for row, _ in zip(rows, range(SHOWN), strict=False)]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in shown)
    left = 0 if count is None else count - len(shown)
    more = f"<p>and {left} more</p>" if left > 0 else ""
    return (
        f"<div><p>{html.escape(summary)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"{more}</div>"
    )


def sample_table(summary: str, **columns: Tensor) -> str:
    """One row for each sample: tensors (batch,) by the name of their column."""
    first = [tensor.detach()[:SHOWN].tolist() for tensor in columns.values()]
    count = len(next(iter(columns.values())))
    return html_table(summary, ("sample", *columns), zip(range(SHOWN), *first, strict=False), count)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return html.escape(f"{value:.6g}" if isinstance(value, float) else str(value))

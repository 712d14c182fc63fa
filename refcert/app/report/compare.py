"""The page about a comparison of relaxations, made from the object that `refcert compare --json` prints alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gpu_engine.relaxations.registry import RELAXATIONS
from refcert.app.options import BALLS
from refcert.app.report import words
from refcert.app.report.compare_figures import BarChart, Bars, CurveChart, bar_chart, share_curves
from refcert.app.report.pages import render_page

__all__ = ["PROSE", "command_line", "decimal", "question_of", "render", "summary_of"]

OVERALL: Final = "overall"
_NONE: Final = "\N{EN DASH}"
_SUMMARY_OF_BEST: Final = "the better of several starts, for every box and every row"

PROSE: Final = {
    "sigmoid_times_tanh": "sigmoid(v) · tanh(z)",
    "sigmoid_times_identity": "sigmoid(v) · z",
    "sigmoid": "sigmoid(v)",
    "tanh": "tanh(v)",
    "relu": "relu(v)",
    OVERALL: "all nonlinearities",
}


def summary_of(name: str) -> str:
    """What a relaxation does, in one line."""
    return _SUMMARY_OF_BEST if name == "best" else RELAXATIONS[name].summary


@dataclass(frozen=True)
class Cell:
    """A number of the table, exact and as shown; best: no other relaxation of the column is better."""

    value: float | None
    text: str
    best: bool


@dataclass(frozen=True)
class Row:
    """One relaxation."""

    name: str
    slot: int
    summary: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CompareView:
    """What the page shows."""

    result: Mapping[str, Any]
    search: bool
    question: str
    details: tuple[tuple[str, str], ...]
    unit: str
    size: str
    started: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    winner: str
    winner_text: str
    winner_note: str
    where: str
    outcome: BarChart
    curves: CurveChart | None
    gaps: tuple[BarChart, ...]
    no_boxes: str
    volume: BarChart | None
    times: BarChart
    command: str

    @property
    def correct_share(self) -> str:
        """Percentage of correct samples."""
        return words.share(self.result["correct"], self.result["count"])


def question_of(result: Mapping[str, Any]) -> str:
    """The question that was put to every relaxation, one plain sentence."""
    data, per_frame = result["data"], result["model"]["readout"] == "every"
    ragged = data["lengths"] is not None
    return words.question(result["request"], str(data["unit"]), data["shape"][1], ragged=ragged, per_frame=per_frame)


def render(result: Mapping[str, Any]) -> str:
    """The page as one string. Everything from the result is escaped."""
    return render_page("compare.html", "compare.css", view=collect(result), prose=PROSE)


def collect(result: Mapping[str, Any]) -> CompareView:
    """The object of `refcert compare --json` as everything the page says."""
    request, shape, rows = result["request"], result["data"]["shape"], result["relaxations"]
    search, unit = "mean_radius" in rows[0], str(result["data"]["unit"])
    names = [row["relaxation"] for row in rows]
    box = result["boxes"]["radius"]
    where = "on the input sets of the question" if box is None else f"at radius {decimal(box)} ({unit})"
    columns = _columns(result, search)
    table = _table(rows, columns)
    key = "mean_radius" if search else "certified"
    winner = max(rows, key=lambda row: row[key] or 0)
    winners = [row["relaxation"] for row in rows if row[key] == winner[key]]
    outcome, note = _winner(result, winner, search)
    return CompareView(
        result=result,
        search=search,
        question=question_of(result),
        details=tuple(
            words.details({**request, "relaxation": ", ".join(names)}),
        ),
        unit=unit,
        size=f"{shape[0]:,} samples of {shape[1]} frames of {shape[2]} values",
        started=str(result["started"]).replace("T", " ").replace("+00:00", " UTC"),
        columns=tuple((column.heading, column.unit) for column in columns),
        rows=table,
        winner=", ".join(winners) if outcome else "none",
        winner_text=outcome,
        winner_note=note,
        where=where,
        outcome=_outcome(result, search, unit),
        curves=_curves(result, search, unit),
        gaps=tuple(_gaps(result)),
        no_boxes=_no_boxes(result),
        volume=_volume(result),
        times=bar_chart(
            Bars(names, [row["seconds"] * 1e3 for row in rows], _three),
            name="time",
            title="Time",
            x_label="milliseconds a sample",
            header="milliseconds a sample",
            note="Wall time of the bounds, without loading and writing, over the number of samples.",
        ),
        command=command_line(request, "comparison"),
    )


@dataclass(frozen=True)
class _Column:
    """heading and unit of a column; value of a row; better: 1 where more is better, -1 where less is."""

    heading: str
    unit: str
    key: tuple[str, ...]
    better: int
    show: Any


def _columns(result: Mapping[str, Any], search: bool) -> list[_Column]:
    unit = str(result["data"]["unit"])
    if search:
        found = [row["mean_radius"] for row in result["relaxations"] if row["mean_radius"] is not None]
        digits = words.decimals_for(found)

        def down(value: float) -> str:
            return words.at_least(value, digits)

        outcome = [
            _Column("Mean certified radius", unit, ("mean_radius",), 1, down),
            _Column("Median", unit, ("median_radius",), 1, down),
        ]
    else:
        outcome = [
            _Column("Certified", f"of {result['count']:,} samples", ("certified",), 1, words.count),
            _Column("Share", "of all samples", ("share",), 1, lambda share: f"{share:.1%}"),
        ]
    return [
        *outcome,
        _Column("Mean gap", "units of the nonlinearity", ("mean_gap", OVERALL), -1, _three),
        _Column("Volume ratio", "geometric mean; 1 is least", ("volume_ratio",), -1, _three),
        _Column("Time", "ms a sample", ("seconds",), -1, lambda seconds: _three(seconds * 1e3)),
    ]


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[_Column]) -> tuple[Row, ...]:
    values = [[_value(row, column.key) for column in columns] for row in rows]
    cells: list[list[Cell]] = [[] for _ in rows]
    for k, column in enumerate(columns):
        known = [value for mine in values if (value := mine[k]) is not None]
        top = (max if column.better > 0 else min)(known, default=None)
        # What is shown as the same number is equally good to a reader.
        text = None if top is None else column.show(top)
        for mine, row in zip(values, cells, strict=True):
            value = mine[k]
            shown = _NONE if value is None else column.show(value)
            row.append(Cell(value, shown, shown == text and len(rows) > 1))
    return tuple(
        Row(row["relaxation"], slot, summary_of(row["relaxation"]), tuple(mine))
        for slot, (row, mine) in enumerate(zip(rows, cells, strict=True))
    )


def _value(row: Mapping[str, Any], key: Sequence[str]) -> float | None:
    value: Any = row
    for part in key:
        value = None if value is None else value[part]
    return None if value is None else value


def _winner(result: Mapping[str, Any], winner: Mapping[str, Any], search: bool) -> tuple[str, str]:
    """The largest outcome in words, and what it is; empty where nothing was proved."""
    if search:
        if not winner["mean_radius"]:
            return "", "nothing was proved for any sample"
        text = words.at_least(winner["mean_radius"], words.decimals_for([winner["mean_radius"]]))
        return text, f"mean certified radius over the correct samples; unit: {result['data']['unit']}"
    if not winner["certified"]:
        return "", "nothing was proved for any sample"
    share = words.share(winner["certified"], result["count"])
    return words.count(winner["certified"]), f"samples certified, {share} of all"


def _outcome(result: Mapping[str, Any], search: bool, unit: str) -> BarChart:
    rows = result["relaxations"]
    names = [row["relaxation"] for row in rows]
    if not search:
        return bar_chart(
            Bars(names, [100 * row["share"] for row in rows], lambda value: f"{value:.1f} %"),
            name="outcome",
            title="Certified samples",
            x_label="share of all samples, in per cent",
            header="certified share",
            note="Certified: classified correctly, and the question proved on its whole input set.",
        )
    found = [row["mean_radius"] for row in rows]
    digits = words.decimals_for(value for value in found if value is not None)
    return bar_chart(
        Bars(names, found, lambda value: words.at_least(value, digits)),
        name="outcome",
        title="Mean certified radius",
        x_label=f"radius ({unit})",
        header="mean certified radius",
        note="Mean over the correctly classified samples; longer is better.",
    )


def _curves(result: Mapping[str, Any], search: bool, unit: str) -> CurveChart | None:
    key = "radius" if search else "margin"
    values = [
        [sample[key] for sample in row["samples"] if sample["correct"] and sample[key] is not None]
        for row in result["relaxations"]
    ]
    if not any(values):
        return None
    return share_curves(
        [row["relaxation"] for row in result["relaxations"]],
        values,
        result["count"],
        name="distribution",
        title="Radii of all samples" if search else "Margins of all samples",
        x_label=f"certified radius ({unit})" if search else "lower bound of the margin (logits); certified above 0",
        symbol="certified radius" if search else "margin",
        from_zero=search,
    )


def _gaps(result: Mapping[str, Any]) -> list[BarChart]:
    rows = result["relaxations"]
    if any(row["mean_gap"] is None for row in rows):
        return []
    counts = result["boxes"]["nonlinearities"]
    kinds = [kind for kind in rows[0]["mean_gap"] if kind != OVERALL]
    return [
        bar_chart(
            Bars([row["relaxation"] for row in rows], [row["mean_gap"][kind] for row in rows], _three),
            name=f"gap-{kind.replace('_', '-')}",
            title=PROSE.get(kind, kind),
            x_label="mean gap at the centre of the box",
            header="mean gap",
            note=f"Over {counts[kind]:,} boxes; shorter is better.",
        )
        for kind in kinds
    ]


def _no_boxes(result: Mapping[str, Any]) -> str:
    """Why nothing was measured on common boxes; empty where it was."""
    if result["boxes"]["nonlinearities"]:
        return ""
    if not result["correct"]:
        return "no sample is classified correctly"
    if result["boxes"]["radius"] is None and "mean_radius" in result["relaxations"][0]:
        return "no mean radius is positive, so there is no radius for common boxes; give one with --box-radius"
    return "the network has no nonlinearity that is bounded by planes"


def _volume(result: Mapping[str, Any]) -> BarChart | None:
    rows = result["relaxations"]
    if any(row["volume_ratio"] is None for row in rows):
        return None
    spread = [(row["volume_ratios"]["lower_quartile"], row["volume_ratios"]["upper_quartile"]) for row in rows]
    used = result["boxes"]["planes"]["used"]
    return bar_chart(
        Bars([row["relaxation"] for row in rows], [row["volume_ratio"] for row in rows], _three, spread),
        name="volume",
        title="Volume against the optimum",
        x_label="volume over the least volume, logarithmic",
        header="volume ratio",
        note=f"Bar: geometric mean over {used:,} planes; line: the middle half of them. 1 is optimal.",
        log_from_one=True,
    )


def decimal(value: float) -> str:
    """Four significant digits, no needless zeros."""
    return f"{value:.4g}"


def _three(value: float) -> str:
    """Three significant digits, trailing zeros kept: 1.00, 0.0123, 12,300."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:#.3g}".rstrip(".")


def command_line(request: Mapping[str, Any], out: str) -> str:
    """The `refcert compare` call that asks the same again."""
    line = ["refcert", "compare", "--model", str(request["model"]), "--data", str(request["data"])]
    line += ["--relaxations", ",".join(request["relaxations"])]
    line += [] if request["count"] is None else ["--count", str(request["count"])]
    if request["input_set"] in BALLS:
        line += ["--norm", str(request["norm"])]
        fixed = [name for name in ("radius", "radius_db") if request[name] is not None]
        line += [f"--{fixed[0].replace('_', '-')}={request[fixed[0]]!r}"] if fixed else ["--search"]
        line += ["--frames", str(request["frames"])]
    if request["clip"] is not None:
        line += ["--clip", *(repr(value) for value in request["clip"])]
    given = ("structure", "readout", "box_radius", "memory")
    always = (
        "input_set",
        "clip_bound",
        "target",
        "samples_volume",
        "dtype",
        "device",
        "batch_size",
        "tolerance",
        "seed",
    )
    for name in (*(name for name in given if request[name] is not None), *always):
        line += [f"--{name.replace('_', '-')}", str(request[name])]
    return shlex.join([*line, "--out", out])

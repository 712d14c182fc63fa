"""Planes files: what is wrong is named by column and row, nothing is guessed."""

from __future__ import annotations

import warnings
import zipfile

import numpy as np
import pytest

from refcert.app.audit_sources.source import digest_of
from refcert.app.plane_marks import mark_of
from refcert.audit.plane_table import (
    COLUMNS,
    DIAGONALS,
    PlaneTable,
    PlaneTableError,
    claim_of,
    columns_of,
    join,
    read_planes,
)


def good(rows: int = 3) -> dict[str, np.ndarray]:
    table = {name: np.zeros(rows) for name in COLUMNS[2:]}
    table["upper_v"], table["upper_z"] = np.ones(rows), np.ones(rows)
    table["offset"] = np.ones(rows)
    return {"kind": np.full(rows, "sigmoid_times_tanh"), "side": np.full(rows, "upper"), **table}


def test_a_good_file_is_read_back(tmp_path):
    np.savez(tmp_path / "p.npz", **good(), sample=np.arange(3))
    table = read_planes(tmp_path / "p.npz")
    assert len(table) == 3
    assert [claim.offset for claim in table.claims()] == [1.0, 1.0, 1.0]
    assert table.origin["sample"].tolist() == [0, 1, 2]


def _set(name, value):
    def change(columns):
        columns[name] = value(columns[name]) if callable(value) else value

    return change


def _at(name, row, value):
    def change(columns):
        columns[name] = columns[name].astype("U40") if isinstance(value, str) else columns[name].copy()
        columns[name][row] = value

    return change


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda c: c.pop("offset"), ["missing column 'offset'"]),
        (_set("weight", np.zeros(3)), ["unknown column 'weight'"]),
        (_at("slope_v", 2, np.nan), ["'slope_v'", "row 2", "nan"]),
        (_at("upper_z", 1, np.inf), ["'upper_z'", "row 1", "inf"]),
        (_at("lower_v", 1, 5.0), ["'lower_v'", "row 1", "5.0", "reversed"]),
        (_at("kind", 1, "softplus"), ["'kind'", "row 1", "softplus"]),
        (_at("side", 0, "above"), ["'side'", "row 0", "above"]),
        (_set("offset", lambda c: c[:2]), ["'offset'", "2 rows"]),
        (_set("kind", np.zeros(3)), ["'kind'", "float64"]),
        (_set("slope_z", np.zeros((3, 2))), ["'slope_z'", "(3, 2)"]),
    ],
)
def test_bad_columns(tmp_path, change, shown):
    refused(tmp_path / "p.npz", good(), change, shown)


def refused(path, columns, change, shown):
    """The changed columns are not read, and the message names the file and these words."""
    change(columns)
    np.savez(path, **columns)
    with pytest.raises(PlaneTableError) as caught:
        read_planes(path)
    for word in [str(path), *shown]:
        assert word in str(caught.value)


def test_z_may_be_anything_for_one_dimensional_kinds():
    columns = good()
    columns["kind"] = np.array(["tanh", "relu", "sigmoid"])
    columns["lower_z"] = np.array([np.nan, 7.0, np.inf])
    columns["slope_z"] = np.array([np.inf, -np.inf, 3.0])
    given = {name: column.copy() for name, column in columns.items()}
    table = PlaneTable(columns)
    assert len(table) == 3
    for name in ("lower_z", "upper_z", "slope_z"):  # regression: NaN went into the JSON of a refuted plane
        assert table.columns[name].tolist() == [0.0] * 3
    assert all(np.array_equal(columns[name], given[name], equal_nan=name[-1] == "z") for name in columns)
    columns["kind"] = np.array(["tanh", "sigmoid_times_identity", "sigmoid"])
    columns["lower_z"], columns["slope_z"] = np.array([np.nan, -2.0, 3.0]), np.array([np.nan, 5.0, 3.0])
    assert PlaneTable(columns).columns["lower_z"].tolist() == [0.0, -2.0, 0.0]
    assert PlaneTable(columns).columns["slope_z"].tolist() == [0.0, 5.0, 0.0]


@pytest.mark.parametrize("second", ["offset.npy", "offset"])
def test_a_column_that_is_there_twice_is_refused(tmp_path, second):
    path = tmp_path / "p.npz"
    np.savez(path, **good())
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile says so, and writes it
        archive.writestr(second, archive.read("offset.npy"))
    with pytest.raises(PlaneTableError, match="column 'offset' is there twice; give each once"):
        read_planes(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(PlaneTableError, match="no such file"):
        read_planes(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(PlaneTableError, match="not a readable"):
        read_planes(tmp_path / "text.npz")
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(PlaneTableError, match="named columns"):
        read_planes(tmp_path / "single.npy")
    np.savez(tmp_path / "pickled.npz", **(good() | {"kind": np.array(["relu", None, 3], dtype=object)}))
    with pytest.raises(PlaneTableError, match="not a readable"):
        read_planes(tmp_path / "pickled.npz")
    whole = tmp_path / "whole.npz"
    np.savez(whole, **good())
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(PlaneTableError, match="not a readable"):
        read_planes(tmp_path / "cut.npz")


def test_an_empty_table_is_fine(tmp_path):
    np.savez(tmp_path / "p.npz", **good(0))
    assert len(read_planes(tmp_path / "p.npz")) == 0


# octagons


def cut_columns(rows: int = 3) -> dict[str, np.ndarray]:
    ends = {"lower_plus": 0.5, "upper_plus": 1.5, "lower_minus": -0.25, "upper_minus": 0.75}
    return good(rows) | {name: np.full(rows, end) for name, end in ends.items()}


def test_columns_of_octagons_make_claims_about_them(tmp_path):
    columns = cut_columns() | {"lower_plus": np.array([0.5, np.nan, 1.0])}
    for name in DIAGONALS[1:]:
        columns[name] = columns[name].copy()
        columns[name][1] = np.nan
    np.savez(tmp_path / "p.npz", **columns, unit=np.arange(3))
    table = read_planes(tmp_path / "p.npz")
    assert table.on_octagons.tolist() == [True, False, True]
    found = [claim.diagonals for claim in table.claims()]
    assert found == [(0.5, 1.5, -0.25, 0.75), None, (1.0, 1.5, -0.25, 0.75)]
    assert [claim_of(row) for row in zip(*table.rows(1, 3), strict=True)] == list(table.claims(1, 3))
    assert table.claim(2).diagonals == found[2]
    again = PlaneTable(columns_of(list(table.claims())))
    assert all(np.array_equal(again.columns[n], table.columns[n], equal_nan=n in DIAGONALS) for n in table.columns)
    assert [claim.diagonals for claim in table.part(1, 3).claims()] == found[1:]
    assert "lower_plus" not in table.part(1, 2).columns


def test_a_table_without_octagons_is_what_it_was():
    plain = PlaneTable(good())
    boxes = PlaneTable(good() | {name: np.full(3, np.nan) for name in DIAGONALS})
    assert set(boxes.columns) == set(plain.columns)
    assert list(boxes.claims()) == list(plain.claims())
    assert mark_of(boxes) == mark_of(plain)


def test_marks_and_digests_see_every_end():
    """A verdict depends on each of them: what was found of other planes is not taken for that of these."""
    plain, cut = PlaneTable(good()), PlaneTable(cut_columns())
    marks, digests = {mark_of(plain), mark_of(cut)}, {digest_of(["a"], [plain]), digest_of(["a"], [cut])}
    for name in DIAGONALS:
        columns = cut_columns()
        columns[name] = np.nextafter(columns[name], 0.0)
        marks.add(mark_of(PlaneTable(columns)))
        digests.add(digest_of(["a"], [PlaneTable(columns)]))
    assert len(marks) == len(digests) == 6


def test_tables_with_and_without_octagons_are_joined():
    both = join([PlaneTable(good(2)), PlaneTable(cut_columns(1))])
    assert both.on_octagons.tolist() == [False, False, True]
    assert "lower_plus" not in join([PlaneTable(good(2)), PlaneTable(good(1))]).columns


def test_diagonals_of_one_dimensional_kinds_are_left_out():
    columns = cut_columns() | {"kind": np.array(["tanh", "sigmoid_times_identity", "relu"])}
    columns["lower_plus"] = np.array([9.0, 0.5, np.inf])
    given = {name: column.copy() for name, column in columns.items()}
    assert PlaneTable(columns).on_octagons.tolist() == [False, True, False]
    assert all(np.array_equal(columns[name], given[name]) for name in columns)


def test_float32_ends_are_the_values_that_they_are():
    columns = cut_columns() | {"upper_plus": np.full(3, 1.1, dtype=np.float32)}
    assert PlaneTable(columns).claim(0).diagonals[1] == float(np.float32(1.1))


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda c: c.pop("upper_minus"), ["missing column 'upper_minus'", "'lower_plus' is there", "or none"]),
        (_at("lower_minus", 1, np.nan), ["'lower_minus'", "row 1", "nan", "NaN in all four"]),
        (_at("upper_plus", 2, np.inf), ["'upper_plus'", "row 2", "inf", "finite"]),
        (_at("lower_plus", 1, 5.0), ["'lower_plus'", "row 1", "5.0", "upper_plus = 1.5", "reversed"]),
        (_at("upper_minus", 0, -1.0), ["'lower_minus'", "row 0", "upper_minus = -1.0", "reversed"]),
        (_set("upper_plus", lambda c: c[:2]), ["'upper_plus'", "2 rows"]),
        (_set("upper_plus", np.full(3, "1.5")), ["'upper_plus'", "give floats"]),
        (_set("lower_plus", np.full(3, 2**53 + 1)), ["'lower_plus'", "row 0", "9007199254740993"]),
    ],
)
def test_bad_diagonals(tmp_path, change, shown):
    refused(tmp_path / "p.npz", cut_columns(), change, shown)

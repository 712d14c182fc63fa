"""Planes files: what is wrong is named by column and row, nothing is guessed."""

from __future__ import annotations

import warnings
import zipfile

import numpy as np
import pytest

from refcert.audit.plane_table import COLUMNS, PlaneTable, PlaneTableError, read_planes


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
    columns = good()
    change(columns)
    np.savez(tmp_path / "p.npz", **columns)
    with pytest.raises(PlaneTableError) as caught:
        read_planes(tmp_path / "p.npz")
    for word in [str(tmp_path / "p.npz"), *shown]:
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

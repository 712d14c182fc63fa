"""`refcert audit` on files and directories: what is wrong is named with file, column and row; values are exact."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcert.app import runs
from refcert.app.audit_sources.files import read_table
from refcert.app.errors import ExitCode
from refcert.audit.plane_table import COLUMNS, PlaneTable, PlaneTableError
from tests.app.audit_files import SOUND, UNSOUND, audit, columns, save
from tests.app.made_runs import said, sample


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_csv(path: Path, table: dict[str, list[object]], form=repr) -> Path:
    lines = [
        ",".join(table),
        *(",".join(v if isinstance(v, str) else form(v) for v in row) for row in zip(*table.values(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def lists(table):
    return {name: column.tolist() for name, column in table.items()}


FORMS = {
    "npz": lambda path, table: np.savez(path, **table),
    "parquet": lambda path, table: pq.write_table(pa.table(lists(table)), path),
    "csv": lambda path, table: write_csv(path, lists(table)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_file_is_judged_alike(here, form):
    path = here / f"planes.{form}"
    FORMS[form](path, {**columns([SOUND, UNSOUND, SOUND]), "layer": np.array([0, 0, 1])})
    result = audit(path, "--json", "--examples", 0)
    assert result.code == ExitCode.REFUTED
    assert [row["verdict"] for row in result.json["planes"]] == ["PROVED", "REFUTED", "PROVED"]
    assert result.json["source_kind"] == "planes file"


def change(name, row, value):
    def changed(table):
        column = table[name].astype("U40") if isinstance(value, str) else table[name].copy()
        column[row] = value
        return table | {name: column}

    return changed


FAULTS = {
    "NaN": (change("slope_v", 2, np.nan), ("column 'slope_v', row 2: nan", "finite")),
    "infinity": (change("offset", 1, -np.inf), ("column 'offset', row 1: -inf", "finite")),
    "reversed box": (change("lower_v", 1, 7.5), ("column 'lower_v', row 1: 7.5", "above upper_v = 1.5", "reversed")),
    "missing column": (
        lambda t: {k: v for k, v in t.items() if k != "slope_z"},
        ("missing column 'slope_z'; needed: kind, side",),
    ),
    "extra column": (lambda t: t | {"weight": t["offset"]}, ("unknown column 'weight'; known: kind", "sample")),
    "unknown kind": (change("kind", 2, "softplus"), ("column 'kind', row 2: 'softplus'", "known: sigmoid_times_tanh")),
    "unknown side": (change("side", 0, "above"), ("column 'side', row 0: 'above'", "known: lower, upper")),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", FAULTS)
def test_bad_planes_are_named_by_file_column_and_row(here, form, fault):
    make, words = FAULTS[fault]
    path = here / f"bad.{form}"
    FORMS[form](path, make(columns([SOUND] * 3)))
    result = audit(path)
    assert result.code == ExitCode.BAD_INPUT
    # The header is line 1; what is wrong with one plane names its row.
    line = next((int(word.partition("row ")[2][0]) + 2 for word in words if ", row " in word), 1)
    for word in (f"bad.{form}: ", *words, *([f"(line {line})"] if form == "csv" else [])):
        assert word in result.message


def test_wrong_lengths_and_shapes(here):
    np.savez("bad.npz", **columns([SOUND] * 3) | {"offset": np.zeros(2)})
    assert "column 'offset' has 2 rows, column 'kind' has 3" in audit("bad.npz").message
    np.savez("bad.npz", **columns([SOUND] * 3) | {"offset": np.zeros((3, 1))})
    assert "column 'offset' has shape (3, 1); give one entry per plane" in audit("bad.npz").message
    np.savez("bad.npz", **columns([SOUND]) | {"offset": np.array(["1.0"])})
    assert "column 'offset' is <U3; give floats, .astype(float), or whole numbers" in audit("bad.npz").message


def test_float32_planes_are_the_exact_values_that_they_are(here):
    """The float32 below tanh(1) cuts the curve on [1, 1], the one above does not; by much less than their spacing."""
    table = {name: column[:2] for name, column in columns([SOUND] * 2).items()}
    low = np.float32(np.tanh(1.0))
    low = low if float(low) < np.tanh(1.0) else np.nextafter(low, np.float32(0))
    offsets = np.array([low, np.nextafter(low, np.float32(1))], dtype=np.float32)
    table |= {"lower_v": np.ones(2, np.float32), "upper_v": np.ones(2, np.float16), "offset": offsets}
    np.savez("planes.npz", **table)
    rows = audit("planes.npz", "--json", "--examples", 0).json["planes"]
    assert [row["verdict"] for row in rows] == ["REFUTED", "PROVED"]
    assert rows[0]["violation"] == pytest.approx(np.tanh(1.0) - float(low), rel=1e-6)


def test_whole_numbers_are_exact_or_refused(here):
    np.savez("planes.npz", **columns([SOUND] * 2) | {"offset": np.array([1, 2])})
    assert audit("planes.npz").code == 0
    np.savez("planes.npz", **columns([SOUND] * 2) | {"offset": np.array([1, 2**53 + 1])})
    assert "column 'offset', row 1: 9007199254740993 is no float64 value" in audit("planes.npz").message


# CSV


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("form", [repr, float.hex, "{:.17g}".format, lambda x: str(Decimal(x))])
@given(offset=FINITE)
def test_numbers_of_a_csv_file_are_exact(tmp_path_factory, form, offset):
    table = lists(columns([SOUND]))
    table["offset"] = [form(offset)]
    found = read_table(write_csv(tmp_path_factory.getbasetemp() / "exact.csv", table))
    assert found.columns["offset"][0] == offset


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.1000000000000000000001", "would be rounded to 0.1"),
        ("0x1.00000000000001p+0", "would be rounded to 1.0"),
        ("0x1p-2000", "would be rounded to 0.0"),
        ("1e-400", "would be rounded to 0.0"),
        ("1e400", "would be rounded to inf"),
        ("one", "is not a number"),
        ("", "is not a number"),
        ("0x", "is not a number"),
        ("0x1p99999", "is not a number"),
        ("nan", "must be finite"),
        ("inf", "must be finite"),
    ],
)
def test_numbers_of_a_csv_file_that_are_no_floats(here, text, words):
    table = lists(columns([SOUND] * 2))
    table["offset"] = ["1.0", text]
    message = audit(write_csv(here / "bad.csv", table)).message
    assert "bad.csv: column 'offset', row 1: " in message
    assert words in message
    assert "(line 3)" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (";".join(COLUMNS) + "\ntanh;upper;0\n", "columns are separated by ';'; write commas, and decimal points"),
        ('kind,side\n"two\nlines",upper\ntanh\n', "row 1 has 1 values, the header has 2 columns (line 4)"),
        ("", "empty; give a header"),
        ("kind,kind\n", "column 'kind' is there twice"),
        (",".join(COLUMNS) + "\ntanh,upper,0\n", "row 0 has 3 values, the header has 9 columns (line 2)"),
        ('kind\n"a\nb', "not a readable CSV file (line 2: "),
    ],
)
def test_csv_files_that_are_none(here, text, words):
    (here / "bad.csv").write_text(text)
    assert words in audit("bad.csv").message
    (here / "bad.csv").write_bytes(b"\xff\xfe\x00")
    assert "not a readable CSV file (line 1: " in audit("bad.csv").message
    (here / "bad.csv").write_bytes(b"kind\ntanh\n\xff\n")
    assert "not a readable CSV file (line 3: " in audit("bad.csv").message


def test_parquet_files_that_are_none(here):
    (here / "bad.parquet").write_bytes(b"PAR1 and nothing else")
    assert "bad.parquet: not a readable Parquet file" in audit("bad.parquet").message
    table = lists(columns([SOUND] * 2)) | {"offset": [1.0, None]}
    pq.write_table(pa.table(table), "bad.parquet")
    assert "bad.parquet: column 'offset', row 1 is null" in audit("bad.parquet").message
    with pytest.raises(PlaneTableError, match="no such file"):
        read_table(here / "gone.parquet")


# Directories


def test_a_directory_of_planes_files(here):
    save(here / "d" / "b.npz", [SOUND, SOUND])
    save(here / "d" / "deep" / "a.npz", [SOUND, UNSOUND, SOUND], kind="sigmoid_times_tanh")
    save(here / "d" / "none.npz", [])
    FORMS["csv"](here / "d" / "c.csv", columns([SOUND]))
    (here / "d" / "README.txt").write_text("not planes")
    result = audit("d", "--json", "--examples", 0)
    assert result.code == ExitCode.REFUTED
    found = result.json
    assert found["source_kind"] == "directory"
    assert [(t["name"], t["planes"], t["refuted"]) for t in found["tables"]] == [
        *(("b.npz", 2, 0), ("c.csv", 1, 0), ("deep/a.npz", 3, 1), ("none.npz", 0, 0)),
    ]
    assert [row["verdict"] for row in found["planes"]].index("REFUTED") == 4
    table = audit("d", "--examples", 0).out
    assert "plane 4 (deep/a.npz, row 1): sigmoid_times_tanh, upper: REFUTED" in table
    assert "b.npz" in table


def test_what_is_wrong_in_a_directory_is_named_with_its_file(here):
    save(here / "d" / "a.npz", [SOUND])
    save(here / "d" / "b.npz", [SOUND, np.nan])
    assert "b.npz: column 'offset', row 1: nan" in audit("d").message
    (here / "e" / "f").mkdir(parents=True)
    assert "e is not a run folder" in audit("e").message
    save(here / "e" / "f" / "none.npz", [])
    assert "have 0 planes" in audit("e").message


def made_run(path, samples, *, keep_planes=True):
    """The folder of a run of four samples, two a part; of so many samples there are results."""
    run = runs.create(path, said(count=4, batch_size=2))
    for part in range(samples // 2):
        own = [2 * part, 2 * part + 1]
        planes = PlaneTable(columns([SOUND] * 2), {"sample": np.array(own)})
        run.write_part(part, [sample(k, certified=True) for k in own], planes, None, keep_planes=keep_planes)
    return run


def test_results_of_a_run_in_a_directory_are_no_planes(here):
    made_run(here / "d" / "run", 4)
    save(here / "d" / "z.npz", [SOUND])
    found = audit("d", "--json").json
    names = ["run/planes/part-00000.npz", "run/planes/part-00001.npz", "z.npz"]
    assert [(t["name"], t["planes"]) for t in found["tables"]] == list(zip(names, (2, 2, 1), strict=True))
    assert found["parts_missing"] == 0


def test_a_run_in_a_directory_without_its_planes_is_refused(here):
    """Regression: such a run counted as nothing, and the rest was PROVED."""
    save(here / "d" / "a.npz", [SOUND])
    made_run(here / "d" / "deep" / "kept-none", 4, keep_planes=False)
    message = audit("d").message
    assert "kept-none keeps no planes; certify again without --no-planes" in message
    shutil.rmtree(here / "d" / "deep")
    lost = made_run(here / "d" / "lost", 4)
    (lost.path / "planes" / "part-00001.npz").unlink()
    result = audit("d")
    assert result.code == ExitCode.BAD_INPUT
    assert "lost" in result.message
    shutil.rmtree(lost.path)
    made_run(here / "d" / "begun", 0)
    assert "begun has no finished part yet" in audit("d").message
    (here / "d" / "begun" / "request.json").write_text("{")
    assert audit("d").code == ExitCode.BAD_INPUT


def test_an_unfinished_run_in_a_directory_is_said(here):
    save(here / "d" / "a.npz", [SOUND])
    made_run(here / "d" / "run", 2)
    assert audit("d", "--json").json["parts_missing"] == 1
    assert "The run is not finished: 1 part" in audit("d").out


def test_the_folder_of_an_audit_in_a_directory_is_left_out(here):
    save(here / "d" / "a.npz", [SOUND, SOUND])
    assert audit("d", "--out", "d/kept", "--budget-planes", 1).code == ExitCode.UNDECIDED
    assert audit("d", "--out", "d/kept", "--resume").code == ExitCode.OK
    assert [t["name"] for t in audit("d", "--json").json["tables"]] == ["a.npz"]


def test_links_do_not_multiply_planes(here):
    """Regression: a link to its own folder gave every plane forty times."""
    save(here / "d" / "deep" / "a.npz", [SOUND])
    save(here / "outside.npz", [SOUND])
    save(here / "elsewhere" / "b.npz", [SOUND])
    links = {"d/loop": ".", "d/deep/up": "..", "d/deep/out": "../..", "d/A": "deep", "d/more": "../elsewhere"}
    for link, target in links.items():
        (here / link).symlink_to(target)
    assert [t["name"] for t in audit("d", "--json").json["tables"]] == ["deep/a.npz", "more/b.npz"]
    assert [t["name"] for t in audit("d/more", "--json").json["tables"]] == ["b.npz"]


def test_options_of_functions_do_not_go_with_files(here):
    save(here / "a.npz", [SOUND])
    for option in (
        ("--kinds", "tanh"),
        ("--boxes", "thin"),
        ("--boxes-from", "a.npz"),
        ("--count", 5),
        ("--dtype", "float32"),
    ):
        assert f"{option[0]} goes only with module:function" in audit("a.npz", *option).message


def test_what_is_no_npz_file_is_refused_in_our_words(here):
    """Regression: numpy's advice to allow pickles, which can run code, was passed on."""
    (here / "x.txt").write_text("kind,side\n")
    assert "x.txt: no planes file, which are .npz, .parquet, .csv" in audit("x.txt").message
    (here / "x.npz").write_bytes(b"\x80\x04garbage")
    messages = [audit("x.npz").message]
    assert "x.npz: not a readable .npz file (no zip archive, or cut short)" in messages[0]
    table = columns([SOUND] * 2)
    for name, kind in (("kind", "str"), ("offset", "float")):
        np.savez("x.npz", **table | {name: table[name].astype(object)})
        messages.append(audit("x.npz").message)
        assert f"column {name!r} holds Python objects" in messages[-1]
        assert f"save it with .astype({kind})" in messages[-1]
    assert not any("allow_pickle" in message for message in messages)


def test_paths_that_lead_nowhere(here):
    (here / "engine.py").write_text("")
    assert "gone: no such file or directory; give a run folder" in audit("gone").message
    assert "engine.py is Python; name the function in it, engine:planes say" in audit("engine.py").message

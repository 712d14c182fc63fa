"""Verdicts belong to planes: none is counted for planes that nobody judged, and exit code 0 never stands for such."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refcert.app import audit_run, runs
from refcert.app.commands.shared import audit_exit
from refcert.app.errors import ExitCode, InputError
from refcert.app.plane_export import PlaneCollector
from refcert.app.plane_marks import mark_in, mark_of
from refcert.audit.plane_audit import audit_planes
from refcert.audit.plane_table import NUMBERS, PlaneTable
from tests.app.audit_files import SOUND, UNSOUND, audit, columns, module, save
from tests.app.commands import refcert, write_data, write_model
from tests.app.made_runs import said, sample

PART = 10
OFFSETS = [UNSOUND if k in (3, 14, 27) else SOUND for k in range(30)]
FUNCTION = ("--kinds", "tanh", "--boxes", "random,thin", "--count", 5, "--out", "kept")
COUNTED = """

CALLS = []


def faulty(*box):
    CALLS.append(box[0])
    return planes(*box)
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(audit_run, "_PART", PART)
    return tmp_path


def change(path: Path, **new: object) -> None:
    """Some columns of a planes file, replaced."""
    with np.load(path) as stored:
        table = {name: stored[name] for name in stored.files}
    np.savez(path, **{**table, **new})


# Runs that are certified and audited


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    write_data(folder / "tiny.npz", write_model(folder / "tiny.safetensors"))
    return folder


def certify(tiny, out, *options):
    given = ("--model", tiny / "tiny.safetensors", "--data", tiny / "tiny.npz", "--radius", 0.05)
    return refcert(
        "certify", *given, "--count", 4, "--batch-size", 2, "--workers", 1, "--audit", "--out", out, *options
    )


@pytest.fixture(scope="module")
def audited(tiny):
    """Two parts of two samples, every plane proved; with planes, and without."""
    folders = {}
    for name, options in {"planes": (), "none": ("--no-planes",)}.items():
        assert certify(tiny, tiny / name, *options).code == ExitCode.OK
        folders[name] = tiny / name
    return folders


def copy(audited, name):
    shutil.copytree(audited[name], "run")
    return Path("run"), () if name == "planes" else ("--no-planes",)


def test_verdicts_that_are_gone_are_found_again(tiny, audited):
    """Regression: exit code 0, and no word of the planes without verdicts."""
    out, _ = copy(audited, "planes")
    before = (out / "audit" / "part-00001.parquet").read_bytes()
    stamp = (out / "audit" / "part-00000.parquet").stat().st_mtime_ns
    (out / "audit" / "part-00001.parquet").unlink()
    counts = runs.open_run(audited["planes"]).audit_summary()
    resumed = certify(tiny, out, "--resume", "--json")
    assert resumed.code == ExitCode.OK
    assert resumed.json["planes"] == counts
    assert (out / "audit" / "part-00001.parquet").read_bytes() == before
    assert (out / "audit" / "part-00000.parquet").stat().st_mtime_ns == stamp
    shutil.rmtree(out / "audit")
    (out / "audit").mkdir()
    assert certify(tiny, out, "--resume", "--json").json["planes"] == counts


@pytest.mark.parametrize("name", ["planes", "none"])
def test_planes_that_nobody_can_judge_any_more_are_counted_and_never_end_with_0(tiny, audited, name):
    out, options = copy(audited, name)
    whole = runs.open_run(out).audit_summary()
    judged = len(runs.open_run(out).audit(0).verdicts)
    (out / "audit" / "part-00001.parquet").unlink()
    (out / "planes" / "part-00001.npz").unlink(missing_ok=True)
    resumed = certify(tiny, out, "--resume", "--json", *options)
    assert resumed.code == ExitCode.UNDECIDED
    left = whole["proved"] - judged
    assert left > 0
    assert resumed.json["planes"] == {"proved": judged, "refuted": 0, "undecided": 0, "not_audited": left}
    table = certify(tiny, out, "--resume", *options)
    assert table.code == ExitCode.UNDECIDED
    assert "NOT AUDITED" in table.out


@pytest.mark.parametrize("name", ["planes", "none"])
def test_a_file_with_too_few_verdicts_or_those_of_another_part_is_refused(tiny, audited, name):
    """Regression: exit code 0, with fewer planes or with the verdicts of others."""
    out, options = copy(audited, name)
    path = out / "audit" / "part-00001.parquet"
    whole = pq.read_table(path)
    pq.write_table(whole.slice(0, 3), path)
    refused = certify(tiny, out, "--resume", *options)
    assert refused.code == ExitCode.BAD_INPUT
    assert f"{path} has 3 verdicts of {len(whole)} planes; delete it" in refused.message
    shutil.copy(out / "audit" / "part-00000.parquet", path)
    assert len(pq.read_table(path)) == len(whole)
    message = certify(tiny, out, "--resume", *options).message
    assert f"{path} does not have the verdicts of these planes, but of others; delete it" in message
    if name == "planes":
        path.unlink()
        assert certify(tiny, out, "--resume").code == ExitCode.OK


def test_bounds_without_planes_are_a_fault(tiny, monkeypatch):
    """Planted: the engine forgets to say which planes it used for one sample."""
    add = PlaneCollector.add

    def forgetful(self, samples, products):
        if self.first_index:
            add(self, samples, products)

    monkeypatch.setattr(PlaneCollector, "add", forgetful)
    result = certify(tiny, "run")
    assert result.code == ExitCode.FAULT
    assert "bounds of sample 0, but no planes to audit" in result.err
    assert not Path("run").exists()


def test_an_audit_that_was_asked_for_and_has_no_counts_is_not_ok():
    assert audit_exit(None, asked=True) == ExitCode.UNDECIDED
    assert audit_exit(None, asked=False) == ExitCode.OK
    proved = {"proved": 3, "refuted": 0, "undecided": 0}
    assert audit_exit(proved, asked=True) == ExitCode.OK
    assert audit_exit(proved, asked=True, parts_missing=1) == ExitCode.UNDECIDED
    assert audit_exit(proved | {"refuted": 1}, asked=True, parts_missing=1) == ExitCode.REFUTED
    assert audit_exit(proved | {"not_audited": 1}, asked=True) == ExitCode.UNDECIDED


# Runs that are audited later


def made_run(offsets, parts=2, count=None):
    """A run of three samples a part, with these offsets in each."""
    run = runs.create(Path("run"), said(count=3 * parts if count is None else count, radius=0.25))
    for part in range(parts):
        origin = {"sample": np.sort(np.arange(len(offsets)) % 3) + 3 * part}
        rows = [sample(3 * part + k, certified=True) for k in range(3)]
        run.write_part(part, rows, PlaneTable(columns([o + part for o in offsets]), origin), None)
    return run


def test_an_unfinished_run_is_not_proved(here):
    """Regression: exit code 0 with a printed line only."""
    made_run([SOUND] * 6, count=9)
    result = audit("run", "--junit", "junit.xml", "--json")
    assert result.code == ExitCode.UNDECIDED
    assert result.json["summary"] == {"proved": 12, "refuted": 0, "undecided": 0}
    text = Path("junit.xml").read_text()
    assert 'tests="3" failures="0" errors="0" skipped="1"' in text
    assert "1 parts of the run are missing; continue it with --resume" in text


def test_foreign_results_do_not_stand_for_missing_ones(here):
    run = made_run([SOUND] * 3, count=9)
    shutil.copy("run/results/part-00000.parquet", "run/results/part-00007.parquet")
    assert run.parts_missing() == 1


def test_verdicts_of_another_part_of_a_run_are_refused(here):
    run = made_run([SOUND] * 6)
    assert audit("run").code == ExitCode.OK
    shutil.copy("run/audit/part-00000.parquet", "run/audit/part-00001.parquet")
    with pytest.raises(InputError, match=r"part-00001\.parquet does not have the verdicts of these planes"):
        run.audit_summary()
    assert "does not have the verdicts of these planes" in refcert("report", "run").message
    # The audit judges anew and needs none of them.
    assert audit("run").code == ExitCode.OK
    assert run.audit_summary() == {"proved": 12, "refuted": 0, "undecided": 0}


def test_planes_that_change_after_their_audit_have_no_verdicts(here):
    run = made_run([SOUND] * 6)
    assert audit("run").code == ExitCode.OK
    change(Path("run/planes/part-00001.npz"), offset=np.full(6, UNSOUND))
    with pytest.raises(InputError, match="does not have the verdicts of these planes"):
        run.audit(1)


def test_a_part_that_is_certified_again_has_no_verdicts_of_before(here):
    run = made_run([SOUND] * 6)
    assert audit("run").code == ExitCode.OK
    table = PlaneTable(columns([UNSOUND] * 6), {"sample": np.arange(6) % 3})
    run.write_part(0, [sample(k, certified=True) for k in range(3)], table, None)
    assert run.unaudited() == [0]
    assert run.audit_summary() == {"proved": 6, "refuted": 0, "undecided": 0, "not_audited": 6}


def test_verdicts_of_nobody_knows_which_planes(here):
    run = made_run([SOUND] * 3, parts=1)
    assert audit("run").code == ExitCode.OK
    results = Path("run/results/part-00000.parquet")
    pq.write_table(pq.read_table(results).replace_schema_metadata(None), results)
    assert run.audit_summary() == {"proved": 3, "refuted": 0, "undecided": 0}  # the planes' file says it, too
    shutil.rmtree("run/planes")
    with pytest.raises(InputError, match="nothing says which planes part 0 had; delete it"):
        run.audit_summary()
    Path("run/audit/part-00000.parquet").unlink()
    with pytest.raises(InputError, match="does not say on which planes it rests, which were not audited; delete it"):
        run.audit_summary()


def test_damaged_planes_of_a_run_have_its_remedy(here):
    made_run([SOUND] * 3, parts=1)
    path = Path("run/planes/part-00000.npz")
    path.write_bytes(path.read_bytes()[:50])
    assert "or delete run/results/part-00000.parquet and certify that part again with --resume" in audit("run").message


def test_planes_that_a_run_has_lost_are_not_proved_in_silence(here):
    """Regression: only samples without any plane were noticed."""
    made_run([SOUND] * 6, parts=1)
    path = Path("run/planes/part-00000.npz")
    with np.load(path) as stored:
        np.savez(path, **{name: stored[name][1:] for name in stored.files})
    assert f"{path} has 5 planes, its results rest on 6; delete run/results/part-0" in audit("run").message


def test_an_audit_that_goes_on_leaves_the_verdicts_of_finished_parts_alone(here):
    """Regression: every finished part's verdicts were written again."""
    made_run([SOUND] * 12)
    assert audit("run", "--out", "kept", "--budget-planes", 12).code == ExitCode.UNDECIDED
    path = Path("run/audit/part-00000.parquet")
    stamp = path.stat().st_mtime_ns
    assert not Path("run/audit/part-00001.parquet").exists()
    assert audit("run", "--out", "kept", "--resume").code == ExitCode.OK
    assert path.stat().st_mtime_ns == stamp
    assert Path("run/audit/part-00001.parquet").exists()
    path.unlink()  # and it is written where it is not there
    assert audit("run", "--out", "kept", "--resume").code == ExitCode.OK
    assert path.exists()


class Counting(tuple):
    """Parts that count how often somebody goes through all of them."""

    times = 0

    def __iter__(self):
        type(self).times += 1
        return super().__iter__()


def test_a_finished_part_does_not_look_at_all_the_others(here, monkeypatch):
    """Regression: quadratic in the number of parts."""
    opened = audit_run.open_source
    monkeypatch.setattr(
        audit_run, "open_source", lambda *given: replace(source := opened(*given), parts=Counting(source.parts))
    )
    seen = []
    for parts in (2, 8):
        shutil.rmtree("run", ignore_errors=True)
        made_run([SOUND] * 3, parts=parts)
        Counting.times = 0
        assert audit("run").code == ExitCode.OK
        seen.append(Counting.times)
    assert seen[0] == seen[1]


# Audit folders


def test_verdicts_of_other_planes_in_a_folder_are_refused(here):
    """Regression: exit code 0 with the verdicts of another part."""
    save(here / "planes.npz", OFFSETS)
    assert audit("planes.npz", "--out", "kept", "--examples", 0).code == ExitCode.REFUTED
    shutil.copy("kept/verdicts/part-00000.parquet", "kept/verdicts/part-00002.parquet")
    result = audit("planes.npz", "--out", "kept", "--resume")
    assert result.code == ExitCode.BAD_INPUT
    assert "part-00002.parquet does not have the verdicts of these planes, but of others; delete it" in result.message
    Path("kept/verdicts/part-00002.parquet").unlink()
    assert audit("planes.npz", "--out", "kept", "--resume", "--json").json["summary"]["refuted"] == 3


@pytest.mark.parametrize(
    ("column", "value"),
    [("point_v", None), ("point_z", None), ("violation", None), ("precision", None), ("verdict", "PROVED")],
)
def test_rows_that_are_no_verdicts_are_refused(here, column, value):
    """Half a counter-example is none, and a proved plane has none."""
    save(here / "planes.npz", OFFSETS[:PART])
    assert audit("planes.npz", "--out", "kept", "--examples", 0).code == ExitCode.REFUTED
    path = Path("kept/verdicts/part-00000.parquet")
    stored = pq.read_table(path)
    rows = stored.to_pylist()
    rows[3][column] = value
    pq.write_table(pa.Table.from_pylist(rows, schema=stored.schema), path)
    assert f"{path} holds no verdicts" in audit("planes.npz", "--out", "kept", "--resume").message


def test_verdicts_that_do_not_say_of_what_are_refused(here):
    save(here / "planes.npz", OFFSETS[:PART])
    assert audit("planes.npz", "--out", "kept", "--examples", 0).code == ExitCode.REFUTED
    path = Path("kept/verdicts/part-00000.parquet")
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert "does not have the verdicts of these planes" in audit("planes.npz", "--out", "kept", "--resume").message


def test_a_function_is_not_asked_again_under_old_verdicts(here):
    """Regression: where its planes were gone it was called once more, and got the verdicts of what it gave before."""
    name = module(here, "counted_again", COUNTED)
    assert audit(name, *FUNCTION).code == ExitCode.OK
    planes, verdicts = Path("kept/planes/part-00001.npz"), Path("kept/verdicts/part-00001.parquet")
    planes.unlink()
    sys.modules["counted_again"].CALLS.clear()
    result = audit(name, *FUNCTION, "--resume")
    assert result.code == ExitCode.BAD_INPUT
    assert f"{verdicts} has verdicts, but their planes, {planes}, are gone; delete it" in result.message
    assert sys.modules["counted_again"].CALLS == []
    verdicts.unlink()
    assert audit(name, *FUNCTION, "--resume").code == ExitCode.OK
    assert sys.modules["counted_again"].CALLS == ["tanh"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "cannot be read ("),
        (lambda path: save(path, [SOUND] * 3), "has 3 planes, not 10; "),
        (lambda path: change(path, lower_v=np.full(10, -9.0)), "has another lower_v than was asked for; "),
        (lambda path: change(path, side=np.full(10, "upper")), "has another side than was asked for; "),
        (lambda path: change(path, kind=np.full(10, "relu")), "has another kind than was asked for; "),
    ],
    ids=["damaged", "length", "boxes", "sides", "kind"],
)
def test_kept_planes_that_are_not_those_of_the_function(here, damage, words):
    """Regression: a raw ValueError, the remedy of a planes file, or silence."""
    name = module(here, "kept_planes", "")
    assert audit(name, *FUNCTION).code == ExitCode.OK
    planes, verdicts = Path("kept/planes/part-00000.npz"), Path("kept/verdicts/part-00000.parquet")
    damage(planes)
    for there in (True, False):
        if not there:
            verdicts.unlink()
        result = audit(name, *FUNCTION, "--resume")
        assert result.code == ExitCode.BAD_INPUT
        assert f"{planes} {words}" in result.message
        assert f"delete it and {verdicts}, and run with --resume" in result.message
    planes.unlink()
    assert audit(name, *FUNCTION, "--resume").code == ExitCode.OK


def test_other_planes_on_the_same_boxes_have_no_verdicts(here):
    """Regression: planes that a broken engine gave, under the verdicts of a sound one: exit code 0."""
    name = module(here, "same_boxes", "")
    assert audit(name, *FUNCTION).code == ExitCode.OK
    change(Path("kept/planes/part-00000.npz"), offset=np.full(10, UNSOUND))
    assert "does not have the verdicts of these planes" in audit(name, *FUNCTION, "--resume").message
    Path("kept/verdicts/part-00000.parquet").unlink()
    assert audit(name, *FUNCTION, "--resume", "--examples", 0).code == ExitCode.REFUTED


# Marks


def test_every_value_that_a_verdict_depends_on_is_in_the_mark():
    plain = columns([SOUND] * 3)
    mark = mark_of(PlaneTable(plain))
    assert mark.planes == 3
    for name in NUMBERS:
        for row in range(3):
            other = plain[name].copy()
            other[row] = np.nextafter(other[row], -np.inf if name.startswith("lower") else np.inf)
            changed = PlaneTable({**plain, "kind": np.full(3, "sigmoid_times_tanh"), name: other})
            unchanged = PlaneTable({**plain, "kind": np.full(3, "sigmoid_times_tanh")})
            assert mark_of(changed) != mark_of(unchanged)
    assert mark_of(PlaneTable({**plain, "kind": np.full(3, "sigmoid")})) != mark
    assert mark_of(PlaneTable({**plain, "side": np.full(3, "lower")})) != mark
    assert mark_of(PlaneTable(plain).part(0, 2)) != mark


def test_the_mark_does_not_depend_on_how_planes_are_stored():
    table = PlaneTable(columns([SOUND] * 3))
    wide = {name: c.astype("U40") if c.dtype.kind == "U" else c for name, c in table.columns.items()}
    assert mark_of(PlaneTable(wide, {"sample": np.arange(3)})) == mark_of(table)
    assert mark_in(mark_of(table).metadata()) == mark_of(table)
    assert mark_in(None) is mark_in({b"refcert.planes": b"3 \xff"}) is None


def test_verdicts_are_written_only_one_for_each_plane(here):
    run = made_run([SOUND] * 3, parts=1)
    few = audit_planes(PlaneTable(columns([SOUND] * 2)))
    with pytest.raises(ValueError, match="2 answers for 3 planes"):
        run.write_audit(0, run.planes(0), few)
    with pytest.raises(ValueError, match="verdicts of no planes"):
        run.write_part(0, [sample(0, certified=True)], None, few)

"""Run folders: what is finished stays finished, through kills, full disks and damaged files."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refcert.app import runs, storage
from refcert.app.errors import ExitCode, OutputError
from tests.app.commands import SAMPLES, command, environment, refcert, write_data, write_model

REPEATS = 3
PARTS = SAMPLES * REPEATS


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and data of many samples, so that a run of one-sample parts can be stopped."""
    folder = tmp_path_factory.mktemp("tiny")
    write_data(folder / "tiny.npz", write_model(folder / "tiny.safetensors"), repeat=REPEATS)
    return folder


def certify(tiny: Path, out: Path, *options: object, count: int = PARTS, size: int = 1) -> tuple[object, ...]:
    given = ("--model", tiny / "tiny.safetensors", "--data", tiny / "tiny.npz", "--count", count)
    what = () if "--radius" in options or "--search" in options else ("--search",)
    return ("certify", *given, "--batch-size", size, "--workers", 1, "--json", "--out", out, *what, *options)


def without_time(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "seconds"}


def times(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("part-*")}


@pytest.fixture(scope="module")
def whole(tiny: Path) -> dict[str, Any]:
    """The run that nobody disturbed."""
    result = refcert(*certify(tiny, tiny / "whole", "--audit"))
    assert result.code == 0, result.err
    return result.json


def test_a_killed_run_goes_on_and_loses_nothing(tiny: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(*certify(tiny, out, "--audit")), stdout=subprocess.DEVNULL, env=environment(), cwd=tmp_path
    )
    deadline = time.monotonic() + 60
    while len(list(out.glob("results/*.parquet"))) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    finished = runs.open_run(out).finished_parts()
    assert 3 <= len(finished) < PARTS
    assert runs.open_run(out).summary is None
    kept = {path: stamp for path, stamp in times(out).items() if int(path.stem[5:10]) in finished}
    (out / "planes" / "part-00020.npz.partial").write_bytes(b"half")
    (out / "results" / "part-00020.parquet.partial").write_bytes(b"half")
    resumed = refcert(*certify(tiny, out, "--audit", "--resume"))
    assert without_time(resumed.json) == without_time(whole)
    assert {path: stamp for path, stamp in times(out).items() if path in kept} == kept
    assert not list(out.rglob("*.partial"))
    assert runs.open_run(out).parts_missing() == 0
    again = refcert(*certify(tiny, out, "--audit", "--resume"))
    assert again.out == resumed.out


def test_a_finished_run_resumes_to_the_same_output(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = refcert(*certify(tiny, out, "--radius", 0.05, count=3))
    stamps = times(out)
    assert refcert(*certify(tiny, out, "--radius", 0.05, "--resume", count=3)).out == first.out
    assert times(out) == stamps


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--radius", "0.06"), "request.radius = 0.05, now it is 0.06"),
        (("--radius", "0.05", "--norm", "2"), 'request.norm = "inf", now it is "2"'),
        (("--radius", "0.05", "--seed", "1"), "request.seed = 0, now it is 1"),
        (("--radius", "0.05", "--audit"), "audit = false, now it is true"),
        (("--radius", "0.05", "--no-planes"), "planes = true, now it is false"),
        (("--radius", "0.05", "--batch-size", "2"), "request.batch_size = 1, now it is 2"),
        (("--radius", "0.05", "--count", "2"), "request.count = 3, now it is 2"),
    ],
    ids=str,
)
def test_a_run_goes_on_only_as_it_began(tiny: Path, options: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """The message names the option, not two pages of JSON."""
    out = tmp_path / "run"
    assert refcert(*certify(tiny, out, "--radius", 0.05, count=3)).code == 0
    result = refcert(*certify(tiny, out, "--resume", *options, count=3))
    assert result.code == ExitCode.BAD_INPUT
    assert words in result.message
    assert "resume with the same request or choose another --out" in result.message


def test_norms_that_differ_in_the_last_digit_differ(tiny: Path, tmp_path: Path) -> None:
    """Regression: the norm was stored with six digits."""
    out = tmp_path / "run"
    assert refcert(*certify(tiny, out, "--norm", "1.2345678", count=2)).code == 0
    result = refcert(*certify(tiny, out, "--norm", "1.2345679", "--resume", count=2))
    assert 'request.norm = "1.2345678", now it is "1.2345679"' in result.message


def test_a_run_goes_on_where_model_and_data_have_moved(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the same files under another path were refused. The digests tell whether they are the same."""
    out = tmp_path / "run"
    first = refcert(*certify(tiny, out, count=2)).json
    monkeypatch.chdir(tiny)
    moved = refcert(*certify(Path(), out, "--resume", count=2)).json
    assert moved["samples"] == first["samples"]
    other = write_data(tmp_path / "tiny.npz", write_model(tmp_path / "tiny.safetensors"), repeat=1)
    with np.load(other) as stored:
        np.savez(other, x=stored["x"] / 2, labels=stored["labels"])
    assert "data.digest" in refcert(*certify(tmp_path, out, "--resume", count=2)).message


def test_an_existing_folder_is_kept_as_it_is(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert refcert(*certify(tiny, out, count=2)).code == 0
    stamps = times(out)
    message = refcert(*certify(tiny, out, count=2)).message
    assert f"{out} exists; choose another --out, or continue that run with --resume" in message
    assert times(out) == stamps


# Damaged files


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content.replace(b"index", b"\xffndex"),  # its name is no text any more: once a traceback
        lambda content: content[:60] + bytes([content[60] ^ 1]) + content[61:],  # one bit of a value: a checksum
    ],
    ids=["cut", "empty", "name", "bit"],
)
def test_a_damaged_part_is_named_before_more_work_is_done(tiny: Path, damage: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = refcert(*certify(tiny, out, "--radius", 0.05, count=4)).json
    path = out / "results" / "part-00001.parquet"
    path.write_bytes(damage(path.read_bytes()))
    (out / "results" / "part-00003.parquet").unlink()
    result = refcert(*certify(tiny, out, "--radius", 0.05, "--resume", count=4))
    assert result.code == ExitCode.BAD_INPUT
    assert f"{path} cannot be read" in result.message
    assert "delete it and run with --resume" in result.message
    assert not (out / "results" / "part-00003.parquet").exists()
    path.unlink()
    assert without_time(refcert(*certify(tiny, out, "--radius", 0.05, "--resume", count=4)).json) == without_time(first)


def test_a_part_in_the_wrong_place_is_refused(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert refcert(*certify(tiny, out, count=3)).code == 0
    results = out / "results"
    shutil.copy(results / "part-00000.parquet", results / "part-00001.parquet")
    message = refcert(*certify(tiny, out, "--resume", count=3)).message
    assert "part-00001.parquet does not hold the samples of that part; delete it" in message


def test_foreign_files_in_the_folder_are_no_parts(tiny: Path, tmp_path: Path) -> None:
    """Regression: `part-x.parquet` ended in a traceback."""
    out = tmp_path / "run"
    first = refcert(*certify(tiny, out, count=2))
    (out / "results" / "part-x.parquet").write_text("mine")
    (out / "planes" / "part-00000 (copy).npz").write_text("mine")
    assert refcert(*certify(tiny, out, "--resume", count=2)).out == first.out
    assert refcert("audit", out, "--workers", 1).code == 0


def test_damaged_verdicts_and_requests(tiny: Path, tmp_path: Path) -> None:
    """Regression: damaged verdicts ended in a traceback."""
    out = tmp_path / "run"
    assert refcert(*certify(tiny, out, "--audit", count=2)).code == 0
    path = out / "audit" / "part-00001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert f"{path} cannot be read" in refcert(*certify(tiny, out, "--audit", "--resume", count=2)).message
    pq.write_table(pa.table({"verdict": ["MAYBE"]}), path)
    assert f"{path} holds no verdicts" in refcert(*certify(tiny, out, "--audit", "--resume", count=2)).message
    path.write_bytes(whole)
    request = json.loads((out / "request.json").read_text())
    del request["request"]["batch_size"]
    (out / "request.json").write_text(json.dumps(request))
    assert "does not say how many samples" in refcert("audit", out, "--workers", 1).message


def test_missing_planes_are_not_proved_in_silence(tiny: Path, tmp_path: Path) -> None:
    """Regression: the audit of a run spoke of the planes that were there and ended with code 0."""
    out = tmp_path / "run"
    assert refcert(*certify(tiny, out, "--audit", count=3)).code == 0
    (out / "planes" / "part-00001.npz").unlink()
    assert "has no planes of sample 1; certify again" in refcert("audit", out, "--workers", 1).message
    shutil.rmtree(out / "planes")
    assert "keeps no planes; certify again without --no-planes" in refcert("audit", out, "--workers", 1).message


def test_an_unfinished_run_is_audited_as_far_as_it_is(tiny: Path, tmp_path: Path) -> None:
    """Planes of a part whose results are missing are no finished work."""
    out = tmp_path / "run"
    whole = refcert(*certify(tiny, out, count=3)).json
    (out / "results" / "part-00002.parquet").unlink()
    audit = refcert("audit", out, "--workers", 1, "--json").json
    assert audit["parts_missing"] == 1
    table = refcert("audit", out, "--workers", 1)
    assert "The run is not finished: 1 parts are missing" in table.out
    # Two of three parts have verdicts now: no count of them is one of the whole run.
    resumed = refcert(*certify(tiny, out, "--resume", count=3)).json
    assert without_time(resumed) == without_time(whole)
    assert "planes" not in resumed


# Columns


def test_the_parts_are_plain_parquet_with_one_schema(tiny: Path, tmp_path: Path) -> None:
    """Regression: a column that is null in a whole part had another type there, and the parts could not be joined."""
    out = tmp_path / "run"
    with np.load(tiny / "tiny.npz") as stored:
        labels = stored["labels"]
    target = int(labels[1])
    result = refcert(*certify(tiny, out, "--target", target, "--frames", "each", count=4)).json
    assert [row["radius"] is None for row in result["samples"]] == (labels[:4] == target).tolist()
    parts = sorted((out / "results").iterdir())
    schemas = [pq.read_schema(path) for path in parts]
    assert len(schemas) == 4
    assert all(schema.equals(schemas[0]) for schema in schemas)
    rows = pq.read_table(out / "results").to_pylist()
    for row, sample in zip(rows, result["samples"], strict=True):
        assert {key: row[key] for key in sample} == sample
        assert all(row[key] is None for key in row if key not in (*sample, "seconds"))


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, half a megabyte; where none can be made, a visible skip."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here; the limit on file sizes is tested instead")
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "refcert-test", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"{mounted.stderr.strip()}; the limit on file sizes is tested instead")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_keeps_what_is_finished(
    tiny: Path, whole: dict[str, Any], small_disk: Path, tmp_path: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (430 << 10))
    out = small_disk / "run"
    result = refcert(*certify(tiny, out, "--audit"))
    assert result.code == ExitCode.OUTPUT_FAILED
    finished = runs.open_run(out).finished_parts()
    assert 0 < len(finished) < PARTS
    assert "No space left on device; the disk is full, free some space" in result.message
    assert f"{len(finished)} finished parts are kept, continue with --resume" in result.message
    assert not list(out.rglob("*.partial"))
    stamps = {path: stamp for path, stamp in times(out).items() if int(path.stem[5:10]) in finished}
    # Full still: the message is the same and nothing is lost.
    assert refcert(*certify(tiny, out, "--audit", "--resume")).code == ExitCode.OUTPUT_FAILED
    assert set(finished) <= set(runs.open_run(out).finished_parts())
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    resumed = refcert(*certify(tiny, out, "--audit", "--resume")).json
    assert without_time(resumed) == without_time(whole)
    assert {path: stamp for path, stamp in times(out).items() if path in stamps} == stamps


def test_a_run_that_finished_nothing_leaves_nothing(tiny: Path, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * (480 << 10))
    result = refcert(*certify(tiny, small_disk / "new" / "run", "--audit", size=PARTS))
    assert result.code == ExitCode.OUTPUT_FAILED
    assert "nothing was finished, run the command again" in result.message
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_file_that_may_not_grow(tiny: Path, tmp_path: Path) -> None:
    """The same with the limit on file sizes, which needs no rights: the planes are larger than it, results are not."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 10, before[1]))
        result = refcert(*certify(tiny, tmp_path / "run", size=PARTS))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.code == ExitCode.OUTPUT_FAILED
    assert "part-00000.npz: File too large; files may not grow that large here" in result.message
    assert "nothing was finished, run the command again" in result.message
    assert list(tmp_path.iterdir()) == []


def test_whole_files_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the write is interrupted by something else than the file system."""
    path = tmp_path / "page.html"
    path.write_bytes(b"old")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage.os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        storage.write_file(path, b"new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    assert path.read_bytes() == b"old"
    with pytest.raises(OutputError, match="choose another place"):
        storage.write_file(tmp_path / "missing" / "page.html", b"new")

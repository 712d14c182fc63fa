"""`refcert certify --certificates`: a file for each proved question, tied to the results, and VALID."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refcert.kernel.check import Verdict, check
from tests.app.commands import refcert
from tests.app.tiny import values
from tests.app.tiny_runs import AT, Tiny


def written(run: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((run / "certificates").glob("sample-*.safetensors"))}


def claims(result: dict) -> list[str]:
    return [claim for row in result["samples"] for claim in row["claims"] if claim is not None]


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh"])
def test_every_proved_sample_has_a_valid_certificate_of_its_own_claim(tmp_path: Path, kind: str) -> None:
    tiny, out = Tiny(tmp_path, kind), tmp_path / "run"
    result = tiny.run(*AT, "--certificates", "--out", out)
    files = written(out)
    proved = [row for row in result["samples"] if row["margin"] > 0]
    assert 0 < len(proved) == len(files) == result["certificates"]
    for row in proved:
        found = check(files[f"sample-{row['index']:05d}"])
        assert found.verdict is Verdict.VALID
        assert [found.claim.digest] == row["claims"]
        assert found.claim.network == result["model"]["digest"]
        assert 0 < found.claim.margin <= row["margin"]
    assert json.loads((out / "request.json").read_text())["certificates"] is True
    assert refcert("check", out, "--json").json["counts"]["valid"] == len(files)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--frames", "each"), "sample-00000-frame-001"),
        (("--target", "all"), "sample-00000-target-"),
        (("--input-set", "sequence", "--norm", "2"), "sample-00000"),
        (("--clip", "-5", "5", "--norm", "1.5"), "sample-00000"),
        (("--top-k", "2"), "sample-00000"),
        (("--criterion", "per-class"), "sample-00000"),
        (("--relaxation", "best", "--dtype", "float32"), "sample-00000"),
    ],
)
def test_every_kind_of_question(tmp_path: Path, options: tuple[str, ...], names: str) -> None:
    tiny, out = Tiny(tmp_path), tmp_path / "run"
    result = tiny.run("--radius", "0.001", *options, "--certificates", "--out", out)
    files = written(out)
    assert any(name.startswith(names) for name in files)
    found = [check(path) for path in files.values()]
    assert all(one.verdict is Verdict.VALID for one in found), found
    assert sorted(claims(result)) == sorted(one.claim.digest for one in found)


def test_a_search_certifies_at_the_radius_it_found(tmp_path: Path) -> None:
    tiny, out = Tiny(tmp_path), tmp_path / "run"
    result = tiny.run("--search", "--certificates", "--out", out)
    files = written(out)
    for row in result["samples"]:
        name = f"sample-{row['index']:05d}"
        assert (name in files) == (row["radius"] > 0)
        if row["radius"] > 0:
            assert check(files[name]).verdict is Verdict.VALID


def test_ragged_sequences_are_certified_at_their_own_lengths(tmp_path: Path) -> None:
    tiny, out = Tiny(tmp_path), tmp_path / "run"
    x = values()
    tiny.data(x=x, lengths=np.arange(len(x)) % x.shape[1] + 1)
    tiny.run("--radius", "0.001", "--certificates", "--out", out)
    assert all(check(path).verdict is Verdict.VALID for path in written(out).values())


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    """The second part's results are lost: its certificates are written again, byte by byte the same."""
    tiny, out = Tiny(tmp_path), tmp_path / "run"
    options = ("--radius", "0.001", "--batch-size", "2", "--certificates", "--out", out)
    first = tiny.run(*options)
    before = {name: path.read_bytes() for name, path in written(out).items()}
    (out / "results" / "part-00001.parquet").unlink()
    some = next(name for name in before if name in ("sample-00002", "sample-00003"))
    (out / "certificates" / f"{some}.safetensors").unlink()
    second = tiny.run(*options, "--resume")
    assert {name: path.read_bytes() for name, path in written(out).items()} == before
    assert claims(second) == claims(first)


def test_it_needs_a_folder_and_is_part_of_the_request(tmp_path: Path) -> None:
    tiny, out = Tiny(tmp_path), tmp_path / "run"
    without = refcert(*tiny.command(*AT, "--certificates"))
    assert (without.code, without.out) == (2, "")
    assert "--out" in without.err
    tiny.run(*AT, "--out", out)
    assert not (out / "certificates").exists()
    other = refcert(*tiny.command(*AT, "--certificates", "--resume", "--out", out))
    assert other.code == 2
    assert "certificates" in other.err


def test_what_is_not_proved_has_no_certificate(tmp_path: Path) -> None:
    tiny, out = Tiny(tmp_path), tmp_path / "run"
    result = tiny.run("--radius", "50", "--certificates", "--out", out)
    assert not written(out)
    assert result["certificates"] == 0
    assert claims(result) == []
    none = refcert("check", out)
    assert none.code == 2

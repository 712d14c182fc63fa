"""Which files `refcert check` takes, what it refuses, and what it keeps in a run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path

import pytest

from refcert.app.certificates import checking
from refcert.app.certificates.checking import CheckOptions, check_certificates
from refcert.app.certificates.files import find_files
from refcert.app.errors import InputError
from refcert.app.progress import Progress
from refcert.kernel.check import check
from tests.app.commands import Result, refcert
from tests.app.made_certificates import InThisProcess, draft, holey, invalid, truncated, write

FILE_IN = "clipped, backward, targeted, in a file"


def run(*arguments: object) -> Result:
    return refcert("check", "--workers", 1, *arguments)


def verdicts(result: Result) -> dict[str, str]:
    files = json.loads(result.out)["files"]
    return {Path(file["path"]).name: file["verdict"] for file in files}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "Workers", InThisProcess)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with two certificates and their network's file."""
    path = tmp_path / "run"
    write(path / "certificates", "0", draft(FILE_IN))
    write(path / "certificates", "1", invalid())
    (path / "request.json").write_text("{}")
    return path


def network_in(folder: Path) -> Path:
    (path,) = [path for path in folder.glob("*.safetensors") if "network" in path.name]
    return path


# Files and folders


def test_networks_in_a_folder_are_passed_over(folder: Path) -> None:
    (folder / "certificates" / "notes.txt").write_text("of somebody")
    found = run(folder / "certificates", "--json")
    assert verdicts(found) == {"0.safetensors": "VALID", "1.safetensors": "INVALID"}


def test_a_broken_network_in_a_folder_is_not(folder: Path) -> None:
    """It cannot be told from a broken certificate, and the certificates that need it cannot be read."""
    name = truncated(network_in(folder / "certificates")).name
    found = verdicts(run(folder / "certificates", "--json"))
    assert found == {"0.safetensors": "UNREADABLE", name: "UNREADABLE", "1.safetensors": "INVALID"}


def test_a_network_that_is_named_is_no_certificate(folder: Path) -> None:
    result = run(network_in(folder / "certificates"))
    assert result.code == 2
    assert "is a network, not a certificate" in result.out


def test_a_folder_of_networks_alone_is_not_all_valid(folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    network_in(folder / "certificates").rename(alone / "n.safetensors")
    result = run(alone, write(tmp_path, "valid", draft()), "--json")
    assert result.code == 2
    assert verdicts(result) == {"alone": "UNREADABLE", "valid.safetensors": "VALID"}


def test_each_file_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "valid", draft())
    monkeypatch.chdir(tmp_path)
    assert len(find_files([path, tmp_path, Path("valid.safetensors"), path])) == 1


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = write(tmp_path / "there", "valid", draft())
    (tmp_path / "link.safetensors").symlink_to(path)
    result = run(tmp_path / "link.safetensors", "--json")
    assert result.code == 2
    assert "links are not followed" in json.loads(result.out)["files"][0]["reason"]


def test_a_pipe_does_not_hold_it_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    result = run(tmp_path)
    assert result.code == 2
    assert "no regular file" in result.out


def test_a_missing_network_is_said(folder: Path) -> None:
    network = network_in(folder / "certificates")
    network.unlink()
    result = run(folder / "certificates" / "0.safetensors", "--json")
    assert result.code == 2
    reason = json.loads(result.out)["files"][0]["reason"]
    assert (
        reason == f"there is no {network.name} beside it, which holds its network; put that file into the same folder"
    )


def test_folders_are_no_files(folder: Path) -> None:
    """Neither as a certificate nor as its network."""
    (folder / "certificates" / "2.safetensors").mkdir()
    network = network_in(folder / "certificates")
    network.unlink()
    network.mkdir()
    found = verdicts(run(folder, "--json"))
    assert found.pop("1.safetensors") == "INVALID"
    assert set(found) == {"0.safetensors", "2.safetensors", network.name}
    assert set(found.values()) == {"UNREADABLE"}


# Bad input: nothing is printed but the message


def refused(*arguments: object) -> str:
    result = run(*arguments, "--json")
    assert result.code == 2
    return result.message


def test_nothing_to_check(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "absent.safetensors")
    assert "there are no certificates" in refused(tmp_path)
    (tmp_path / "request.json").write_text("{}")
    for make in (lambda: None, (tmp_path / "certificates").mkdir):
        make()
        message = refused(tmp_path)
        assert "keeps no certificates" in message
        assert "--certificates" in message
    assert "Missing argument" in refused()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--network", "abc"), ("'abc'", "64 hexadecimal digits")),
        (("--seconds", "0"), ("'0'", "give seconds")),
        (("--seconds", "nan"), ("nan", "give seconds")),
        (("--seconds", "soon"), ("'soon'", "not a number")),
        (("--memory", "much"), ("'much'", "500MB")),
        (("--memory", "1MB"), ("1000000 bytes", "give more")),
        (("--workers", "0"), ("0 is too small",)),
    ],
)
def test_bad_options(tmp_path: Path, options: tuple[str, str], words: tuple[str, ...]) -> None:
    message = " ".join(refused(write(tmp_path, "valid", draft()), *options).replace("│", " ").split())
    for word in words:
        assert word in message


# A run keeps the verdicts


def kept(folder: Path) -> dict:
    stored = json.loads((folder / "certificates" / "verdicts.json").read_text())
    assert stored.pop("format") == 1
    assert set(stored) == {"files"}
    return stored["files"]


def test_a_run_keeps_its_verdicts(folder: Path) -> None:
    result = run(folder, "--json")
    assert result.code == 1
    path = folder / "certificates" / "0.safetensors"
    assert json.loads(result.out)["verdicts"] == [str(folder / "certificates" / "verdicts.json")]
    found = kept(folder)
    assert list(found) == ["0.safetensors", "1.safetensors"]
    claim = check(path).claim
    assert found["0.safetensors"] == {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "verdict": "VALID",
        "claim": claim.digest,
        "margin": claim.margin,
        "kernel": version("refcert"),
    }
    assert found["1.safetensors"]["verdict"] == "INVALID"
    assert not list(folder.rglob("*.partial"))


def test_nothing_is_written_elsewhere(folder: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    run(folder / "certificates")
    run(folder / "certificates" / "0.safetensors")
    assert sorted(tmp_path.rglob("*")) == before


def test_verdicts_of_a_file_that_has_changed_are_replaced(folder: Path) -> None:
    run(folder)
    (folder / "certificates" / "1.safetensors").unlink()
    path = write(folder / "certificates", "0", holey())
    write(folder / "certificates", "2", draft())
    assert run(folder).code == 3
    found = kept(folder)
    assert {name: entry["verdict"] for name, entry in found.items()} == {
        "0.safetensors": "HOLEY",
        "2.safetensors": "VALID",
    }
    assert found["0.safetensors"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "old", ["", "[]", '{"format": 0, "files": {"0.safetensors": {}}}', '{"format": 1, "files": 3}']
)
def test_a_damaged_file_of_verdicts_is_replaced(folder: Path, old: str) -> None:
    (folder / "certificates" / "verdicts.json").write_text(old)
    assert run(folder).code == 1
    assert set(kept(folder)) == {"0.safetensors", "1.safetensors"}


def test_another_network_is_no_verdict(folder: Path) -> None:
    digest = check(folder / "certificates" / "0.safetensors").claim.network
    assert run(folder, "--network", digest).code == 2
    assert set(kept(folder)) == {"0.safetensors"}
    assert kept(folder)["0.safetensors"]["verdict"] == "VALID"


class _Stopped(BaseException):
    pass


class _StopsAfter(Progress):
    """Ctrl-C, as soon as so many files are finished."""

    def __init__(self, count: int) -> None:
        super().__init__(None)
        self.left = count

    def task(self, *_: object, **__: object):  # type: ignore[no-untyped-def,override]
        def tick(_: int) -> None:
            self.left -= 1
            if not self.left:
                raise _Stopped

        return contextlib.nullcontext(tick)


def test_what_is_finished_is_kept_when_it_is_interrupted(folder: Path) -> None:
    write(folder / "certificates", "2", draft())
    run(folder)
    path = write(folder / "certificates", "0", holey())
    with pytest.raises(_Stopped):
        check_certificates([folder], CheckOptions(workers=1), _StopsAfter(2))  # the network, and the first certificate
    found = kept(folder)
    assert {name: entry["verdict"] for name, entry in found.items()} == {
        "0.safetensors": "HOLEY",
        "1.safetensors": "INVALID",
        "2.safetensors": "VALID",
    }
    assert found["0.safetensors"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_results_are_printed_where_the_verdicts_cannot_be_kept(folder: Path) -> None:
    (folder / "certificates" / "verdicts.json.partial").mkdir()  # as a disk that takes nothing
    result = run(folder, "--json")
    assert result.code == 4
    assert verdicts(result) == {"0.safetensors": "VALID", "1.safetensors": "INVALID"}
    assert "verdicts.json" in result.err


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match="cannot be listed"):
        find_files([tmp_path])


def test_verdicts_that_cannot_be_read_are_made_anew(tmp_path: Path) -> None:
    """A file of brackets, which no reader of JSON can hold, in the place of a run's verdicts."""
    folder = tmp_path / "certificates"
    (tmp_path / "request.json").write_text("{}")
    path = write(folder, "sample-00000", draft())
    (folder / "verdicts.json").write_text("[" * 100_000)
    assert refcert("check", tmp_path, "--workers", 1).code == 0
    stored = json.loads((folder / "verdicts.json").read_text())
    assert stored["files"][path.name]["verdict"] == "VALID"

"""The report's certificates: VALID only where file, verdict, claim and network fit together; everything else says what
it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refcert.app.certificates import checking
from refcert.app.report.certificate_standing import MEANINGS, Standing
from refcert.app.report.certificates import SHOWN, question_names
from refcert.app.runs import open_run
from refcert.kernel.container import parse_container
from tests.app.commands import refcert
from tests.app.made_certificates import InThisProcess, invalid
from tests.app.page_reader import Page, page_of
from tests.app.tiny import TIME, values
from tests.app.tiny_runs import Tiny

ASKED = ("--radius", "0.001", "--certificates")
LENGTHS = np.array([3, 1, 2, 3])
SHA = "sha256"
VERDICTS = Path("certificates") / "verdicts.json"

Plant = Callable[[Path], None]


def made(folder: Path, *options: object, lengths: np.ndarray | None = None) -> Path:
    """A small run with certificates that the kernel has checked."""
    tiny = Tiny(folder)
    if lengths is not None:
        tiny.data(x=values(), lengths=lengths)
    tiny.run(*options, "--out", folder / "run")
    with mock.patch.object(checking, "Workers", InThisProcess):
        assert refcert("check", folder / "run").code == 0
    return folder / "run"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four samples, all certified, all VALID."""
    return made(tmp_path_factory.mktemp("honest"), *ASKED)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One question for each of three frames."""
    return made(tmp_path_factory.mktemp("frames"), *ASKED, "--frames", "each")


@pytest.fixture
def run(honest: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(honest, tmp_path / "run"))


def certificate(run: Path, name: str = "sample-00000") -> Path:
    return run / "certificates" / f"{name}.safetensors"


def change_verdicts(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    stored = json.loads((run / VERDICTS).read_text())
    change(stored["files"])
    (run / VERDICTS).write_text(json.dumps(stored))


def verdict(run: Path, name: str = "sample-00000", **changed: Any) -> None:
    """Change what verdicts.json says of one certificate."""
    change_verdicts(run, lambda files: files[f"{name}.safetensors"].update(changed))


def rewrite(run: Path, change: Callable[[list[dict[str, Any]]], object], folder: str = "results") -> None:
    """Change the results."""
    path = run / folder / "part-00000.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    kept = pa.schema([field for field in table.schema if field.name in rows[0]], metadata=table.schema.metadata)
    pq.write_table(pa.Table.from_pylist(rows, schema=kept), path)


def standings(page: Page) -> list[str]:
    """The column of certificates."""
    heads = next(row["cells"] for row in page.rows if row["table"])
    return [row["cells"][heads.index("Certificate")].strip() for row in page.samples]


def tile(page: Page) -> str:
    return " ".join(page.ids["certificates-tile"]["class"].split()[1:])


# What is proved


def test_certified_results_that_are_proved(honest: Path) -> None:
    page, rows = page_of(honest), open_run(honest).samples()
    assert standings(page) == ["VALID"] * len(rows)
    assert tile(page) == "proved"
    assert page.values["kernel-proved"] == [len(rows)]
    assert "4 of 4 certified results are proved by the kernel: VALID." in page.said
    assert page.inner["certificates-network"] == json.loads((honest / "request.json").read_text())["model"]["digest"]
    assert " ".join(page.inner["check-command"].split()) == (
        f"refcert check run --network {page.inner['certificates-network']}"
    )
    for trusted in ("Python", "python-flint with FLINT", "refcert/kernel", "nothing of the engine"):
        assert trusted in page.inner["certificates"]
    assert "Certificates that are not VALID" not in page.said
    assert "No independent checker" not in page.said
    assert page.inner["command"].endswith("--certificates")
    for name in ("sample-*.safetensors", "network.safetensors", "verdicts.json"):
        assert f"certificates/{name}" in page.said
    with mock.patch.object(checking, "Workers", InThisProcess):
        checked = refcert("check", honest, "--json").json
    assert {one["claim"] for one in checked["files"]} == {row["claims"][0] for row in rows}


def test_the_page_is_made_from_the_folder_alone(honest: Path, tmp_path: Path) -> None:
    """Wherever it lies, and without the model and the data."""
    elsewhere = Path(shutil.copytree(honest, tmp_path / "run"))
    assert page_of(elsewhere).said == page_of(honest).said
    assert str(tmp_path) not in page_of(elsewhere).said


def test_a_run_without_certificates_says_only_how_to_get_them(tmp_path: Path) -> None:
    Tiny(tmp_path).run("--radius", "0.001", "--out", tmp_path / "run")
    page = page_of(tmp_path / "run")
    assert {"certificates", "certificates-tile"} & set(page.ids) == set()
    assert "VALID" not in page.said
    assert page.said.count("--certificates") == 1
    assert "certify with --certificates, then refcert check does it" in page.said


def test_certificates_that_no_result_asked_for_count_nothing(run: Path) -> None:
    """As if the folder had been put into a run that made none."""
    request = json.loads((run / "request.json").read_text())
    del request["certificates"]
    (run / "request.json").write_text(json.dumps(request))
    rewrite(run, lambda rows: [row.pop("claims") for row in rows])
    assert "certificates-tile" not in page_of(run).ids


def test_nothing_proved(tmp_path: Path) -> None:
    Tiny(tmp_path).run("--radius", "50", "--certificates", "--out", tmp_path / "run")
    page = page_of(tmp_path / "run")
    assert standings(page) == ["\N{EN DASH}"] * 4
    assert tile(page) == "computed"
    assert "No result is certified, so there is nothing that the kernel could prove." in page.said
    assert "Certificates that are not VALID" not in page.said
    assert "replayed" not in page.inner["trust"]


def test_a_run_that_was_not_checked(run: Path) -> None:
    (run / VERDICTS).unlink()
    page = page_of(run)
    assert standings(page) == ["not checked"] * 4
    assert tile(page) == "undecided"
    assert page.values["kernel-proved"] == [0]
    assert "refcert check run" in page.inner["certificates-tile"]
    assert "0 of 4 certified results are proved by the kernel; 4 not checked." in page.said
    assert "Certificates that are not VALID" not in page.said  # no list of a thousand faults that are none
    assert "for 0 of the 4 certified results" in page.inner["trust"]


# One certificate with a fault


def append(run: Path) -> None:
    with certificate(run).open("ab") as file:
        file.write(b" ")


def flip(run: Path) -> None:
    content = bytearray(certificate(run).read_bytes())
    content[-1] ^= 1
    certificate(run).write_bytes(content)


def of_sample_1(run: Path) -> None:
    """Another certificate that is VALID, with its verdict, under this one's name."""
    shutil.copy(certificate(run, "sample-00001"), certificate(run))
    change_verdicts(run, lambda files: files.update({"sample-00000.safetensors": files["sample-00001.safetensors"]}))


def of_sample_1_called_ours(run: Path) -> None:
    """And the verdict says that it was about our claim."""
    claim = json.loads((run / VERDICTS).read_text())["files"]["sample-00000.safetensors"]["claim"]
    of_sample_1(run)
    verdict(run, claim=claim)


def junk(run: Path) -> None:
    """No certificate, and a verdict that calls it VALID."""
    certificate(run).write_bytes(b"\xff" * 100)
    verdict(run, sha256=hashlib.sha256(b"\xff" * 100).hexdigest())


def empty_header(run: Path) -> None:
    content = (2).to_bytes(8, "little") + b"{}"
    certificate(run).write_bytes(content)
    verdict(run, sha256=hashlib.sha256(content).hexdigest())


def no_claim(run: Path) -> None:
    rewrite(run, lambda rows: rows[0].update(claims=[None]))


def link(run: Path) -> None:
    certificate(run).rename(run / "moved")
    certificate(run).symlink_to(run / "moved")


def pipe(run: Path) -> None:
    certificate(run).unlink()
    os.mkfifo(certificate(run))


def folder(run: Path) -> None:
    certificate(run).unlink()
    certificate(run).mkdir()


def change(**said: Any) -> Plant:
    return lambda run: verdict(run, **said)


FAULTS: dict[str, tuple[Standing, Plant]] = {
    "INVALID": (Standing.INVALID, change(verdict="INVALID")),
    "INVALID, and no file was read": (Standing.INVALID, change(verdict="INVALID", sha256=None)),
    "HOLEY": (Standing.HOLEY, change(verdict="HOLEY")),
    "HOLEY, its process died": (Standing.HOLEY, change(verdict="HOLEY", sha256=None, claim=None)),
    "it could not be read": (Standing.UNREADABLE, change(verdict="UNREADABLE", claim=None)),
    "a byte behind it": (Standing.CHANGED, append),
    "its last byte": (Standing.CHANGED, flip),
    "it is gone": (Standing.MISSING, lambda run: certificate(run).unlink()),
    "a link to itself": (Standing.UNREADABLE, link),
    "a pipe": (Standing.UNREADABLE, pipe),
    "a folder": (Standing.UNREADABLE, folder),
    "no verdict": (Standing.UNCHECKED, lambda run: change_verdicts(run, lambda f: f.pop("sample-00000.safetensors"))),
    "VALID of another claim": (Standing.OTHER, change(claim="0" * 64)),
    "another VALID certificate": (Standing.OTHER, of_sample_1),
    "another one, called ours": (Standing.OTHER, of_sample_1_called_ours),
    "junk called VALID": (Standing.OTHER, junk),
    "an empty header called VALID": (Standing.OTHER, empty_header),
    "VALID without SHA-256": (Standing.DAMAGED, change(sha256=None)),
    "VALID without claim": (Standing.DAMAGED, change(claim=None)),
    "VALID by nobody": (Standing.DAMAGED, change(kernel=None)),
    "valid": (Standing.DAMAGED, change(verdict="valid")),
    "a verdict that is none": (Standing.DAMAGED, change(verdict="OTHER NETWORK")),
    "a number": (Standing.DAMAGED, change(verdict=1)),
    "a list of digests": (Standing.DAMAGED, change(sha256=["0" * 64])),
    "no claim in the results": (Standing.NONE, no_claim),
    "two claims": (
        Standing.DAMAGED,
        lambda run: rewrite(run, lambda rows: rows[0].update(claims=2 * rows[0]["claims"])),
    ),
    "null claims": (Standing.DAMAGED, lambda run: rewrite(run, lambda rows: rows[0].update(claims=None))),
    "no claims": (Standing.DAMAGED, lambda run: rewrite(run, lambda rows: rows[0].update(claims=[]))),
    "another claim": (Standing.OTHER, lambda run: rewrite(run, lambda rows: rows[0].update(claims=rows[1]["claims"]))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_and_nothing_else_changes(run: Path, fault: str) -> None:
    standing, plant = FAULTS[fault]
    plant(run)
    page = page_of(run)
    assert standings(page) == [standing, "VALID", "VALID", "VALID"]
    assert page.values["kernel-proved"] == [3]
    assert "4 of 4 certified results" not in page.said
    assert "replayed these steps for 3 of the 4 certified results" in page.inner["trust"]
    assert tile(page) == ("refuted" if standing is Standing.INVALID else "undecided")
    assert f"{standing} 1 {MEANINGS[standing]}" in page.said
    if standing is not Standing.UNCHECKED:
        assert f"{standing} sample-00000" in page.said
    assert ("not supported" in page.said) == (standing is Standing.INVALID)


def test_every_standing_is_tested() -> None:
    assert {standing for standing, _ in FAULTS.values()} == set(Standing) - {Standing.VALID}
    assert set(MEANINGS) == set(Standing)


def test_an_invalid_certificate_is_as_visible_as_a_refuted_plane(run: Path) -> None:
    """One that the kernel rejects."""
    made = invalid()
    made.vector("sample-00000", "").write(run / "certificates")
    with mock.patch.object(checking, "Workers", InThisProcess):
        assert refcert("check", run).code == 1
    page = page_of(run)
    assert tile(page) == "refuted"
    assert [row["class"] for row in page.samples] == ["not-supported", "certified", "certified", "certified"]
    assert ("p", {"class": "banner bad"}) in page.tags
    assert "Certified results with an INVALID certificate: 1 of 4" in page.said
    assert "but its certificate is INVALID" in page.said
    assert ("li", {"class": "exhibit refuted"}) in page.tags
    assert "refcert check run/certificates/sample-00000.safetensors" in page.said


def test_certificates_of_another_network(run: Path) -> None:
    """The results name the claims, the verdicts are on them, but the run says that its model is another one."""
    request = json.loads((run / "request.json").read_text())
    request["model"]["digest"] = "0" * 64
    (run / "request.json").write_text(json.dumps(request))
    page = page_of(run)
    assert standings(page) == [Standing.OTHER] * 4
    assert "about the network" in page.said
    assert page.values["kernel-proved"] == [0]


def test_results_without_any_claim(run: Path) -> None:
    """Of a run that was to write certificates."""
    rewrite(run, lambda rows: [row.update(claims=None) for row in rows])
    page = page_of(run)
    assert standings(page) == ["damaged"] * 4
    assert "the results name no claims for 1 question" in page.said


def test_only_the_first_are_shown(tmp_path: Path) -> None:
    count = SHOWN + 2
    tiny = Tiny(tmp_path)
    tiny.data(x=np.tile(values(), (count // 2, 1, 1))[:count])
    tiny.run(*ASKED, "--out", tmp_path / "run")
    for path in (tmp_path / "run" / "certificates").glob("sample-*"):
        path.unlink()
    page = page_of(tmp_path / "run")
    assert page.said.count("file missing sample-") == SHOWN
    assert f"The first {SHOWN} of {count}" in page.said


# verdicts.json and the folder


def entries(run: Path) -> str:
    return (run / VERDICTS).read_text()


def write_verdicts(content: Callable[[Path], str | bytes]) -> Plant:
    def plant(run: Path) -> None:
        made = content(run)
        (run / VERDICTS).write_bytes(made if isinstance(made, bytes) else made.encode())

    return plant


def instead(make: Callable[[Path], object]) -> Plant:
    def plant(run: Path) -> None:
        (run / VERDICTS).unlink()
        make(run / VERDICTS)

    return plant


DAMAGED: dict[str, Plant] = {
    "empty": write_verdicts(lambda _: ""),
    "cut": write_verdicts(lambda run: entries(run)[:-10]),
    "no UTF-8": write_verdicts(lambda run: entries(run).encode() + b"\xff"),
    "a list": write_verdicts(lambda run: f"[{entries(run)}]"),
    "nested": write_verdicts(lambda _: "[" * 100_000),
    "another format": write_verdicts(lambda run: entries(run).replace('"format": 1', '"format": 2')),
    "no files": write_verdicts(lambda _: '{"format": 1}'),
    "a list of files": write_verdicts(lambda _: '{"format": 1, "files": ["sample-00000.safetensors"]}'),
    "a file twice": write_verdicts(lambda run: entries(run).replace("sample-00001", "sample-00000")),
    "a folder": instead(lambda path: path.mkdir()),
    "a pipe": instead(os.mkfifo),
    "a link to nothing": instead(lambda path: path.symlink_to("nothing")),
    "a link to itself": instead(lambda path: path.symlink_to(path)),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_verdicts_are_none(run: Path, damage: str) -> None:
    DAMAGED[damage](run)
    page = page_of(run)
    assert standings(page) == ["not checked"] * 4
    assert tile(page) == "undecided"
    assert "no verdict in it counts" in page.inner["certificates"]
    assert str(run) not in page.said


def test_a_link_to_verdicts_is_followed_as_check_does(run: Path) -> None:
    (run / VERDICTS).rename(run / "verdicts")
    (run / VERDICTS).symlink_to(run / "verdicts")
    assert standings(page_of(run)) == ["VALID"] * 4


def test_verdicts_and_files_of_no_result(run: Path) -> None:
    """They are said and count nothing, INVALID or not."""
    other = {SHA: "0" * 64, "verdict": "INVALID", "claim": "0" * 64, "margin": 1.0, "kernel": "0"}
    change_verdicts(run, lambda files: files.update({"sample-99999.safetensors": other, "<b>x</b>": other}))
    shutil.copy(certificate(run), certificate(run, "sample-00007"))
    page = page_of(run)
    assert tile(page) == "proved"
    assert standings(page) == ["VALID"] * 4
    assert "verdicts.json has verdicts on files that no finished result names: 2." in page.said
    assert "certificates/ has certificates that no finished result names: 1." in page.said


def test_the_folder_is_gone(run: Path) -> None:
    shutil.rmtree(run / "certificates")
    page = page_of(run)
    assert standings(page) == ["file missing"] * 4
    assert "the folder certificates/ cannot be listed" in page.inner["certificates"]


def test_verdicts_cannot_break_out_of_the_page(run: Path) -> None:
    hostile = "<script>alert(1)</script>"
    verdict(run, kernel=hostile)
    change_verdicts(run, lambda files: files.update({hostile: {}}))
    page = page_of(run)
    assert "script" not in {tag for tag, _ in page.tags}
    assert f"refcert {hostile}" in page.said or hostile in page.inner["certificates"]


# Several questions for one sample


@pytest.mark.parametrize(
    "options",
    [
        (*ASKED,),
        (*ASKED, "--frames", "each"),
        (*ASKED, "--frames", "each", "--target", "1"),
        (*ASKED, "--frames", "0,2"),
        (*ASKED, "--frames", "2"),
        (*ASKED, "--target", "all"),
        (*ASKED, "--target", "01"),
        ("--radius", "0.1", "--certificates", "--frames", "each"),
        ("--radius-db", "-40", "--certificates"),
        ("--search", "--tolerance", "0.5", "--certificates", "--frames", "each"),
        ("--search", "--tolerance", "0.5", "--certificates", "--target", "all"),
        ("--search", "--tolerance", "0.5", "--certificates", "--target", "0"),
    ],
    ids=" ".join,
)
def test_every_claim_is_looked_for_in_the_file_that_has_it(tmp_path: Path, options: tuple[str, ...]) -> None:
    tiny = Tiny(tmp_path)
    tiny.data(x=values(), lengths=LENGTHS)
    tiny.run(*options, "--out", tmp_path / "run")
    run = open_run(tmp_path / "run")
    named = {
        name: claim
        for row in run.samples()
        for name, claim in zip(question_names(row, run.request["request"]), row["claims"], strict=True)
        if claim is not None
    }
    found = {
        path.stem: parse_container(path.read_bytes()).body["claim"]
        for path in (run.path / "certificates").glob("sample-*")
    }
    assert named == found
    assert named


def test_a_result_rests_on_all_of_its_questions(frames: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(frames, tmp_path / "run"))
    assert standings(page_of(run)) == [f"all {TIME} VALID"] * 4
    (run / VERDICTS).rename(run / "kept")
    assert standings(page_of(run)) == [f"all {TIME} not checked"] * 4
    (run / "kept").rename(run / VERDICTS)
    certificate(run, "sample-00001-frame-002").unlink()
    verdict(run, "sample-00002-frame-000", verdict="INVALID")
    certificate(run, "sample-00002-frame-001").unlink()
    page = page_of(run)
    assert standings(page) == [
        "all 3 VALID",
        "2 of 3 VALID, 1 file missing",
        "1 of 3 VALID, 1 INVALID, 1 file missing",
        "all 3 VALID",
    ]
    assert page.values["kernel-proved"] == [2]
    assert page.said.index("INVALID sample-00002") < page.said.index("file missing sample-00001")
    assert "2 of 4 certified results are proved by the kernel; 1 INVALID, 1 file missing." in page.said


def test_questions_of_samples_that_are_not_certified(tmp_path: Path) -> None:
    """Their certificates are shown, but only certified results are counted."""
    run = made(tmp_path, "--radius", "0.3", "--certificates", "--frames", "each")
    rows = open_run(run).samples()
    some = [row for row in rows if not row["certified"] and any(row["claims"])]
    assert some
    proved = sum(row["certified"] for row in rows)
    page = page_of(run)
    for row in some:
        number = sum(claim is not None for claim in row["claims"])
        assert standings(page)[row["index"]] == f"{number} of {TIME} VALID"
    assert page.values.get("kernel-proved", [0]) == [proved]
    first = some[0]
    frame = next(frame for frame, claim in enumerate(first["claims"]) if claim is not None)
    verdict(run, f"sample-{first['index']:05d}-frame-{frame:03d}", verdict="INVALID")
    page = page_of(run)
    assert tile(page) == "refuted"
    assert "1 INVALID" in standings(page)[first["index"]]
    assert "Of the samples that are not certified, single questions have INVALID certificates: 1." in page.said
    assert page.values.get("kernel-proved", [0]) == [proved]


def test_a_sample_without_a_question_has_no_certificate(tmp_path: Path) -> None:
    run = made(tmp_path, *ASKED, "--frames", "2", lengths=LENGTHS)
    expected = ["VALID" if length > 2 else "\N{EN DASH}" for length in LENGTHS]
    assert standings(page_of(run)) == expected


def test_the_frame_by_frame_run_has_its_own(honest: Path, frames: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(honest, tmp_path / "run"))
    inside = Path(shutil.copytree(frames, run / "frames"))
    page = page_of(run)
    assert page.inner["certificates"].count("4 of 4 certified results are proved by the kernel: VALID.") == 2
    assert page.inner["frames-command"].endswith("--certificates")
    verdict(inside, "sample-00003-frame-001", verdict="INVALID")
    page = page_of(run)
    assert "Certified results of the frame-by-frame run with an INVALID certificate: 1 of 4" in page.said
    assert ("p", {"class": "banner bad"}) in page.tags
    assert "refcert check run/frames/certificates/sample-00003-frame-001.safetensors" in page.said


def test_a_run_whose_frame_by_frame_run_alone_has_certificates(frames: Path, tmp_path: Path) -> None:
    Tiny(tmp_path).run("--radius", "0.001", "--out", tmp_path / "run")
    shutil.copytree(frames, tmp_path / "run" / "frames")
    page = page_of(tmp_path / "run")
    assert "certificates-tile" not in page.ids
    assert "4 of 4 certified results are proved by the kernel: VALID." in page.inner["certificates"]
    assert "refcert check run/frames --network" in " ".join(page.inner["check-command"].split())


# The whole table and a browser


def test_an_unfinished_run_counts_its_finished_part(tmp_path: Path) -> None:
    run = made(tmp_path, *ASKED, "--batch-size", "2")
    (run / "results" / "part-00001.parquet").unlink()
    page = page_of(run)
    assert standings(page) == ["VALID", "VALID"]
    assert "2 of 2 certified results are proved by the kernel: VALID." in page.said
    assert "certificates that no finished result names: 2." in page.said


def test_an_invalid_certificate_in_a_browser(run: Path, chromium: Callable[..., str], tmp_path: Path) -> None:
    from PIL import Image

    from refcert.app.report import write_report

    verdict(run, verdict="INVALID")
    picture = tmp_path / "page.png"
    dom = chromium(write_report(run, None), tmp_path / "profile", "--dump-dom", f"--screenshot={picture}")
    assert standings(Page(dom)) == ["INVALID", "VALID", "VALID", "VALID"]
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    # The red of the tile and the banner: a good part of the page.
    assert (pixels == np.frombuffer(bytes.fromhex("fdeaec"), dtype=np.uint8)).all(1).mean() > 0.01

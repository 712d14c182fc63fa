"""What `refcert audit` says: exit codes, JSON, tables, JUnit XML, pages, and counter-examples that one can run."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcert.app.audit_report import AuditedTable, AuditReport
from refcert.app.errors import ExitCode
from refcert.app.junit import junit_xml
from refcert.audit import examine as examining
from refcert.audit.plane_table import PlaneTable
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import Status
from tests.app.audit_files import SOUND, UNSOUND, audit, columns, module, save
from tests.app.commands import refcert


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "planes.npz", [SOUND, UNSOUND, SOUND, 0.5], kind="sigmoid_times_tanh", layer=np.array([0, 0, 1, 1]))
    return tmp_path


PROVED = Judgement(Status.PROVED, "", 128)
REFUTED = Judgement(Status.REFUTED, "a point", 128, (0.5, 0.25), 1e-3)
UNDECIDED = Judgement(Status.UNDECIDED, "precision ran out", 8192)


def report(*judgements, name="some", unasked=0, **origin):
    table = PlaneTable(columns([SOUND] * len(judgements)), {k: np.array(v) for k, v in origin.items()})
    return AuditReport(name, "directory", (AuditedTable(name, table, judgements, None, unasked),), (), 1.0, 2)


# Exit codes and JSON


def test_exit_codes_say_the_worst(monkeypatch):
    assert audit("planes.npz").code == ExitCode.REFUTED
    save_sound = {"offset": np.array([1.0, 1.0])}
    np.savez("sound.npz", **columns([SOUND] * 2) | save_sound)
    assert audit("sound.npz").code == ExitCode.OK
    monkeypatch.setattr(examining, "judge", lambda claim: UNDECIDED)
    assert audit("sound.npz", "--falsify", "none").code == ExitCode.UNDECIDED
    monkeypatch.setattr(examining, "judge", lambda claim: PROVED if claim.offset == SOUND else REFUTED)
    assert audit("planes.npz", "--examples", 0).code == ExitCode.REFUTED


def test_every_key_of_the_json_is_in_its_page(request):
    page = (request.config.rootpath / "docs" / "json.md").read_text()
    page = page.partition("## `refcert audit`")[2].partition("\n## ")[0]
    found = audit("planes.npz", "--tightness", "--cross-check", "--json").json
    for key in (*found, *found["planes"][1], *found["examples"][0], *found["tables"][0], *found["request"]):
        assert f"`{key}`" in page or f"{key}," in page or f"{key}}}" in page, key


def test_json_and_table_tell_the_same():
    found = audit("planes.npz", "--json").json
    assert found["summary"] == {"proved": 2, "refuted": 2, "undecided": 0}
    assert found["methods"] == {"candidates": 4}
    assert found["tables"] == [
        {"name": "planes.npz", "planes": 4, "proved": 2, "refuted": 2, "undecided": 0, "not_audited": 0}
    ]
    table = audit("planes.npz").out
    assert "2 proved, 2 refuted, 0 undecided" in table
    assert (
        f"plane 1 (planes.npz, row 1): sigmoid_times_tanh, upper: REFUTED at v = {found['planes'][1]['point']['v']!r}"
        in table
    )


def test_planes_that_are_not_proved_can_be_found_again(here):
    """Regression: without --out the JSON of a refuted plane of a function did not say which plane it was."""
    save(here / "d" / "a.npz", [SOUND, UNSOUND])
    save(here / "d" / "b.npz", [UNSOUND, SOUND, SOUND], kind="sigmoid_times_tanh")
    rows = audit("d", "--json", "--budget-planes", 4).json["planes"]
    assert [(row.get("table"), row.get("row")) for row in rows] == [
        *((None, None), ("a.npz", 1), ("b.npz", 0), (None, None), ("b.npz", 2)),
    ]
    asked = {name: column[0].item() for name, column in columns([UNSOUND], kind="sigmoid_times_tanh").items()}
    assert rows[2]["claim"] == asked
    assert rows[4] == {"verdict": "NOT AUDITED", "table": "b.npz", "row": 2, "claim": {**asked, "offset": SOUND}}


def test_the_worst_refuted_planes_are_shown_first(here):
    save(here / "many.npz", [0.9 - 0.02 * k for k in range(30)])
    shown = [line for line in audit("many.npz", "--examples", 0).out.splitlines() if line.startswith("plane ")]
    assert [line.partition(":")[0] for line in shown] == [f"plane {k} (many.npz, row {k})" for k in range(29, 9, -1)]
    assert not any("lies beyond" in line for line in shown)


def test_names_in_tables_are_whole_where_nobody_looks_at_a_screen():
    """Regression: a pipe got 80 columns, and names were cut."""
    save(Path("d", f"{'long' * 30}.npz"), [SOUND], kind="sigmoid_times_identity")
    save(Path("d", "short.npz"), [SOUND])
    table = audit("d").out
    assert "sigmoid_times_identity" in table
    assert "long" * 30 in table


def test_the_table_adds_up_and_the_folder_is_named_where_there_is_one():
    name = module(Path(), "table_of_a_test", "")
    options = ("--boxes", "random,point", "--kinds", "tanh,relu", "--count", 3, "--budget-planes", 4)
    for out, words in (
        ((), "NOT AUDITED: 20 of 24 planes, the budget ran out; give a larger one"),
        (("--out", "kept"), "the budget ran out; continue with --out kept --resume, or give a larger one"),
    ):
        shown = audit(name, *options, *out).out
        rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
        assert sum(int(number) for row in rows for number in row[3:]) == 24
        assert ["point", "(not asked for)", "", "0", "0", "0", "12"] in rows
        assert words in shown


def test_counter_examples_run_with_numpy_alone_and_the_worst_comes_first():
    found = audit("planes.npz", "--json", "--examples", 5).json["examples"]
    assert [example["plane"] for example in found] == [1, 3]
    assert found[0]["violation"] > found[1]["violation"]
    for example in found:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(example["snippet"], {})
        assert "excess" in shown.getvalue()
        with pytest.raises(AssertionError):  # the same of a plane that is sound
            exec(example["snippet"].replace(f"+ {example['claim']['offset']!r}", "+ 1.5"), {})
        claim = example["claim"]
        assert claim["lower_v"] <= example["point"]["v"] <= claim["upper_v"]
    table = audit("planes.npz", "--examples", 1).out
    assert table.count("as Python:") == 1
    assert found[0]["snippet"].strip() in table
    assert "as Python:" not in audit("planes.npz", "--examples", 0).out


def test_z_is_said_only_where_there_is_one(here):
    save(here / "tanh.npz", [UNSOUND])
    table = audit("tanh.npz", "--examples", 0).out
    assert "tanh, upper: REFUTED at v = " in table
    assert "z = " not in table


def test_tightness_is_summed_up():
    result = audit("planes.npz", "--tightness", "--json", "--examples", 0)
    found = result.json
    ratios = [row["volume_ratio"] for row in found["planes"]]
    assert [ratio is None for ratio in ratios] == [False, True, False, True]  # none of what is refuted
    known = [ratio for ratio in ratios if ratio is not None]
    assert found["tightness"]["count"] == 2
    assert found["tightness"]["least"] == min(known) >= 1
    assert found["tightness"]["median"] == pytest.approx(np.mean(known))
    assert "volume over least volume, 2 planes: least" in audit("planes.npz", "--tightness").out
    # Kept and read back.
    again = ("planes.npz", "--tightness", "--json", "--examples", 0, "--out", "kept")
    assert audit(*again).json["planes"] == audit(*again, "--resume").json["planes"] == found["planes"]


def test_the_second_method_agrees_and_is_said():
    found = audit("planes.npz", "--cross-check", "--json").json
    assert found["summary"] == {"proved": 2, "refuted": 2, "undecided": 0}
    table = audit("planes.npz", "--cross-check").out
    assert "decided: 4 by candidates (critical points)" in table
    assert "cross-check: 4 planes judged by both methods, no contradiction" in table
    assert found["cross_checked"] == 4
    assert "cross_checked" not in audit("planes.npz", "--json").json


def test_hunts_that_contradict_a_proof_are_faults_of_refcert(monkeypatch):
    """Only then: on sound planes the hunt finds nothing. A judge who calls all planes PROVED is found out."""
    np.savez("sound.npz", **columns([SOUND] * 2))
    assert audit("sound.npz", "--falsify", "all").code == ExitCode.OK
    monkeypatch.setattr(examining, "judge", lambda claim: PROVED)
    assert audit("planes.npz", "--falsify", "undecided").code == ExitCode.OK
    result = audit("planes.npz", "--falsify", "all")
    assert result.code == ExitCode.FAULT
    assert "is PROVED by candidates, but the hunt by " in result.message
    assert "found a point beyond it: v = " in result.message


def test_hunts_refute_what_the_judges_leave_open(monkeypatch):
    monkeypatch.setattr(examining, "judge", lambda claim: UNDECIDED)
    found = audit("planes.npz", "--json").json
    assert [row["verdict"] for row in found["planes"]] == ["UNDECIDED", "REFUTED", "UNDECIDED", "REFUTED"]
    assert found["planes"][1]["reason"].startswith("found by a hunt, ")
    assert found["planes"][1]["method"] == "hunt"
    assert found["planes"][1]["reason"].endswith("before that: precision ran out")
    assert found["examples"][0]["violation"] > 0
    assert [row["verdict"] for row in audit("planes.npz", "--json", "--falsify", "none").json["planes"]] == [
        "UNDECIDED"
    ] * 4


# What once ended an audit with exit code 70


def test_saturated_refuted_planes_cost_no_result(here):
    """Regression: one of them ended the whole audit, because its point could not be confirmed a second time."""
    table = columns([SOUND] * 5 + [-1.0] * 4) | {"side": np.array(["upper"] * 5 + ["lower", "upper", "upper", "upper"])}
    table["kind"] = np.array(["tanh"] * 7 + ["sigmoid_times_identity"] * 2)
    far = np.array([5000.0, -1e4, 1e20, 1.7e308])
    table["lower_v"], table["upper_v"] = (np.concatenate([table[name][:5], far]) for name in ("lower_v", "upper_v"))
    table["offset"] = np.array([SOUND] * 5 + [1.0, -1.0, 0.0, 0.0])
    table["slope_z"] = np.array([0.0] * 7 + [1.0] * 2)
    np.savez("saturated.npz", **table)
    result = audit("saturated.npz", "--json", "--examples", 4, "--junit", "s.xml", "--html", "s.html", "--out", "s")
    assert result.code == ExitCode.REFUTED
    assert [row["verdict"] for row in result.json["planes"]] == ["PROVED"] * 5 + ["REFUTED"] * 4
    assert len(result.json["examples"]) == 4
    for example in result.json["examples"]:
        exec(compile(example["snippet"], "snippet", "exec"), {"__name__": "snippet"})
    assert audit("saturated.npz", "--out", "s", "--resume").code == ExitCode.REFUTED


def test_numbers_of_a_z_that_does_not_matter_do_not_reach_the_json(here):
    table = columns([UNSOUND] * 3) | {"kind": np.array(["tanh", "sigmoid", "relu"])}
    table |= {"lower_z": np.full(3, np.nan), "upper_z": np.full(3, -np.inf), "slope_z": np.full(3, np.inf)}
    np.savez("nan.npz", **table)
    result = audit("nan.npz", "--json", "--out", "kept")
    assert result.code == ExitCode.REFUTED
    claims = [example["claim"] for example in strict_json(result.out)["examples"]]
    assert [[claim[name] for name in ("lower_z", "upper_z", "slope_z")] for claim in claims] == [[0.0] * 3] * 3
    strict_json((here / "kept" / "summary.json").read_text())


def test_a_ratio_that_float64_does_not_hold_is_null(here):
    table = columns([1e308, 1.0]) | {"lower_v": np.full(2, 1.0), "upper_v": np.full(2, 1.0 + 1e-9)}
    np.savez("thin.npz", **table)
    result = audit("thin.npz", "--tightness", "--json", "--out", "kept", "--html", "thin.html")
    assert result.code == ExitCode.OK
    found = strict_json(result.out)
    ratios = [row["volume_ratio"] for row in found["planes"]]
    assert ratios[0] is None
    assert found["tightness"]["count"] == 1
    assert found["tightness"]["largest"] == ratios[1]
    infinite = AuditedTable("old", PlaneTable(columns([SOUND] * 2)), (PROVED, PROVED), np.array([np.inf, 2.0]))
    old = AuditReport("old", "planes file", (infinite,), (), 0.0, 1)
    assert [row["volume_ratio"] for row in old.to_json()["planes"]] == [None, 2.0]
    assert old.tightness["largest"] == 2.0


def strict_json(text):
    """NaN and infinity are not JSON."""

    def refuse(name):
        raise AssertionError(f"{name} in JSON")

    return json.loads(text, parse_constant=refuse)


# JUnit XML


# Jenkins' schema (junit-10.xsd): what may stand where, and which attributes there are.
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testsuite", "testcase", "system-out", "system-err"},
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
    "failure": set(),
    "error": set(),
    "skipped": set(),
}
ATTRIBUTES = {
    "testsuites": ({"name"}, {"time", "tests", "failures", "errors", "skipped", "disabled"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"time", "skipped", "disabled", "timestamp", "hostname", "id"},
    ),
    "testcase": ({"name", "classname"}, {"time", "status", "assertions"}),
    "failure": (set(), {"type", "message"}),
    "error": (set(), {"type", "message"}),
    "skipped": (set(), {"type", "message"}),
}


def checked(text):
    """The root, after a look at every element, attribute and count."""
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        needed, more = ATTRIBUTES[element.tag]
        assert needed <= set(element.attrib) <= needed | more
        assert {child.tag for child in element} <= CHILDREN[element.tag]
    for suite in root:
        cases = list(suite)
        assert all(len(case) <= 1 for case in cases)
        names = [case.get("name") for case in cases]
        assert len(set(names)) == len(names)
        assert int(suite.get("tests")) == len(cases)
        for tag, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.get(attribute)) == len(suite.findall(f"testcase/{tag}"))
    for attribute in ("tests", "failures", "errors", "skipped"):
        assert int(root.get(attribute)) == sum(int(suite.get(attribute)) for suite in root)
    return root


def test_junit_names_what_failed():
    assert audit("planes.npz", "--junit", "found.xml", "--examples", 1).code == ExitCode.REFUTED
    root = checked(Path("found.xml").read_bytes())
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert list(cases) == ["sigmoid_times_tanh, upper, layer 0", "sigmoid_times_tanh, upper, layer 1"]
    failure = cases["sigmoid_times_tanh, upper, layer 0"].find("failure")
    assert failure.get("message") == "1 of 2 planes REFUTED"
    assert "plane 1 (row 1, layer 0): REFUTED at v = " in failure.text
    assert "offset = 0.25" in failure.text
    assert "import numpy" in failure.text


@pytest.mark.parametrize(
    ("judgements", "tag", "message"),
    [
        ((PROVED, PROVED), None, None),
        ((PROVED, REFUTED, UNDECIDED, None), "failure", "1 of 4 planes REFUTED"),
        ((PROVED, UNDECIDED, None), "error", "1 of 3 planes UNDECIDED"),
        ((PROVED, None), "skipped", "1 of 2 planes not audited: the budget ran out"),
    ],
)
def test_only_what_is_proved_as_a_whole_passes(judgements, tag, message):
    (case,) = checked(junit_xml(report(*judgements))).iter("testcase")
    assert [child.tag for child in case] == ([] if tag is None else [tag])
    assert message is None or case[0].get("message") == message


def test_planes_that_nobody_asked_for_are_skipped():
    root = checked(junit_xml(report(PROVED, unasked=7)))
    assert root.get("skipped") == "1"
    assert root.find(".//skipped").get("message") == "7 planes: the budget ran out"


def test_junit_stays_small_for_many_planes():
    many = report(*[REFUTED] * 5000, layer=np.arange(5000))
    text = junit_xml(many)
    (case,) = checked(text).iter("testcase")
    assert case[0].get("message") == "5000 of 5000 planes REFUTED"
    assert "... and 4990 more" in case[0].text
    assert len(text) < 10_000


@given(name=st.text(), product=st.text().filter(lambda text: "\0" not in text))
def test_junit_holds_any_name(name, product):
    found = report(REFUTED, name=name, product=[product or "x"])
    text = junit_xml(found)
    if any(0xD800 <= ord(character) <= 0xDFFF for character in name + product):
        return
    checked(text)


def test_outputs_that_cannot_be_written_are_known_before_the_audit(here):
    (here / "folder").mkdir()
    for option in ("--junit", "--html"):
        for path, words in (("folder", "is a directory"), ("gone/found.xml", "there is no directory gone")):
            result = audit("planes.npz", option, path)
            assert result.code == ExitCode.OUTPUT_FAILED
            assert words in result.message


# Pages and pictures


def test_a_page_and_pictures(here):
    result = audit("planes.npz", "--html", "found.html", "--plot", "plane.svg", "--json", "--examples", 1)
    assert result.code == ExitCode.REFUTED
    json.loads(result.out)
    page = (here / "found.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html")
    assert "planes.npz" in page
    assert "<svg" in (here / "plane.svg").read_text(encoding="utf-8")


def test_help_names_every_option():
    shown = refcert("audit", "--help").out
    assert refcert("audit", "-h").out == shown
    drawn = ("--kinds", "--boxes", "--boxes-from", "--count", "--dtype", "--seed")
    asked = ("--cross-check", "--falsify", "--tightness", "--budget", "--budget-planes", "--out", "--resume")
    for option in (*drawn, *asked, "--examples", "--junit", "--html", "--plot", "--plots", "--workers", "--json"):
        assert option in shown


HEAVY = ("torch", "scipy", "cvxpy", "hypothesis", "matplotlib", "sympy", "sklearn")


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [(("--help",), (*HEAVY, "pyarrow", "numpy")), (("audit", "sound.npz", "--workers", "1"), HEAVY)],
    ids=["help", "audit"],
)
def test_heavy_imports_are_put_off(here, words, unwanted):
    """Of the help and of a plain audit; its processes would pay for them, too."""
    save(here / "sound.npz", [SOUND])
    code = (
        "import sys; from refcert.app.cli import main\n"
        f"sys.argv = ['refcert', *{words!r}]\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        f"assert not (found := set(sys.modules) & set({unwanted!r})), found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_was_found_is_printed_also_where_a_file_cannot_be_written(here):
    """Regression: an audit's verdicts were lost with the page."""
    (here / "found.xml.partial").mkdir()
    result = audit("planes.npz", "--junit", "found.xml", "--json")
    assert result.code == ExitCode.OUTPUT_FAILED
    assert json.loads(result.out)["summary"]["refuted"] == 2
    assert "cannot write " in result.err
    assert "found.xml: " in result.err


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (("--html", "sound.npz"), "--html sound.npz is also the source sound.npz"),
        (("--html", "a.out", "--junit", "./a.out"), "--html a.out is also --junit"),
        (("--plot", "a.gif"), "a.gif"),
    ],
)
def test_outputs_do_not_replace_the_source_or_each_other(here, options, shown):
    """Regression: the audited planes were replaced by the page about them, with exit code 0."""
    save(here / "sound.npz", [SOUND])
    before = (here / "sound.npz").read_bytes()
    result = refcert("audit", "sound.npz", *options)
    assert result.code == ExitCode.BAD_INPUT
    assert shown in result.message
    assert (here / "sound.npz").read_bytes() == before
    assert sorted(path.name for path in here.iterdir() if path.name.startswith("a.")) == []


def test_an_output_does_not_replace_the_audited_module(here):
    (here / "mine.py").write_text("def planes(*boxes): raise ValueError('never called')\n")
    result = refcert("audit", "mine:planes", "--html", "mine.py")
    assert result.code == ExitCode.BAD_INPUT
    assert "--html mine.py is also the module of mine:planes" in result.message
    assert (here / "mine.py").read_text().startswith("def planes")

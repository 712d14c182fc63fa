"""Every lemma holds, every false variant is rejected, and the table says what is there."""

import importlib
import re
from pathlib import Path

import pytest

from proofs.lemma import Lemma, LemmaError, run_lemma
from proofs.registry import LEMMAS, run_all, table_markdown

ROOT = Path(__file__).parents[2]
PROOFS = ROOT / "proofs"
CONTROLS = [(lemma, name) for lemma in LEMMAS for name in lemma.controls]


@pytest.mark.parametrize("lemma", LEMMAS, ids=lambda lemma: lemma.name)
def test_lemma_holds(lemma: Lemma) -> None:
    steps = lemma.check()
    assert steps
    assert len(lemma.controls) >= 2


@pytest.mark.parametrize(("lemma", "name"), CONTROLS, ids=[f"{lemma.name}: {name}" for lemma, name in CONTROLS])
def test_false_variant_is_rejected(lemma: Lemma, name: str) -> None:
    with pytest.raises(LemmaError):
        lemma.controls[name]()


def test_every_file_is_in_the_table_once() -> None:
    files = {path.stem for path in (PROOFS / "lemmas").glob("*.py")} - {"__init__"}
    names = [lemma.name for lemma in LEMMAS]
    assert sorted(names) == sorted(files)


@pytest.mark.parametrize("lemma", LEMMAS, ids=lambda lemma: lemma.name)
def test_references_exist(lemma: Lemma) -> None:
    assert lemma.code
    for reference in lemma.code:
        module, _, path = reference.partition(":")
        found: object = importlib.import_module(module)
        for attribute in path.split("."):
            found = getattr(found, attribute)
    assert lemma.tests
    for path in lemma.tests:
        assert re.fullmatch(r"tests/\w+/test_\w+\.py", path)
        assert (ROOT / path).is_file()


@pytest.mark.parametrize("lemma", LEMMAS, ids=lambda lemma: lemma.name)
def test_summary_is_one_sentence(lemma: Lemma) -> None:
    assert lemma.summary.endswith(".")
    assert len(lemma.summary) < 130
    assert lemma.source


def test_readme_holds_the_table() -> None:
    text = (PROOFS / "README.md").read_text(encoding="utf-8")
    assert text.split("<!-- lemmas -->\n")[1].split("<!-- end -->")[0] == table_markdown()


def _lemma(check, controls) -> Lemma:
    return Lemma("x", "X.", "none", ("builtins:int",), ("tests/proofs/test_lemmas.py",), check, controls)


def _raise(error: Exception):
    def check():
        raise error

    return check


REJECTED = {"false": _raise(LemmaError("no"))}


@pytest.mark.parametrize(
    ("lemma", "ok"),
    [
        (_lemma(lambda: ["step"], REJECTED), True),
        (_lemma(lambda: [], REJECTED), False),
        (_lemma(_raise(LemmaError("no")), REJECTED), False),
        (_lemma(_raise(ZeroDivisionError()), REJECTED), False),
        (_lemma(lambda: ["step"], {}), False),
        (_lemma(lambda: ["step"], {"accepted": lambda: ["step"]}), False),
        (_lemma(lambda: ["step"], {"crashed": _raise(ValueError("no"))}), False),
    ],
)
def test_run_lemma_fails_closed(lemma: Lemma, ok: bool) -> None:
    result = run_lemma(lemma)
    assert result.ok is ok
    assert bool(result.message) is not ok


def test_run_all_reports_each(monkeypatch: pytest.MonkeyPatch) -> None:
    two = (_lemma(lambda: ["step"], REJECTED), _lemma(lambda: [], REJECTED))
    monkeypatch.setattr("proofs.registry.LEMMAS", two)
    seen = []
    assert run_all(seen.append) == seen
    assert [result.ok for result in seen] == [True, False]

"""Everything that soundness rests on has a lemma, and the names that code and documents give to lemmas exist."""

import re
from pathlib import Path

import pytest

from gpu_engine.inputs import InputSet
from gpu_engine.propagation.concretize import PREPARE
from gpu_engine.relaxations.registry import RELAXATIONS, Relaxation
from gpu_engine.rounding import ELEMENTARY_UNITS
from proofs import coverage
from proofs.coverage import ITEMS, Item, coverage_markdown, lemmas_of
from proofs.lemma import Lemma
from proofs.registry import GROUPS, LEMMAS

ROOT = Path(__file__).parents[2]
NAMES = {lemma.name for lemma in LEMMAS}
SOUNDNESS = (ROOT / "proofs" / "spec" / "soundness.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.label)
def test_item_has_a_lemma(item: Item) -> None:
    assert lemmas_of(item, LEMMAS), f"no lemma names {item.reference or item.label}; add one (CONTRIBUTING.md)"


def test_every_label_that_a_lemma_covers_exists() -> None:
    labels = {item.label for item in ITEMS if not item.reference}
    assert {label for lemma in LEMMAS for label in lemma.covers} == labels


def test_every_input_set_can_be_prepared() -> None:
    assert set(InputSet.__args__) == set(PREPARE)


def test_a_relaxation_without_a_lemma_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def unproved(product, v, z):
        raise NotImplementedError

    new = Relaxation("unproved", unproved, RELAXATIONS["planes"].curve, "none")
    monkeypatch.setattr(coverage, "RELAXATIONS", {**RELAXATIONS, "unproved": new})
    missing = [item.name for item in coverage.items() if not lemmas_of(item, LEMMAS)]
    assert missing == ["unproved"]


@pytest.mark.parametrize("name", ["READOUTS", "CLIP_BOUNDS", "ACTIVATIONS"])
def test_a_name_without_a_lemma_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, name, (*getattr(coverage, name), "unproved"))
    missing = [item.name for item in coverage.items() if not lemmas_of(item, LEMMAS)]
    assert missing == ["unproved"]


def test_readme_holds_the_coverage() -> None:
    text = (ROOT / "proofs" / "README.md").read_text(encoding="utf-8")
    assert text.split("<!-- coverage -->\n")[1].split("<!-- end coverage -->")[0] == coverage_markdown(LEMMAS)


def test_every_lemma_is_in_one_group() -> None:
    assert [lemma.name for group in GROUPS.values() for lemma in group] == [lemma.name for lemma in LEMMAS]
    assert len(NAMES) == len(LEMMAS)


# Where code and documents name lemmas: "lemma `x`", "lemmas `x`, `y` and `z`".
NAMED = re.compile(r"[Ll]emmas?:?\s+(`\w+`(?:(?:\s|#)*(?:,|and|or|,\s*and)(?:\s|#)*`\w+`)*)")
FILES = [
    path
    for folder in ("gpu_engine", "refcert", "proofs", "docs", "benchmarks", "examples")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".md")
] + [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def named_lemmas(text: str) -> set[str]:
    return {name for group in NAMED.findall(text) for name in re.findall(r"`(\w+)`", group)}


def test_named_lemmas_are_found_in_text() -> None:
    assert named_lemmas("see lemma `a`; lemmas `b`, `c`\n    and `d`. The lemma is `e`") == {"a", "b", "c", "d"}


def test_lemmas_named_in_code_and_documents_exist() -> None:
    unknown = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in FILES
        for name in named_lemmas(path.read_text(encoding="utf-8")) - NAMES
    }
    assert not unknown


def _source_of(lemma: Lemma) -> str:
    return (ROOT / "proofs" / "lemmas" / f"{lemma.name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("lemma", LEMMAS, ids=lambda lemma: lemma.name)
def test_lemma_names_its_shapes_or_hypotheses(lemma: Lemma) -> None:
    assert len(lemma.statement.strip().split("\n\n")) >= 2 or "\n(i)" in lemma.statement
    assert "sp.Float" not in _source_of(lemma)


BIBLIOGRAPHY = [
    (entry, re.search(r"year\s*=\s*{(\d{4})}", entry))
    for entry in (ROOT / "proofs" / "references.bib").read_text(encoding="utf-8").split("\n@")
]


@pytest.mark.parametrize("lemma", LEMMAS, ids=lambda lemma: lemma.name)
def test_what_a_lemma_cites_is_in_the_bibliography(lemma: Lemma) -> None:
    for cited in re.finditer(r"([A-Z]\w+)((?:(?:, | and )[A-Z]\w+)*)(?: et al\.)?,? \(?(\d{4})\)", lemma.source):
        first, year = cited[1], cited[3]
        found = [entry for entry, when in BIBLIOGRAPHY if when is not None and when[1] == year]
        assert any(re.search(rf"author\s*=\s*{{{first}, ", entry) for entry in found), f"{first} {year} is missing"


def chain() -> list[str]:
    """The lemmas that the arrows of the soundness statement name."""
    text = SOUNDNESS.split("<!-- chain -->")[1].split("<!-- end chain -->")[0]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row[-2])]


def test_soundness_names_every_lemma_and_only_lemmas() -> None:
    assert set(chain()) == NAMES


def test_soundness_names_each_lemma_once() -> None:
    named = chain()
    assert sorted(named) == sorted(set(named))


def test_numbers_in_the_soundness_statement() -> None:
    units = re.search(r"accurate to (\d+) unit roundoffs", SOUNDNESS)
    assert units is not None
    assert int(units[1]) == ELEMENTARY_UNITS
    lines = re.search(r"`refcert/kernel/`, about (\d+) lines", SOUNDNESS)
    assert lines is not None
    kernel = (ROOT / "refcert" / "kernel").glob("*.py")
    assert abs(sum(len(path.read_text(encoding="utf-8").splitlines()) for path in kernel) - int(lines[1])) < 100


@pytest.mark.parametrize("reference", re.findall(r"`((?:gpu_engine|refcert)\.[\w.]+:[\w.]+)`", SOUNDNESS))
def test_soundness_refers_to_code_that_exists(reference: str) -> None:
    import importlib

    module, _, path = reference.partition(":")
    found: object = importlib.import_module(module)
    for attribute in path.split("."):
        found = getattr(found, attribute)


@pytest.mark.parametrize("path", re.findall(r"`((?:tests|refcert|gpu_engine|proofs)/[\w./]*)`", SOUNDNESS))
def test_soundness_refers_to_files_that_exist(path: str) -> None:
    assert (ROOT / path).exists()

"""The conformance vectors: what they cover, where they come from, and the naive checker's verdicts."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.certificates import engine_corruptions, make_vectors
from tests.certificates.naive_checker import NotCovered, Unreadable, judge
from tests.certificates.naive_container import read_container
from tests.certificates.vectors import (
    BLOCKS,
    CELLS,
    FOLDER,
    INDEX,
    INPUTS,
    NORMS,
    READOUTS,
    RULES,
    SPECIFICATIONS,
    Entry,
    entries,
    index_text,
)

ENTRIES = entries()
ACCEPTED = [entry for entry in ENTRIES if entry.origin is None]
REJECTED = [entry for entry in ENTRIES if entry.origin is not None]

MAX_SIZE = 1_500_000  # bytes of all files

NOT_COVERED = {f"cell {cell}" for cell in CELLS if cell not in ("rnn_relu", "lstm", "gru")} | {"p 1.5", "p 2"}
NOT_COVERED |= {f"{where} {block}" for where in ("before", "after") for block in ("sigmoid", "tanh")}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_naive_checkers_verdict(entry: Entry) -> None:
    """The same as the list's, unless the naive checker does not know a function or a norm."""
    covered = not NOT_COVERED & {*entry.features}
    try:
        verdict, step = judge(entry.path, products=True)
    except Unreadable:
        verdict, step = "UNREADABLE", None
    except NotCovered:
        assert not covered or (entry.verdict == "UNREADABLE" and entry.writer == make_vectors.BY_ENGINE)
        return
    assert (verdict, step) == (entry.verdict, entry.step)
    assert covered or verdict == "UNREADABLE"


def test_the_list_says_what_the_files_hold() -> None:
    assert INDEX.read_text() == index_text(make_vectors.listed())


def test_files_are_made_again_byte_by_byte() -> None:
    """All but those that the engine wrote; none is in the way."""
    made = make_vectors.files()
    lying = {f"{path.parent.name}/{path.name}": path for path in FOLDER.glob("*/*")}
    engine = {path.relative_to(FOLDER).as_posix() for entry in by_engine() for path in entry.paths}
    assert lying.keys() == made.keys() | engine
    assert [name for name, content in made.items() if lying[name].read_bytes() != content] == []


def by_engine() -> list[Entry]:
    return [entry for entry in ACCEPTED if entry.writer == make_vectors.BY_ENGINE]


def test_all_of_the_engines_are_there() -> None:
    assert [entry.name for entry in by_engine()] == list(engine_corruptions.NAMES)


def test_they_are_small_and_many() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("**/*") if path.is_file()) < MAX_SIZE
    assert len(ENTRIES) >= 40
    assert len(REJECTED) >= len(ACCEPTED)
    assert len({entry.name for entry in ENTRIES}) == len({entry.file for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("entry", ACCEPTED, ids=lambda entry: entry.name)
def test_accepted_files_are_valid_without_allowances(entry: Entry) -> None:
    assert entry.allowed == {"VALID"}
    assert entry.file.startswith("accepted/")
    assert entry.step is None


@pytest.mark.parametrize("entry", REJECTED, ids=lambda entry: entry.name)
def test_rejected_files_are_others_than_their_origin(entry: Entry) -> None:
    """One corruption, named by what it is about, of a file that is accepted."""
    (origin,) = [one for one in ACCEPTED if one.file == entry.origin]
    assert "VALID" not in entry.allowed
    assert entry.file.startswith("rejected/")
    assert entry.about
    assert [path.read_bytes() for path in entry.paths] != [path.read_bytes() for path in origin.paths]


# What the vectors are about


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_accepted_and_rejected_three_times(rule: str) -> None:
    """Rejected where a step of this very rule is the first that does not hold."""
    assert any(rule in entry.rules for entry in ACCEPTED)
    assert failed_rules()[rule] >= 3


def failed_rules() -> Counter[str]:
    failed = [entry for entry in REJECTED if entry.verdict == "INVALID" and entry.step is not None]
    return Counter(read_container(entry.path)[0]["steps"][entry.step]["rule"] for entry in failed)


FEATURES = [
    *(f"cell {cell}" for cell in CELLS),
    *(f"readout {readout}" for readout in READOUTS),
    *(
        f"{where} {block}"
        for where, blocks in (("before", ("dense", "relu", "tanh")), ("after", BLOCKS))
        for block in blocks
    ),
    *(f"inputs {kind}" for kind in INPUTS),
    *NORMS,
    *(f"specification {kind}" for kind in SPECIFICATIONS),
    *(f"planes of {rows} rows" for rows in (4, 5, 6)),
    *(f"{dtype} tensor" for dtype in ("F64", "F32", "F16", "BF16")),
    *("projection", "start state", "start cell", "embedding", "about", "clip", "moves"),
    *("one backward direction", "two directions", "two layers", "two cells in a layer"),
    *("several sets", "network in its own file"),
]


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_is_accepted(feature: str) -> None:
    assert any(feature in entry.features for entry in ACCEPTED)


@pytest.mark.parametrize("kind", ["frame_balls", "sequence_ball"])
def test_balls_of_every_norm_with_and_without_a_clip(kind: str) -> None:
    """Of either kind there are cut balls and whole ones, and at least three of the four norms."""
    own = [{*entry.features} for entry in ACCEPTED if f"inputs {kind}" in entry.features]
    assert {("clip" in features) for features in own} == {True, False}
    assert len({norm for features in own for norm in features & {*NORMS}}) >= 3


def test_every_verdict_has_vectors() -> None:
    assert {entry.verdict for entry in ENTRIES} == {"VALID", "INVALID", "HOLEY", "UNREADABLE"}


def test_the_list_is_plain_json() -> None:
    """What a reader in another language finds: no key that is not explained, and paths that exist."""
    whole = json.loads(INDEX.read_text())
    assert (whole["format"], whole["version"]) == ("refcert vectors", 1)
    readme = (FOLDER / "README.md").read_text()
    assert all(f"| `{key}` |" in readme for one in whole["vectors"] for key in one)
    assert all(path.is_file() for entry in ENTRIES for path in entry.paths)

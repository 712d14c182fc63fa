"""What the fuzzer kept in `fuzz_corpus/`: no input is too strange for a verdict, none gets too good a one.

The folder holds one network file, beside which the inputs are checked. What is VALID there is either an honest
certificate, or one that the fuzzer changed and signed again: then its claim must stand up to the same doubts as in the
campaign of corruptions.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from refcert.kernel.check import Verdict, check, read_certificate
from refcert.kernel.errors import UnreadableError
from refcert.kernel.steps import FORMS
from tests.certificates import corruption_trial as trial
from tests.certificates.tiny_certificates import NETWORK_FILE

FOLDER = Path(__file__).parent / "fuzz_corpus"
INPUTS = sorted(path for path in FOLDER.iterdir() if path.name != NETWORK_FILE)

# Seconds; the slowest of them takes a few hundredths of one.
BUDGET = 20.0


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name[:12])
def test_gets_a_verdict_and_no_more_than_it_deserves(path: Path) -> None:
    try:
        result = check(path, BUDGET)
    except UnreadableError as error:
        assert str(path) in str(error)
        return
    assert "budget" not in result.reason
    assert (result.verdict is Verdict.VALID) == (result.reason == "")
    if result.verdict is Verdict.VALID:
        word, said = trial.of_valid(path, result, honest=())
        assert word == trial.OTHER, said


def test_leads_everywhere() -> None:
    """All outcomes and all rules occur, so that the corpus is worth its place."""
    words: Counter[str] = Counter()
    rules: set[str] = set()
    for path in INPUTS:
        try:
            certificate = read_certificate(path, {})
        except UnreadableError:
            words["UNREADABLE"] += 1
            continue
        words[check(path, BUDGET).verdict] += 1
        rules |= {step.rule for step in certificate.steps}
    assert min(words[word] for word in ("UNREADABLE", *Verdict)) >= 5, words
    assert rules >= set(FORMS)
    assert rules - set(FORMS), "an unknown one is missing"


def test_stays_small() -> None:
    assert len(INPUTS) <= 300
    assert sum(path.stat().st_size for path in INPUTS) < 2**20

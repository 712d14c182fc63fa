"""What all assertions share: budgets, reports, errors, and light imports."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import refcert.testing
from refcert.app.errors import InputError
from refcert.testing import Budget, NotDecidedError, Outcome, RefcertAssertionError, Report, ViolatedError, Violation
from refcert.testing.report import SHOWN, concluded


def test_every_export_is_there_and_documented():
    for name in refcert.testing.__all__:
        assert getattr(refcert.testing, name).__doc__, name
        assert name in dir(refcert.testing)
    with pytest.raises(AttributeError):
        refcert.testing.assert_everything  # noqa: B018


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, refcert.testing; print([m for m in ('torch', 'numpy', 'hypothesis') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "budget"),
    [
        (None, Budget()),
        (3, Budget(seconds=3.0)),
        ("2m", Budget(seconds=120.0)),
        ("1.5 hours", Budget(seconds=5400.0)),
        ("500 examples", Budget(examples=500)),
        (Budget(1.0, 2), Budget(1.0, 2)),
    ],
)
def test_budgets(given, budget):
    assert Budget.of(given) == budget


@pytest.mark.parametrize("given", [True, "", "ten", "-3s", float("nan"), float("inf"), "0 examples", [1]])
def test_what_is_no_budget_is_refused(given):
    with pytest.raises(InputError):
        Budget.of(given)


def report(outcome, count=1):
    violations = tuple(
        Violation(f"plane {k} fails", {"frame": k}, 0.5, "at least", ("why",), f"assert {k} < 9\n")
        for k in range(count)
    )
    return Report("assert_it", outcome, "It is so.", 7, violations, ("a note",))


def test_only_what_holds_returns():
    assert concluded(report(Outcome.HOLDS)).outcome is Outcome.HOLDS
    for outcome in set(Outcome) - {Outcome.HOLDS}:
        with pytest.raises(RefcertAssertionError) as caught:
            concluded(report(outcome))
        assert isinstance(caught.value, AssertionError) and caught.value.outcome is outcome


def test_a_message_has_the_first_snippet_and_counts_the_rest():
    error = ViolatedError(report(Outcome.VIOLATED, SHOWN + 2))
    assert str(error).count("assert 0 < 9") == 1 and "assert 1 < 9" not in str(error)
    assert "and 2 more, in .violations" in str(error) and "a note" in str(error) and "seed 7" in str(error)
    assert len(error.violations) == SHOWN + 2 and error.snippet == "assert 0 < 9\n" and error.seed == 7


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(NotDecidedError(report(Outcome.NOT_DECIDED))))
    assert error.outcome is Outcome.NOT_DECIDED and "seed 7" in str(error)


def test_pages_escape_what_they_show():
    violation = Violation("<b>", {"<i>": "<u>"}, details=("<p onclick=1>",), snippet="1 < 2")
    page = Report("assert_it", Outcome.VIOLATED, "<script>", violations=(violation,))._repr_html_()
    for tag in ("<b>", "<i>", "<u>", "<p onclick", "<script>", "1 < 2"):
        assert tag not in page

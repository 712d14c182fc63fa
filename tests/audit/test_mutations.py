"""The campaign's machinery: the table fits the checkout, and a tiny campaign tells a fault from none."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from refcert.audit.mutations import __main__ as command
from refcert.audit.mutations.campaign import Plan, UncleanTreeError, by_layer, run_campaign, stored, survivors
from refcert.audit.mutations.hook import VARIABLE, environment_entry
from refcert.audit.mutations.mutation import ROOMS, Equivalent, MisfitError, Mutation, changed_text, check_fits
from refcert.audit.mutations.report import markdown
from refcert.audit.mutations.runner import BROKEN, CAUGHT, MISSED, TIMEOUT, Outcome
from refcert.audit.mutations.suites import SUITES, Suite
from refcert.audit.mutations.table import EQUIVALENT, MUTATIONS

ROOT = Path(__file__).parents[2]
EVERY = [*MUTATIONS, *(one.mutation for one in EQUIVALENT)]


# the table


@pytest.mark.parametrize("mutation", EVERY, ids=lambda mutation: mutation.name)
def test_every_mutation_fits_the_checkout_and_changes_it(mutation):
    check_fits(mutation, ROOT)
    assert all(old != new for old, new in mutation.changes)


def test_the_table_is_large_and_its_names_and_faults_are_its_own():
    assert len(MUTATIONS) >= 60
    assert max(Counter(mutation.name for mutation in EVERY).values()) == 1
    assert max(Counter(mutation.digest for mutation in EVERY).values()) == 1
    assert {mutation.room for mutation in MUTATIONS} == set(ROOMS)
    assert sum("theory 5" in mutation.imitates for mutation in MUTATIONS) >= 8
    assert all(len(one.argument) > 80 for one in EQUIVALENT)


def test_the_files_that_come_first_exist():
    for suite in SUITES:
        assert set(suite.first) == set(ROOMS)
        for pattern in (pattern for patterns in suite.first.values() for pattern in patterns):
            assert any(ROOT.glob(pattern)), f"{suite.layer}: no file is called {pattern}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ((("absent", "x"),), "occurs 0 times"),
        ((("return", "yield"),), "occurs 2 times"),
        ((("def half", "def def"),), "no Python"),
    ],
)
def test_a_mutation_that_no_longer_fits_is_refused(toy, changes, message):
    mutation = Mutation("old", "audit", "", "toy.sums", changes)
    with pytest.raises(MisfitError, match=message):
        check_fits(mutation, toy)
    with pytest.raises(MisfitError, match=r"no\.module"):
        check_fits(Mutation("old", "audit", "", "no.module", ()), toy)
    plan = Plan(toy, [mutation], SUITE, toy / "results.jsonl")
    with pytest.raises(MisfitError, match="old"):
        run_campaign(plan, lambda text: None)


def test_changes_are_made_one_after_the_other():
    assert changed_text("a b", (("a", "b b"), ("b b b", "c")), "") == "c"


# the hook


def run_python(code, toy, mutation, trace):
    startup = ROOT / "refcert" / "audit" / "mutations" / "startup"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (startup, toy, ROOT))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if mutation is not None:
        environment |= environment_entry(mutation.name, mutation.module, mutation.changes, trace)
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_the_hook_changes_one_module_in_all_processes_and_no_file(toy, tmp_path):
    before = {path: path.read_bytes() for path in toy.rglob("*") if path.is_file()}
    trace = tmp_path / "trace"
    show = "from toy.sums import half; from toy.more import twice; print(half(8), twice(8))"
    spawn = f"import subprocess, sys; {show}; subprocess.run([sys.executable, '-c', {show!r}])"
    assert run_python(show, toy, None, trace).stdout.split() == ["4.0", "16"]
    assert run_python(show, toy, BLATANT, trace).stdout.split() == ["2.0", "16"]
    assert len(trace.read_text().splitlines()) == 1
    assert run_python(spawn, toy, BLATANT, trace).stdout.split() == ["2.0", "16"] * 2
    assert len(trace.read_text().splitlines()) == 3
    assert {path: path.read_bytes() for path in toy.rglob("*") if path.is_file()} == before


def test_the_hook_refuses_a_text_that_changed_since_the_check(toy, tmp_path):
    stale = Mutation("stale", "audit", "", "toy.sums", (("absent", ""),))
    found = run_python("import toy.sums", toy, stale, tmp_path / "trace")
    assert found.returncode != 0
    assert "stale no longer fits" in found.stderr


def test_this_process_is_not_changed():
    assert VARIABLE not in os.environ


# a tiny campaign

SUITE = (
    Suite("contracts", ("checks",)),
    Suite("laws", ("checks",), first={"audit": ("checks/test_sums.py",)}),
    Suite("audit", ("checks_of_the_whole",)),
)
IDENTITY = Mutation("identity", "audit", "nothing", "toy.sums", (("value / 2", "value / 2"),))
BLATANT = Mutation("blatant", "audit", "a wrong divisor", "toy.sums", (("value / 2", "value / 4"),))
BROKEN_IMPORT = Mutation(
    "no-import", "kernel", "a module that raises", "toy.more", (("def twice", "1 / 0\ndef twice"),)
)
SLEEPY = Mutation(
    "sleepy", "audit", "an endless loop", "toy.sums", (("return value / 2", "import time; time.sleep(999)"),)
)


@pytest.fixture
def toy(tmp_path):
    """A checkout with one function, a contract, a law, an end-to-end check, and a module that only one layer needs."""
    root = tmp_path / "checkout"
    for folder in ("toy", "checks", "checks_of_the_whole"):
        (root / folder).mkdir(parents=True)
    (root / "toy" / "__init__.py").touch()
    (root / "toy" / "sums.py").write_text("def half(value):\n    return value / 2\n\n\ndef same(v):\n    return v\n")
    (root / "toy" / "more.py").write_text("def twice(value):\n    return value * 2\n")
    (root / "checks" / "test_sums.py").write_text(
        "from hypothesis import given, strategies as st\n"
        "from toy.sums import half\n\n"
        "def test_contract():\n    assert half(8) == 4\n\n"
        "@given(st.integers(0, 9))\ndef test_law(n):\n    assert half(n) <= n\n"
    )
    (root / "checks_of_the_whole" / "test_all.py").write_text(
        "from toy.sums import half\nfrom toy.more import twice\n\ndef test_all():\n    assert half(twice(3)) == 3\n"
    )
    return root


def campaign(toy, mutations, suites=SUITE, **options):
    said = []
    plan = Plan(toy, mutations, suites, toy.parent / "results.jsonl", preload=["pytest"], **options)
    outcomes = run_campaign(plan, said.append)
    return {(one.mutation, one.layer): one for one in outcomes}, said


def test_an_identity_is_not_caught_and_a_blatant_fault_is(toy):
    before = {path: path.read_bytes() for path in toy.rglob("*") if path.is_file()}
    found, _ = campaign(toy, [IDENTITY, BLATANT, BROKEN_IMPORT], workers=2)
    assert {layer: found["identity", layer].outcome for layer in by_layer(found.values())} == {
        "contracts": MISSED,
        "laws": MISSED,
        "audit": MISSED,
    }
    assert found["blatant", "contracts"].outcome == CAUGHT
    assert found["blatant", "contracts"].test == "checks/test_sums.py::test_contract"
    assert "assert 2.0 == 4" in found["blatant", "contracts"].reason
    assert found["blatant", "laws"].outcome == MISSED  # a quarter is no larger either
    assert found["blatant", "audit"].outcome == CAUGHT
    # a module that nobody imports in a layer is told apart from one that no test there can see
    assert found["no-import", "contracts"].outcome == BROKEN
    assert found["no-import", "audit"].outcome == CAUGHT
    assert "ZeroDivisionError" in found["no-import", "audit"].reason
    assert survivors(found.values()) == ["identity"]
    assert {path: path.read_bytes() for path in toy.rglob("*") if path.is_file()} == before

    table = markdown([IDENTITY, BLATANT], [], [one for (name, _), one in found.items() if name != "no-import"])
    assert "1 of 2 planted faults were caught: 50.0 %" in table
    assert "| contract tests | 1 |" in table
    assert "## Not caught\n\n- identity" in table


def test_a_stopped_campaign_goes_on_and_results_of_another_tree_are_not_used(toy):
    contracts, both = SUITE[:1], [BLATANT, IDENTITY]
    _, said = campaign(toy, both, contracts)
    assert "0 of 2 results are known, 2 to go" in said
    results = toy.parent / "results.jsonl"
    lines = results.read_text().splitlines()
    results.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])  # killed while it wrote
    _, said = campaign(toy, both, contracts)
    assert "1 of 2 results are known, 1 to go" in said
    (toy / "tests").mkdir()
    (toy / "tests" / "new.py").touch()
    _, said = campaign(toy, both, contracts, keep=True)  # what was caught stays, the miss is repeated
    assert "1 of 2 results are known, 1 to go" in said
    assert stored(results, "another tree") == {}
    changed = Mutation(BLATANT.name, "audit", "", "toy.sums", (("value / 2", "value / 8"),))
    _, said = campaign(toy, [changed], contracts)
    assert "0 of 1 results are known, 1 to go" in said


def test_a_tree_that_fails_by_itself_is_refused(toy):
    with (toy / "checks" / "test_sums.py").open("a") as file:
        file.write("\ndef test_wrong():\n    assert False\n")
    with pytest.raises(UncleanTreeError, match="test_wrong"):
        campaign(toy, [BLATANT], SUITE[:1])


def test_a_run_that_never_ends_is_ended_and_is_no_catch(toy, monkeypatch):
    from refcert.audit.mutations import campaign as module

    monkeypatch.setattr(module, "LIMIT_LEAST", 3.0)
    monkeypatch.setattr(module, "LIMIT_FACTOR", 0.0)
    found, _ = campaign(toy, [SLEEPY], SUITE[:1])
    assert found["sleepy", "contracts"].outcome == TIMEOUT
    assert survivors(found.values()) == ["sleepy"]


# the command


def outcome(name, layer, result):
    return Outcome(name, "", layer, result, "", "", 0.0, 0.0, 0)


def test_the_command_fails_for_a_survivor_and_for_nothing_else(monkeypatch, tmp_path, capsys):
    only, layers, report = MUTATIONS[0], [suite.layer for suite in SUITES], tmp_path / "new" / "table.md"
    monkeypatch.setattr(command, "MUTATIONS", (only,))

    def answers(*results, options=()):
        found = [outcome(only.name, layer, one) for layer, one in zip(layers, results, strict=True)]
        monkeypatch.setattr(command, "run_campaign", lambda plan, say: found)
        return command.main(["--report", str(report), *options])

    assert answers(MISSED, CAUGHT, MISSED, options=["--only", only.name]) == command.EVERYTHING_CAUGHT
    assert not report.exists()  # a part of the campaign does not replace the whole one's table
    assert answers(MISSED, CAUGHT, MISSED) == command.EVERYTHING_CAUGHT
    assert "100.0 %" in report.read_text()
    capsys.readouterr()
    assert answers(MISSED, TIMEOUT, BROKEN) == command.SURVIVORS
    assert f"NOT CAUGHT: {only.name}" in capsys.readouterr().out
    assert command.main(["--only", "no such fault"]) == command.CANNOT_RUN
    assert command.main(["--list"]) == command.EVERYTHING_CAUGHT


def test_an_equivalent_mutant_that_a_test_sees_is_none(monkeypatch, capsys):
    one = Equivalent(IDENTITY, "it changes nothing")
    monkeypatch.setattr(command, "EQUIVALENT", (one,))
    for result, code in ((MISSED, command.EVERYTHING_CAUGHT), (CAUGHT, command.SURVIVORS)):
        monkeypatch.setattr(
            command, "run_campaign", lambda plan, say, result=result: [outcome(IDENTITY.name, "laws", result)]
        )
        assert command.main(["--equivalent"]) == code
    assert "sees it" in capsys.readouterr().out

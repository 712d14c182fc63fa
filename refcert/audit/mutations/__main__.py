"""`python -m refcert.audit.mutations`: run the campaign on a checkout, print progress, write the table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from refcert.audit.mutations.campaign import Plan, UncleanTreeError, by_layer, run_campaign, survivors
from refcert.audit.mutations.mutation import MisfitError, Mutation
from refcert.audit.mutations.report import markdown
from refcert.audit.mutations.runner import BROKEN, CAUGHT, Outcome
from refcert.audit.mutations.suites import SUITES
from refcert.audit.mutations.table import EQUIVALENT, MUTATIONS

EVERYTHING_CAUGHT, SURVIVORS, CANNOT_RUN = 0, 1, 2
RESULTS: Final = Path(".tox/mutation.jsonl")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every fault was caught, 1 if one was not, 2 where the campaign cannot be run."""
    options = _parser().parse_args(arguments)
    if options.list:
        for mutation in MUTATIONS:
            _say(f"{mutation.room:12} {mutation.name:45} {mutation.imitates}")
        return EVERYTHING_CAUGHT
    source = [one.mutation for one in EQUIVALENT] if options.equivalent else MUTATIONS
    unknown = set(options.only) - {mutation.name for mutation in source}
    if unknown:
        _say(f"no mutation is called {', '.join(sorted(unknown))}; --list shows all")
        return CANNOT_RUN
    chosen = [mutation for mutation in source if not options.only or mutation.name in options.only]
    suites = [suite for suite in SUITES if not options.layer or suite.layer in options.layer]
    root = options.root.resolve()
    results = options.results if options.results.is_absolute() else root / options.results
    if options.fresh:
        results.unlink(missing_ok=True)
    try:
        outcomes = run_campaign(Plan(root, chosen, suites, results, options.workers, options.keep), _say)
    except (MisfitError, UncleanTreeError) as error:
        _say(str(error))
        return CANNOT_RUN
    if options.report is not None:
        _write_report(options.report, chosen, outcomes, whole=not (options.only or options.layer or options.equivalent))
    if options.equivalent:
        seen = [f"{one.mutation}: {one.test} sees it" for one in outcomes if one.outcome == CAUGHT]
        _say("\n".join(seen) or f"none of the {len(chosen)} equivalent mutants is seen by any test")
        return SURVIVORS if seen else EVERYTHING_CAUGHT
    return _summary(chosen, outcomes)


def _write_report(path: Path, chosen: Sequence[Mutation], outcomes: Sequence[Outcome], *, whole: bool) -> None:
    if not whole:
        _say(f"{path} is not written: it is the table of a whole campaign")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown(chosen, EQUIVALENT, outcomes), encoding="utf-8")


def _summary(chosen: Sequence[Mutation], outcomes: Sequence[Outcome]) -> int:
    for layer, (caught, tried) in by_layer(outcomes).items():
        _say(f"{layer}: {caught} of {tried} caught")
    for one in outcomes:
        if one.outcome == BROKEN:
            _say(f"{one.mutation}, {one.layer}: {one.reason}")
    lost = survivors(outcomes)
    _say(f"mutation score: {len(chosen) - len(lost)} of {len(chosen)} caught")
    for name in lost:
        _say(f"NOT CAUGHT: {name}")
    return SURVIVORS if lost else EVERYTHING_CAUGHT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m refcert.audit.mutations", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this fault; may be repeated")
    parser.add_argument("--layer", action="append", choices=[suite.layer for suite in SUITES], help="this layer")
    parser.add_argument("--workers", type=int, default=1, help="faults at once (default: 1)")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"where to go on from (default: {RESULTS})")
    parser.add_argument("--report", type=Path, help="write the table as markdown")
    parser.add_argument("--fresh", action="store_true", help="forget stored results")
    parser.add_argument("--keep", action="store_true", help="keep catches of other versions of the tree; repeat misses")
    parser.add_argument("--equivalent", action="store_true", help="run the equivalent mutants: nothing may catch them")
    parser.add_argument("--list", action="store_true", help="show all faults and end")
    return parser


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

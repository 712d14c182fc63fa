"""The campaign's table in markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from refcert.audit.mutations.campaign import by_layer, survivors
from refcert.audit.mutations.mutation import Equivalent, Mutation
from refcert.audit.mutations.runner import CAUGHT, CLEAN, MISSED, Outcome

LAYER_NAMES: Final = {
    "contracts": "contract tests",
    "laws": "Hypothesis laws",
    "audit": "end-to-end audit",
}


def markdown(mutations: Sequence[Mutation], equivalents: Sequence[Equivalent], outcomes: Sequence[Outcome]) -> str:
    """The whole report."""
    lost = survivors(outcomes)
    caught = len(mutations) - len(lost)
    score = 100 * caught / len(mutations) if mutations else 0.0
    lines = [
        "# Mutation campaign",
        "",
        f"**{caught} of {len(mutations)} planted faults were caught: {score:.1f} %.** Each fault was put into a clean "
        "tree at run time and every layer was run against it by itself until its first failing test. Times count from "
        "the first test, on one core; a run that exceeds its limit counts as missed. `tox -e mutation` repeats it; "
        "`docs/mutation.md` says how to read it.",
        "",
        *_layers(outcomes),
        "",
        *_rooms(mutations, outcomes),
        "",
    ]
    if lost:
        lines += ["## Not caught", "", *(f"- {name}" for name in lost), ""]
    lines += [*_faults(mutations, outcomes), "", *_equivalent(equivalents)]
    return "\n".join(lines) + "\n"


def _layers(outcomes: Sequence[Outcome]) -> list[str]:
    clean = {one.layer: one for one in outcomes if one.mutation == CLEAN}
    rows = [
        "| layer | tests | clean run | caught | score | median time to catch |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for layer, (caught, tried) in by_layer(outcomes).items():
        times = [one.seconds for one in outcomes if one.layer == layer and one.outcome == CAUGHT]
        median = f"{statistics.median(times):.1f} s" if times else ""
        tests, wall = (str(clean[layer].passed), f"{clean[layer].wall:.0f} s") if layer in clean else ("", "")
        rows.append(
            f"| {LAYER_NAMES.get(layer, layer)} | {tests} | {wall} | {caught} of {tried} | "
            f"{100 * caught / tried:.0f} % | {median} |"
        )
    return rows


def _rooms(mutations: Sequence[Mutation], outcomes: Sequence[Outcome]) -> list[str]:
    layers = list(by_layer(outcomes))
    room_of = {mutation.name: mutation.room for mutation in mutations}
    names = " | ".join(LAYER_NAMES.get(layer, layer) for layer in layers)
    rows = [f"| room | faults | {names} |", "| --- | --- |" + " --- |" * len(layers)]
    for room in dict.fromkeys(mutation.room for mutation in mutations):
        count = sum(mutation.room == room for mutation in mutations)
        numbers = [
            sum(room_of.get(o.mutation) == room and o.layer == layer and o.outcome == CAUGHT for o in outcomes)
            for layer in layers
        ]
        rows.append(f"| {room} | {count} | " + " | ".join(map(str, numbers)) + " |")
    return rows


def _faults(mutations: Sequence[Mutation], outcomes: Sequence[Outcome]) -> list[str]:
    layers = list(by_layer(outcomes))
    names = " | ".join(LAYER_NAMES.get(layer, layer) for layer in layers)
    rows = [
        "## Every fault",
        "",
        f"| fault | room | what it imitates | {names} | first caught by |",
        "| --- | --- | --- |" + " --- |" * (len(layers) + 1),
    ]
    for mutation in mutations:
        own = {one.layer: one for one in outcomes if one.mutation == mutation.name}
        cells = [_cell(own.get(layer)) for layer in layers]
        caught = [one for one in own.values() if one.outcome == CAUGHT]
        test = min(caught, key=lambda one: one.seconds).test if caught else "nobody"
        rows.append(
            f"| {mutation.name} | {mutation.room} | {mutation.imitates} | " + " | ".join(cells) + f" | {_short(test)} |"
        )
    return rows


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not run"
    if outcome.outcome == CAUGHT:
        return f"{outcome.seconds:.1f} s"
    return "-" if outcome.outcome == MISSED else outcome.outcome


def _short(test: str) -> str:
    """The file and the test without its parameters, which may hold anything."""
    path, _, rest = test.partition("::")
    return f"`{path.rpartition('/')[2]}::{rest.partition('[')[0]}`" if rest else test


def _equivalent(equivalents: Sequence[Equivalent]) -> list[str]:
    rows = [
        "## Equivalent mutants",
        "",
        "Changes that no check can see, each with the reason. They are not counted.",
        "",
    ]
    return rows + [f"- **{one.mutation.name}** ({one.mutation.module}): {one.argument}" for one in equivalents]

"""The outcome of `refcert explain` for people in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Table

from refcert.app.certificates.claim_words import claim_lines, decimal, input_lines, network_lines, plural
from refcert.app.certificates.explain import Explanation
from refcert.app.certificates.step_words import (
    Placed,
    about,
    argument_boxes,
    both_planes,
    definition,
    follows,
    plane_text,
    rows_text,
)
from refcert.app.certificates.table import printable
from refcert.kernel.steps import PLANES

# Longer lists are cut on the screen, never in the JSON.
SHOWN: Final = 1000
UNITS: Final = 8

_NOTHING_PROVED: Final = "Nothing of this is proved here: run refcert check on the file."


def print_explanation(console: Console, found: Explanation, *, units: bool) -> None:
    """All sections; or of one step its numbers, those of the first units unless all are asked for."""
    console.print(f"What the certificate {printable(str(found.path))} says. {_NOTHING_PROVED}\n", soft_wrap=True)
    if found.asked is None:
        for title, lines in _sections(found):
            console.print(title)
            for line in lines:
                console.print(f"   {printable(line)}", soft_wrap=True)
            console.print()
        _print_variables(console, found)
        _print_steps(console, found)
    else:
        _print_step(console, found, found.asked, None if units else UNITS)
    console.print(f"\n{_NOTHING_PROVED}", soft_wrap=True)


def _sections(found: Explanation) -> Iterator[tuple[str, list[str]]]:
    certificate = found.certificate
    remarks = certificate.body.get("about", {})
    if remarks:
        yield "Remarks of whoever wrote it, which nobody checks", [f"{name}: {text}" for name, text in remarks.items()]
    yield "Network", network_lines(certificate)
    margin = certificate.margin
    claim = [
        *input_lines(certificate),
        *claim_lines(certificate),
        f"m = {decimal(margin)}, exactly {margin.hex()}",
        f"digest {certificate.claim().digest}",
    ]
    if found.digest_differs:
        claim.append(f"but the file names {certificate.body['claim']}: it was made for another claim")
    yield "Claim", claim


def _print_variables(console: Console, found: Explanation) -> None:
    table = Table("variable", "label", "units", "what it is", title="Variables", title_justify="left")
    variables = found.certificate.program.variables
    for number, variable in enumerate(variables[:SHOWN]):
        table.add_row(str(number), variable.label, f"{variable.size:,}", definition(found.certificate, number))
    console.print(table)
    if len(variables) > SHOWN:
        console.print(f"... and {len(variables) - SHOWN:,} more (--json has all)")
    console.print("4[0:8] are the units 0 to 7 of variable 4\n")


def _print_steps(console: Console, found: Explanation) -> None:
    table = Table("step", "rule", "about", "numbers", "how it has to follow", title="Steps", title_justify="left")
    for one in found.steps[:SHOWN]:
        table.add_row(
            str(one.number),
            printable(one.step.rule),
            about(found.certificate, one),
            f"{one.numbers:,}" if one.numbers else "-",
            follows(found.certificate, one),
        )
    console.print(table)
    if len(found.steps) > SHOWN:
        console.print(f"... and {len(found.steps) - SHOWN:,} more (--json has all)")
    console.print("--step N shows the numbers of one step")


def _print_step(console: Console, found: Explanation, one: Placed, most: int | None) -> None:
    certificate = found.certificate
    console.print(f"Step {one.number}, {printable(one.step.rule)}, about {about(certificate, one)}", soft_wrap=True)
    console.print(f"   {follows(certificate, one)}\n", soft_wrap=True)
    if not one.known:
        return
    if not one.step.rows:
        _print_margin(console, found, most)
        return
    console.print(_planes(found, one, most) if one.step.stage == PLANES else _ends_table(one, most))
    units = len(one.step.rows[0])
    if most is not None and units > most:
        console.print(f"... and {plural(units - most, 'unit')} more (--units shows all)")


def _print_margin(console: Console, found: Explanation, most: int | None) -> None:
    rows = rows_text(found.certificate)
    console.print("The rows:")
    for row in rows[:most]:
        console.print(f"   {row}", soft_wrap=True)
    if most is not None and len(rows) > most:
        console.print(f"   ... and {plural(len(rows) - most, 'row')} more (--units shows all)")
    console.print(f"m = {decimal(found.certificate.margin)}")


def _ends_table(one: Placed, most: int | None) -> Table:
    """Of a box or of diagonals: a column for each row of the tensor."""
    table = Table("unit", *one.rows)
    for unit, ends in enumerate(zip(*(row[:most] for row in one.step.rows), strict=True)):
        table.add_row(str(unit), *map(decimal, ends))
    return table


def _planes(found: Explanation, one: Placed, most: int | None) -> Table:
    boxes = argument_boxes(found.certificate, one)
    names = [f"box of {name}" for name, _ in zip("vz", boxes, strict=False)]
    table = Table("unit", *names, "lower plane", "upper plane")
    for unit, numbers in enumerate(zip(*(row[:most] for row in one.step.rows), strict=True)):
        shown = ["not in the file" if box is None else _ends(box[unit]) for box in boxes]
        lower, upper = both_planes(numbers)
        table.add_row(str(unit), *shown, plane_text(lower), plane_text(upper))
    return table


def _ends(box: tuple[float, float]) -> str:
    return f"[{decimal(box[0])}, {decimal(box[1])}]"

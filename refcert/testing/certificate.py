"""assert_certificate_valid: a certificate, a folder or a run, replayed by the kernel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from refcert.app.certificates.files import find_files
from refcert.app.certificates.outcome import OTHER_NETWORK, Asked, Outcome, check_file
from refcert.app.errors import InputError
from refcert.kernel.__main__ import UNREADABLE
from refcert.kernel.check import Verdict
from refcert.kernel.network import Network
from refcert.testing import report
from refcert.testing.budget import Budget, BudgetLike, Clock
from refcert.testing.report import Report, Violation, concluded
from refcert.testing.words import plural

NAME: Final = "assert_certificate_valid"


def assert_certificate_valid(
    path: str | os.PathLike[str],
    *,
    network: Any = None,
    least_margin: float = 0.0,
    structure: str | None = None,
    readout: str | None = None,
    budget: BudgetLike = None,
) -> Report:
    """Every certificate that the path names is VALID: its claim is true of the network with the digest shown.

    path: a file, a folder of certificates, or a run. network: the digest that they have to be about, or the model
    itself (nn.Module, RecurrentClassifier, path), as it is now; None for any. least_margin: what each has to claim at
    least. budget: seconds for all; `examples`: files, of which fewer than there are leave it undecided.
    Raises ViolatedError where a file is INVALID, about another network, or claims too little; NotProvedError where it
    is HOLEY, NotDecidedError where the budget ended, InputError where it cannot be read.
    """
    __tracebackhide__ = True
    chosen = Budget.of(budget)
    clock = Clock(chosen.seconds)
    if not (least_margin >= 0 and least_margin < float("inf")):
        raise InputError(f"least_margin is {least_margin}; give a finite number from 0 up")
    digest = _digest(network, structure, readout)
    files = find_files([Path(path)])
    known: dict[str, Network] = {}
    outcomes: list[Outcome] = []
    late = len(files)
    for file in files[: chosen.examples or len(files)]:
        if clock.over:
            break
        left = clock.left
        outcome = check_file(Asked(file, left, digest), known)
        if outcome is not None and outcome.verdict == Verdict.HOLEY and left is not None and outcome.seconds >= left:
            break
        late -= 1
        if outcome is None:  # a network's file beside the certificates
            continue
        if outcome.verdict == UNREADABLE:
            raise InputError(f"{file.path} cannot be checked: {outcome.reason}")
        outcomes.append(outcome)
    if not outcomes and not late:
        raise InputError(f"{path} holds networks and no certificate; give certificates")
    return concluded(_report(outcomes, late, least_margin, clock))


def _report(outcomes: list[Outcome], late: int, least: float, clock: Clock) -> Report:
    violations = [_violation(one, least) for one in outcomes if not _good(one, least)]
    holey = [one for one in outcomes if one.verdict == Verdict.HOLEY]
    good = len(outcomes) - len(violations)
    kept = report.Outcome.HOLDS
    if len(violations) > len(holey):
        kept = report.Outcome.VIOLATED
    elif late:
        kept = report.Outcome.NOT_DECIDED
    elif holey:
        kept = report.Outcome.NOT_PROVED
    violations.sort(key=lambda one: one.data["outcome"].verdict == Verdict.HOLEY)
    notes = (f"the budget ended before {plural(late, 'file')} had been checked.",) if late else ()
    summary = f"{good} of {plural(len(outcomes) + late, 'certificate')} are VALID as asked."
    margins = [one.margin for one in outcomes if one.margin is not None]
    numbers = {"certificates": len(outcomes) + late, "valid": good, "least margin": min(margins, default=None)}
    return Report(NAME, kept, summary, None, tuple(violations), notes, numbers)


def _good(one: Outcome, least: float) -> bool:
    return one.verdict == Verdict.VALID and one.margin is not None and one.margin >= least


def _violation(one: Outcome, least: float) -> Violation:
    path = one.file.path
    where: dict[str, object] = {"file": path}
    if one.step is not None:
        where |= {"step": one.step, "rule": one.rule}
    details = [one.reason] if one.reason else []
    if one.witness:
        details.append("witness: " + ", ".join(f"{name} = {value!r}" for name, value in one.witness.items()))
    if one.network is not None:
        details.append(f"network {one.network}, claim {one.claim}")
    if one.verdict == Verdict.VALID:
        what, amount = f"{path.name} claims a margin of {one.margin!r}, asked is {least!r}", least - (one.margin or 0.0)
        test = f"result.claim.margin < {least!r}"
    else:
        what, amount = f"{path.name} is {one.verdict}", None
        test = f'result.verdict == "{one.verdict}"'
        if one.verdict == OTHER_NETWORK:
            what, test = f"{path.name} is about another network", f"result.claim.network == {one.network!r}"
    snippet = (
        "from pathlib import Path\n\nfrom refcert.kernel.check import check\n\n"
        f"result = check(Path({str(path.resolve())!r}))\n"
        f"print(result.verdict, result.step, result.reason)\nassert {test}\n"
    )
    return Violation(what, where, amount, "", tuple(details), snippet, {"outcome": one})


def _digest(network: Any, structure: str | None, readout: str | None) -> str | None:
    if network is None:
        return None
    if isinstance(network, str) and len(network) == 64 and set(network) <= set("0123456789abcdef"):
        return network
    from refcert.testing.models import classifier_of  # torch; a certificate alone is checked without it

    return classifier_of(network, structure, readout).digest()

"""Which results of a run are proved by the kernel, from their certificates and the verdicts on them.

A result is VALID only if every question that it rests on is (`certificate_standing`). Nothing is replayed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from refcert.app.certificates.files import FOLDER, SUFFIX
from refcert.app.certificates.verdicts import NAME
from refcert.app.report import words
from refcert.app.report.certificate_standing import (
    MEANINGS,
    SEVERITY,
    Certificate,
    Files,
    Standing,
    Verdicts,
    certificate_of,
    list_files,
    read_verdicts,
)
from refcert.app.runs import RunFolder

# So many certificates that are not VALID are shown one by one.
SHOWN: Final = 20

State = Literal["VALID", "INVALID", "not checked", "not all VALID", "nothing certified"]


@dataclass(frozen=True)
class Result:
    """A sample's certificates, one for each of its questions. certified: whether the run says so of the sample."""

    certified: bool
    certificates: tuple[Certificate, ...]

    @cached_property
    def counts(self) -> dict[Standing, int]:
        """Questions by standing, the worst first."""
        found = Counter(one.standing for one in self.certificates)
        return {standing: found[standing] for standing in SEVERITY if found[standing]}

    @property
    def standing(self) -> Standing:
        """The worst of all questions: a result rests on every one of them."""
        return next(iter(self.counts), Standing.NONE)

    @property
    def text(self) -> str:
        """For the table; a dash where nothing was proved."""
        total, valid = len(self.certificates), self.counts.get(Standing.VALID, 0)
        if not self.certified and self.counts.get(Standing.NONE, 0) == total:
            return "\N{EN DASH}"
        if total == 1:
            return str(self.standing)
        if len(self.counts) == 1:
            return f"all {total:,} {self.standing}"
        left = {Standing.VALID} if self.certified else {Standing.VALID, Standing.NONE}
        rest = [f"{number:,} {standing}" for standing, number in self.counts.items() if standing not in left]
        return ", ".join([f"{valid:,} of {total:,} VALID", *rest])

    @property
    def tone(self) -> str:
        """'green' for a proved result, 'red' for bad news, 'amber' for missing ones, else empty."""
        if Standing.INVALID in self.counts:
            return "red"
        if self.certified:
            return "green" if self.standing is Standing.VALID else "amber"
        return "amber" if set(self.counts) - {Standing.VALID, Standing.NONE} else ""


@dataclass(frozen=True)
class Certificates:
    """What is known about a run's certificates.

    run: the folder's name, for commands; network: the digest of the run's model; shown: the first ones that are not
    VALID, of `open`; problems: what else is wrong, in sentences; kernels: the versions that said VALID.
    """

    run: str
    network: str
    by_sample: Mapping[int, Result]
    shown: tuple[Certificate, ...]
    open: int
    problems: tuple[str, ...]
    kernels: tuple[str, ...]

    @cached_property
    def counts(self) -> dict[Standing, int]:
        """Certified results by standing, the worst first."""
        found = Counter(result.standing for result in self.by_sample.values() if result.certified)
        return {standing: found[standing] for standing in SEVERITY if found[standing]}

    @property
    def results(self) -> int:
        """How many results are certified."""
        return sum(self.counts.values())

    @property
    def proved(self) -> int:
        """How many of them the kernel proved."""
        return self.counts.get(Standing.VALID, 0)

    @property
    def invalid(self) -> int:
        """Certified results with an INVALID certificate."""
        return self.counts.get(Standing.INVALID, 0)

    @cached_property
    def state(self) -> State:
        """The worst news first; 'VALID' only if every certified result is."""
        if any(Standing.INVALID in result.counts for result in self.by_sample.values()):
            return "INVALID"
        if not self.results:
            return "nothing certified"
        if self.proved == self.results:
            return "VALID"
        return "not checked" if set(self.counts) == {Standing.UNCHECKED} else "not all VALID"

    @property
    def kind(self) -> str:
        """Which colours the state has on the page: those of planes."""
        return {"VALID": "proved", "INVALID": "refuted", "nothing certified": "computed"}.get(self.state, "undecided")

    @property
    def others(self) -> str:
        """'2 INVALID, 3 open': the certified results that are not proved, INVALID ones apart."""
        rest = {one: number for one, number in self.counts.items() if one is not Standing.VALID}
        invalid = rest.pop(Standing.INVALID, 0)
        left = [f"{sum(rest.values()):,} {'open' if len(rest) > 1 else next(iter(rest))}"] if rest else []
        return ", ".join(([f"{invalid:,} INVALID"] if invalid else []) + left)

    @property
    def to_check(self) -> bool:
        """Whether another check may help."""
        again = (Standing.CHANGED, Standing.DAMAGED, Standing.HOLEY, Standing.UNCHECKED)
        return any(standing in again for standing in self.counts)

    @property
    def check(self) -> str:
        """The call that checks the run."""
        return words.check_command(self.run)

    @property
    def check_network(self) -> str:
        """The call that checks the run and demands its network."""
        return words.check_command(self.run, network=self.network)

    @property
    def check_worst(self) -> str:
        """The call that says what is wrong with the first certificate that is shown."""
        return words.check_command(f"{self.run}/{FOLDER}/{self.shown[0].file}")

    @property
    def meanings(self) -> tuple[tuple[str, int, str], ...]:
        """Each standing of certified results: its name, how many, and what it means."""
        return tuple((str(one), number, MEANINGS[one]) for one, number in self.counts.items())


def read_certificates(
    run: RunFolder,
    name: str,
    samples: Sequence[Mapping[str, Any]],
    request: Mapping[str, Any],
    certified: Collection[int],
) -> Certificates | None:
    """None if the run made no certificates.

    name: what commands call the run's folder; samples: its finished records; certified: the indices of those that are.
    """
    said = run.request
    if not said.get("certificates") and not any(row.get("claims") for row in samples):
        return None
    files, verdicts, network = list_files(run.path), read_verdicts(run.path), str(said["model"]["digest"])
    by_sample = {
        row["index"]: Result(row["index"] in certified, _certificates(row, request, network, files, verdicts))
        for row in samples
    }
    found = [one for result in by_sample.values() for one in result.certificates]
    # Of a sample that is not certified, questions may be open; and a run that was not checked is no list of faults.
    open_ = [
        one
        for result in by_sample.values()
        for one in result.certificates
        if one.standing not in (Standing.VALID, Standing.UNCHECKED, *(() if result.certified else (Standing.NONE,)))
    ]
    open_.sort(key=lambda one: SEVERITY.index(one.standing))
    return Certificates(
        name,
        network,
        by_sample,
        tuple(open_[:SHOWN]),
        len(open_),
        tuple(_problems(found, by_sample.values(), files, verdicts)),
        tuple(sorted({one.kernel for one in found if one.standing is Standing.VALID})),
    )


def question_names(row: Mapping[str, Any], request: Mapping[str, Any]) -> list[str]:
    """What the certificates of a sample's questions are called, in the order of its `claims`, without suffix."""
    name = f"sample-{row['index']:05d}"
    if row.get("radius" if words.searches(request) else "certified") is None:  # it had no question
        return []
    kind, target = "radii" if words.searches(request) else "margins", str(request["target"])
    if target == "all":
        others = range(len(row.get(f"target_{kind}") or ()) + 1)
        return [f"{name}-target-{other}" for other in others if other != row["label"]]
    end = "" if target == "untargeted" else f"-target-{_class(target)}"
    if request["frames"] == "each":
        asked = enumerate(row.get(f"frame_{kind}") or ())
        return [f"{name}-frame-{frame:03d}{end}" for frame, value in asked if value is not None]
    return [name + end]


def _class(target: str) -> str:
    """A class number in its shortest form, as the names have it."""
    try:
        return str(int(target))
    except ValueError:
        return target


def _certificates(
    row: Mapping[str, Any], request: Mapping[str, Any], network: str, files: Files, verdicts: Verdicts
) -> tuple[Certificate, ...]:
    names, claims = question_names(row, request), row.get("claims")
    if not isinstance(claims, list) or len(claims) != len(names):
        found = words.plural(len(claims), "claim") if isinstance(claims, list) else "no claims"
        reason = f"the results name {found} for {words.plural(len(names), 'question')}"
        return (Certificate(f"sample-{row['index']:05d}", Standing.DAMAGED, reason),)
    return tuple(
        certificate_of(name, claim, network, files, verdicts) for name, claim in zip(names, claims, strict=True)
    )


def _problems(found: Sequence[Certificate], results: Collection[Result], files: Files, verdicts: Verdicts) -> list[str]:
    """What is wrong beside single certificates, or easily overlooked."""
    problems = []
    if files.problem:
        problems.append(f"{files.problem}, so that no certificate counts.")
    if verdicts.problem:
        problems.append(f"{verdicts.problem}: no verdict in it counts.")
    named = {one.file for one in found if one.standing is not Standing.NONE}
    strangers = len(set(verdicts.files) - named)
    if strangers:
        problems.append(f"{NAME} has verdicts on files that no finished result names: {strangers:,}.")
    files_left = sum(name.startswith("sample-") and name.endswith(SUFFIX) for name in set(files.names) - named)
    if files_left:
        problems.append(f"{FOLDER}/ has certificates that no finished result names: {files_left:,}.")
    invalid = sum(result.counts.get(Standing.INVALID, 0) for result in results if not result.certified)
    if invalid:
        problems.append(
            f"Of the samples that are not certified, single questions have INVALID certificates: {invalid:,}."
        )
    return problems


def folder_files(run: Path) -> list[tuple[str, list[Path], str]]:
    """For the list of a run's files: name, the files, what is in them."""
    folder = run / FOLDER
    names = [folder / name for name in sorted(list_files(run).names) if (folder / name).is_file()]
    samples = [path for path in names if path.name.startswith("sample-") and path.suffix == SUFFIX]
    networks = [path for path in names if path.suffix == SUFFIX and path not in samples]
    rows = [
        (f"{FOLDER}/sample-*{SUFFIX}", samples, "one certificate for each question that is proved"),
        (f"{FOLDER}/network{SUFFIX}", networks, "the exact weights that they are about"),
        (f"{FOLDER}/{NAME}", [path for path in names if path.name == NAME], "what refcert check said of them"),
    ]
    return [row for row in rows if row[1]]

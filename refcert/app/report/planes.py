"""The audit of a run, counted: by kind, product and side, by sample and precision, and the planes that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from refcert.app.audit_report import where_of
from refcert.app.errors import InputError
from refcert.app.report import plane_words
from refcert.app.report.plane_choice import Choice
from refcert.app.report.plane_svg import PlanePicture, picture_plane
from refcert.app.runs import RunFolder
from refcert.audit.plane_audit import AuditResult
from refcert.audit.plane_table import PlaneTable
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim, Status

# So many planes that are not proved are shown one by one.
SHOWN: Final = 20
# And so many of them with a picture.
PICTURED: Final = 4

State = Literal["proved", "refuted", "undecided", "not audited"]


@dataclass(frozen=True)
class Counts:
    """Planes by verdict."""

    proved: int = 0
    refuted: int = 0
    undecided: int = 0

    @property
    def total(self) -> int:
        return self.proved + self.refuted + self.undecided

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.proved + other.proved, self.refuted + other.refuted, self.undecided + other.undecided)


@dataclass(frozen=True)
class Group:
    """Planes of one kind, product and side; product is empty where it was not kept."""

    kind: str
    product: str
    side: str
    counts: Counts


@dataclass(frozen=True)
class Exhibit:
    """One plane. plane: its number in the run; the texts are exact. picture: where it has one."""

    plane: int
    status: str
    where: str
    inequality: str
    box: str
    point: str
    violation: str
    reason: str
    claim: PlaneClaim | None
    judgement: Judgement
    picture: PlanePicture | None = None


@dataclass(frozen=True)
class Audit:
    """What is known about a run's planes. unaudited: samples whose planes have no verdicts.

    exhibits: planes that are not proved; shown: a typical proved plane and the one with the widest gap.
    """

    counts: Counts
    groups: tuple[Group, ...]
    precisions: tuple[tuple[int, int], ...]
    exhibits: tuple[Exhibit, ...]
    shown: tuple[Exhibit, ...]
    by_sample: dict[int, Counts]
    unaudited: int
    kept: bool

    @property
    def state(self) -> State:
        """'proved' only if every plane behind the finished samples is."""
        return state_of(self.counts, self.unaudited)

    @property
    def open(self) -> int:
        return self.counts.refuted + self.counts.undecided


def state_of(counts: Counts, unaudited: int) -> State:
    """The worst news first; 'proved' needs all of them."""
    if counts.refuted:
        return "refuted"
    if counts.undecided:
        return "undecided"
    return "proved" if counts.proved and not unaudited else "not audited"


def read_audit(
    run: RunFolder, asked: Iterable[int], batch_size: int, *, name: str = "plane", show: bool = True
) -> Audit:
    """Verdicts of all finished parts. asked: indices of the finished samples that had a question.

    name: of the pictures, to tell them from those of another run on the same page; show: also pick proved planes.

    Raises InputError if planes or verdicts cannot be read or do not belong together.
    """
    samples_of: dict[int, set[int]] = {}
    for index in asked:
        samples_of.setdefault(index // batch_size, set()).add(index)
    kept = set(run.plane_parts())
    groups: Counter[tuple[str, str, str, Status]] = Counter()
    by_sample: Counter[tuple[int, Status]] = Counter()
    precisions: Counter[int] = Counter()
    exhibits: list[Exhibit] = []
    choice = Choice()
    unaudited = offset = 0
    for part in run.finished_parts():
        verdicts, table = _part(run, part, keep=part in kept)
        if verdicts is None:
            unaudited += len(samples_of.get(part, ()))
            offset += 0 if table is None else len(table)
            continue
        statuses = [verdict.status for verdict in verdicts]
        kinds, products, sides, samples = _columns(table, len(verdicts))
        # Where it is not known whose planes they are, any verdict stands for all samples of the part.
        covered = set(samples) if -1 not in samples else samples_of.get(part, set())
        unaudited += len(samples_of.get(part, set()) - covered)
        groups.update(zip(kinds, products, sides, statuses, strict=True))
        by_sample.update(zip(samples, statuses, strict=True))
        precisions.update(verdict.precision for verdict in verdicts if verdict.status == Status.PROVED)
        for row, verdict in enumerate(verdicts):
            if verdict.status != Status.PROVED:
                exhibits.append(_exhibit(offset + row, verdict, table, row))
        if show and table is not None:
            choice.add(offset, table, verdicts)
        exhibits.sort(key=lambda e: (e.status != Status.REFUTED, e.plane))
        del exhibits[SHOWN:]
        offset += len(verdicts)
    counts = {key[:3]: Counts() for key in sorted(groups)}
    for (kind, product, side, status), number in groups.items():
        counts[kind, product, side] += Counts(**{status.lower(): number})
    per_sample: dict[int, Counts] = {}
    for (sample, status), number in by_sample.items():
        if sample >= 0:
            per_sample[sample] = per_sample.get(sample, Counts()) + Counts(**{status.lower(): number})
    return Audit(
        sum(counts.values(), Counts()),
        tuple(Group(*key, value) for key, value in counts.items()) if kept else (),
        tuple(sorted(precisions.items())),
        _pictured(exhibits, name),
        _pictured(
            [_exhibit(seen.number, seen.judgement, seen.table, seen.row) for seen in choice.typical_and_widest()], name
        ),
        per_sample,
        unaudited,
        bool(kept),
    )


def _part(run: RunFolder, part: int, *, keep: bool) -> tuple[Sequence[Judgement] | None, PlaneTable | None]:
    try:
        result: AuditResult | None = run.audit(part)
        table = run.planes(part) if keep else None
    except (OSError, ValueError) as error:
        raise InputError(f"{run.path}: planes or verdicts of part {part} cannot be read ({error})") from error
    if result is not None and table is not None and len(result.verdicts) != len(table):
        raise InputError(
            f"{run.path}: part {part} has {len(table)} planes but {len(result.verdicts)} verdicts; "
            "run `refcert audit` on the folder again"
        )
    return None if result is None else result.verdicts, table


def _columns(table: PlaneTable | None, length: int) -> tuple[list[str], list[str], list[str], list[int]]:
    """kind, product, side and sample of every plane; empty and -1 where they were not kept."""
    nothing = [""] * length
    if table is None:
        return nothing, nothing, nothing, [-1] * length
    products = table.origin["product"].tolist() if "product" in table.origin else nothing
    samples = table.origin["sample"].tolist() if "sample" in table.origin else [-1] * length
    return table.columns["kind"].tolist(), products, table.columns["side"].tolist(), samples


def _exhibit(number: int, verdict: Judgement, table: PlaneTable | None, row: int) -> Exhibit:
    claim = None if table is None else next(table.claims(row, row + 1))
    return Exhibit(
        number,
        str(verdict.status),
        "" if table is None else where_of(table, row),
        "" if claim is None else plane_words.inequality(claim),
        "" if claim is None else plane_words.box(claim),
        plane_words.point(verdict, None if claim is None else claim.kind),
        "" if verdict.violation is None else f"{verdict.violation:.3g}",
        verdict.reason,
        claim,
        verdict,
    )


def _pictured(exhibits: Sequence[Exhibit], name: str) -> tuple[Exhibit, ...]:
    """The exhibits, the first ones with a picture."""
    return tuple(
        exhibit
        if k >= PICTURED or exhibit.claim is None
        else replace(exhibit, picture=picture_plane(exhibit.claim, exhibit.judgement, name=f"{name}-{exhibit.plane}"))
        for k, exhibit in enumerate(exhibits)
    )

"""assert_planes_sound: a function's bounding planes, proved on drawn boxes, a fault shown on the simplest box.

Method card
    Claim      passes only if every plane that was asked for is PROVED in ball arithmetic on its box; a violation is
               REFUTED at a point that ball arithmetic confirms.
    Idea       boxes family by family, as `refcert audit module:function` draws them; the audit's proofs, and its hunts
               where the proofs are undecided; then the box is made simpler (`simple_boxes`) as long as the function's
               plane there fails, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from refcert.app.audit_sources.boxes import Draw
from refcert.app.audit_sources.function import CALL, PlanesFunction
from refcert.app.audit_sources.returned import NotFiniteError
from refcert.app.errors import InputError
from refcert.audit.examine import Questions, examine
from refcert.audit.families.boxes import BOX_FAMILIES
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import KINDS, PlaneClaim, Status
from refcert.reference.equations import PRODUCTS
from refcert.testing.budget import Budget, BudgetLike, Clock, checked_seed
from refcert.testing.plane_words import said_box, said_call, said_plane, said_point
from refcert.testing.report import Outcome, Report, Violation, concluded
from refcert.testing.simple_boxes import simplest_box
from refcert.testing.words import called, plural

NAME: Final = "assert_planes_sound"
PlanesCallable = Callable[..., Any]

BOXES_EACH: Final = 20
"""Boxes of each family and kind, unless the budget says how many there are in all."""
# Planes between two looks at the clock.
_BLOCK: Final = 100


def assert_planes_sound(
    planes_fn: PlanesCallable | str,
    *,
    kinds: Sequence[str] = KINDS,
    boxes: Sequence[str] = BOX_FAMILIES,
    budget: BudgetLike = None,
    seed: int = 0,
    dtype: str = "float64",
    octagons: bool = False,
) -> Report:
    """Every plane of a function bounds its surface on the whole box, for boxes of all families.

    planes_fn(kind, lower_v, upper_v, lower_z, upper_z) -> (lower, upper), each (slope_v, slope_z, offset), arrays
    (count,) in, arrays (count,) out (docs/audit.md), or its name `module:function`. kinds, boxes: names of surfaces and
    of families of boxes. budget: `examples` are boxes in all. dtype: of the boxes, 'float64' or 'float32'. octagons:
    for products the function is called with four more arrays, lower_plus, upper_plus, lower_minus, upper_minus, and
    its planes have to hold where v + z and v - z are between them.
    Raises ViolatedError, NotProvedError where proofs and hunts leave a plane undecided, NotDecidedError, and InputError
    where the function returns no planes, changes its inputs or raises, or an argument makes no sense.
    """
    __tracebackhide__ = True
    chosen, clock = Budget.of(budget), Clock(Budget.of(budget).seconds)
    kinds, boxes = _names(kinds, "kinds"), _names(boxes, "boxes")
    function = _function(planes_fn)
    shares = _shares(len(kinds) * len(boxes), chosen.examples)
    draw = Draw(boxes, kinds, max(shares), checked_seed(seed), dtype)
    audited = _Audited(2 * sum(shares))
    for (family, kind), share in zip(((f, k) for f in boxes for k in kinds), shares, strict=True):
        try:
            if share and not audited.add(_claims(function, draw, family, kind, share, octagons), seed, clock):
                break
        except NotFiniteError as error:
            return concluded(_no_numbers(audited, function, draw, family, kind, error))
    return concluded(_report(audited, function, draw, clock))


@dataclass(frozen=True)
class _Found:
    family: str
    row: int
    claim: PlaneClaim
    judgement: Judgement


@dataclass
class _Audited:
    """planned: planes in all. The rest is counted while they are judged."""

    planned: int
    proved: int = 0
    refuted: list[_Found] = field(default_factory=list)
    undecided: list[_Found] = field(default_factory=list)

    @property
    def judged(self) -> int:
        return self.proved + len(self.refuted) + len(self.undecided)

    def add(self, claims: Iterator[list[tuple[str, int, PlaneClaim]]], seed: int, clock: Clock) -> bool:
        """Judge them; False if the seconds were over before all had been."""
        questions = Questions(falsify="undecided", seed=seed)
        for block in claims:
            if clock.over:
                return False
            answers = examine([claim for _, _, claim in block], questions, self.judged)
            for (family, row, claim), answer in zip(block, answers, strict=True):
                judgement = answer.judgement
                found = _Found(family, row, claim, judgement)
                if judgement.status is Status.PROVED:
                    self.proved += 1
                else:
                    (self.refuted if judgement.status is Status.REFUTED else self.undecided).append(found)
        return True


def _claims(
    function: PlanesFunction, draw: Draw, family: str, kind: str, count: int, octagons: bool
) -> Iterator[list[tuple[str, int, PlaneClaim]]]:
    drawn = draw.boxes(family, kind)[:count]
    diagonals = draw.diagonals(family, kind, drawn) if octagons and kind in PRODUCTS else None
    for start in range(0, count, CALL):
        part = slice(start, start + CALL)
        ends = None if diagonals is None else diagonals[part]
        table = function.planes(family, kind, drawn[part], start, draw.dtype, ends)
        rows = table.origin["sample"].tolist()
        claims = [(family, row, claim) for row, claim in zip(rows, table.claims(), strict=True)]
        for first in range(0, len(claims), _BLOCK):
            yield claims[first : first + _BLOCK]


def _report(audited: _Audited, function: PlanesFunction, draw: Draw, clock: Clock) -> Report:
    numbers = {
        "planes": audited.judged,
        "proved": audited.proved,
        "refuted": len(audited.refuted),
        "undecided": len(audited.undecided),
        "not audited": audited.planned - audited.judged,
    }
    counts = f"{audited.proved} of {plural(audited.planned, 'plane')} of {function.text} are proved"
    left = numbers["not audited"]
    notes = (f"the budget of {clock.seconds} s ended before {plural(left, 'plane')} had been audited",) if left else ()
    if audited.refuted:
        violations = tuple(_violation(function, draw, worst) for worst in _worst_of_each(audited.refuted))
        summary = f"{len(audited.refuted)} of {plural(audited.judged, 'plane')} of {function.text} fail on their box"
        return Report(NAME, Outcome.VIOLATED, f"{summary}.", draw.seed, violations, notes, numbers)
    if left:
        return Report(NAME, Outcome.NOT_DECIDED, f"{counts}.", draw.seed, (), notes, numbers)
    if audited.undecided:
        violations = tuple(_undecided(one) for one in audited.undecided)
        return Report(NAME, Outcome.NOT_PROVED, f"{counts}.", draw.seed, violations, notes, numbers)
    return Report(NAME, Outcome.HOLDS, f"{counts}.", draw.seed, (), notes, numbers)


def _no_numbers(
    audited: _Audited, function: PlanesFunction, draw: Draw, family: str, kind: str, error: NotFiniteError
) -> Report:
    row = error.first + error.row
    box = draw.boxes(family, kind)[row].tolist()
    low_v, high_v, low_z, high_z = box
    claim = PlaneClaim(kind, error.side, low_v, high_v, low_z, high_z, 0.0, 0.0, 0.0)
    violation = Violation(
        f"{error.name} of the {error.side} plane of {kind} is {error.value!r}, which is no number of a plane",
        {"kind": kind, "side": error.side, "box": said_box(claim), "family": family, "row": row},
        details=(f"asked by {said_call(function.text, claim)}, among other boxes",),
        data={"box": tuple(box), "value": error.value, "family": family, "row": row},
    )
    summary = f"{function.text} returned planes with numbers that are not finite, after {audited.judged} planes."
    before = tuple(_violation(function, draw, worst) for worst in _worst_of_each(audited.refuted))
    numbers = {"planes": audited.judged, "refuted": len(audited.refuted)}
    return Report(NAME, Outcome.VIOLATED, summary, draw.seed, (violation, *before), (), numbers)


def _worst_of_each(refuted: Sequence[_Found]) -> list[_Found]:
    """The largest violation of every kind and side, the largest of all first."""
    worst: dict[tuple[str, str], _Found] = {}
    for one in refuted:
        key = one.claim.kind, one.claim.side
        if key not in worst or (one.judgement.violation or 0.0) > (worst[key].judgement.violation or 0.0):
            worst[key] = one
    return sorted(worst.values(), key=lambda one: -(one.judgement.violation or 0.0))


def _violation(function: PlanesFunction, draw: Draw, found: _Found) -> Violation:
    from refcert.audit.counterexample import minimise, snippet

    claim, judgement = found.claim, found.judgement
    if claim.diagonals is None:  # octagons are shown as they were drawn
        claim, judgement = simplest_box(function, claim, judgement, draw.dtype)
    judgement = minimise(claim, judgement)
    where = {"kind": claim.kind, "side": claim.side, "box": said_box(claim), "point": said_point(claim, judgement)}
    details = [f"plane: {said_plane(claim)}"]
    drawn = f"box {found.row} of the family {found.family}"
    if claim != found.claim:
        details.append(
            f"made simpler from {drawn}, {said_box(found.claim)}, where it fails by {found.judgement.violation!r}"
        )
    else:
        details.append(f"this is {drawn}")
    head = f"# {said_call(function.text, claim)} returned this plane.\n"
    data = {"claim": claim, "judgement": judgement, "drawn": found.claim, "family": found.family, "row": found.row}
    return Violation(
        f"the {claim.side} plane of {claim.kind} is {'above' if claim.side == 'lower' else 'below'} the surface",
        where,
        judgement.violation,
        "at least, at the point",
        tuple(details),
        head + snippet(claim, judgement),
        data,
    )


def _undecided(found: _Found) -> Violation:
    claim = found.claim
    return Violation(
        f"the {claim.side} plane of {claim.kind} is undecided",
        {"kind": claim.kind, "side": claim.side, "box": said_box(claim), "family": found.family, "row": found.row},
        details=(f"plane: {said_plane(claim)}", f"reason: {found.judgement.reason}"),
        data={"claim": claim, "judgement": found.judgement, "family": found.family, "row": found.row},
    )


def _names(given: Sequence[str], what: str) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    known = KINDS if what == "kinds" else BOX_FAMILIES
    for name in names:
        if name not in known:
            raise InputError(f"{what} has {name!r}, which is not known; choose from {', '.join(known)}")
    if not names or len(set(names)) < len(names):
        raise InputError(f"{what} is {list(names)}; give each name once, and at least one of {', '.join(known)}")
    return names


def _function(given: PlanesCallable | str) -> PlanesFunction:
    if isinstance(given, str):
        if ":" not in given:
            raise InputError(f"planes_fn is {given!r}; give a function, or its name as module:function")
        return PlanesFunction(given)
    if not callable(given):
        raise InputError(f"planes_fn is a {type(given).__name__}, which cannot be called; give a function")
    return PlanesFunction(called(given), given)


def _shares(groups: int, examples: int | None) -> list[int]:
    """How many boxes every family and kind gets."""
    if examples is None:
        return [BOXES_EACH] * groups
    return [examples // groups + (k < examples % groups) for k in range(groups)]

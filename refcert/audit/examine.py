"""Planes, examined as an audit was asked to: judged, cross-checked, hunted for a counter-example, measured.

The judge alone says PROVED. A hunt can only add a point, which ball arithmetic has confirmed; a point on a plane that
is proved is a contradiction inside refcert and raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from refcert.audit.judge import JudgesDisagreeError, judge
from refcert.audit.plane_table import PlaneTable, columns_of
from refcert.audit.verdicts import Judgement, Method
from refcert.kernel.claims import PlaneClaim, Status

HUNTS: Final = ("none", "undecided", "all")
"""Which planes are hunted: none, those that are undecided, or all but the refuted ones, which have their point; of
these the PROVED ones as a check of refcert itself."""


class Questions(NamedTuple):
    """What is asked of every plane. falsify: one of HUNTS; seed: of the hunts, with the plane's number."""

    cross_check: bool = False
    falsify: str = "none"
    tightness: bool = False
    seed: int = 0


class Answer(NamedTuple):
    """A plane's verdict, and with tightness its volume over the least volume; None where there is no such number."""

    judgement: Judgement
    ratio: float | None = None


def examine(claims: Sequence[PlaneClaim], questions: Questions, first: int) -> list[Answer]:
    """All that was asked about some planes, the first of which has the number `first` in the whole audit.

    Raises KernelInputError where a plane makes no claim, JudgesDisagreeError where two ways of refcert do not agree.
    """
    judgements = [_judged(claim, questions, first + k) for k, claim in enumerate(claims)]
    ratios = _ratios(claims, judgements) if questions.tightness else [None] * len(claims)
    return list(map(Answer, judgements, ratios))


def _judged(claim: PlaneClaim, questions: Questions, number: int) -> Judgement:
    judgement = judge(claim, cross_check=True) if questions.cross_check else judge(claim)
    hunted = {"none": (), "undecided": (Status.UNDECIDED,), "all": (Status.UNDECIDED, Status.PROVED)}
    if judgement.status in hunted[questions.falsify]:
        return _hunted(claim, judgement, questions.seed + number)
    return judgement


def _hunted(claim: PlaneClaim, judgement: Judgement, seed: int) -> Judgement:
    from refcert.audit.falsify import falsify_plane  # scipy and Hypothesis, a second to import

    found = falsify_plane(claim, seed=seed)
    if found is None:
        return judgement
    if judgement.status is Status.PROVED:
        raise JudgesDisagreeError(
            f"{claim} is PROVED by {judgement.method}, but the hunt by {found.way} found a point beyond it: "
            f"v = {found.v!r}, z = {found.z!r}, by at least {found.violation!r}"
        )
    return judgement._replace(
        status=Status.REFUTED,
        reason=f"found by a hunt, {found.way}, and confirmed in ball arithmetic; before that: {judgement.reason}",
        point=(found.v, found.z),
        violation=found.violation,
        method=Method.HUNT,
    )


def _ratios(claims: Sequence[PlaneClaim], judgements: Sequence[Judgement]) -> list[float | None]:
    from refcert.audit.tightness_lp import volume_ratios

    table = PlaneTable(columns_of(claims))
    sound = np.array([judgement.status is not Status.REFUTED for judgement in judgements])
    ratios = volume_ratios(table, sound=sound).ratio
    return [None if np.isnan(ratio) else float(ratio) for ratio in ratios]

"""One verdict out of two methods: the kernel's where it decides, the other's where not, an error if they disagree."""

from __future__ import annotations

import math

import pytest

from refcert.audit import judge as module
from refcert.audit.branching.search import check_plane_by_branching
from refcert.audit.judge import JudgesDisagreeError, judge, reconcile
from refcert.audit.verdicts import Judgement, Method, from_kernel
from refcert.kernel.claims import PlaneClaim, Status, Verdict
from refcert.kernel.errors import KernelInputError
from refcert.kernel.plane_proof import check_plane
from tests.audit.drawn_claims import drawn_claims

HOLDS = PlaneClaim("sigmoid_times_tanh", "upper", -1.0, 1.0, -1.0, 1.0, 0.0, 0.0, 0.75)
FAILS = PlaneClaim("sigmoid_times_tanh", "upper", -1.0, 1.0, -1.0, 1.0, 0.0, 0.0, 0.5)
# tanh comes within exp(-6000) of 1: more than the kernel's bits, and the offset is exact
OPEN_TO_THE_KERNEL = PlaneClaim("tanh", "upper", -3e3, 3e3, 0.0, 0.0, 0.0, 0.0, 1.0)


def test_the_kernel_decides_where_it_can():
    for claim, status in ((HOLDS, Status.PROVED), (FAILS, Status.REFUTED)):
        verdict = judge(claim)
        assert (verdict.status, verdict.method) == (status, Method.CANDIDATES)


def test_the_second_method_decides_what_the_kernel_does_not():
    assert check_plane(OPEN_TO_THE_KERNEL).status is Status.UNDECIDED
    for cross_check in (False, True):
        verdict = judge(OPEN_TO_THE_KERNEL, cross_check)
        assert (verdict.status, verdict.method) == (Status.PROVED, Method.BRANCHING)


def test_a_cross_check_changes_no_verdict():
    for claim, _ in drawn_claims(400, 21):
        assert judge(claim, cross_check=True) == judge(claim)


@pytest.mark.parametrize("claim", [HOLDS, FAILS])
def test_a_contradiction_is_an_internal_fault_that_shows_the_claim(claim, monkeypatch):
    true = check_plane_by_branching(claim)
    lie = Judgement(Status.REFUTED, "", 128, (0.25, 0.5), 1e-3, Method.BRANCHING)
    if true.status is Status.REFUTED:
        lie = Judgement(Status.PROVED, "", 128, method=Method.BRANCHING)
    monkeypatch.setattr(module, "check_plane_by_branching", lambda claim: lie)
    judge(claim)  # not asked for
    with pytest.raises(JudgesDisagreeError) as caught:
        judge(claim, cross_check=True)
    for number in (claim.lower_v, claim.upper_z, claim.offset, 128):
        assert repr(number) in str(caught.value)
    for word in (Method.CANDIDATES, Method.BRANCHING, "PROVED", "REFUTED", "internal fault"):
        assert word in str(caught.value)


def test_two_undecided_methods_say_why():
    first = from_kernel(Verdict(Status.UNDECIDED, "precision exhausted on the inside", 8192))
    second = Judgement(Status.UNDECIDED, "node budget of 3 sub-boxes spent", 256, method=Method.BRANCHING)
    verdict = reconcile(HOLDS, first, second)
    assert verdict.status is Status.UNDECIDED
    assert verdict.precision == 8192
    for word in ("precision exhausted on the inside", "node budget of 3", Method.CANDIDATES, Method.BRANCHING):
        assert word in verdict.reason


@pytest.mark.parametrize("cross_check", [False, True])
def test_what_makes_no_claim_is_refused(cross_check):
    with pytest.raises(KernelInputError, match="offset is inf"):
        judge(PlaneClaim("tanh", "upper", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, math.inf), cross_check)

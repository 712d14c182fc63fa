"""Ways to doubt a plane agree: two rigorous methods, scipy's searches, sampling, and a grid of 301 x 301 points."""

import mpmath
import numpy as np
import pytest

from refcert.audit.branching.search import check_plane_by_branching
from refcert.audit.falsify import WAYS, falsify_plane
from refcert.audit.families.planted import largest_violation, moved_inward, scale_of
from refcert.audit.hunting.excess import Excess, confirm
from refcert.audit.hunting.hunt import Hunt
from refcert.kernel.claims import Status
from refcert.kernel.plane_proof import check_plane
from tests.audit.drawn_claims import drawn_claims, excess_at
from tests.audit.hunted_claims import exact_claims
from tests.audit.peer_faults import PEER_FAULTS

GRID = 301
# Evaluations, or examples, of a hunt in the default run.
BUDGET = 25


def rigorous(claim):
    """What both rigorous methods say; they never contradict each other."""
    statuses = {check_plane(claim).status, check_plane_by_branching(claim).status}
    assert statuses != {Status.PROVED, Status.REFUTED}, claim
    return statuses - {Status.UNDECIDED}


def on_the_grid(claim):
    """The worst of 301 x 301 points, evenly spaced in the box, and the excess there."""
    hunt = Hunt(Excess(claim), 1, 0)
    v, z = (np.unique(axis.clip(np.linspace(axis.low, axis.high, GRID))) for axis in hunt.axes)
    v, z = np.meshgrid(v, z)
    excess = hunt.excess(v, z)
    worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
    return float(v[worst]), float(z[worst])


def check_agreement(claim, ways, budget):
    """No way finds a point on a PROVED plane, and what it finds is one in 400 digits; how many found one."""
    status = rigorous(claim)
    found = [falsify_plane(claim, 0, (way,), budget) for way in ways]
    found.append(confirm(claim, *on_the_grid(claim), "grid of 301 x 301"))
    for point in filter(None, found):
        assert Status.PROVED not in status, (claim, point)
        assert excess_at(claim, mpmath.mpf(point.v), mpmath.mpf(point.z)) >= point.violation
    return status, [point is not None for point in found]


def test_nobody_finds_a_point_on_a_proved_plane_over_all_families():
    proved = refuted = 0
    for claim, truth in drawn_claims(24, 71):
        status, _ = check_agreement(claim, WAYS, BUDGET)
        assert not truth or status <= {Status(truth)}
        proved += status == {Status.PROVED}
        refuted += status == {Status.REFUTED}
    assert proved >= 8
    assert refuted >= 8


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_nobody_finds_a_point_on_a_proved_plane_in_a_campaign(seed):
    for claim, _ in drawn_claims(300, 1000 + seed):
        check_agreement(claim, WAYS, 200)


# Measured with this seed and budget, of the 36 planes below with violations above 1e-6 of their scale: every way finds
# all. One is let go where other versions of a library may draw other points.
FOUND_AT_LEAST = {"grid": 36, "direct": 36, "dual_annealing": 35, "shgo": 36, "hypothesis": 35}


def faults_above(count, share=2e-6, least=1e-6):
    """Least-volume planes moved inward, violated by more than `least` of their scale."""
    moved = [moved_inward(claim, share) for claim in exact_claims(count, seed=23)]
    return [claim for claim in moved if largest_violation(claim) > least * scale_of(claim)]


@pytest.mark.parametrize("way", WAYS)
def test_each_way_finds_nearly_all_visible_faults_and_what_it_finds_is_refuted(way):
    faults = faults_above(2)
    found = [claim for claim in faults if falsify_plane(claim, 5, (way,), BUDGET) is not None]
    assert all(rigorous(claim) == {Status.REFUTED} for claim in found)
    assert len(faults) == 36
    assert len(found) >= FOUND_AT_LEAST[way]


@pytest.mark.parametrize("way", [*WAYS, "candidates", "branching"])
@pytest.mark.parametrize("fault", PEER_FAULTS)
def test_each_way_finds_the_faults_of_earlier_tools(fault, way):
    claims = PEER_FAULTS[fault]()
    assert len(claims) == 6
    for claim in claims:
        if way in WAYS:
            assert falsify_plane(claim, 0, (way,), BUDGET) is not None, claim
        else:
            check = check_plane if way == "candidates" else check_plane_by_branching
            assert check(claim).status is Status.REFUTED


def test_the_fault_of_the_sample_is_seen_between_the_points_of_the_sample():
    violations = [largest_violation(claim) for claim in PEER_FAULTS["offset repaired from a sample"]()]
    assert all(1e-7 < violation < 1e-2 for violation in violations)


def test_a_grid_of_301_points_misses_what_the_hunts_find():
    """Why the hunts refine: the same planes, off by 1e-9 of their scale."""
    faults = faults_above(1, share=2e-9, least=1e-9)
    on_grid = sum(confirm(claim, *on_the_grid(claim)) is not None for claim in faults)
    hunted = sum(falsify_plane(claim, 0, ("grid",)) is not None for claim in faults)
    assert on_grid < hunted
    assert hunted >= len(faults) - 1

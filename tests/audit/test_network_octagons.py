"""Linear programs over networks whose planes hold on octagons: proved on what is derived again, or refused."""

import numpy as np
import pytest

from refcert.audit.network_lp import network_ladder
from refcert.audit.network_lp.boxes import derive
from refcert.audit.network_lp.proved import sound_pair
from refcert.audit.network_lp.system import system_of
from refcert.reference.equations import Nonlinear
from refcert.reference.errors import ReferenceFailureError
from refcert.reference.given_planes import bounds_with_planes, given_from_columns
from refcert.reference.intervals import Interval
from refcert.reference.networks import logits
from refcert.reference.octagons import Diagonals
from refcert.reference.unrolling import unroll
from tests.reference.drawn import points_of
from tests.reference.engine_side import engine_bounds
from tests.reference.test_bounds import small

ROUNDING = 1e-6


@pytest.fixture(params=["lstm", "gru"])
def run(request):
    network, region, C = small(request.param, time=2, radius=0.3)
    lower, columns = engine_bounds(network, region, C, np.zeros(len(C)), "octagon")
    return network, region, C, lower, given_from_columns(network, 2, columns)


def test_the_ladder_of_a_run_on_octagons(run):
    network, region, C, lower, planes = run
    ladder = network_ladder(network, region, C, None, [planes], (), ("back_substitution", "boxes", "hull"), rounds=3)
    assert ladder.moved == 0
    worst = [rung.worst for rung in ladder.rungs]
    assert worst == sorted(worst)
    assert worst[0] == pytest.approx(lower.min(), abs=ROUNDING)
    samples = np.array([C @ logits(network, x).reshape(-1) for x in points_of(region, np.random.default_rng(0), 40)])
    assert worst[-1] <= samples.min() + ROUNDING


def test_planes_of_a_run_are_taken_as_they_are(run):
    network, region, C, _, planes = run
    system = system_of(unroll(network, *region.shape, "tree"))
    derived = derive(system, region, [planes])
    assert derived.moved == 0
    again = bounds_with_planes(network, region, C, None, planes)
    assert not again.escapes
    for variable, entry in planes.items():
        assert derived.starts[0][variable] == entry.planes
        for ours, theirs in zip(derived.boxes[variable], again.boxes[variable], strict=True):
            assert ours == pytest.approx(theirs, abs=1e-12)


def test_a_plane_that_fails_inside_is_refused(run):
    network, region, C, _, planes = run
    key = next(key for key, entry in planes.items() if entry.diagonals is not None)
    upper = planes[key].planes.upper
    lowered = planes[key].planes._replace(upper=upper._replace(offset=upper.offset - 0.3))
    faulty = planes | {key: planes[key]._replace(planes=lowered)}
    with pytest.raises(ReferenceFailureError, match="does not hold"):
        network_ladder(network, region, C, None, [faulty], (), ("back_substitution",))


def test_an_octagon_that_is_too_small_is_not_believed(run):
    """Planes are moved to the derived octagon: the bounds are those of sound planes, and the count says so."""
    network, region, C, _, planes = run
    small_ = {
        key: entry
        if entry.diagonals is None
        else entry._replace(
            planes=entry.planes._replace(upper=entry.planes.upper._replace(offset=entry.planes.upper.offset - 0.05)),
            diagonals=Diagonals(*(Interval(*(2 * [sum(ends) / 2])) for ends in entry.diagonals)),
        )
        for key, entry in planes.items()
    }
    ladder = network_ladder(network, region, C, None, [small_], (), ("back_substitution",))
    assert ladder.moved >= sum(entry.diagonals is not None for entry in planes.values()) / 2
    samples = np.array([C @ logits(network, x).reshape(-1) for x in points_of(region, np.random.default_rng(0), 40)])
    assert ladder.rungs[0].worst <= samples.min() + ROUNDING


def test_planes_without_derived_diagonals_are_asked_of_the_box(run):
    """Nobody may use the given ones: they are an engine's claim."""
    network, region, _, _, planes = run
    program = unroll(network, *region.shape, "tree")
    moved = 0
    for equation in program.equations:
        entry = planes.get(equation.variable)
        if isinstance(equation, Nonlinear) and entry is not None and entry.diagonals is not None:
            found = sound_pair(entry, equation, entry.v, entry.z)
            moved += found.moved
            assert entry._replace(planes=found.planes, diagonals=None).violation() <= 1e-12
    assert moved > 0

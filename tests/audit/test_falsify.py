"""Every way of hunting: what it finds is real, it repeats, it finds what is there, bad questions are refused."""

import importlib
import sys
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.audit.falsify import ALL_WAYS, WAYS, falsify_plane
from refcert.audit.families.boxes import BOX_FAMILIES, draw_boxes
from refcert.audit.families.planted import largest_violation, moved_inward
from refcert.audit.hunting.excess import Excess
from refcert.audit.hunting.hunt import Axis, Hunt, apart, in_last_place, worst_confirmed
from refcert.audit.hunting.polish import polish
from refcert.audit.hunting.zoom import zoom_in
from refcert.kernel.claims import KINDS, SIDES, PlaneClaim, Status
from refcert.kernel.errors import KernelInputError
from refcert.kernel.plane_proof import check_plane
from tests.audit.drawn_claims import excess_at
from tests.audit.hunted_claims import exact_claims, tangent_claims

BUDGET = 40
ANY = PlaneClaim("sigmoid_times_tanh", "upper", -1.0, 2.0, -1.0, 3.0, 0.1, 0.1, 0.6)


def check_found(claim, found, digits=400):
    """In the box, and beyond the plane by at least what is said, in many digits."""
    assert claim.lower_v <= found.v <= claim.upper_v
    if claim.kind.startswith("sigmoid_times_"):
        assert claim.lower_z <= found.z <= claim.upper_z
    else:
        assert found.z == 0.0
    true = excess_at(claim, mpmath.mpf(found.v), mpmath.mpf(found.z), digits=digits)
    assert true > 0
    assert found.violation <= true


@pytest.mark.parametrize("way", WAYS)
def test_gross_faults_on_every_kind_side_and_family_of_boxes_are_found_and_real(way):
    rng = np.random.default_rng(17)
    for k, family in enumerate(BOX_FAMILIES):
        for kind in (KINDS[k % 5], KINDS[(k + 2) % 5]):
            side = str(rng.choice(SIDES))
            box = draw_boxes(family, kind, 1, rng)[0].tolist()
            claim = PlaneClaim(kind, side, *box, *rng.normal(size=2).tolist(), 0.0)
            wrong = replace(claim, offset=_inside_range(claim))
            found = falsify_plane(wrong, 3, (way,), 12)
            assert found is not None, wrong
            assert found.way == way
            check_found(wrong, found)


def _inside_range(claim):
    """An offset in the middle of the excess' range over the corners, or beyond its one value."""
    v, z = np.meshgrid(*Excess(claim).box)
    sign = 1.0 if claim.side == "upper" else -1.0
    values = sign * Excess(claim)(v, z)
    size = 1e-3 * (1.0 + float(np.abs(values).max()))
    return float(values.mean()) - sign * size


@pytest.mark.parametrize("way", WAYS)
def test_a_hunt_repeats_with_its_seed(way):
    claims = [moved_inward(claim, 1e-5) for claim in exact_claims(1, seed=5, families=("random",))[:3]]
    first = [falsify_plane(claim, 11, (way,), BUDGET) for claim in claims]
    assert first == [falsify_plane(claim, 11, (way,), BUDGET) for claim in claims]
    assert any(first)


def test_other_seeds_draw_other_points_where_something_is_drawn():
    claim = replace(ANY, offset=0.0)
    points = {}
    for way in ("dual_annealing", "hypothesis"):
        asked = []
        for seed in (1, 2):
            hunt = Hunt(_Spy(claim), BUDGET, seed)
            WAYS[way](hunt)
            asked.append(hunt.excess.asked[5:])
        points[way] = asked
    assert all(one != other for one, other in points.values())


class _Spy(Excess):
    """Remembers the first points that were asked for."""

    def __init__(self, claim, anchor=None):
        super().__init__(claim, anchor)
        self.asked = []

    def __call__(self, v, z):
        self.asked.append((np.ravel(v)[0], np.ravel(z)[0]))
        return super().__call__(v, z)


def test_hypothesis_draws_the_same_whatever_modules_are_loaded(tmp_path, monkeypatch):
    """Hypothesis mixes in numbers that it reads in the sources of loaded modules; the hunt does not depend on them."""
    asked = []
    for name in (None, "refcert_test_numbers"):
        if name:
            (tmp_path / f"{name}.py").write_text(f"NUMBERS = {list(range(21, 40_000, 40))}\n")
            monkeypatch.syspath_prepend(tmp_path)
            importlib.import_module(name)
        hunt = Hunt(_Spy(ANY), 100, 7)
        WAYS["hypothesis"](hunt)
        asked.append(hunt.excess.asked)
    sys.modules.pop("refcert_test_numbers")
    assert asked[0] == asked[1]


def test_the_ways_are_asked_in_order_and_the_first_find_ends_the_hunt():
    wrong = replace(ANY, offset=0.0)
    assert tuple(WAYS) == ALL_WAYS
    for ways in (("shgo", "grid"), ("grid", "shgo")):
        assert falsify_plane(wrong, ways=ways, budget=BUDGET).way == ways[0]
    assert falsify_plane(replace(ANY, offset=5.0), budget=BUDGET) is None
    assert falsify_plane(wrong, ways=()) is None


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"ways": ("grid", "guess")}, r"way is 'guess'; known ways: grid, direct"),
        ({"budget": 0}, "budget is 0; give at least one"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
    ],
)
def test_questions_that_make_no_sense_are_refused(question, message):
    with pytest.raises(ValueError, match=message):
        falsify_plane(ANY, **question)
    with pytest.raises(KernelInputError):
        falsify_plane(replace(ANY, offset=float("nan")))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("budget", [1, 2, 3, 5])
def test_the_smallest_budgets_do_not_fail(way, budget):
    for claim in (replace(ANY, offset=0.0), replace(ANY, kind="tanh", offset=-2.0)):
        found = falsify_plane(claim, 0, (way,), budget)
        if found is not None:
            check_found(claim, found)


HUGE = 1.7e308


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("claim", "is_false"),
    [
        (PlaneClaim("sigmoid_times_identity", "upper", -HUGE, HUGE, -HUGE, HUGE, 3.0, 3.0, 0.0), True),
        (PlaneClaim("sigmoid_times_tanh", "lower", -HUGE, HUGE, -HUGE, HUGE, 1e300, 1e300, 0.0), True),
        (PlaneClaim("relu", "lower", -HUGE, HUGE, 0.0, 0.0, 0.0, 0.0, 0.1), True),
        (PlaneClaim("relu", "upper", -2.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0), False),
        (PlaneClaim("sigmoid_times_identity", "upper", -1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0), False),
        (PlaneClaim("tanh", "upper", 0.0, 5e-324, 0.0, 0.0, 1.0, 0.0, 0.0), False),
        (PlaneClaim("tanh", "lower", 0.0, 5e-324, 0.0, 0.0, 1.0, 0.0, 0.0), True),
    ],
)
def test_the_widest_the_flattest_and_the_least_boxes(way, claim, is_false):
    assert check_plane(claim).status is (Status.REFUTED if is_false else Status.PROVED)
    found = falsify_plane(claim, 0, (way,), 12)
    assert is_false or found is None
    if found is not None:
        check_found(claim, found, digits=1200)


@pytest.mark.parametrize("way", WAYS)
def test_a_point_box_has_one_point(way):
    point = replace(ANY, upper_v=-1.0, upper_z=-1.0)
    at_point = float(excess_at(replace(point, offset=0.0), mpmath.mpf(-1), mpmath.mpf(-1)))
    assert falsify_plane(replace(point, offset=at_point + 1e-15), 0, (way,), 3) is None
    assert falsify_plane(replace(point, offset=at_point - 1e-15), 0, (way,), 3)[:2] == (-1.0, -1.0)


@pytest.mark.parametrize("way", WAYS)
def test_a_contact_inside_lowered_by_1e_14_is_found(way):
    claims = [moved_inward(claim, 1e-14) for claim in tangent_claims(3, seed=2, family="random")]
    faulty = [claim for claim in claims if claim.kind == "sigmoid_times_tanh" and largest_violation(claim) > 0]
    assert len(faulty) >= 4
    for claim in faulty:
        found = falsify_plane(claim, 0, (way,), 80)
        assert found is not None, claim
        check_found(claim, found)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_local_improvement_stays_in_the_box_and_never_loses(seed):
    rng = np.random.default_rng(seed)
    kind, family = str(rng.choice(KINDS)), str(rng.choice(BOX_FAMILIES))
    box = draw_boxes(family, kind, 1, rng)[0].tolist()
    claim = PlaneClaim(kind, str(rng.choice(SIDES)), *box, *rng.normal(size=3).tolist())
    hunt = Hunt(Excess(claim), 0, 0)
    v, z = (float(axis.at(rng.uniform())) for axis in hunt.axes)
    at_start = hunt.excess.at(v, z)
    for improve in (
        lambda: polish(hunt, (v, z)),
        lambda: zoom_in(hunt, (v, z), 0.1),
        lambda: in_last_place(hunt, (v, z)),
    ):
        end = improve()
        assert all(axis.low <= x <= axis.high for axis, x in zip(hunt.axes, end, strict=True))
        assert float(at_start.rise(*end)) >= 0.0 or end == (v, z)


@given(st.floats(-1e300, 1e300), st.floats(0, 1e3) | st.floats(0, 1e300), st.floats(0, 1))
def test_shares_of_an_axis_are_floats_of_it_in_order_with_exact_ends(low, width, share):
    axis = Axis(low, low + width)
    assert float(axis.at(0.0)) == axis.low
    assert float(axis.at(1.0)) == axis.high
    places = axis.at([share / 2, share])
    assert axis.low <= places[0] <= axis.high
    assert axis.low <= places[1] <= axis.high
    assert places[0] <= np.nextafter(np.nextafter(places[1], np.inf), np.inf)


def test_neighbours_in_the_last_place_are_all_of_the_box():
    axis = Axis(1.0, 1.0 + 3 * 2.0**-52)
    assert set(axis.around(1.0)) == {1.0, 1.0 + 2.0**-52, 1.0 + 3 * 2.0**-52}
    assert 0.0 in Axis(-1.0, 2.0).around(1.5)


def test_points_apart():
    points = [(0.0, 0.0), (0.05, 0.0), (0.5, 0.0), (0.5, 0.3), (1.0, 1.0)]
    assert apart(points, 0.1, 3) == [(0.0, 0.0), (0.5, 0.0), (0.5, 0.3)]
    assert apart([(), ()], 0.1, 3) == [()]


def test_of_confirmed_points_the_worst_is_reported_and_others_are_dropped():
    claim = PlaneClaim("relu", "upper", -1.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.5)
    assert worst_confirmed(claim, [(0.5, 0.0), (1.0, 0.0), (2.0, 0.0), (9.0, 0.0)], "test")[:2] == (2.0, 0.0)
    assert worst_confirmed(claim, [(0.5, 0.0), (-1.0, 0.0), (9.0, 0.0)], "test") is None

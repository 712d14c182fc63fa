"""Counter-examples: simpler, still violating, and shown by source that runs by itself."""

import math
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from refcert.audit.counterexample import SHARE, minimise, shrunk, snippet
from refcert.audit.families.boxes import draw_boxes
from refcert.audit.judge import judge
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import KINDS, SIDES, PlaneClaim, Status
from tests.audit.drawn_claims import drawn_claims, exact_point, excess_at
from tests.audit.test_branching import _bump_between_floats

VIOLATIONS = (1.0, 1e-3, 1e-8, 1e-15, 1e-20, 1e-25)


def run(source):
    """Run the source in a name space of its own; what it printed, as numbers by name."""
    printed = []
    exec(
        compile(source, "snippet", "exec"), {"print": lambda text: printed.append(text.split()), "__name__": "snippet"}
    )
    return {name: mpmath.mpf(value) for name, value in printed}


def check_snippet(claim, judgement):
    """The source runs, its numbers are right, and it stands by itself."""
    source = snippet(claim, judgement)
    assert "refcert" not in source
    with mpmath.workdps(60):
        shown = run(source)
        true = excess_at(claim, *exact_point(judgement.point, judgement.rest))
        assert set(shown) == {"surface", "plane", "excess"}
        by_numpy = "import numpy" in source
        assert by_numpy != ("from decimal import" in source)
        assert abs(shown["excess"] - true) <= (mpmath.mpf(0.5) if by_numpy else mpmath.mpf("1e-30")) * true
    return source


def at_violation(kind, side, violation, thin):
    """A claim whose plane is off by this violation at its worst corner, about.

    Floats can be so close to a real number only where it is small: surface and plane shrink with the violation. On the
    box the surface increases in both arguments, and faster than the plane, so that a corner is the worst point.
    """
    size = min(1.0, violation * 1e3)
    low_v, low_z = (math.log(size), 0.0) if kind == "sigmoid" else (0.5 * size, 0.25 * size)
    width = (1.0 if kind == "sigmoid" else size) * (1e-12 if thin else 1.0)
    low_z, high_z = (low_z, low_z + width) if kind.startswith("sigmoid_times") else (0.0, 0.0)
    claim = PlaneClaim(kind, side, low_v, low_v + width, low_z, high_z, -0.25 * size, 0.125, 0.0)
    sign = 1 if side == "upper" else -1
    corner = (claim.upper_v, claim.upper_z) if side == "upper" else (claim.lower_v, claim.lower_z)
    excess = sign * excess_at(claim, *map(mpmath.mpf, corner))
    return replace(claim, offset=float(excess - sign * mpmath.mpf(violation)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_every_snippet_reproduces_violations_from_1_to_1e_25(kind, side):
    sources = []
    for violation in VIOLATIONS:
        for thin in (False, True):
            claim = at_violation(kind, side, violation, thin)
            judgement = judge(claim)
            assert judgement.status is Status.REFUTED
            assert judgement.violation == pytest.approx(violation, rel=1e-9)
            for shown in (judgement, minimise(claim, judgement)):
                sources.append(check_snippet(claim, shown))
    assert any("import numpy" in source for source in sources)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "relu"])
@pytest.mark.parametrize("side", SIDES)
def test_a_violation_below_the_rounding_of_the_plane_is_shown_exactly_and_the_source_says_why(kind, side):
    claim = at_violation(kind, side, 1.0, thin=False)
    sign = 1.0 if side == "upper" else -1.0
    claim = replace(claim, offset=claim.offset + sign)  # now it touches, but for the rounding of the offset
    if judge(claim).status is Status.PROVED:
        claim = replace(claim, offset=math.nextafter(claim.offset, -sign * math.inf))
    judgement = judge(claim)
    assert 0 < judgement.violation < 1e-15
    source = check_snippet(claim, judgement)
    assert "# float64 cannot show an excess of about 1e-" in source
    assert "numpy" not in source


def test_a_violation_that_underflows_is_shown():
    claim = PlaneClaim("tanh", "lower", 400.0, 401.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    judgement = judge(claim)
    assert judgement.violation == 0.0
    check_snippet(claim, judgement)
    check_snippet(claim, minimise(claim, judgement))


HUGE = 1.7e308


@pytest.mark.parametrize(
    "claim",
    [
        PlaneClaim("sigmoid_times_identity", "upper", -HUGE, HUGE, -HUGE, HUGE, 3.0, 3.0, 0.0),
        PlaneClaim("sigmoid_times_identity", "upper", -HUGE, 0.0, 1.0, HUGE, -1e-300, -1e-320, 0.0),
        PlaneClaim("sigmoid_times_tanh", "lower", -HUGE, HUGE, -HUGE, HUGE, 1e300, 1e300, 0.0),
        PlaneClaim("relu", "lower", -HUGE, HUGE, 0.0, 0.0, 0.0, 0.0, 0.1),
        PlaneClaim("tanh", "lower", 0.0, 5e-324, 0.0, 0.0, 1.0, 0.0, 0.0),
        PlaneClaim("sigmoid", "lower", -1e6, -1e5, 0.0, 0.0, 0.0, 0.0, 1e-300),
    ],
)
def test_the_largest_and_the_least_numbers_are_shown(claim):
    simple = minimise(claim, judge(claim))
    names = {}
    exec(snippet(claim, simple).replace("print(", "str("), names)
    assert names["excess"] > 0
    assert names["excess"] >= simple.violation * (1 - 1e-15)


@pytest.mark.parametrize("v", [-100.0, -90.5])
def test_a_point_between_floats_is_shown_with_its_rest(v):
    claim = _bump_between_floats(v)
    judgement = judge(claim)
    assert any(judgement.rest)
    source = check_snippet(claim, judgement)
    assert "# No point of float64 lies in the part of the box where the plane fails" in source
    simple = minimise(claim, judgement)
    assert any(simple.rest)
    check_snippet(claim, simple)
    box = shrunk(claim, simple)
    assert (box.lower_v, box.upper_v) == (v, math.nextafter(v, math.inf))
    assert judge(box).status is Status.REFUTED


def test_a_rest_that_is_longer_than_needed_is_cut_short():
    claim = _bump_between_floats(-100.0)
    judgement = judge(claim)
    tail = tuple(float(x) * 2.0**-200 for x in judgement.rest[0])
    assert minimise(claim, judgement._replace(rest=(judgement.rest[0] + tail, ()))).rest == judgement.rest


def test_a_rest_that_is_not_needed_is_dropped():
    claim = PlaneClaim("tanh", "upper", 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.5)
    point = Judgement(Status.REFUTED, "", 128, (1.0, 0.0), 0.2, rest=((1e-20, 1e-40), ()))
    assert minimise(claim, point).rest == ((), ())


def test_drawn_refutations_become_no_longer_and_keep_their_share_of_the_violation():
    refuted = shorter = 0
    for claim, _ in drawn_claims(260, 31):
        judgement = judge(claim)
        simple = minimise(claim, judgement)
        if judgement.status is not Status.REFUTED:
            assert simple == judgement
            continue
        refuted += 1
        assert simple.violation >= SHARE * judgement.violation
        assert simple.violation <= excess_at(claim, *exact_point(simple.point, simple.rest))
        assert claim.lower_v <= simple.point[0] <= claim.upper_v
        assert (simple.status, simple.method, simple.reason) == (judgement.status, judgement.method, judgement.reason)
        shorter += len(repr(simple.point)) < len(repr(judgement.point))
        check_snippet(claim, simple)
        assert judge(shrunk(claim, simple)).status is Status.REFUTED
    assert refuted > 60
    assert shorter > refuted // 4


def test_the_fewest_digits_win():
    claim = PlaneClaim("sigmoid_times_tanh", "upper", -3.33333, 4.44444, -2.22222, 5.55555, 0.0, 0.0, 0.3)
    assert minimise(claim, judge(claim)).point == (4.0, 5.0)
    at_zero = PlaneClaim("relu", "lower", -1.234567, 1.345678, 0.0, 0.0, 0.0, 0.0, 0.5)
    assert minimise(at_zero, judge(at_zero)).point == (0.0, 0.0)


def test_a_corner_counts_as_simple_where_no_short_number_is_in_the_violated_part():
    claim = PlaneClaim("tanh", "upper", 1.0, 2.0000000123456, 0.0, 0.0, 0.0, 0.0, math.tanh(2.0))
    simple = minimise(claim, judge(claim))
    assert simple.point == (2.0000000123456, 0.0)


def test_a_poor_point_is_made_worse_before_it_is_made_simple():
    claim = PlaneClaim("tanh", "upper", 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.5)
    poor = Judgement(Status.REFUTED, "", 128, (0.55, 0.0), 1e-4)
    simple = minimise(claim, poor)
    assert simple.violation >= SHARE * (math.tanh(3.0) - 0.5)
    assert simple.point == (1.0, 0.0) or simple.point[0] in (2.0, 3.0)


def test_what_is_not_refuted_has_no_counter_example():
    claim = PlaneClaim("tanh", "upper", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0)
    for status in (Status.PROVED, Status.UNDECIDED):
        judgement = Judgement(status, "", 128)
        assert minimise(claim, judgement) is judgement
        for function in (snippet, shrunk):
            with pytest.raises(ValueError, match="give a REFUTED one"):
                function(claim, judgement)


def test_a_judgement_of_another_plane_is_refused():
    claim = PlaneClaim("tanh", "upper", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0)
    wrong = Judgement(Status.REFUTED, "", 128, (0.5, 0.0), 0.1)
    for function in (minimise, snippet):
        with pytest.raises(ValueError, match="is not beyond the plane"):
            function(claim, wrong)


def test_the_box_shrunk_to_a_point_is_that_point():
    rng = np.random.default_rng(3)
    for kind in KINDS:
        box = draw_boxes("random", kind, 1, rng)[0].tolist()
        claim = PlaneClaim(kind, "upper", *box, 0.0, 0.0, -50.0)
        judgement = judge(claim)
        small = shrunk(claim, judgement)
        assert (small.lower_v, small.lower_z) == (small.upper_v, small.upper_z) == judgement.point
        assert (small.slope_v, small.slope_z, small.offset) == (claim.slope_v, claim.slope_z, claim.offset)


def test_the_values_in_the_source_are_the_exact_ones():
    claim = PlaneClaim("sigmoid_times_identity", "lower", -0.1, 0.3, 1e-7, 1e22, 0.1, 0.7, 1e-3)
    judgement = judge(claim)
    names = {}
    exec(snippet(claim, judgement).replace("print(", "str("), names)
    assert (Fraction(names["v"]), Fraction(names["z"])) == tuple(map(Fraction, judgement.point))


@pytest.mark.parametrize("violation", [1e-3, 1e-25])
def test_a_snippet_runs_in_a_fresh_interpreter(violation):
    claim = at_violation("sigmoid_times_tanh", "upper", violation, thin=False)
    source = snippet(claim, judge(claim))
    command = [sys.executable, "-I", "-W", "error", "-c", source]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["surface", "plane", "excess"]


def test_a_snippet_fails_where_the_plane_holds():
    claim = at_violation("tanh", "upper", 1e-3, thin=False)
    source = snippet(claim, judge(claim))
    mended = source.replace(f" + {claim.offset!r}\n", f" + {claim.offset + 0.01!r}\n")
    assert mended != source
    with pytest.raises(AssertionError):
        run(mended)

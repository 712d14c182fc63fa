"""Planes whose truth is known by construction: they touch the surface where calculus says, and are then moved a hair.

Nothing here asks the kernel or the reference what is true; the values come from mpmath with 60 digits.
"""

import math

import mpmath
import numpy as np
import pytest
import torch

from gpu_engine.bounds import Box
from gpu_engine.relaxations.curves import CURVES
from gpu_engine.relaxations.products import PRODUCTS
from refcert.audit.plane_audit import Auditor, AuditResult
from refcert.audit.plane_table import COLUMNS, PlaneTable, PlaneTableError, read_planes
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim, Status
from refcert.kernel.errors import KernelInputError
from refcert.kernel.plane_proof import check_plane
from refcert.reference.exact_planes import extreme_excess, plane_above, plane_below
from refcert.reference.intervals import Interval

mpmath.mp.dps = 60
HAIR = 1e-14
"""Moved by this share of the plane's scale."""
NEAR = 1e-12
"""How near the engine comes from above."""


def surface(kind, v, z):
    v, z = mpmath.mpf(v), mpmath.mpf(z)
    s = 1 / (1 + mpmath.exp(-v))
    return {
        "sigmoid_times_tanh": lambda: s * mpmath.tanh(z),
        "sigmoid_times_identity": lambda: s * z,
        "sigmoid": lambda: s,
        "tanh": lambda: mpmath.tanh(v),
        "relu": lambda: max(v, mpmath.mpf(0)),
    }[kind]()


def interior(seed):
    """An upper plane of the tanh product that touches inside a small box, at a point of the concave region."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.3, 2.5)
    border = math.log(1 + 1 / (2 * math.sinh(z) ** 2))
    v = border + rng.uniform(0.05, 2.0)
    return _tangent(v, z, rng.uniform(0.001, 0.02, 4))


def near_a_fold(seed):
    """The same so near to the border of the concave region that maximum and saddle are close: a nearly double root."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.5, 1.5)
    v = math.log(1 + 1 / (2 * math.sinh(z) ** 2)) + 1e-3
    return _tangent(v, z, np.full(4, 2e-4))


def saturated(seed):
    """The same far out, where the slope in v is next to nothing and 1 - sigmoid is a root next to a double one at 0."""
    rng = np.random.default_rng(seed)
    return _tangent(rng.uniform(18, 30), rng.uniform(0.7, 1.5), np.array([10.0, 25.0, 0.3, 0.3]))


def _tangent(v, z, sides):
    s, t = 1 / (1 + math.exp(-v)), math.tanh(z)
    slope_v, slope_z = s * (1 - s) * t, s * (1 - t * t)
    box = (v - sides[0], v + sides[1], z - sides[2], z + sides[3])
    # the float slopes are off by a rounding, so the contact moves by about as much and the height by its square
    exact = surface("sigmoid_times_tanh", v, z) - mpmath.mpf(slope_v) * v - mpmath.mpf(slope_z) * z
    return "sigmoid_times_tanh", box, slope_v, slope_z, exact


def corner(kind, seed):
    """Slopes so steep that the maximum of f - plane is at a corner, any of the four."""
    rng = np.random.default_rng(seed)
    v, z = np.sort(rng.uniform(-3, 3, 2)), np.sort(rng.uniform(-3, 3, 2))
    signs = [(-1, -1), (-1, 1), (1, -1), (1, 1)][seed % 4]
    slope_v, slope_z = 5.0 * signs[0], 5.0 * signs[1]
    at_v, at_z = v[0 if slope_v > 0 else 1], z[0 if slope_z > 0 else 1]
    exact = surface(kind, at_v, at_z) - mpmath.mpf(slope_v) * mpmath.mpf(at_v) - mpmath.mpf(slope_z) * mpmath.mpf(at_z)
    return kind, (v[0], v[1], z[0], z[1]), slope_v, slope_z, exact


def side_in_v(kind, seed, end=1):
    """A tangent along z = const, its contact in the middle of that side; steep in z towards that side."""
    rng = np.random.default_rng(seed)
    v, z = rng.uniform(0.5, 3.0), np.array([0.5, 2.0])
    at = z[end]
    g = math.tanh(at) if kind == "sigmoid_times_tanh" else at
    s = 1 / (1 + math.exp(-v))
    slope_v, slope_z = s * (1 - s) * g, -3.0 if end else 3.0
    exact = surface(kind, v, at) - mpmath.mpf(slope_v) * v - mpmath.mpf(slope_z) * mpmath.mpf(at)
    return kind, (v - 0.3, v + 0.4, z[0], z[1]), slope_v, slope_z, exact


def side_in_z(seed, end=0):
    """The same along v = const."""
    rng = np.random.default_rng(seed)
    z, v = rng.uniform(0.3, 1.5), np.array([-1.0, 1.0])
    at = v[end]
    s, t = 1 / (1 + math.exp(-at)), math.tanh(z)
    slope_z, slope_v = s * (1 - t * t), 3.0 if end == 0 else -3.0
    exact = surface("sigmoid_times_tanh", at, z) - mpmath.mpf(slope_v) * mpmath.mpf(at) - mpmath.mpf(slope_z) * z
    return "sigmoid_times_tanh", (v[0], v[1], z - 0.3, z + 0.2), slope_v, slope_z, exact


def curve(kind, seed):
    """A tangent of the concave half, from one-dimensional calculus."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.3, 3.0)
    s, t = 1 / (1 + math.exp(-v)), math.tanh(v)
    slope = s * (1 - s) if kind == "sigmoid" else 1 - t * t
    return kind, (v - 0.3, v + 1.0, 0.0, 0.0), slope, 0.0, surface(kind, v, 0) - mpmath.mpf(slope) * v


def nearly_steepest(kind, seed):
    """A tangent next to the inflection, where both roots of the quadratic in sigmoid (in tanh) nearly meet at 0."""
    v = np.random.default_rng(seed).uniform(0.005, 0.02)
    s, t = 1 / (1 + math.exp(-v)), math.tanh(v)
    slope = s * (1 - s) if kind == "sigmoid" else 1 - t * t
    return kind, (v / 2, v + 1.0, 0.0, 0.0), slope, 0.0, surface(kind, v, 0) - mpmath.mpf(slope) * v


def uppers():
    made = [interior(k) for k in range(12)] + [near_a_fold(k) for k in range(6)]
    made += [saturated(k) for k in range(6)]
    for kind in ("sigmoid_times_tanh", "sigmoid_times_identity"):
        made += [corner(kind, k) for k in range(8)]
        made += [side_in_v(kind, k, end) for k in range(3) for end in (0, 1)]
    made += [side_in_z(k, end) for k in range(3) for end in (0, 1)]
    for kind in ("sigmoid", "tanh"):
        made += [curve(kind, k) for k in range(4)] + [nearly_steepest(kind, k) for k in range(3)]
    return made


def claims(case):
    """(claim, true?) pairs: above and below contact, as an upper plane and as the mirrored lower plane."""
    kind, (low_v, high_v, low_z, high_z), slope_v, slope_z, exact = case
    scale = 1 + sum(
        abs(float(x)) for x in (exact, slope_v * high_v, slope_v * low_v, slope_z * high_z, slope_z * low_z)
    )
    for step, true in ((HAIR, True), (-HAIR, False), (1e-3, True), (-1e-3, False)):
        offset = float(exact + mpmath.mpf(step * scale))
        box = tuple(float(x) for x in (low_v, high_v, low_z, high_z))
        yield PlaneClaim(kind, "upper", *box, float(slope_v), float(slope_z), offset), true
        if kind.startswith("sigmoid_times"):
            mirrored = (box[0], box[1], -box[3], -box[2])
            yield PlaneClaim(kind, "lower", *mirrored, -float(slope_v), float(slope_z), -offset), true
        elif kind == "tanh":
            yield PlaneClaim(kind, "lower", -box[1], -box[0], 0.0, 0.0, float(slope_v), 0.0, -offset), true
        elif kind == "sigmoid":
            below = float(1 - exact - mpmath.mpf(step * scale))
            yield PlaneClaim(kind, "lower", -box[1], -box[0], 0.0, 0.0, float(slope_v), 0.0, below), true


EVERY = [pair for case in uppers() for pair in claims(case)]


def violated_by(claim, point):
    """By how much the surface passes the plane at a point, exactly enough."""
    v, z = (mpmath.mpf(x) for x in point)
    outward = 1 if claim.side == "upper" else -1
    slope_z = claim.slope_z if claim.kind.startswith("sigmoid_times") else 0.0
    plane = mpmath.mpf(claim.slope_v) * v + mpmath.mpf(slope_z) * z + mpmath.mpf(claim.offset)
    return outward * (surface(claim.kind, v, z) - plane)


def test_verdicts_are_right_a_hair_on_either_side():
    for claim, true in EVERY:
        verdict = check_plane(claim)
        assert verdict.status is (Status.PROVED if true else Status.REFUTED), claim
        if not true:
            v, z = verdict.point
            assert claim.lower_v <= v <= claim.upper_v
            if claim.kind.startswith("sigmoid_times"):
                assert claim.lower_z <= z <= claim.upper_z
            assert 0 <= verdict.violation <= violated_by(claim, verdict.point)
            assert verdict.violation >= violated_by(claim, verdict.point) * (1 - 1e-9) - 1e-300


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_relu_is_decided_at_its_kink(side):
    """-1 .. 2: below, v/2 touches at the kink alone; above, the chord touches at both ends and not at the kink."""
    slope, offset, outward = (0.5, 0.0, -1.0) if side == "lower" else (0.0, 2.0, 1.0)
    for step, status in ((0.0, Status.PROVED), (HAIR, Status.PROVED), (-HAIR, Status.REFUTED)):
        claim = PlaneClaim("relu", side, -1.0, 2.0, 0.0, 0.0, slope, 0.0, offset + outward * step)
        assert check_plane(claim).status is status


def test_the_references_candidates_find_the_same_contact():
    """The second derivation of an exact offset, on the same planted planes."""
    for kind, (low_v, high_v, low_z, high_z), slope_v, slope_z, exact in uppers():
        v, z = Interval(float(low_v), float(high_v)), Interval(float(low_z), float(high_z))
        scale = 1 + abs(float(exact)) + abs(slope_v) * v.magnitude + abs(slope_z) * z.magnitude
        top = extreme_excess(kind, v, z, float(slope_v), float(slope_z))[1]
        assert abs(float(mpmath.mpf(top.value) - exact)) <= 1e-14 * scale
        above = plane_above(kind, v, z, float(slope_v), float(slope_z))
        assert mpmath.mpf(above.offset) >= exact - 1e-25
        if kind.startswith("sigmoid_times"):
            below = plane_below(kind, v, Interval(-z.upper, -z.lower), -float(slope_v), float(slope_z))
            assert mpmath.mpf(below.offset) <= -exact + 1e-25


def table_of(rows):
    columns = {name: np.array([getattr(claim, name) for claim in rows]) for name in COLUMNS}
    return PlaneTable(columns)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_audit_of_a_table_gives_every_row_its_own_verdict(workers):
    with Auditor(workers) as auditor:
        found = auditor.audit(table_of([claim for claim, _ in EVERY]))
    assert [verdict.status is Status.PROVED for verdict in found.verdicts] == [true for _, true in EVERY]
    assert found.summary["undecided"] == 0
    assert found.summary["refuted"] == sum(not true for _, true in EVERY)


def test_what_makes_no_claim_is_never_proved(tmp_path):
    good = EVERY[0][0]
    rows = {name: [getattr(good, name)] for name in COLUMNS}
    for name, value in (
        ("lower_v", good.upper_v + 1),
        ("lower_z", good.upper_z + 1),
        ("offset", math.nan),
        ("slope_v", math.nan),
        ("slope_z", math.inf),
        ("upper_z", math.nan),
        ("upper_v", -math.inf),
    ):
        values = [value if column == name else getattr(good, column) for column in COLUMNS]
        with pytest.raises(KernelInputError):
            check_plane(PlaneClaim(*values))
        np.savez(tmp_path / "planes.npz", **{c: np.array([value] if c == name else rows[c]) for c in COLUMNS})
        with pytest.raises(PlaneTableError, match=name.removeprefix("upper").removeprefix("lower")):
            read_planes(tmp_path / "planes.npz")


def test_the_engines_offsets_are_those_of_calculus():
    """For the same slopes the engine's offset is not below the true one, and hardly above it."""
    for kind, box, slope_v, slope_z, exact in uppers():
        numbers = np.array([*box, slope_v, slope_z], dtype=np.float64)
        low_v, high_v, low_z, high_z, a, b = torch.tensor(numbers)[:, None]
        v = Box(low_v, high_v)
        if kind in PRODUCTS:
            offset = float(PRODUCTS[kind].upper_maximum(v, Box(low_z, high_z), a, b).value)
        else:
            offset = float(CURVES[kind].upper_maximum(v, a))
        scale = 1 + abs(float(exact)) + sum(abs(float(x)) for x in (slope_v * high_v, slope_z * high_z))
        assert mpmath.mpf(offset) >= exact
        assert mpmath.mpf(offset) <= exact + NEAR * scale
    # Below relu on [-1, 2]: the kink where the slope is between those of the two halves, else an end.
    v = Box(torch.tensor([-1.0], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64))
    for slope, least in ((0.5, 0.0), (0.25, 0.0), (1.5, -1.0), (-0.5, -0.5)):
        offset = float(CURVES["relu"].lower_minimum(v, torch.tensor([slope], dtype=torch.float64)))
        assert least - NEAR <= offset <= least


def test_the_summary_counts_what_is_undecided_as_that():
    verdicts = [Judgement(status, "", 128) for status in (Status.UNDECIDED, Status.PROVED, Status.UNDECIDED)]
    assert AuditResult(tuple(verdicts)).summary == {"proved": 1, "refuted": 0, "undecided": 2}

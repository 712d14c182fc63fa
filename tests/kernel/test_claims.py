"""Claims that make no sense are refused with the value in the message."""

import math

import pytest

from refcert.kernel.claims import PlaneClaim, as_upper
from refcert.kernel.errors import KernelInputError

GOOD = {
    "kind": "sigmoid_times_tanh",
    "side": "upper",
    "lower_v": -1.0,
    "upper_v": 1.0,
    "lower_z": -2.0,
    "upper_z": 2.0,
    "slope_v": 0.1,
    "slope_z": 0.2,
    "offset": 3.0,
}


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"kind": "softplus"}, "'softplus'"),
        ({"side": "above"}, "'above'"),
        ({"offset": math.nan}, "offset is nan"),
        ({"slope_z": math.inf}, "slope_z is inf"),
        ({"lower_v": -math.inf}, "lower_v is -inf"),
        ({"offset": 3}, "offset is 3 of type int"),
        ({"slope_v": "0.1"}, "slope_v is '0.1' of type str"),
        ({"lower_v": 2.0}, "lower_v = 2.0 is above upper_v = 1.0"),
        ({"lower_z": 2.5}, "lower_z = 2.5 is above upper_z = 2.0"),
        ({"diagonals": (1.0, 2.0, 3.0)}, "(1.0, 2.0, 3.0)"),
        ({"diagonals": [1.0, 2.0, 3.0, 4.0]}, "[1.0, 2.0, 3.0, 4.0]"),
        ({"diagonals": (1.0, 2.0, 3, 4.0)}, "lower_minus is 3 of type int"),
        ({"diagonals": (1.0, math.inf, 3.0, 4.0)}, "upper_plus is inf"),
        ({"diagonals": (math.nan, 2.0, 3.0, 4.0)}, "lower_plus is nan"),
        ({"diagonals": (1.0, 0.5, 3.0, 4.0)}, "lower_plus = 1.0 is above upper_plus = 0.5"),
        ({"diagonals": (1.0, 1.0, 4.0, 3.0)}, "lower_minus = 4.0 is above upper_minus = 3.0"),
        ({"kind": "sigmoid", "diagonals": (1.0, 2.0, 3.0, 4.0)}, "sigmoid has one argument"),
    ],
)
def test_refused(change, shown):
    with pytest.raises(KernelInputError) as caught:
        as_upper(PlaneClaim(**(GOOD | change)))
    assert shown in str(caught.value)


def test_one_dimensional_kinds_ignore_z():
    claim = PlaneClaim(**(GOOD | {"kind": "tanh", "lower_z": math.nan, "slope_z": math.inf}))
    assert as_upper(claim).slope_z == 0.0


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_the_mirror_exchanges_the_diagonals(side):
    """v + z is v - z of the mirrored claim."""
    diagonals = (-0.5, 1.0, 0.25, 2.0)
    claim = PlaneClaim(**(GOOD | {"side": side, "diagonals": diagonals}))
    assert as_upper(claim).diagonals == (diagonals if side == "upper" else (0.25, 2.0, -0.5, 1.0))
    assert as_upper(PlaneClaim(**(GOOD | {"side": side}))).diagonals is None


@pytest.mark.parametrize("kind", ["sigmoid_times_tanh", "sigmoid_times_identity", "sigmoid", "tanh", "relu"])
def test_points_go_back_to_the_original_box(kind):
    claim = PlaneClaim(**(GOOD | {"kind": kind, "side": "lower", "lower_v": -1.5, "lower_z": -0.5}))
    upper = as_upper(claim)
    v, z = claim.original_point(upper.lower_v, upper.lower_z)
    assert v in (claim.lower_v, claim.upper_v)
    if kind.startswith("sigmoid_times"):
        assert z in (claim.lower_z, claim.upper_z)

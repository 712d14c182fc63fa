"""assert_planes_sound with octagons: sound planes pass, faults inside are shown, and boxes are another question."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpu_engine.bounds import Box, Diagonals
from gpu_engine.relaxations.octagon import octagon
from gpu_engine.relaxations.products import PRODUCTS
from refcert.app.errors import InputError
from refcert.audit.domain import in_domain
from refcert.kernel.claims import KINDS
from refcert.testing import Outcome, ViolatedError, assert_planes_sound
from tests.testing.engines_under_test import engine_planes, run

BUDGET = "240 examples"
PRODUCT_KINDS = tuple(sorted(PRODUCTS))


def on_octagons(kind, *ends):
    """Our engine's planes on octagons; on intervals for functions of one argument."""
    if kind not in PRODUCTS:
        assert len(ends) == 4
        return engine_planes(kind, *ends)
    v, z, plus, minus = (Box(*map(torch.tensor, ends[k : k + 2])) for k in (0, 2, 4, 6))
    pair = octagon(PRODUCTS[kind], v, z, Diagonals(plus, minus))
    return tuple((plane.slope_v, plane.slope_z, plane.offset) for plane in (pair.lower, pair.upper))


def lowered(kind, *ends):
    """The same with upper planes that are too low where the octagon is wide in v + z."""
    lower, (slope_v, slope_z, offset) = on_octagons(kind, *ends)
    wide = np.zeros(len(ends[0])) if kind not in PRODUCTS else ends[5] - ends[4] > 0.5
    return lower, (slope_v, slope_z, offset - torch.tensor(0.25 * wide))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sound_planes_on_octagons_pass(dtype):
    report = assert_planes_sound(on_octagons, budget=BUDGET, octagons=True, dtype=dtype)
    assert report.outcome is Outcome.HOLDS
    assert report.numbers["proved"] == report.numbers["planes"] == 480


def test_planes_that_need_octagons_fail_on_boxes():
    """The question is another one: a function that reads its diagonals is asked without them, and with them ignored."""

    def cut(kind, *box):
        low_v, high_v, low_z, high_z = box
        plus = (low_v + low_z) / 2 + (high_v + high_z) / 2
        width = (high_v + high_z - low_v - low_z) / 8
        minus = (low_v - high_z) / 2 + (high_v - low_z) / 2
        return on_octagons(kind, *box, plus - width, plus + width, minus - width, minus + width)

    with pytest.raises(ViolatedError):
        assert_planes_sound(cut, kinds=PRODUCT_KINDS, boxes="random", budget=BUDGET)
    with pytest.raises(InputError, match="cannot be called"):
        assert_planes_sound(engine_planes_of_boxes, kinds=PRODUCT_KINDS, budget=BUDGET, octagons=True)


def engine_planes_of_boxes(kind, lower_v, upper_v, lower_z, upper_z):
    return engine_planes(kind, lower_v, upper_v, lower_z, upper_z)


def test_a_fault_inside_is_shown_with_its_octagon():
    with pytest.raises(ViolatedError) as caught:
        assert_planes_sound(lowered, boxes=["random", "wide"], budget=BUDGET, octagons=True)
    kinds = set()
    for violation in caught.value.violations:
        claim, point = violation.data["claim"], violation.data["judgement"].point
        kinds.add((claim.kind, claim.side))
        assert claim.diagonals[1] - claim.diagonals[0] > 0.5
        assert in_domain(claim, (point[0],), (point[1],))
        assert "# the octagon" in violation.snippet
        assert run(violation.snippet)["excess"] > 0
        assert "v + z in [" in str(caught.value)
        assert f"[{claim.diagonals[0]!r}]" in violation.snippet  # the call that asks for this plane
    assert kinds == {(kind, "upper") for kind in PRODUCT_KINDS}


def test_the_same_boxes_are_drawn_with_and_without():
    """What a seed means does not change by the question."""
    seen: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for octagons, boxes in seen.items():

        def planes(kind, *ends, boxes=boxes):
            boxes.append(np.stack(ends[:4]))
            return (on_octagons if len(ends) == 8 else engine_planes)(kind, *ends)

        assert_planes_sound(planes, kinds=KINDS, boxes=["random"], budget="20 examples", octagons=octagons)
    assert len(seen[True]) == len(seen[False])
    assert all(np.array_equal(*pair) for pair in zip(seen[True], seen[False], strict=True))


def test_a_function_that_changes_its_diagonals_is_refused():
    def changing(kind, *ends):
        if len(ends) == 8:
            ends[5][0] += 1.0
        return engine_planes(kind, *ends[:4])

    with pytest.raises(InputError, match="changed its input upper_plus, row 0"):
        assert_planes_sound(changing, kinds=PRODUCT_KINDS, budget=BUDGET, octagons=True)

"""The engine held against the reference: same planes, same bounds, within the rounding that the engine may charge."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.relaxations.registry import RELAXATIONS
from refcert.reference.bounds import bound
from refcert.reference.equations import PRODUCTS
from refcert.reference.errors import ReferenceFailureError
from refcert.reference.given_planes import bounds_with_planes, given_from_columns
from refcert.reference.least_volume import GAP, least_volume
from refcert.reference.networks import BLOCKS
from tests.reference.drawn import input_sets, networks, seeds
from tests.reference.engine_side import engine_bounds
from tests.reference.test_bounds import rows_of, small

UNITS = {torch.float64: 2.0**-53, torch.float32: 2.0**-24}


def charge(result, row, dtype):
    """What the engine may take off a row: some roundings a step, in units of the row's absolute terms."""
    values = sum(len(frame) for frame in result.program.inputs)
    roundings = 32 * len(result.program.equations) + 16 * values + 256  # boxes that are points take twice 8, 4 and 64
    return roundings * UNITS[dtype] * row.absolute


def compare(network, region, C, d, relaxation, dtype=torch.float64):
    """(the engine's lower bounds, the reference's with the engine's planes, the planes)."""
    lower, columns = engine_bounds(network, region, C, d, relaxation, dtype)
    planes = given_from_columns(network, region.shape[0], columns)
    return lower, bounds_with_planes(network, region, C, d, planes), planes


def faults(lower, result, dtype=torch.float64):
    """Rows where the engine is above the reference, or further below than its rounding explains."""
    found = []
    for k, row in enumerate(result.rows):
        gap = float(row.value) - lower[k]
        if not -row.charge <= gap <= charge(result, row, dtype) + row.charge:
            found.append((k, gap, charge(result, row, dtype)))
    return found


def escapes(network, region, C, d, result, planes):
    """Engine boxes that do not hold the derived ones: where the reference's own rounding may be why, exactly."""
    return result.escapes and bounds_with_planes(network, region, C, d, planes, exact=True).escapes


@settings(max_examples=40)
@given(st.data(), networks(), st.integers(1, 4), seeds, st.sampled_from(tuple(RELAXATIONS)))
def test_same_planes_same_bounds(data, drawn, time, seed, relaxation):
    """Every cell, depth, direction, readout, input set and relaxation. Every box holds the one derived anew."""
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    C, d = rows_of(network, time, np.random.default_rng(seed))
    lower, result, planes = compare(network, region, C, d, relaxation)
    assert not faults(lower, result)
    assert not escapes(network, region, C, d, result, planes)
    size = 1 + max(max(entry.v.magnitude, entry.z.magnitude) for entry in planes.values())
    assert max(entry.violation() for entry in planes.values()) <= 1e-14 * size


@settings(max_examples=20)
@given(st.data(), networks(max_size=2), st.integers(1, 3), seeds, st.sampled_from(tuple(RELAXATIONS)))
def test_same_planes_same_bounds_in_float32(data, drawn, time, seed, relaxation):
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    C, d = rows_of(network, time, np.random.default_rng(seed))
    lower, result, planes = compare(network, region, C, d, relaxation, torch.float32)
    assert not faults(lower, result, torch.float32)
    assert not escapes(network, region, C, d, result, planes)


@settings(max_examples=20)
@given(st.data(), networks(), st.integers(1, 3), seeds)
def test_constants_agree_from_end_to_end(data, drawn, time, seed):
    """Constants are unique, so two derivations that share nothing give the same bounds, boxes and planes."""
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    C, d = rows_of(network, time, np.random.default_rng(seed))
    lower, columns = engine_bounds(network, region, C, d, "constants")
    own = bound(network, region, C, d, "constants", "tree")
    for k, row in enumerate(own.rows):
        assert lower[k] == pytest.approx(own.lower[k], abs=1e-12 * (1 + row.absolute))
    for variable, entry in given_from_columns(network, time, columns).items():
        for ours, theirs in zip(own.planes[variable], entry.planes, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
def test_exact_arithmetic(cell):
    """In rational arithmetic the reference has no rounding of its own: the engine is never above it."""
    network, region, C = small(cell, time=2)
    lower, columns = engine_bounds(network, region, C, np.zeros(1), "planes")
    planes = given_from_columns(network, 2, columns)
    result = bounds_with_planes(network, region, C, None, planes, exact=True)
    (row,) = result.rows
    assert row.charge == 0
    assert lower[0] <= row.value
    assert float(row.value) - lower[0] <= charge(result, row, torch.float64)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
def test_no_plane_of_the_engine_passes_the_optimum(cell):
    """No sound plane is lower at the centre than the linear program's bound; the engine's planes come near it."""
    network, region, C = small(cell, time=2, radius=0.3)
    _, columns = engine_bounds(network, region, C, np.zeros(1), "planes")
    for entry in given_from_columns(network, 2, columns).values():
        centre = [0.5 * low + 0.5 * high for low, high in (entry.v, entry.z)]
        for side, sign, plane in zip(("lower", "upper"), (-1.0, 1.0), entry.planes, strict=True):
            best = least_volume(entry.kind, entry.v, entry.z, side).best
            height = plane.slope_v * centre[0] + plane.slope_z * centre[1] + plane.offset
            size = 1 + (entry.z.magnitude if entry.kind in PRODUCTS else entry.v.magnitude)
            assert sign * (height - best) >= -4 * GAP * size


# planted faults: each is a fault of the engine that the comparison has to find


@pytest.mark.parametrize("cell", BLOCKS)
def test_a_bound_too_high_or_too_low_is_detected(cell):
    network, region, C = small(cell)
    lower, result, _ = compare(network, region, C, np.zeros(1), "parallel")
    assert not faults(lower, result)
    assert faults(lower + 1e-9, result)
    assert faults(lower - 1e-9, result)


@pytest.mark.parametrize("cell", BLOCKS)
def test_a_different_network_is_detected(cell):
    """The engine bounds a network with one recurrent weight changed, or one bias left out."""
    network, region, C = small(cell)
    part = network.layers[0][0]
    other = part.weight_hh.copy()
    other[-1, 0] += 1e-6
    for changed in ({"weight_hh": other}, {"bias_hh": np.zeros_like(part.bias_hh)}):
        wrong = dataclasses.replace(network, layers=((dataclasses.replace(part, **changed),),))
        lower, columns = engine_bounds(wrong, region, C, np.zeros(1), "parallel")
        planes = given_from_columns(network, 3, columns)
        try:
            result = bounds_with_planes(network, region, C, None, planes)
        except ReferenceFailureError as error:
            assert "does not hold" in str(error)
        else:
            assert faults(lower, result) or result.escapes


def test_the_upper_plane_for_a_positive_coefficient_is_detected():
    network, region, C = small("lstm", radius=0.2)
    lower, result, planes = compare(network, region, C, np.zeros(1), "planes")
    for key, entry in planes.items():
        swapped = entry._replace(planes=entry.planes._replace(lower=entry.planes.upper))
        found = bounds_with_planes(network, region, C, None, {**planes, key: swapped})
        row, before = found.rows[0], result.rows[0]
        if row.value != before.value:
            assert faults(lower, found)
            break
    else:
        pytest.fail("no plane mattered")


def test_a_box_that_leaves_something_out_is_detected():
    network, region, C = small("gru", radius=0.2)
    lower, columns = engine_bounds(network, region, C, np.zeros(1), "planes")
    index = columns["product"].index("candidate")
    middle = 0.5 * (columns["lower_z"][index] + columns["upper_z"][index])
    columns["upper_z"][index] = middle
    found = bounds_with_planes(network, region, C, None, given_from_columns(network, 3, columns))
    assert found.escapes
    assert not faults(lower, found)

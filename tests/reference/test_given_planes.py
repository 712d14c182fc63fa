"""Bounds from given planes: the same planes give the same bounds, and every planted fault is reported."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.reference.bounds import bound
from refcert.reference.equations import Nonlinear
from refcert.reference.errors import ReferenceInputError
from refcert.reference.given_planes import BACKWARD, COLUMNS, Given, bounds_with_planes, given_from_columns
from refcert.reference.intervals import POINT_ZERO
from tests.reference.drawn import input_sets, networks, seeds
from tests.reference.test_bounds import rows_of, small


def given_of(result):
    """The planes and boxes of the reference's own run, as if they were somebody else's."""
    return {
        e.variable: Given(
            e.kind, result.boxes[e.v], POINT_ZERO if e.z is None else result.boxes[e.z], result.planes[e.variable]
        )
        for e in result.program.equations
        if isinstance(e, Nonlinear)
    }


def columns_of(network, result, planes):
    """The planes table of a run: one row per side, in order of computation, directions after each other."""
    columns = {name: [] for name in COLUMNS}
    for variable, entry in planes.items():
        layer, product, unit = len(network.layers) - 1, variable.place, variable.unit
        if variable.place.startswith("layers."):
            layer, direction = (int(part) for part in variable.place.split(".")[1:])
            product = variable.name + (BACKWARD if network.layers[layer][direction].reverse else "")
        elif variable.place == "readout":
            product = "maximum"
        for side, plane in zip(("lower", "upper"), entry.planes, strict=True):
            row = (entry.kind, side, *entry.v, *entry.z, *plane, layer, variable.t, unit, product)
            for name, value in zip(COLUMNS, row, strict=True):
                columns[name].append(value)
    return columns


@settings(max_examples=25)
@given(st.data(), networks(max_size=2), st.integers(1, 3), seeds)
def test_own_planes_give_the_same_bounds(data, drawn, time, seed):
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    C, d = rows_of(network, time, np.random.default_rng(seed))
    result = bound(network, region, C, d, "constants", "tree")
    planes = given_of(result)
    again = bounds_with_planes(network, region, C, d, planes)
    np.testing.assert_array_equal(again.lower, result.lower)
    np.testing.assert_array_equal(again.upper, result.upper)
    assert not again.escapes
    assert all(entry.violation() <= 0 for entry in planes.values())


@pytest.mark.parametrize("cell", ["rnn_relu", "lstm", "gru", "gru_reset_before"])
def test_a_planes_table_gives_the_planes(cell):
    network, region, C = small(cell)
    network = dataclasses.replace(network, layers=((dataclasses.replace(network.layers[0][0], reverse=True),),))
    result = bound(network, region, C, None, "constants")
    planes = given_of(result)
    columns = columns_of(network, result, planes)
    assert given_from_columns(network, 3, columns) == planes
    with pytest.raises(ReferenceInputError, match="twice"):
        given_from_columns(network, 3, {name: [*column, column[-1]] for name, column in columns.items()})
    with pytest.raises(ReferenceInputError, match="only one"):
        given_from_columns(network, 3, {name: column[:-1] for name, column in columns.items()})
    forward = [name.removesuffix(BACKWARD) for name in columns["product"]]
    with pytest.raises(ReferenceInputError, match="direction"):
        given_from_columns(network, 3, {**columns, "product": forward})


def test_planted_faults_are_reported():
    network, region, C = small("gru")
    result = bound(network, region, C, None, "constants")
    planes = given_of(result)
    key = next(key for key in planes if key.name == "candidate")
    entry = planes[key]

    upper = entry.planes.upper
    shifted = entry._replace(planes=entry.planes._replace(upper=upper._replace(offset=upper.offset - 1e-6)))
    assert shifted.violation() == pytest.approx(1e-6, rel=1e-3)

    changed = entry._replace(planes=entry.planes._replace(upper=entry.planes.lower, lower=upper))
    assert changed.violation() > 1e-3

    narrow = entry._replace(v=entry.v._replace(lower=entry.v.upper))
    found = bounds_with_planes(network, region, C, None, {**planes, key: narrow})
    assert [escape.variable.name for escape in found.escapes] == ["minus_z"]

    missing = {other: value for other, value in planes.items() if other != key}
    with pytest.raises(ReferenceInputError, match="missing"):
        bounds_with_planes(network, region, C, None, missing)
    with pytest.raises(ReferenceInputError, match="identity"):
        bounds_with_planes(network, region, C, None, {**planes, key: entry._replace(kind="sigmoid_times_identity")})
    with pytest.raises(ReferenceInputError, match="does not have"):
        bounds_with_planes(network, region, C, None, {**planes, key._replace(unit=99): entry})

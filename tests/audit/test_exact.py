"""Numbers are taken as the exact values that they are, or refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcert.audit.exact import InexactError, check_same, exact_float64

KINDS = {"float16": 16, "float32": 32, "float64": 64}


@pytest.mark.parametrize("dtype", KINDS)
@given(data=st.data())
def test_floats_are_the_values_that_they_are(dtype, data):
    numbers = data.draw(st.lists(st.floats(width=KINDS[dtype], allow_nan=False, allow_infinity=False), min_size=1))
    values = np.array(numbers, dtype=dtype)
    found = exact_float64(values)
    assert found.dtype == np.float64
    assert [Fraction(float(x)) for x in values] == [Fraction(float(x)) for x in found]


@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_whole_numbers_are_exact_or_refused_with_their_row(numbers):
    values = np.array(numbers, dtype=np.int64)
    rounded = [row for row, number in enumerate(numbers) if int(float(number)) != number]
    if not rounded:
        assert [int(x) for x in exact_float64(values)] == numbers
        return
    with pytest.raises(InexactError, match=str(numbers[rounded[0]])) as caught:
        exact_float64(values)
    assert caught.value.row == rounded[0]


def test_long_doubles_that_would_be_rounded_are_refused():
    values = np.array([1, 2], dtype=np.longdouble)
    assert exact_float64(values).tolist() == [1.0, 2.0]
    values[1] = 1 + np.finfo(np.longdouble).eps
    if values[1] == np.float64(values[1]):
        pytest.skip("a long double is a double here")
    with pytest.raises(InexactError, match="no float64 value") as caught:
        exact_float64(values)
    assert caught.value.row == 1


@pytest.mark.parametrize("values", [["a"], [True], [1j], [None]], ids=str)
def test_what_is_no_number_is_refused(values):
    with pytest.raises(InexactError, match="give floats"):
        exact_float64(np.array(values))


def test_the_result_is_a_copy():
    values = np.zeros(2)
    exact_float64(values)[0] = 1
    assert values[0] == 0


def test_infinity_and_nan_pass_for_whoever_judges_them():
    found = exact_float64(np.array([np.inf, np.nan], dtype=np.float32))
    assert found[0] == np.inf
    assert np.isnan(found[1])


@pytest.mark.parametrize(
    ("numbers", "row"),
    [
        ([1e9 + 0.5, 2**53 + 1], 1),
        ([2**53 + 1, 0.0], 0),
        ([0.5, np.int64(2**53 + 1)], 1),
        ([0.5, np.array(-(2**53) - 1)], 1),
        ([2**63 + 1, -1], 0),
        ([1.5, 2**53, np.float32(0.1), -3, np.nan, np.inf], None),
        ([2**53 + 1, 2**60 - 1], None),  # an array of whole numbers
        ([np.longdouble(1), 2], None),
        (["a", 1.0], None),
        ([], None),
    ],
)
def test_numbers_that_numpy_rounds_beside_others_are_refused_with_their_row(numbers, row):
    values = np.asarray(numbers)
    if row is None:
        check_same(numbers, values)
        return
    with pytest.raises(InexactError, match=f"{int(numbers[row])} became .* among the others") as caught:
        check_same(numbers, values)
    assert caught.value.row == row

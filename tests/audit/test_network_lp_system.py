"""The network's linear program as matrices: what is stored is off by one relative rounding at most, or refused."""

from __future__ import annotations

from fractions import Fraction

import pytest

from refcert.audit.network_lp.system import system_of
from refcert.reference.equations import Affine, Program, Variable
from refcert.reference.errors import ReferenceInputError

X, Y = Variable("input", 0, 0, "x"), Variable("after.0", 0, 0, "dense")


def program(weight, *constants):
    return Program(((X,),), (Affine(Y, ((weight, X),), constants),), (Y,))


@pytest.mark.parametrize("weight", [Fraction(1, 3), 1e-308 / 7, Fraction(1, 3) * Fraction(2) ** -1020, 0.0, -2.5])
def test_stored_weights_are_off_by_one_rounding_at_most(weight):
    stored = -Fraction(float(system_of(program(weight)).E.toarray()[0, 0]))
    assert abs(stored - Fraction(weight)) <= Fraction(2) ** -53 * abs(Fraction(weight))


@pytest.mark.parametrize("weight", [Fraction(1, 3) * Fraction(2) ** -1060, Fraction(1, 2**1080)])
def test_a_weight_that_underflows_is_refused(weight):
    with pytest.raises(ReferenceInputError, match=r"after\.0.*full accuracy.*scale"):
        system_of(program(weight))


def test_constants_are_summed_exactly():
    assert system_of(program(1.0, 1e16, 1.0, -1e16)).e.tolist() == [1.0]

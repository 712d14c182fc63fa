"""Comparisons of balls say yes only when it is certain."""

import math

from flint import arb

from refcert.kernel import ball


def test_a_ball_around_zero_is_neither_positive_nor_not_positive():
    around = arb(0, 1e-30)
    assert not ball.surely_positive(around)
    assert not ball.surely_not_positive(around)
    assert not ball.surely_not_negative(around)
    assert not ball.surely_less(around, around)


def test_exact_zero_is_decided():
    assert ball.surely_not_positive(ball.ZERO)
    assert ball.surely_not_negative(ball.ZERO)
    assert not ball.surely_positive(ball.ZERO)


def test_nan_decides_nothing():
    nan = arb("nan")
    for question in (ball.surely_positive, ball.surely_not_positive, ball.surely_not_negative):
        assert not question(nan)
    assert not ball.surely_less(nan, arb(1))
    assert not ball.surely_less(arb(1), nan)


def test_floats_are_outward():
    with ball.precision(200):
        third = arb(1) / 3
        low, high = ball.float_below(third), ball.float_above(third)
        assert arb(low) < third < arb(high)
        assert high - low <= 4 * math.ulp(1 / 3)


def test_precision_is_restored_after_an_error():
    from flint import ctx

    before = ctx.prec
    try:
        with ball.precision(777):
            assert ctx.prec == 777
            raise ValueError("on purpose")
    except ValueError:
        pass
    assert ctx.prec == before


def test_upper_of_two_contains_the_maximum():
    wide, point = arb(0, 1), arb("0.5")
    assert ball.upper_of_two(wide, point).contains(point)
    assert ball.upper_of_two(wide, point) >= arb("0.49")

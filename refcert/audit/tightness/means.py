"""The exact mean of a nonlinearity over a box, in ball arithmetic: what a plane's height is measured from.

Method card
    Claim      the ball holds the mean. The volume between a plane and the surface, per unit area of the box, is the
               plane's height at the centre less this mean, or the negative for a lower plane.
    Source     lemma `least_volume_plane`: antiderivatives log(1 + exp v) of sigmoid and log cosh z of tanh; the mean
               of a product of functions of different arguments is the product of their means.
    Shapes     one box at a time; precision is the current one of ball arithmetic.
"""

from __future__ import annotations

from flint import arb

from refcert.audit.tightness.certificate import Box, Rational, exact
from refcert.kernel.ball import ONE
from refcert.reference.equations import PRODUCTS


def surface_mean(kind: str, box: Box) -> arb:
    """The mean over the box (lower_v, upper_v, lower_z, upper_z), whose widths are positive.

    Kinds of one argument ignore z.
    """
    low, high = exact(box[0]), exact(box[1])
    if kind == "relu":
        first, last = max(low, Rational(0)), max(high, Rational(0))
        return arb((last - first) * (last + first) / (2 * (high - low)))
    if kind == "tanh":
        return _mean_of_tanh(low, high)
    mean = _mean_of_sigmoid(low, high)
    if kind not in PRODUCTS:
        return mean
    low, high = exact(box[2]), exact(box[3])
    return mean * (_mean_of_tanh(low, high) if kind == "sigmoid_times_tanh" else arb((low + high) / 2))


def _mean_of_sigmoid(low: Rational, high: Rational) -> arb:
    first, last = ((ONE + arb(end).exp()).log() for end in (low, high))
    return (last - first) / arb(high - low)


def _mean_of_tanh(low: Rational, high: Rational) -> arb:
    first, last = (arb(end).cosh().log() for end in (low, high))
    return (last - first) / arb(high - low)

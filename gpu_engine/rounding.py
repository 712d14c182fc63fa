"""Outward rounding: every constant that soundness in floating point rests on has its name here.

Model of arithmetic (lemma `rounding_gamma`): each sum, difference, product, quotient and square root
of the device returns `exact * (1 + d) + e` with `|d| <= u` and `|e| <= tiny`, where `u` is the unit
roundoff and `tiny` the smallest normal number (so that devices which flush subnormal numbers to zero
are covered). Sums may be carried out in any order and with fused multiply-add.

Elementary functions are assumed to be accurate to `ELEMENTARY_UNITS` unit roundoffs, relative; that is
what the device libraries document (1 to 2 units in the last place), with room to spare. The audit of
every plane in ball arithmetic does not use this assumption.
"""

from __future__ import annotations

from typing import Final

import torch

from gpu_engine.errors import SpecificationError

# Relative error of the device's sigmoid, tanh, exp, log, log1p and pow, in units of u. One unit in the last place is at
# most 2 u; documented bounds are at most 2 units in the last place for exp and tanh, and sigmoid
# is 1 / (1 + exp(-v)): that error again plus two roundings.
ELEMENTARY_UNITS: Final = 8

# By how much the image of such a function is widened: its error relative to the COMPUTED value, and the rounding of the
# widening itself; lemma `interval_rounding`.
IMAGE_UNITS: Final = ELEMENTARY_UNITS + 2

# Roundings that the evaluation of one offset can accumulate, in units of u relative to the sum of
# the absolute values of its terms; derived in the lemma `offset_rounding`.
OFFSET_UNITS: Final = 48

# Relative growth, in units of u, of input radii and half-widths that one or two float64 operations gave, one of them
# perhaps a power with an exponent of its own rounding (n ** (1/p), which loses log n units).
INPUT_UNITS: Final = 64

# Roundings in the scalar expressions that say where an interior maximum can be, in units of u relative to one plus
# their value; derived in the lemma `scalar_rounding`.
SCALAR_UNITS: Final = 96

# Roundings of an octagon's curvature and of a tangent plane beside a diagonal, in units of u relative to the sizes that
# the code multiplies them by; more than what the lemma `octagon_rounding` needs.
CURVATURE_UNITS: Final = 256
TANGENT_UNITS: Final = 192


def unit_roundoff(dtype: torch.dtype) -> float:
    """u = 2**-53 for float64 and 2**-24 for float32: half the distance from 1 to the next number."""
    return torch.finfo(dtype).eps / 2


def tiny(dtype: torch.dtype) -> float:
    """The smallest normal number: what one underflow can lose, also where subnormals are flushed."""
    return torch.finfo(dtype).tiny


def gamma(operations: int, dtype: torch.dtype) -> float:
    """gamma_n = n u / (1 - n u), Higham (2002), lemma 3.1; lemma `rounding_gamma`.

    Returns a bound that itself is rounded upward.
    """
    n_u = operations * unit_roundoff(dtype)
    if n_u >= 0.25:
        raise SpecificationError(f"sums of {operations} terms cannot be bounded in {dtype}; use a wider dtype")
    return n_u / (1 - n_u) * (1 + 2.0**-40)


def above(x: torch.Tensor) -> torch.Tensor:
    """The next number above x: an upper bound for the exact value behind one rounded operation."""
    return torch.nextafter(x, torch.full_like(x, torch.inf))


def below(x: torch.Tensor) -> torch.Tensor:
    """The next number below x."""
    return torch.nextafter(x, torch.full_like(x, -torch.inf))

"""Nonlinear steps with their planes, ready for substitution.

Method card
    Source     POPQORN (Ko et al. 2019), theorems A.2, A.3 and A.6: a coefficient A on a variable takes the lower plane
               where A >= 0 and the upper plane where A < 0.
    Idea       what is constant in the arguments, and all rounding of a substitution, is folded into the planes'
               constants once (`relax`, lemma `charged_rounding`), so that rows pay nothing for it.
    Shapes     coefficients (batch or 1, spec, units); relaxed parts (batch, 1, units); constants (batch, units, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.bounds import Plane, PlanePair
from gpu_engine.steps import View


@dataclass(frozen=True)
class Argument:
    """What a nonlinearity reads: the view, its constant part (batch, units) or None, and its size.

    A step's variable is its value less that constant. size: the sum of the absolute terms of the value (batch, units).
    """

    view: View
    constant: Tensor | None
    size: Tensor


@dataclass(frozen=True)
class RelaxedPart:
    """The slopes of one nonlinearity, (batch, 1, units) each; without z where it has one argument."""

    v: View
    z: View | None
    v_lower: Tensor
    v_upper: Tensor
    z_lower: Tensor | None = None
    z_upper: Tensor | None = None

    def select(self, samples: slice | Tensor) -> RelaxedPart:
        """The part of some samples. A shared slope stays the very same tensor, see `choose`."""
        v_lower, v_upper = _both(self.v_lower, self.v_upper, samples)
        if self.z_lower is None or self.z_upper is None:
            return RelaxedPart(self.v, self.z, v_lower, v_upper)
        return RelaxedPart(self.v, self.z, v_lower, v_upper, *_both(self.z_lower, self.z_upper, samples))


@dataclass(frozen=True)
class RelaxedStep:
    """All parts of one nonlinear step and the sum of their constants, (batch, units, 1)."""

    parts: tuple[RelaxedPart, ...]
    const_lower: Tensor
    const_upper: Tensor

    def select(self, samples: slice | Tensor) -> RelaxedStep:
        """The step of some samples."""
        parts = tuple(part.select(samples) for part in self.parts)
        return RelaxedStep(parts, self.const_lower[samples], self.const_upper[samples])


@dataclass(frozen=True)
class Charge:
    """Everything that the rounding of one substitution can be as large as, per unit (batch, units).

    gate_v, gate_z: sum of the absolute terms of the arguments. out: the magnitude of the variable that is
    substituted. gamma: relative rounding of all sums involved. underflow: what all underflows in the folded
    constants can add up to, per unit of slope and magnitude.
    """

    gate_v: Tensor
    gate_z: Tensor
    out: Tensor
    gamma: float
    underflow: float


def relax(
    pairs: Sequence[tuple[PlanePair, Argument, Argument | None, bool]], out: Tensor, gamma: float, underflow: float
) -> RelaxedStep:
    """Fold the constants of the arguments and the charged rounding into the planes' offsets.

    pairs: for every part its planes, its arguments v and z, and whether the planes are over -v. out: the magnitude of
    the step, (batch, units). lemma `charged_rounding`.
    """
    parts, lowers, uppers = [], [], []
    for pair, v, z, negate in pairs:
        charge = Charge(v.size, torch.zeros_like(v.size) if z is None else z.size, out, gamma, underflow)
        lower, upper = pair.lower, pair.upper
        if negate:
            lower, upper = _mirrored(lower), _mirrored(upper)
        lowers.append(_constant(lower, v, z) - _pad(lower, charge))
        uppers.append(_constant(upper, v, z) + _pad(upper, charge))
        parts.append(_part(lower, upper, v, z))
    const_lower, const_upper = lowers[0], uppers[0]
    for lower_more, upper_more in zip(lowers[1:], uppers[1:], strict=True):
        const_lower, const_upper = const_lower + lower_more, const_upper + upper_more
    return RelaxedStep(tuple(parts), const_lower[..., None], const_upper[..., None])


def _mirrored(plane: Plane) -> Plane:
    """A plane over -v as a plane over v. Exact."""
    return Plane(-plane.slope_v, plane.slope_z, plane.offset)


def _constant(plane: Plane, v: Argument, z: Argument | None) -> Tensor:
    constant = plane.offset
    if v.constant is not None:
        constant = constant + plane.slope_v * v.constant
    if z is not None and z.constant is not None:
        constant = constant + plane.slope_z * z.constant
    return constant


def _part(lower: Plane, upper: Plane, v: Argument, z: Argument | None) -> RelaxedPart:
    v_lower, v_upper = _rows(lower.slope_v, upper.slope_v)
    if z is None:
        return RelaxedPart(v.view, None, v_lower, v_upper)
    return RelaxedPart(v.view, z.view, v_lower, v_upper, *_rows(lower.slope_z, upper.slope_z))


def _rows(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    one = lower[:, None, :]
    return one, one if upper is lower else upper[:, None, :]


def _both(lower: Tensor, upper: Tensor, samples: slice | Tensor) -> tuple[Tensor, Tensor]:
    one = lower[samples]
    return one, one if upper is lower else upper[samples]


@torch.no_grad()
def _pad(plane: Plane, charge: Charge) -> Tensor:
    terms = plane.slope_v.abs() * charge.gate_v + plane.slope_z.abs() * charge.gate_z
    slopes = 1 + plane.slope_v.abs() + plane.slope_z.abs()
    lost = charge.underflow * slopes * (1 + charge.gate_v + charge.gate_z + charge.out)
    return charge.gamma * (terms + plane.offset.abs() + charge.out) + lost


def choose(positive: Tensor, coefficients: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """coefficient * (lower slope where it is positive, upper slope where it is not)."""
    if lower is upper:
        return coefficients * lower
    return coefficients * torch.where(positive, lower, upper)

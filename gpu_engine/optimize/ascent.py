"""A set of slopes of its own for every bound: gradient ascent of the bounds of one step, or of the rows.

Method card
    Claim      every set is sound: offsets are exact for whatever the slopes are. Boxes and rows keep what the
               relaxation has given them, so that nothing gets worse.
    Idea       all units of a step share a set, with the boxes before it as they are: a set is trained in the memory of
               one back-substitution, and boxes are as narrow as they get before the next step begins. What the bounds
               of the units add up to is the objective; of rows only those count that are not proved yet.
    Source     Adam: Kingma and Ba (2015). Slopes as free parameters of a sound bound: Xu et al. (2021), "Fast and
               complete" (alpha-CROWN), for lines of ReLU. Ko et al. (2019) train slopes of planes, too: for the volume
               of each plane by itself, and with offsets that are not exact.
    Departure  steps are in units of the gap between both planes (`Group.unit`), small where a box is narrow.
    Shapes     slopes (2, batch, units).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gpu_engine.bounds import PlanePair
from gpu_engine.errors import SpecificationError
from gpu_engine.optimize.slopes import Slopes, groups_of
from gpu_engine.propagation.relaxed import RelaxedStep
from gpu_engine.propagation.sites import Site

FIRST_RATE: Final = 0.3
LAST_SHARE: Final = 0.03
# The rows of the question get so many times the steps: they are few, so that theirs are cheap.
ROWS_FACTOR: Final = 5
DECAYS: Final = (0.8, 0.9)
_SMALLEST: Final = 1e-12


@dataclass(frozen=True)
class Ascent:
    """steps >= 1 of Adam for every set; rate: the first step, in units of the gap. A `propagation.sites.Trainer`."""

    steps: int
    rate: float = FIRST_RATE

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SpecificationError(f"steps is {self.steps}; give a whole number from 1 on")

    def train(
        self,
        sites: Mapping[int, Site],
        lower: Callable[[Mapping[int, RelaxedStep]], Tensor],
        known: Tensor,
        *,
        rows: bool,
    ) -> Mapping[int, Sequence[PlanePair]]:
        """See `Trainer`: the best set met for every sample, by the objective."""
        groups = groups_of(sites)
        start = [group.slopes() for group in groups]
        units = [leaf for group in groups for leaf in group.unit().leaves()]
        leaves = [leaf.clone() for slopes in start for leaf in slopes.leaves()]
        best = [leaf.clone() for leaf in leaves]
        steps = self.steps * ROWS_FACTOR if rows else self.steps
        open_ = known <= 0 if rows else torch.ones_like(known, dtype=torch.bool)
        best_value = _worth(known, open_, rows)
        moments = [(torch.zeros_like(leaf), torch.zeros_like(leaf)) for leaf in leaves]

        def planes_of(values: Sequence[Tensor]) -> dict[int, list[PlanePair]]:
            found: dict[int, dict[int, PlanePair]] = {k: {} for k in sites}
            rest = iter(values)
            for group, slopes in zip(groups, start, strict=True):
                own = Slopes(next(rest), None if slopes.z is None else next(rest))
                for place, planes in group.planes(own):
                    found[place.step][place.part] = planes
            return {k: [parts[j] for j in range(len(parts))] for k, parts in found.items()}

        for step in range(steps + 1):
            with torch.enable_grad():
                for leaf in leaves:
                    leaf.requires_grad_(True)
                bounds = lower({k: sites[k].relaxed(pairs) for k, pairs in planes_of(leaves).items()})
                value = _worth(bounds.detach(), open_, rows)
                last = step == steps or (rows and bool((torch.maximum(value, best_value) > 0).all()))
                # Of the rows those count that are not proved at the moment.
                counted = open_ & (bounds <= 0) if rows else open_
                slopes = None if last else torch.autograd.grad(torch.where(counted, bounds, 0.0).sum(), leaves)
            # A sample whose rows are proved stops there, whatever the others of its batch still need.
            better = ((value > best_value) & ~(rows & (best_value > 0)))[:, None]
            best = [torch.where(better, leaf.detach(), kept) for leaf, kept in zip(leaves, best, strict=True)]
            best_value = torch.where(better[:, 0], value, best_value)
            if slopes is None:
                break
            rate = self.rate * LAST_SHARE ** (step / steps)
            moved = []
            for leaf, slope, unit, (first, second) in zip(leaves, slopes, units, moments, strict=True):
                scaled = slope * unit  # the gradient in units of the gap
                first.mul_(DECAYS[0]).add_(scaled, alpha=1 - DECAYS[0])
                second.mul_(DECAYS[1]).addcmul_(scaled, scaled, value=1 - DECAYS[1])
                way = first / (1 - DECAYS[0] ** (step + 1))
                size = (second / (1 - DECAYS[1] ** (step + 1))).sqrt()
                moved.append(leaf.detach() + rate * unit * way / (size + _SMALLEST))
            leaves = moved
        return planes_of(best)


def _worth(bounds: Tensor, open_: Tensor, rows: bool) -> Tensor:
    """How good a set is, (batch,): what the bounds add up to; of the open rows the least one."""
    if rows:
        return torch.where(open_, bounds, torch.inf).amin(1)
    return bounds.sum(1)

"""Walking over neighbouring regions: across a sign constraint that binds, as long as the radius falls.

Method card
    Idea       the optimum in a region lies on its boundary where sign constraints bind. Flipping the side of one such
               unit gives the neighbour behind that face; the optimum lies in its closure, so the neighbour's own
               optimum is no larger. The walk takes the first neighbour that is smaller by `sample.GAIN`, units with the
               largest multipliers first, and stops where none is or its steps are used up.
    Claim      monotone: the best input never gets larger. Not exhaustive: corners shared by regions that differ in
               several units are crossed one unit at a time.
    Source     beyond Bastani et al. (2016), who stay in the region of the input; the descent over activation patterns
               of Croce, Rauber and Hein (2020), "Scaling up the randomized gradient-free adversarial attack reveals
               overestimation of robustness using established attacks", is related.
"""

from __future__ import annotations

import numpy as np

from gpu_engine.attacks.lp.sample import Best, Sample


def walk(sample: Sample, steps: int) -> int:
    """Improve the sample's best input by at most so many programs; how many were used."""
    used = 0
    seen: set[bytes] = set()
    best = sample.best
    while best is not None and used < steps:
        seen.add(best.region.active.tobytes())
        moved = False
        for unit in _binding(best):
            if used >= steps or sample.deadline.passed:
                return used
            active = best.region.active.copy()
            active[unit] = ~active[unit]
            if active.tobytes() in seen:
                continue
            seen.add(active.tobytes())
            used += 1
            if sample.attempt(sample.region(active=active), best.target):
                moved = True
                break
        if not moved:
            return used
        best = sample.best
    return used


def _binding(best: Best) -> list[int]:
    """Units whose sign constraint binds, the most valuable first."""
    worth = best.answer.binding
    units: list[int] = np.argsort(-worth, kind="stable")[: int((worth > 0).sum())].tolist()
    return units

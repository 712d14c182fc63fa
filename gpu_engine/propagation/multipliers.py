"""The best multiplier of every row: the maximum of many concave functions of one number each, side by side.

Method card
    Source     a lower bound of form + mu supposition by back-substitution is concave in mu >= 0: every substitution
               takes the lesser of two linear functions of a coefficient.
    Idea       a search by factors: as long as a larger (smaller) multiplier is better it goes on in that direction by
               the same factor; where both neighbours are worse, the factor's root is taken. No derivatives: an
               evaluation is one back-substitution, and nothing has to be kept of it.
    Sound?     any multiplier is; too few evaluations cost tightness only.
    Shapes     all tensors (batch, rows).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

FIRST_FACTOR: Final = 4.0


def best_multipliers(
    value: Callable[[Tensor], Tensor], start: Tensor, known: Tensor, evaluations: int
) -> tuple[Tensor, Tensor]:
    """(the best values met, never below `known`; their multipliers, 0 where nothing beats `known`).

    value(multipliers) of all rows; start: multipliers > 0 to begin with; known: what holds with multiplier 0.
    """
    best, best_at = known, torch.zeros_like(known)
    # The search goes by its own best, which may lie below `known`.
    at, highest = start, torch.full_like(known, -torch.inf)
    factor, direction, misses = torch.full_like(known, FIRST_FACTOR), torch.ones_like(known), torch.zeros_like(known)
    candidate = start
    for _ in range(evaluations):
        found = value(candidate)
        # A multiplier may be so large that a sum overflows: what is not finite bounds nothing.
        found = torch.where(torch.isfinite(found), found, -torch.inf)
        better = found > best
        best, best_at = torch.where(better, found, best), torch.where(better, candidate, best_at)
        higher = found > highest
        at, highest = torch.where(higher, candidate, at), torch.where(higher, found, highest)
        misses = torch.where(higher, torch.zeros_like(misses), misses + 1)
        direction = torch.where(higher, direction, -direction)
        both = misses >= 2
        factor = torch.where(both, factor.sqrt(), factor)
        misses = torch.where(both, torch.zeros_like(misses), misses)
        candidate = torch.where(direction > 0, at * factor, at / factor)
    return best, best_at

"""The hunt for a point of the box where the surface lies beyond the plane: global search, polished, confirmed.

Method card
    Claim      `falsify_plane` gives a float point at which ball arithmetic confirms a violation, or None, which claims
               nothing: this can refute a plane and never prove one.
    Idea       Each way proposes points: scipy's DIRECT, dual annealing and SHGO, their best polished by a bounded
               quasi-Newton search; a grid; Hypothesis. Then the neighbouring floats are tried. A way is one row
               of WAYS.
    Source     DIRECT: Jones, Perttunen, Stuckman 1993, locally biased Gablonsky, Kelley 2001. Dual annealing: Xiang et
               al. 1997. SHGO: Endres, Sandrock, Focke 2018.
    Numbers    Objective in float64 relative to an anchor (`excess`), so violations far below the plane's own
               rounding are seen; no tolerance anywhere.
    Property   Deterministic by claim, seed, ways and budget.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import direct, dual_annealing, shgo

from refcert.audit.hunting.excess import Excess, Found
from refcert.audit.hunting.hunt import Hunt, Point, apart, in_last_place, start_of, worst_confirmed
from refcert.audit.hunting.polish import polish
from refcert.audit.sampling import hunt_on_grid, hunt_with_hypothesis
from refcert.kernel.claims import PlaneClaim

Array = NDArray[np.float64]

# Evaluations of the surface for each way: grid points, examples, calls by scipy.
DEFAULT_BUDGET: Final = 100

# Starts of the polishing: the best evaluations that are this far apart, in shares of the box.
STARTS: Final = 6
APART: Final = 0.3
# SHGO's sampling points as a share of the budget: the rest is left to its own local searches.
SHGO_SAMPLED: Final = 6


class _Objective:
    """Minus the excess as a function of shares of the box, for scipy; remembers what was evaluated."""

    def __init__(self, hunt: Hunt) -> None:
        self.hunt = hunt
        self.seen: list[tuple[float, tuple[float, ...]]] = []

    def __call__(self, shares: Array) -> float:
        v, z = self.hunt.places(np.clip(shares, 0.0, 1.0)[None, :])
        value = -float(self.hunt.excess(v, z)[0])
        # scipy computes with the values: the largest float stands for what float64 cannot hold
        value = min(value, float(np.finfo(np.float64).max))
        self.seen.append((value, tuple(float(share) for share in np.clip(shares, 0.0, 1.0))))
        return value

    @property
    def bounds(self) -> list[tuple[float, float]]:
        return [(0.0, 1.0)] * len(self.hunt.free)


def _globally(search: Callable[[_Objective, Hunt], object]) -> Callable[[Hunt], list[Point]]:
    """The way that polishes the best points which a global search has evaluated."""

    def way(hunt: Hunt) -> list[Point]:
        if not hunt.free:
            return [(hunt.axes[0].low, hunt.axes[1].low)]
        objective = _Objective(hunt)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            # numerical noise of the solvers is no concern of the caller: every point is confirmed anyway
            warnings.simplefilter("ignore")
            search(objective, hunt)
            starts = apart([shares for _, shares in sorted(objective.seen)], APART, STARTS)
            places = (start_of(hunt, v, z) for v, z in zip(*hunt.places(np.array(starts)), strict=True))
            return [in_last_place(hunt, polish(hunt, place)) for place in places if place is not None]

    return way


def _direct(objective: _Objective, hunt: Hunt) -> object:
    return direct(objective, objective.bounds, maxfun=hunt.budget, vol_tol=0.0, len_tol=0.0)


def _dual_annealing(objective: _Objective, hunt: Hunt) -> object:
    random = np.random.default_rng(hunt.seed)
    return dual_annealing(objective, objective.bounds, maxfun=hunt.budget, no_local_search=True, seed=random)


def _shgo(objective: _Objective, hunt: Hunt) -> object:
    sampled = max(4, hunt.budget // SHGO_SAMPLED)
    options = {"maxfev": hunt.budget}
    return shgo(objective, objective.bounds, n=sampled, iters=1, sampling_method="simplicial", options=options)


# Every way by its name, cheapest first: hunt -> float points of the box, candidates for ball arithmetic.
WAYS: Final[dict[str, Callable[[Hunt], list[Point]]]] = {
    "grid": hunt_on_grid,
    "direct": _globally(_direct),
    "dual_annealing": _globally(_dual_annealing),
    "shgo": _globally(_shgo),
    "hypothesis": hunt_with_hypothesis,
}

ALL_WAYS: Final = tuple(WAYS)


def falsify_plane(
    claim: PlaneClaim, seed: int = 0, ways: Iterable[str] = ALL_WAYS, budget: int = DEFAULT_BUDGET
) -> Found | None:
    """The worst point of the first way, in the order given, that finds one; None if none does, which claims nothing.

    budget: evaluations of the surface for each way. Raises ValueError for an unknown way, a budget below 1 or a
    negative seed, KernelInputError where the values make no claim.
    """
    names = tuple(ways)
    unknown = [name for name in names if name not in WAYS]
    if unknown:
        raise ValueError(f"way is {unknown[0]!r}; known ways: {', '.join(WAYS)}")
    if budget < 1:
        raise ValueError(f"budget is {budget}; give at least one evaluation")
    if seed < 0:
        raise ValueError(f"seed is {seed}; give 0 or more")
    excess = Excess(claim)
    for name in names:
        found = worst_confirmed(claim, WAYS[name](Hunt(excess, budget, seed)), name)
        if found is not None:
            return found
    return None

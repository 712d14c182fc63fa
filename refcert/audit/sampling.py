"""Sampling for a point beyond a plane: a dense grid, and points that Hypothesis draws and drives by `target()`.

Method card
    Claim      Every candidate is a float point of the box; `falsify_plane` has each confirmed in ball arithmetic.
    Idea       grid        evenly spaced points of the box, with corners and sides.
               hypothesis  draws patches, 7 x 7 points each: anywhere, on a side, in a corner, from the size of the box
                           down to its last places; the largest excess of the patch is the target that Hypothesis'
                           hill climbing increases.
               Ever finer grids around the best points, then the neighbouring floats. No derivative, no solver.
    Property   Deterministic by seed; outside pytest too; nothing is read from or written to an example database.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings, target
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from refcert.audit.hunting.hunt import Hunt, Point, apart, in_last_place, spread, start_of
from refcert.audit.hunting.zoom import zoom_in

Array = NDArray[np.float64]

# Points that are refined, how far they are apart and the first grid's spacing, in shares of the box.
STARTS: Final = 6
APART: Final = 0.3
FIRST_STEP: Final = 0.1

# Shares of an axis are multiples of 1 / SHARES; as many as Hypothesis' hill climbing crosses in one go.
SHARES: Final = 1 << 20
# Shares are drawn this much beyond both ends and cut off there: about one in nine draws is either end.
BEYOND: Final = SHARES // 16
# A patch reaches 2^-zoom of the box to each side of its middle, from the whole box to the last place of its floats.
ZOOMS: Final = 52
PATCH: Final = np.linspace(-1.0, 1.0, 7)
# Integers are drawn from here on. Hypothesis mixes in constants that it finds in the sources of loaded modules; none of
# them lies here, so that what is drawn depends on the seed alone.
FAR: Final = 0x5EED << 190


class Patch(NamedTuple):
    """A small grid: its middle in shares of the box, and how far it reaches to each side, as a share of the box."""

    share_v: float
    share_z: float
    reach: float


def hunt_on_grid(hunt: Hunt) -> list[Point]:
    """About `budget` points, evenly spaced in each free axis, the ends among them, then finer grids; best first."""
    free = len(hunt.free)
    side = max(2, math.floor(hunt.budget ** (1 / max(free, 1))))
    shares = np.linspace(0.0, 1.0, side)
    mesh = (
        np.stack(np.meshgrid(*[shares] * free, indexing="ij"), axis=-1).reshape(-1, free) if free else np.zeros((1, 0))
    )
    v, z = hunt.places(mesh)
    excess = hunt.excess(v, z).reshape([side] * free)
    # the places that no neighbour exceeds, in every direction of the grid
    peaks = (excess == maximum_filter(excess, size=3)).reshape(-1) if free else np.array([True])
    order = np.argsort(-excess.reshape(-1)[peaks], kind="stable")[:STARTS]
    return _refined(hunt, mesh[peaks][order], 1.0 / (side - 1))


def hunt_with_hypothesis(hunt: Hunt) -> list[Point]:
    """`budget` patches drawn and climbed by Hypothesis, the best ones then refined; best first.

    Inside a test that Hypothesis runs, that test has to suppress the health check `nested_given`.
    """
    size = _size(hunt)
    seen: list[tuple[float, Point]] = []

    @seed(hunt.seed)
    @settings(
        max_examples=hunt.budget,
        database=None,
        derandomize=False,
        deadline=None,
        phases=(Phase.generate, Phase.target),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        backend="hypothesis",
    )
    @given(patch=patches())
    def look(patch: Patch) -> None:
        shares = np.meshgrid(patch.share_v + patch.reach * PATCH, patch.share_z + patch.reach * PATCH)
        excess = hunt.excess(*hunt.at(*shares))
        best = np.unravel_index(int(np.argmax(excess)), excess.shape)
        if math.isfinite(excess[best]):
            seen.append((float(excess[best]), (float(shares[0][best]), float(shares[1][best]))))
            # scaled: hill climbing does not care, people read the figure in statistics
            target(float(excess[best]) / size, label="violation")

    with _no_files():
        look()
    seen.sort(reverse=True)
    # nothing is seen where float64 overflows everywhere: the middle stands for it
    best_first = [shares for _, shares in seen] or [(0.5, 0.5)]
    starts = apart(np.clip(best_first, 0.0, 1.0), APART, STARTS)
    return _refined(hunt, np.array(starts)[:, list(hunt.free)], FIRST_STEP)


def patches() -> st.SearchStrategy[Patch]:
    """Patches anywhere in the box, with their middle on a side or in a corner too, of every size."""
    share = _integer(-BEYOND, SHARES + BEYOND).map(lambda drawn: min(max(drawn, 0), SHARES) / SHARES)
    return st.builds(Patch, share, share, _integer(0, ZOOMS).map(lambda drawn: 2.0**-drawn))


def _integer(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(FAR + low, FAR + high).map(lambda drawn: drawn - FAR)


def _refined(hunt: Hunt, shares: Array, step: float) -> list[Point]:
    places = (start_of(hunt, v, z) for v, z in zip(*hunt.places(shares), strict=True))
    return [in_last_place(hunt, zoom_in(hunt, place, step)) for place in places if place is not None]


def _size(hunt: Hunt) -> float:
    """The spread of the excess over the corners and the middle of the box, or 1."""
    v, z = hunt.at(*np.meshgrid([0.0, 0.5, 1.0], [0.0, 0.5, 1.0]))
    with np.errstate(over="ignore"):
        size = spread(hunt.excess(v, z))
    return size if 0.0 < size < math.inf else 1.0


@contextmanager
def _no_files() -> Iterator[None]:
    """Hypothesis caches what it reads from sources in the working directory; here it goes away again."""
    with TemporaryDirectory(prefix="refcert-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)

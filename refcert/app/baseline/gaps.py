"""Mean relaxation gaps of every sample by layer and gate: what says which layer moved."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from functools import reduce

from torch import Tensor

from gpu_engine.bounds import BoundedProduct, Box, Plane
from refcert.app.baseline import decimals


class Gaps:
    """Collects, as a product sink, distances of upper and lower planes at the centres of their boxes or octagons.

    The mean is over frames, units, a sample's questions and, of `best`, its starts.
    """

    def __init__(self) -> None:
        self._sums: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, samples: Tensor, products: tuple[BoundedProduct, ...]) -> None:
        """samples (batch,): positions; the products of one pass over them."""
        for product in products:
            name, units = column_of(product), product.v.lower.shape[1]
            distances = _distances(product).sum(1)
            for sample, distance in zip(samples.tolist(), distances.tolist(), strict=True):
                self._sums[sample][name] += distance
                self._counts[sample][name] += units

    def of(self, sample: int) -> dict[str, Decimal]:
        """The sample's mean gaps, rounded up."""
        counts = self._counts.get(sample, {})
        return {name: decimals.gap(self._sums[sample][name] / counts[name]) for name in sorted(counts)}


def column_of(product: BoundedProduct) -> str:
    """'layer 0 forget', 'layer 1 update (backward)', 'layer 0 before.0'."""
    return f"layer {product.layer} {product.name}"


def _distances(product: BoundedProduct) -> Tensor:
    """Upper less lower plane at the centres, (batch, units) float64. Never below zero but by rounding."""
    v, z = (box.lower / 2 + box.upper / 2 for box in _box(product))
    upper, lower = (_at(plane, v, z) for plane in (product.planes.upper, product.planes.lower))
    return (upper - lower).clamp(min=0.0).cpu()


def _box(product: BoundedProduct) -> tuple[Box, Box]:
    """The box of v and z in float64; of an octagon the least box around it, whose centre lies in it."""
    v, z = _double(product.v), _double(product.z)
    if product.diagonals is None:
        return v, z
    plus, minus = _double(product.diagonals.plus), _double(product.diagonals.minus)
    around_v = (
        Box(plus.lower - z.upper, plus.upper - z.lower),
        Box(minus.lower + z.lower, minus.upper + z.upper),
        Box((plus.lower + minus.lower) / 2, (plus.upper + minus.upper) / 2),
    )
    around_z = (
        Box(plus.lower - v.upper, plus.upper - v.lower),
        Box(v.lower - minus.upper, v.upper - minus.lower),
        Box((plus.lower - minus.upper) / 2, (plus.upper - minus.lower) / 2),
    )
    return reduce(Box.intersect, around_v, v), reduce(Box.intersect, around_z, z)


def _double(box: Box) -> Box:
    return Box(box.lower.double(), box.upper.double())


def _at(plane: Plane, v: Tensor, z: Tensor) -> Tensor:
    return plane.slope_v.double() * v + plane.slope_z.double() * z + plane.offset.double()

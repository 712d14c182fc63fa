"""Mean relaxation gaps of every sample by layer and gate: what says which layer moved."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from torch import Tensor

from gpu_engine.bounds import BoundedProduct, Plane
from refcert.app.baseline import decimals


class Gaps:
    """Collects, as a product sink, distances of upper and lower planes at the centres of their boxes.

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
    v, z = (box.lower.double() / 2 + box.upper.double() / 2 for box in (product.v, product.z))
    upper, lower = (_at(plane, v, z) for plane in (product.planes.upper, product.planes.lower))
    return (upper - lower).clamp(min=0.0).cpu()


def _at(plane: Plane, v: Tensor, z: Tensor) -> Tensor:
    return plane.slope_v.double() * v + plane.slope_z.double() * z + plane.offset.double()

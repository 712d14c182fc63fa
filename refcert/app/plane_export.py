"""The engine's planes as plain columns for the audit: exact float64 values, with their origin."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu_engine.bounds import BoundedProduct
from gpu_engine.errors import NumericalError
from refcert.audit.plane_table import COLUMNS, DIAGONALS, NUMBERS, ORIGIN, PlaneTable


class PlaneCollector:
    """Collects the planes of one part of a run."""

    def __init__(self, first_index: int) -> None:
        self.first_index = first_index
        self._pieces: list[dict[str, NDArray[np.generic]]] = []

    def add(self, samples: Tensor, products: tuple[BoundedProduct, ...]) -> None:
        """Both planes of every unit of every product; samples (batch,) positions in the part."""
        index = samples.numpy() + self.first_index
        for product in products:
            batch, hidden = product.v.lower.shape
            for side, plane in (("lower", product.planes.lower), ("upper", product.planes.upper)):
                count = batch * hidden
                values = (
                    *(product.v.lower, product.v.upper, product.z.lower, product.z.upper),
                    *(plane.slope_v, plane.slope_z, plane.offset),
                )
                piece: dict[str, NDArray[np.generic]] = {
                    name: _plain(value) for name, value in zip(NUMBERS, values, strict=True)
                }
                piece |= _diagonals(product)
                piece["kind"] = np.full(count, product.kind)
                piece["side"] = np.full(count, side)
                piece["sample"] = np.repeat(index, hidden)
                piece["layer"] = np.full(count, product.layer)
                piece["t"] = np.full(count, product.t)
                piece["unit"] = np.tile(np.arange(hidden), batch)
                piece["product"] = np.full(count, product.name)
                self._pieces.append(piece)

    def table(self) -> PlaneTable | None:
        """All planes collected; None if there are none."""
        if not self._pieces:
            return None
        names = (*COLUMNS, *DIAGONALS, *ORIGIN)
        joined = {name: np.concatenate([piece[name] for piece in self._pieces]) for name in names}
        return PlaneTable(
            {name: joined[name] for name in (*COLUMNS, *DIAGONALS)}, {name: joined[name] for name in ORIGIN}
        )


def _diagonals(product: BoundedProduct) -> dict[str, NDArray[np.generic]]:
    """The four columns of the octagons, NaN for planes on boxes."""
    known = product.diagonals
    if known is None:
        return {name: np.full(product.v.lower.numel(), np.nan) for name in DIAGONALS}
    ends = (known.plus.lower, known.plus.upper, known.minus.lower, known.minus.upper)
    if not all(bool(torch.isfinite(end).all()) for end in ends):
        raise NumericalError(f"a diagonal of the product {product.name!r}, frame {product.t}, is not finite")
    return {name: _plain(end) for name, end in zip(DIAGONALS, ends, strict=True)}


def _plain(value: Tensor) -> NDArray[np.generic]:
    return value.detach().cpu().double().reshape(-1).numpy()

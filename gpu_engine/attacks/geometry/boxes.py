"""Moves inside boxes: every coordinate by itself, its half width the unit of its steps."""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.attacks.geometry.base import Geometry
from gpu_engine.inputs import Boxes


class BoxGeometry(Geometry):
    """Points between the boxes' ends, which belong to them."""

    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes
        self.half = boxes.upper / 2 - boxes.lower / 2

    def inside(self, x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x, self.boxes.lower), self.boxes.upper)

    def random(self, generator: torch.Generator) -> Tensor:
        draw = torch.rand(self.half.shape, generator=generator, dtype=torch.float64, device=generator.device)
        return self.inside(self.boxes.lower + 2 * draw.to(self.half.device) * self.half)

    def corner(self, gradient: Tensor) -> Tensor:
        ends = torch.where(gradient > 0, self.boxes.lower, self.boxes.upper)
        return torch.where(gradient == 0, self.boxes.center, ends)

    def descend(self, x: Tensor, gradient: Tensor, step: Tensor) -> Tensor:
        return self.inside(x - step[:, None, None] * self.half * gradient.sign())

"""Moves inside boxes: every coordinate by itself, its half width the unit of its steps."""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.attacks.geometry.base import Geometry, uniform
from gpu_engine.inputs import Boxes


class BoxGeometry(Geometry):
    """Points between the boxes' ends, which belong to them."""

    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes
        self.half = boxes.upper / 2 - boxes.lower / 2

    def inside(self, x: Tensor) -> Tensor:
        x = torch.where(torch.isnan(x), self.boxes.center, x)
        return torch.minimum(torch.maximum(x, self.boxes.lower), self.boxes.upper)

    def random(self, generator: torch.Generator, alike: bool = False) -> Tensor:
        draw = uniform(self.half.shape, generator, self.half.device, alike)
        return self.inside(self.boxes.lower + 2 * draw * self.half)

    def corner(self, gradient: Tensor) -> Tensor:
        down = torch.where(gradient > 0, self.boxes.lower, self.boxes.center)
        return torch.where(gradient < 0, self.boxes.upper, down)

    def descend(self, x: Tensor, gradient: Tensor, step: Tensor) -> Tensor:
        return self.inside(x - step[:, None, None] * self.half * gradient.sign())

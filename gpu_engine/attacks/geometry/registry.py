"""Which geometry an input set has."""

from __future__ import annotations

from gpu_engine.attacks.geometry.balls import BallGeometry
from gpu_engine.attacks.geometry.base import Geometry
from gpu_engine.attacks.geometry.boxes import BoxGeometry
from gpu_engine.attacks.geometry.words import WordGeometry
from gpu_engine.inputs import Boxes, InputSet, Substitutions


def geometry_of(inputs: InputSet) -> Geometry:
    """The moves inside these input sets."""
    if isinstance(inputs, Boxes):
        return BoxGeometry(inputs)
    if isinstance(inputs, Substitutions):
        return WordGeometry(inputs)
    return BallGeometry(inputs)

"""What bound propagation asks for planes: every named relaxation, and slopes of one's own for every place."""

from __future__ import annotations

from typing import Protocol

from gpu_engine.bounds import Box, Origin, PlanePair


class Planner(Protocol):
    """Gives the planes of every nonlinearity. They have to be sound: nobody else looks at their offsets."""

    def planes(self, origin: Origin, kind: str, v: Box, z: Box | None) -> PlanePair:
        """A lower and an upper plane of `kind` on the box, (batch, units); z: None for a nonlinearity of one argument.

        origin: where on the tape they are asked for.
        """
        ...

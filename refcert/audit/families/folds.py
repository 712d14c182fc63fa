"""Upper planes of sigmoid(v) tanh(z) whose interior maximum and saddle (almost) fall together.

The Hessian of the surface is singular where 2 t^2 (2 s - 1) = (1 - s)(1 - t^2), s = sigmoid(v), t = tanh(z), v > 0.
With the slopes of the tangent there, the two stationary points of the excess merge; with slopes nearby they are close.
The box ends so near that its border and the maximum compete for the largest excess.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from refcert.audit.families.surface import Floats, gradient, sigmoid

KIND: Final = "sigmoid_times_tanh"


def singular_z(v: Floats) -> Floats:
    """The z > 0 at which the Hessian is singular, for v > 0."""
    s, rest = sigmoid(v), sigmoid(-v)
    z: Floats = np.arctanh(np.sqrt(rest / (2 * (s - rest) + rest)))
    return z


def draw_folds(count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Boxes (count, 4) and slopes (count, 2). The far ones, v to 60, have excesses down to 1e-43."""
    v = 10.0 ** rng.uniform(-1, np.log10(60), count)
    z = singular_z(v)
    size_v, size_z = (10.0 ** rng.uniform(-9, 0.3, (count, 2)) for _ in range(2))
    boxes = np.stack(
        [v - size_v[:, 0], v + size_v[:, 1], z - z * size_z[:, 0], z + z * size_z[:, 1]],
        axis=1,
    )
    off = rng.choice([-1.0, 0.0, 1.0], (count, 2)) * 10.0 ** rng.uniform(-17, -4, (count, 2))
    return boxes, gradient(KIND, v, z) * (1 + off)

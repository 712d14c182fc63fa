"""More faults in the engine's octagons: edges and ends, curvatures, tangents beside a diagonal, and who has which."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_MAXIMUM: Final = "gpu_engine.relaxations.octagon_maximum"
_EDGES: Final = "gpu_engine.relaxations.octagon_edges"
_INSIDE: Final = "gpu_engine.relaxations.octagon_inside"
_SCHEDULE: Final = "gpu_engine.propagation.schedule"

FAULTS: Final = (
    Mutation(
        "octagon-side-missed",
        "relaxations",
        "a missed candidate: the curve along one side of the box",
        _MAXIMUM,
        (
            (
                "candidates += [(value[k], at[k], side.at[k]) for k in range(2)]",
                "candidates += [(value[0], at[0], side.at[0])]",
            ),
        ),
    ),
    Mutation(
        "octagon-vertices-missed",
        "relaxations",
        "a missed candidate: half of the vertices",
        _MAXIMUM,
        (("for k in range(len(at_vertices))]", "for k in range(len(at_vertices) // 2)]"),),
    ),
    Mutation(
        "octagon-direction-sign",
        "relaxations",
        "wrong sign: v - z = level with the z of v + z = level",
        _EDGES,
        (("DIRECTIONS: Final = (-1.0, -1.0, 1.0, 1.0)", "DIRECTIONS: Final = (-1.0, -1.0, -1.0, 1.0)"),),
    ),
    Mutation(
        "octagon-edge-ends-too-soon",
        "relaxations",
        "a diagonal edge without its part beyond the middle",
        _EDGES,
        (
            (
                "highs.append(torch.minimum(level + z.upper, (level + plus.upper) / 2))",
                "highs.append((level + plus.lower) / 2)",
            ),
        ),
    ),
    Mutation(
        "octagon-hull-too-small",
        "relaxations",
        "interior maxima are looked for in too small a box",
        _EDGES,
        (("(self.plus.upper - self.minus.lower) / 2, 3)", "(self.plus.upper - self.minus.upper) / 2, 3)"),),
    ),
    Mutation(
        "octagon-curvature-without-mixed-term",
        "relaxations",
        "a curvature without 2 g'",
        _MAXIMUM,
        (("bracket = turned + 2 * torch.where(direction < 0, g_most, -g_least)", "bracket = turned"),),
    ),
    Mutation(
        "octagon-curvature-without-bent-g",
        "relaxations",
        "a curvature without s g''",
        _MAXIMUM,
        (
            (
                "    if product.along_z is not None:\n        # -s g''",
                "    if product.along_z is None:\n        # -s g''",
            ),
        ),
    ),
    Mutation(
        "octagon-negative-multiplier",
        "relaxations",
        "a multiplier of the diagonal below 0",
        _INSIDE,
        (("mu = torch.minimum(n_v * f_v, n_z * f_z).clamp(min=0.0)", "mu = torch.minimum(n_v * f_v, n_z * f_z)"),),
    ),
    Mutation(
        "octagon-tangent-outside-the-region",
        "relaxations",
        "a tangent plane where the surface is not concave",
        _INSIDE,
        (("    v = torch.maximum(v, border * (1 + u) + SCALAR_UNITS * tiny(v.dtype))\n", ""),),
    ),
    Mutation(
        "octagon-tangent-rises-not",
        "relaxations",
        "a tangent plane's rise towards the diagonal is forgotten",
        _INSIDE,
        (("- b * z + rise + rise_v + rise_z", "- b * z + rise_v + rise_z"),),
    ),
    Mutation(
        "octagon-offset-without-slack",
        "rounding",
        "forgotten outward rounding of an offset",
        _MAXIMUM,
        (("Maximum(value + slack, best.v", "Maximum(value, best.v"),),
    ),
    Mutation(
        "octagon-edges-not-outward",
        "rounding",
        "edges end where rounding has put them",
        _EDGES,
        (
            (
                "relative, absolute = gamma(operations + 4, low.dtype), 8 * tiny(low.dtype)",
                "relative, absolute = 0.0, 0.0",
            ),
        ),
    ),
    Mutation(
        "diagonals-without-pad",
        "rounding",
        "the rounding of the arguments' own sums is not charged to v + z and v - z",
        _SCHEDULE,
        (
            (
                "Box(fixed[j] + ends[:, j, 0] - pads[j], fixed[j] - ends[:, j, 1] + pads[j])",
                "Box(fixed[j] + ends[:, j, 0], fixed[j] - ends[:, j, 1])",
            ),
        ),
    ),
    Mutation(
        "diagonals-of-the-other-part",
        "propagation",
        "a part of a step gets the other part's diagonals",
        _SCHEDULE,
        (("own = dict(zip(products, found, strict=True))", "own = dict(zip(products, found[::-1], strict=True))"),),
    ),
    Mutation(
        "diagonals-without-constants",
        "propagation",
        "the constant part of the sum is that of the difference",
        _SCHEDULE,
        (
            (
                "fixed += [self._sum_of(part, turn, 1.0), self._sum_of(part, turn, -1.0)]",
                "fixed += [self._sum_of(part, turn, -1.0), self._sum_of(part, turn, -1.0)]",
            ),
        ),
    ),
)

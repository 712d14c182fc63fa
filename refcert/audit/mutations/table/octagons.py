"""Faults in octagons: edges and curvatures of the engine, its diagonals, and who doubts them."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_MAXIMUM: Final = "gpu_engine.relaxations.octagon_maximum"
_EDGES: Final = "gpu_engine.relaxations.octagon_edges"
_SCHEDULE: Final = "gpu_engine.propagation.schedule"
_AUDIT: Final = "refcert.audit"
_BRANCHING: Final = f"{_AUDIT}.branching"

_ENGINE: Final = (
    Mutation(
        "octagon-diagonals-missed",
        "relaxations",
        "a missed candidate: all diagonal edges",
        _MAXIMUM,
        (("        candidates.append(self._on_diagonals(slope_v, slope_z))\n", ""),),
    ),
    Mutation(
        "octagon-inside-missed",
        "relaxations",
        "a missed candidate: the interior maximum",
        _MAXIMUM,
        (("            candidates.append(product.inside(self.inner, slope_v, slope_z))\n", "            pass\n"),),
    ),
    Mutation(
        "octagon-chord-for-curve",
        "relaxations",
        "a diagonal edge is taken for the chord of its pieces",
        _MAXIMUM,
        (("(h[1:] + h[:-1]) / 2 + bend / 8 + rise * share / 2", "torch.maximum(h[1:], h[:-1])"),),
    ),
    Mutation(
        "octagon-mixed-term-of-the-other-diagonal",
        "relaxations",
        "wrong sign: the mixed derivative of falling edges on rising ones",
        _MAXIMUM,
        (("torch.where(direction < 0, g_most, -g_least)", "torch.where(direction > 0, g_most, -g_least)"),),
    ),
    Mutation(
        "octagon-mirror-keeps-its-sums",
        "relaxations",
        "a mirror image z -> -z whose v + z is still the old one",
        _EDGES,
        (("torch.stack((plus.lower, minus.lower))", "torch.stack((plus.lower, plus.lower))"),),
    ),
    Mutation(
        "diagonals-sum-for-difference",
        "propagation",
        "wrong sign: v - z is bounded as v + z",
        _SCHEDULE,
        (("(part.z_read, (1.0, -1.0, -1.0, 1.0))", "(part.z_read, (1.0, -1.0, 1.0, -1.0))"),),
    ),
    Mutation(
        "diagonals-gate-not-negated",
        "propagation",
        "wrong sign: the GRU's candidate reads minus its gate",
        _SCHEDULE,
        (("            turn = -1.0 if part.negate else 1.0\n", "            turn = 1.0\n"),),
    ),
)

_DOUBT: Final = (
    Mutation(
        "octagon-point-outside-refutes",
        "audit",
        "a counter-example that lies beside the octagon",
        f"{_AUDIT}.domain",
        (
            (
                "    return low_plus <= v + z <= high_plus and low_minus <= v - z <= high_minus\n",
                "    return low_plus <= v + z <= high_plus\n",
            ),
        ),
    ),
    Mutation(
        "branching-octagon-not-mirrored",
        "audit",
        "a lower plane is judged on the octagon of the upper one",
        f"{_BRANCHING}.excess",
        (("if claim.diagonals is not None and sign < 0:", "if False:"),),
    ),
    Mutation(
        "branching-octagon-diagonals-missed",
        "audit",
        "a missed candidate: rising diagonal edges",
        f"{_BRANCHING}.octagon",
        (
            (
                "    for turn, level, low, high in octagon.diagonals():\n        if low <= high:\n",
                "    for turn, level, low, high in octagon.diagonals():\n        if low <= high and turn < 0:\n",
            ),
        ),
    ),
    Mutation(
        "branching-octagon-inside-missed",
        "audit",
        "a missed candidate: the interior maximum",
        f"{_BRANCHING}.octagon",
        (("    if form.kind == PRODUCT_TANH:\n        _check_inside(form, octagon, budget)\n", ""),),
    ),
    Mutation(
        "branching-diagonal-bend-sign",
        "audit",
        "wrong sign of the mixed derivative along a diagonal",
        f"{_BRANCHING}.diagonal",
        (("(tilt * g + 2 * self.turn * slope_y)", "(tilt * g - 2 * self.turn * slope_y)"),),
    ),
    Mutation(
        "audit-diagonals-lost-on-the-way",
        "audit",
        "planes on octagons are judged on their boxes",
        f"{_AUDIT}.plane_table",
        (("[four if there else None for four, there", "[None for four, there"),),
    ),
    Mutation(
        "network-octagons-believed",
        "audit",
        "given diagonals are used, not those derived again",
        f"{_AUDIT}.network_lp.boxes",
        (
            (
                "given, own = start.get(equation.variable), diagonals[number].get(equation.variable)\n",
                "given = start.get(equation.variable)\n                own = given and given.diagonals\n",
            ),
        ),
    ),
    Mutation(
        "reference-diagonals-not-compared",
        "reference",
        "a check that is never made: given diagonals against derived ones",
        "refcert.reference.given_planes",
        (
            (
                "            if not _inside(ours, theirs):\n                esc",
                "            if False:\n                esc",
            ),
        ),
    ),
    Mutation(
        "reference-octagon-diagonal-missed",
        "reference",
        "a missed candidate: stationary points of diagonal edges",
        "refcert.reference.octagons",
        (("    for v in _roots(slope, nodes.tolist()):\n", "    for v in ():\n"),),
    ),
)

FAULTS: Final[tuple[Mutation, ...]] = (*_ENGINE, *_DOUBT)

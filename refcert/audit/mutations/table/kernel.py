"""Faults in the trusted kernel: what a proof leaves out, and tolerances."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_PLANE: Final = "refcert.kernel.plane_proof"
_SIDE: Final = "refcert.kernel.side_proof"
_INSIDE: Final = "refcert.kernel.inside_proof"
_OCTAGON: Final = "refcert.kernel.octagon"
_DIAGONAL: Final = "refcert.kernel.diagonal_proof"
_CELL: Final = "refcert.kernel.cell_proof"
_BALL: Final = "refcert.kernel.ball"
_CLAIMS: Final = "refcert.kernel.claims"

FAULTS: Final = (
    Mutation(
        "kernel-inside-not-checked",
        "kernel",
        "a missed candidate: the inside of the box",
        _PLANE,
        (("    if not holds_inside(claim, ends_v, ends_z, proof, proof.polish):\n", "    if False:\n"),),
    ),
    Mutation(
        "kernel-corners-not-checked",
        "kernel",
        "a missed candidate: the corners at the upper end of z",
        _PLANE,
        (("for v, s in ends_v for z, t in ends_z])", "for v, s in ends_v for z, t in ends_z[:1]])"),),
    ),
    Mutation(
        "kernel-side-not-checked",
        "kernel",
        "a missed candidate: one side of the box for the identity",
        _PLANE,
        (("    for z in z_ends:\n", "    for z in z_ends[:1]:\n"),),
    ),
    Mutation(
        "kernel-kink-not-checked",
        "kernel",
        "a missed candidate: the kink of relu",
        _PLANE,
        (("    if claim.lower_v < 0 < claim.upper_v:\n", "    if False:\n"),),
    ),
    Mutation(
        "kernel-undecided-is-proved",
        "kernel",
        "failing open: what no precision decides is proved",
        _PLANE,
        (("        if not undecided:\n", "        if not undecided or bits == precisions[-1]:\n"),),
    ),
    Mutation(
        "kernel-violation-from-above",
        "kernel",
        "lower for upper: the violation is an upper bound",
        _PLANE,
        (("violation = max(0.0, float_below(excess))", "violation = 2 * max(0.0, float_below(excess))"),),
    ),
    Mutation(
        "kernel-sigmoid-shift-forgotten",
        "kernel",
        "a forgotten constant: 1 - sigmoid(-v) mirrored without the one",
        _CLAIMS,
        (('shift = 1 if kind == "sigmoid" else 0', "shift = 0"),),
    ),
    Mutation(
        "kernel-mirror-slope-sign",
        "kernel",
        "wrong sign in the mirror of a lower plane",
        _CLAIMS,
        (("*box, -slope_v, slope_z, -offset, diagonals", "*box, slope_v, slope_z, -offset, diagonals"),),
    ),
    Mutation(
        "kernel-diagonals-not-mirrored",
        "kernel",
        "a sign: v + z of a mirrored plane is not v - z",
        _CLAIMS,
        (("mirrored = None if cut is None else (*cut[2:], *cut[:2])", "mirrored = cut"),),
    ),
    Mutation(
        "kernel-chord-too-low",
        "kernel",
        "a wrong constant: the bend of a diagonal edge counts half",
        _DIAGONAL,
        (("width * width / 8", "width * width / 16"),),
    ),
    Mutation(
        "kernel-bend-sign",
        "kernel",
        "a sign: the mixed term of the second derivative along a diagonal",
        _DIAGONAL,
        (("ds * ((s + s - ONE) * g - 2 * self.turn)", "ds * ((s + s - ONE) * g + 2 * self.turn)"),),
    ),
    Mutation(
        "kernel-octagon-side-not-checked",
        "kernel",
        "a missed candidate: one side of the box of an octagon",
        _OCTAGON,
        (("in dict.fromkeys((claim.lower_z, claim.upper_z)):", "in (claim.lower_z,):"),),
    ),
    Mutation(
        "kernel-octagon-ends-inward",
        "kernel",
        "rounding to the wrong side: edges end too soon",
        _OCTAGON,
        (("max(own, *(float_below(end) for end in ends))", "max(own, *(float_above(end) for end in ends))"),),
    ),
    Mutation(
        "kernel-octagon-point-outside",
        "kernel",
        "refuting a plane where nothing is claimed",
        _OCTAGON,
        (("        return all(surely_not_negative(x) for x in room)\n", "        return True\n"),),
    ),
    Mutation(
        "kernel-octagon-inside-left-over",
        "kernel",
        "failing open: rectangles that are left over count as proved",
        _CELL,
        (("    return not cells\n", "    return True\n"),),
    ),
    Mutation(
        "kernel-diagonal-left-over",
        "kernel",
        "failing open: pieces of a diagonal that are left over count as proved",
        _DIAGONAL,
        (("if not pieces else Outcome.STUCK", "if pieces is not None else Outcome.STUCK"),),
    ),
    Mutation(
        "kernel-point-not-mirrored-back",
        "kernel",
        "a counter-example that lies outside its box",
        _CLAIMS,
        (("return (v, -z) if _is_product(self.kind) else (-v, z)", "return (v, z)"),),
    ),
    Mutation(
        "kernel-reversed-box-accepted",
        "kernel",
        "an empty box, on which everything holds",
        _CLAIMS,
        (("        if low > high:\n", "        if False:\n"),),
    ),
    Mutation(
        "kernel-nan-accepted",
        "kernel",
        "NaN passes the check for infinity",
        _CLAIMS,
        (("        if not math.isfinite(value):\n", "        if math.isinf(value):\n"),),
    ),
    Mutation(
        "kernel-peer-tolerance",
        "kernel",
        "theory 5: a check whose tolerance is 1e8, so that it cannot fail",
        _BALL,
        (("    return bool(x <= ZERO)\n", "    return bool(x <= arb(1e8))\n"),),
    ),
    Mutation(
        "kernel-small-tolerance",
        "kernel",
        "a tolerance in a check: 1e-12",
        _BALL,
        (("    return bool(x <= ZERO)\n", "    return bool(x <= arb(1e-12))\n"),),
    ),
    Mutation(
        "kernel-negated-comparison",
        "kernel",
        "not (x > 0) of balls, which is true where nothing is known",
        _BALL,
        (("    return bool(x <= ZERO)\n", "    return not bool(x > ZERO)\n"),),
    ),
    Mutation(
        "kernel-tangent-at-one-end",
        "kernel",
        "the tangent's rise towards one end of the side only",
        _SIDE,
        (
            (
                "rise = upper_of_two(tilt * (exact(last) - ball), tilt * (exact(first) - ball))",
                "rise = tilt * (exact(last) - ball)",
            ),
        ),
    ),
    Mutation(
        "kernel-wrong-concave-half",
        "kernel",
        "the convex half of a side taken for the concave one",
        _SIDE,
        (("rising_half = side.scale.guess > 0", "rising_half = side.scale.guess < 0"),),
    ),
    Mutation(
        "kernel-outside-the-concave-region",
        "kernel",
        "a tangent plane at a point where the surface is not concave",
        _INSIDE,
        (
            ("    if not surely_positive(z):\n        return False", "    if False:\n        return False"),
            ("    v = upper_of_two(v, border(tanh(z)))", "    v = upper_of_two(v, v)"),
            (
                "    if not surely_positive(z):\n        v, z = exact(guess[0])",
                "    if False:\n        v, z = exact(guess[0])",
            ),
        ),
    ),
    Mutation(
        "kernel-inside-given-up-early",
        "kernel",
        "lower for upper in the test that there is no interior maximum",
        _INSIDE,
        (("surely_less(s_high.value * t_low.slope, b)", "surely_less(s_high.value * t_high.slope, b)"),),
    ),
)

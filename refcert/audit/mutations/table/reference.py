"""Faults in the second derivation of every bound."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_REFERENCE: Final = "refcert.reference"

FAULTS: Final = (
    Mutation(
        "reference-lstm-gates-swapped",
        "reference",
        "swapped gate order",
        f"{_REFERENCE}.cells",
        (("gate_i, gate_f, gate_g, gate_o = (_gate", "gate_f, gate_i, gate_g, gate_o = (_gate"),),
    ),
    Mutation(
        "reference-forward-bias-forgotten",
        "reference",
        "a forgotten bias in the forward pass",
        f"{_REFERENCE}.networks",
        (("of_h = part.weight_hh @ h + part.bias_hh\n", "of_h = part.weight_hh @ h\n"),),
    ),
    Mutation(
        "reference-backward-state-at-the-wrong-end",
        "reference",
        "final state of the reversed direction taken at the last frame",
        f"{_REFERENCE}.unrolling",
        (("ends += run[0] if part.reverse else run[-1]", "ends += run[-1]"),),
    ),
    Mutation(
        "reference-lower-for-upper",
        "reference",
        "lower for upper in back-substitution",
        f"{_REFERENCE}.backsubstitution",
        (("pair.lower if A > 0 else pair.upper", "pair.upper if A > 0 else pair.lower"),),
    ),
    Mutation(
        "reference-rounding-not-charged",
        "reference",
        "the rounding of back-substitution is not charged",
        f"{_REFERENCE}.backsubstitution",
        (("charge = CHARGE_SLACK * form.charge", "charge = 0.0 * form.charge"),),
    ),
    Mutation(
        "reference-peer-double-roots-dropped",
        "reference",
        "theory 5: a filter that drops nearly double roots of the quadratic on a side",
        f"{_REFERENCE}.exact_planes",
        (("    if not 0.0 < slope <= 0.25:\n", "    if not 0.0 < slope <= 0.2499:\n"),),
    ),
    Mutation(
        "reference-interior-missed",
        "reference",
        "a missed candidate: the interior",
        f"{_REFERENCE}.exact_planes",
        (("            yield from _inside(slope_v, slope_z)\n", ""),),
    ),
    Mutation(
        "reference-dual-norm-wrong",
        "reference",
        "wrong dual norm for l_inf: the largest in the place of the sum",
        f"{_REFERENCE}.input_sets",
        (("        return sum(weights, Fraction(0))\n    if p == 1", "        return max(weights)\n    if p == 1"),),
    ),
    Mutation(
        "reference-clip-rooms-swapped",
        "reference",
        "lower for upper: the room towards the wrong end of the clip range",
        f"{_REFERENCE}.input_sets",
        (("if a > 0 else Fraction(clip[1]) - x)", "if a < 0 else Fraction(clip[1]) - x)"),),
    ),
    Mutation(
        "reference-first-candidate-forgotten",
        "reference",
        "a missed candidate among the substitutions",
        f"{_REFERENCE}.input_sets",
        (("                for choice in choices\n", "                for choice in choices[-2:]\n"),),
    ),
    Mutation(
        "reference-interval-of-negative-weights",
        "reference",
        "lower for upper: a negative weight keeps the ends in order",
        f"{_REFERENCE}.intervals",
        (
            (
                "        lower += min(ends)\n        upper += max(ends)\n",
                "        lower += ends[0]\n        upper += ends[1]\n",
            ),
        ),
    ),
    Mutation(
        "reference-escape-tolerance",
        "reference",
        "theory 5: a check whose tolerance is 1e8, so that it cannot fail",
        f"{_REFERENCE}.given_planes",
        (
            (
                "given.lower <= derived.lower and derived.upper <= given.upper",
                "given.lower <= derived.lower + 1e8 and derived.upper <= given.upper + 1e8",
            ),
        ),
    ),
    Mutation(
        "reference-violation-of-one-side",
        "reference",
        "only the upper plane is looked at",
        f"{_REFERENCE}.given_planes",
        (("        return max(above, below)\n", "        return above\n"),),
    ),
    Mutation(
        "reference-rounded-to-nearest",
        "reference",
        "a lower bound rounded to nearest",
        f"{_REFERENCE}.rounding",
        (("if Fraction(nearest) > value else nearest", "if False else nearest"),),
    ),
    Mutation(
        "reference-radius-of-the-failed-end",
        "reference",
        "the radius that was not certified is returned",
        f"{_REFERENCE}.radius",
        (("    return low\n", "    return high\n"),),
    ),
    Mutation(
        "reference-least-volume-not-lifted",
        "reference",
        "the linear program's plane is not lifted to the exact offset",
        f"{_REFERENCE}.least_volume",
        (
            (
                "        best = sign * size * float(solved.fun)\n",
                "        best = sign * size * float(solved.fun)\n"
                "        plane = plane._replace(offset=best - plane.slope_v * centre[0] - plane.slope_z * centre[1])\n",
            ),
        ),
    ),
)

"""Changes that no check can see, and why not. `--equivalent` runs them: nothing may catch one."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Equivalent, Mutation

EQUIVALENT: Final[tuple[Equivalent, ...]] = (
    Equivalent(
        Mutation(
            "zero-coefficients-take-the-upper-plane",
            "propagation",
            "> for >=",
            "gpu_engine.propagation.backward",
            (("    positive = coefficients >= 0\n", "    positive = coefficients > 0\n"),),
        ),
        "The two differ for a coefficient of exactly 0 only. It is multiplied by a slope, and slopes are finite "
        "(`_require_finite` in `schedule`), so either plane gives a zero; its sign is lost in the next sum, and the "
        "constants are taken through `clamp`, which gives 0 on both sides.",
    ),
    Equivalent(
        Mutation(
            "reference-zero-takes-the-lower-plane",
            "reference",
            ">= for >",
            "refcert.reference.backsubstitution",
            (("pair.lower if A > 0 else pair.upper", "pair.lower if A >= 0 else pair.upper"),),
        ),
        "The two differ for A = 0 only, and `lower_bound` leaves equations with A = 0 out (`continue`) before it asks "
        "for a plane; `_take_plane` has no other caller.",
    ),
    Equivalent(
        Mutation(
            "steepest-slope-apart",
            "reference",
            "< for <=",
            "refcert.reference.exact_planes",
            (("if not 0.0 < slope <= 0.25:", "if not 0.0 < slope < 0.25:"),),
        ),
        "The two differ for a slope of exactly 1/4 only. There sqrt(1 - 4 slope) = 0 and s = 1/2 without rounding, and "
        "log1p(-1/2) - log(1/2) = 0 in floating point too, so the candidates are 0, -0 and 0 in the place of 0: the "
        "same points.",
    ),
    Equivalent(
        Mutation(
            "complex-pairs-of-the-quartic-dropped",
            "reference",
            "theory 5: a filter of complex roots that drops real double roots",
            "refcert.reference.exact_planes",
            (
                ("    for root in np.roots(in_s):\n", "    for root in (r for r in np.roots(in_s) if r.imag == 0):\n"),
                ("    for root in np.roots(in_q):\n", "    for root in (r for r in np.roots(in_q) if r.imag == 0):\n"),
            ),
        ),
        "`np.roots` returns a complex pair for two real roots only within about 1e-8 of each other. Then "
        "maximum and saddle nearly meet, the surface is flat to second order between them, and its value there exceeds "
        "that on the sides of any box around them by the cube of their distance, below 1e-17. The allowance of "
        "`plane_above` is larger: in 20,000 boxes drawn around such folds the two differed by at most 6 % of it.",
    ),
)

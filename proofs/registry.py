"""The one table of all lemmas, and how they are run and listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proofs.lemma import Lemma, LemmaResult, run_lemma
from proofs.lemmas import (
    back_substitution,
    candidates_identity,
    candidates_tanh,
    charged_rounding,
    clipped_ball,
    concave_region,
    concretize_rounding,
    constant_planes,
    curve_lines,
    curve_rounding,
    dual_norm,
    interior_overshoot,
    interval_rounding,
    margin_rows,
    mccormick_product,
    mirror_symmetry,
    offset_rounding,
    one_slope_lines,
    radius_monotone,
    readings,
    rounding_gamma,
    s_curve_maximum,
    scalar_rounding,
    sequence_ball,
    substitution_hull,
)

# In the order in which they are needed: planes, propagation, claims, rounding.
LEMMAS: Final[tuple[Lemma, ...]] = (
    mirror_symmetry.LEMMA,
    s_curve_maximum.LEMMA,
    candidates_identity.LEMMA,
    candidates_tanh.LEMMA,
    concave_region.LEMMA,
    curve_lines.LEMMA,
    constant_planes.LEMMA,
    one_slope_lines.LEMMA,
    mccormick_product.LEMMA,
    dual_norm.LEMMA,
    clipped_ball.LEMMA,
    sequence_ball.LEMMA,
    substitution_hull.LEMMA,
    back_substitution.LEMMA,
    radius_monotone.LEMMA,
    margin_rows.LEMMA,
    readings.LEMMA,
    rounding_gamma.LEMMA,
    concretize_rounding.LEMMA,
    interval_rounding.LEMMA,
    offset_rounding.LEMMA,
    curve_rounding.LEMMA,
    interior_overshoot.LEMMA,
    scalar_rounding.LEMMA,
    charged_rounding.LEMMA,
)


def run_all(progress: Callable[[LemmaResult], None] | None = None) -> list[LemmaResult]:
    """Run every lemma with its controls; progress is called after each."""
    results = []
    for lemma in LEMMAS:
        result = run_lemma(lemma)
        if progress is not None:
            progress(result)
        results.append(result)
    return results


def table_markdown() -> str:
    """The table of `proofs/README.md`."""
    lines = ["| lemma | statement | source | code | tests |", "| --- | --- | --- | --- | --- |"]
    for lemma in LEMMAS:
        code = ", ".join(f"`{reference}`" for reference in lemma.code)
        tests = ", ".join(f"`{path}`" for path in lemma.tests)
        summary = lemma.summary.replace("|", "\\|")
        lines.append(f"| `{lemma.name}` | {summary} | {lemma.source} | {code} | {tests} |")
    return "\n".join(lines) + "\n"

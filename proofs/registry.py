"""The one table of all lemmas, and how they are run and listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from proofs.lemma import Lemma, LemmaResult, run_lemma
from proofs.lemmas import (
    back_substitution,
    box_concretize,
    branching_values,
    candidates_identity,
    candidates_tanh,
    cell_steps,
    charged_rounding,
    clipped_ball,
    concave_region,
    concretize_rounding,
    constant_planes,
    curve_lines,
    curve_rounding,
    decibel_radius,
    dual_norm,
    gru_update,
    input_rounding,
    interior_overshoot,
    interval_arithmetic,
    interval_rounding,
    kernel_claims,
    kernel_exits,
    least_volume_gap,
    least_volume_plane,
    margin_rows,
    maximum_readout,
    mccormick_product,
    mean_readout,
    metric_intervals,
    mirror_symmetry,
    network_lp_elimination,
    network_lp_equality,
    network_lp_rounding,
    network_lp_weak_duality,
    network_steps,
    octagon_edges,
    octagon_offsets,
    octagon_rounding,
    offset_rounding,
    one_slope_lines,
    parallel_planes,
    radius_monotone,
    readings,
    relu_lines,
    rounding_gamma,
    s_curve_maximum,
    scalar_rounding,
    second_order_forms,
    sequence_ball,
    substitution_hull,
    supposed_bounds,
    underflow,
)

# By what they are about, and in each group in the order in which they are needed.
GROUPS: Final[Mapping[str, tuple[Lemma, ...]]] = {
    "planes": (
        mirror_symmetry.LEMMA,
        s_curve_maximum.LEMMA,
        candidates_identity.LEMMA,
        candidates_tanh.LEMMA,
        concave_region.LEMMA,
        octagon_edges.LEMMA,
        octagon_offsets.LEMMA,
        curve_lines.LEMMA,
        relu_lines.LEMMA,
        constant_planes.LEMMA,
        one_slope_lines.LEMMA,
        mccormick_product.LEMMA,
        least_volume_plane.LEMMA,
        least_volume_gap.LEMMA,
        parallel_planes.LEMMA,
    ),
    "network": (
        cell_steps.LEMMA,
        gru_update.LEMMA,
        network_steps.LEMMA,
        mean_readout.LEMMA,
        maximum_readout.LEMMA,
    ),
    "input sets": (
        dual_norm.LEMMA,
        clipped_ball.LEMMA,
        sequence_ball.LEMMA,
        box_concretize.LEMMA,
        substitution_hull.LEMMA,
        decibel_radius.LEMMA,
    ),
    "propagation": (
        interval_arithmetic.LEMMA,
        back_substitution.LEMMA,
        supposed_bounds.LEMMA,
    ),
    "claims": (
        margin_rows.LEMMA,
        readings.LEMMA,
        radius_monotone.LEMMA,
        metric_intervals.LEMMA,
    ),
    "rounding": (
        rounding_gamma.LEMMA,
        input_rounding.LEMMA,
        concretize_rounding.LEMMA,
        interval_rounding.LEMMA,
        offset_rounding.LEMMA,
        curve_rounding.LEMMA,
        interior_overshoot.LEMMA,
        scalar_rounding.LEMMA,
        octagon_rounding.LEMMA,
        charged_rounding.LEMMA,
        underflow.LEMMA,
    ),
    "audit": (
        kernel_claims.LEMMA,
        kernel_exits.LEMMA,
        branching_values.LEMMA,
        second_order_forms.LEMMA,
        network_lp_weak_duality.LEMMA,
        network_lp_elimination.LEMMA,
        network_lp_rounding.LEMMA,
        network_lp_equality.LEMMA,
    ),
}

LEMMAS: Final[tuple[Lemma, ...]] = tuple(lemma for group in GROUPS.values() for lemma in group)


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

"""Faults in planes and lines: candidates, signs, offsets, mirrors, slopes; and those seen in earlier tools."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_TANH_PRODUCT: Final = "gpu_engine.relaxations.sigmoid_times_tanh"
_IDENTITY: Final = "gpu_engine.relaxations.sigmoid_times_identity"
_S_CURVE: Final = "gpu_engine.relaxations.s_curve"
_OFFSETS: Final = "gpu_engine.relaxations.offsets"
_LINES: Final = "gpu_engine.relaxations.curve_lines"
_CURVES: Final = "gpu_engine.relaxations.curves"
_RELU: Final = "gpu_engine.relaxations.relu"
_TANH: Final = "gpu_engine.relaxations.tanh"
_SIGMOID: Final = "gpu_engine.relaxations.sigmoid"
_PLANES: Final = "gpu_engine.relaxations.planes"
_PARALLEL: Final = "gpu_engine.relaxations.parallel"
_MCCORMICK: Final = "gpu_engine.relaxations.mccormick"
_LEAST_HEIGHT: Final = "gpu_engine.relaxations.least_height"

_MISSED: Final = (
    Mutation(
        "tanh-corners-missed",
        "relaxations",
        "a missed candidate: two corners of the box",
        _TANH_PRODUCT,
        (
            (
                "        for v_end, s in v_ends:\n            candidates",
                "        for v_end, s in v_ends[:1]:\n            candidates",
            ),
        ),
    ),
    Mutation(
        "tanh-side-missed",
        "relaxations",
        "a missed candidate: the side v = lower",
        _TANH_PRODUCT,
        (
            (
                "    for v_end, s in v_ends:\n        curve = max_tanh",
                "    for v_end, s in v_ends[1:]:\n        curve = max_tanh",
            ),
        ),
    ),
    Mutation(
        "tanh-interior-missed",
        "relaxations",
        "a missed candidate: the interior maximum",
        _TANH_PRODUCT,
        (("    candidates.append(inside(v, z, slope_v, slope_z, s_upper=v_ends[1][1]))\n", ""),),
    ),
    Mutation(
        "identity-side-missed",
        "relaxations",
        "a missed candidate: the sides z = const",
        _IDENTITY,
        (("        candidates.append((curve.value - shift, curve.at, side))\n", ""),),
    ),
    Mutation(
        "relu-kink-missed",
        "relaxations",
        "a missed candidate: the kink of relu",
        _RELU,
        (("for point in (v.lower, kink, v.upper):", "for point in (v.lower, v.upper):"),),
    ),
    Mutation(
        "nan-candidate-loses",
        "relaxations",
        "a comparison that hides NaN",
        _OFFSETS,
        (("better = ~(other_value <= value) & ~torch.isnan(value)", "better = other_value > value"),),
    ),
)

_SIGNS: Final = (
    Mutation(
        "tangent-excess-sign",
        "relaxations",
        "wrong sign: the tangent's rise is taken at the falling end",
        _S_CURVE,
        (
            (
                "torch.where(slope > 0, slope * (upper - at), slope * (lower - at))",
                "torch.where(slope < 0, slope * (upper - at), slope * (lower - at))",
            ),
        ),
    ),
    Mutation(
        "mirror-slope-sign",
        "relaxations",
        "wrong sign: the lower plane's slope is not mirrored back",
        _OFFSETS,
        (("PlanePair(Plane(-slope_v[1], slope_z[1]", "PlanePair(Plane(slope_v[1], slope_z[1]"),),
    ),
    Mutation(
        "mirrored-box-not-mirrored",
        "relaxations",
        "lower for upper: the mirrored box keeps its ends",
        _OFFSETS,
        (("(z.lower, -z.upper)", "(z.lower, z.lower)"), ("(z.upper, -z.lower)", "(z.upper, z.upper)")),
    ),
    Mutation(
        "lower-line-slope-sign",
        "relaxations",
        "wrong sign in a lower line written out by hand",
        _CURVES,
        (("-self.maximum(BELOW, v, -slope).value", "-self.maximum(BELOW, v, slope).value"),),
    ),
    Mutation(
        "lower-line-offset-of-the-upper",
        "relaxations",
        "lower for upper: the lower line gets the upper line's offset",
        _LINES,
        (("PlanePair(Plane(-below, zero, -lower)", "PlanePair(Plane(-below, zero, upper)"),),
    ),
)

_OFFSETS_OFF: Final = (
    Mutation(
        "identity-offset-1e-6",
        "relaxations",
        "offset off by 1e-6",
        _IDENTITY,
        (("Maximum(best.value + slack, best.v", "Maximum(best.value + slack - 1e-6, best.v"),),
    ),
    Mutation(
        "tanh-offset-1e-9",
        "relaxations",
        "offset off by 1e-9",
        _TANH_PRODUCT,
        (("Maximum(best.value + slack, best.v", "Maximum(best.value + slack - 1e-9, best.v"),),
    ),
    Mutation(
        "tanh-line-offset-1e-12",
        "relaxations",
        "offset off by 1e-12",
        _TANH,
        (("CurveMaximum(best.value + slack, best.at if", "CurveMaximum(best.value + slack - 1e-12, best.at if"),),
    ),
    Mutation(
        "tanh-offset-without-slack",
        "relaxations",
        "forgotten outward rounding of an offset",
        _TANH_PRODUCT,
        (("Maximum(best.value + slack, best.v", "Maximum(best.value, best.v"),),
    ),
    Mutation(
        "sigmoid-line-without-slack",
        "relaxations",
        "forgotten outward rounding of a line's offset",
        _SIGMOID,
        (("best.value + curve_slack(v, slope, magnitude=one)", "best.value"),),
    ),
)

_PEERS: Final = (
    Mutation(
        "peer-planes-repaired-from-samples",
        "relaxations",
        "theory 5: offsets repaired from a 20 x 20 sample",
        _TANH_PRODUCT,
        (
            (
                "    v_ends = [(end, torch.sigmoid(end)) for end in (v.lower, v.upper)]\n",
                "    shares = [k / 19 for k in range(20)]\n"
                "    grid = [(v.lower + i * (v.upper - v.lower), z.lower + j * (z.upper - z.lower))\n"
                "            for i in shares for j in shares]\n"
                "    return largest([(value(p, q) - slope_v * p - slope_z * q, p, q) for p, q in grid])\n"
                "    v_ends = [(end, torch.sigmoid(end)) for end in (v.lower, v.upper)]\n",
            ),
        ),
    ),
    Mutation(
        "peer-zero-width-bound-is-the-end",
        "relaxations",
        "theory 5: a zero-width interval handled as bound = l in the place of f(l)",
        _LINES,
        (
            (
                "return slope, curve.maximum(sign, v, slope).value",
                "found = curve.maximum(sign, v, slope).value\n"
                "    return slope, torch.where(v.lower == v.upper, sign * v.lower - slope * v.lower, found)",
            ),
        ),
    ),
    Mutation(
        "peer-line-divided-by-its-slope",
        "relaxations",
        "theory 5: lines stored as slope * (y + beta), division by a vanishing slope",
        _LINES,
        (
            (
                "return slope, curve.maximum(sign, v, slope).value",
                "beta = curve.maximum(sign, v, slope).value / torch.where(slope.abs() < 1e-6, 1e-6, slope)\n"
                "    return slope, slope * beta",
            ),
        ),
    ),
    Mutation(
        "peer-narrow-boxes-widened-in-place",
        "relaxations",
        "theory 5: narrow boxes widened by 1e-3 in place, so the caller's tensors change",
        _PARALLEL,
        (
            (
                "    slope_z = torch.sigmoid(v.lower) * product.chord_slope(z)\n",
                "    v.upper.add_(1e-3 * (v.upper - v.lower < 1e-3))\n"
                "    slope_z = torch.sigmoid(v.lower) * product.chord_slope(z)\n",
            ),
        ),
    ),
    Mutation(
        "peer-closed-form-case-wrong",
        "relaxations",
        "theory 5: a printed case of a closed-form table is wrong",
        _MCCORMICK,
        (
            ("rising = y_end >= 0", "rising = y_end < 0"),
            ("torch.maximum(offset, exact)", "offset"),
        ),
    ),
    Mutation(
        "peer-double-root-dropped",
        "relaxations",
        "theory 5: a root filter that drops (nearly) double roots",
        _TANH_PRODUCT,
        (
            (
                "    possible = possible & (low <= high)\n",
                "    single = _log_psi(v_peak, b_safe)[0] - 2 * torch.log(a_safe) > 1e-3\n"
                "    possible = possible & (low <= high) & single\n",
            ),
        ),
    ),
    Mutation(
        "peer-float32-tangents",
        "relaxations",
        "theory 5: tangents in float32 that cross the curve by 1.6e-7",
        _TANH,
        (
            (
                "best = max_tanh_minus_line(torch.ones_like(tilt), tilt, w.lower, w.upper)",
                "single = (torch.ones_like(tilt).float(), tilt.float(), w.lower.float(), w.upper.float())\n"
                "    best = CurveMaximum(*(part.to(tilt.dtype) for part in max_tanh_minus_line(*single)))",
            ),
        ),
    ),
)

_LOOSE: Final = (
    Mutation(
        "parallel-takes-the-largest-sigmoid",
        "relaxations",
        "sound but loose: the shared slope from the wrong end",
        _PARALLEL,
        (("torch.sigmoid(v.lower) * product.chord_slope(z)", "torch.sigmoid(v.upper) * product.chord_slope(z)"),),
    ),
    Mutation(
        "planes-wrong-point-leaves",
        "relaxations",
        "sound but loose: the ratio test names the wrong contact point",
        _PLANES,
        (("ratio.argmin(0, keepdim=True)", "ratio.argmax(0, keepdim=True)"),),
    ),
    Mutation(
        "exchange-on-the-wrong-side",
        "relaxations",
        "sound but loose: a contact point left of the centre replaces the right one",
        _LEAST_HEIGHT,
        (("on_left = touched.at < centre", "on_left = touched.at >= centre"),),
    ),
)

FAULTS: Final = (*_MISSED, *_SIGNS, *_OFFSETS_OFF, *_PEERS, *_LOOSE)

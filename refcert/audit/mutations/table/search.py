"""Faults in questions, readings, chunks and the radius search."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_SPEC: Final = "gpu_engine.spec"
_CERTIFY: Final = "gpu_engine.search.certify"
_RADIUS: Final = "gpu_engine.search.radius"

FAULTS: Final = (
    Mutation(
        "margin-row-sign",
        "search",
        "wrong sign: e_label + e_other",
        _SPEC,
        (("rows.scatter_(2, others[:, :, None].long(), -1.0)", "rows.scatter_(2, others[:, :, None].long(), 1.0)"),),
    ),
    Mutation(
        "top-k-counts-from-the-other-end",
        "search",
        "the k-th largest row in the place of the k-th least",
        _SPEC,
        (("lower.kthvalue(self.k, dim=1)", "lower.kthvalue(lower.shape[1] - self.k + 1, dim=1)"),),
    ),
    Mutation(
        "per-class-against-the-weakest",
        "search",
        "lower for upper: the label beats the smallest of the others",
        _SPEC,
        (("lower[:, 0] + lower[:, 1:].amin(dim=1)", "lower[:, 0] + lower[:, 1:].amax(dim=1)"),),
    ),
    Mutation(
        "answers-per-frame-off-by-one",
        "search",
        "time step off by one: the rows of a frame ask about the one before",
        _SPEC,
        (("first = step * classes", "first = (step - 1).clamp(min=0) * classes"),),
    ),
    Mutation(
        "zero-margin-proves",
        "search",
        "a margin of zero is taken for a proof",
        _CERTIFY,
        (("return self.margin > 0", "return self.margin >= 0"),),
    ),
    Mutation(
        "batch-mix-up-of-chunks",
        "search",
        "batch mix-up: every chunk is written to the first places",
        _CERTIFY,
        (("lower[index[some]] = bounds.lower.to", "lower[: len(some)] = bounds.lower.to"),),
    ),
    Mutation(
        "last-chunk-dropped",
        "search",
        "off by one: an incomplete last chunk is not computed",
        _CERTIFY,
        (("for start in range(0, len(samples), size):", "for start in range(0, len(samples) - size + 1, size):"),),
    ),
    Mutation(
        "short-sequences-bounded-in-full",
        "search",
        "the padding behind a shorter sequence is read",
        _CERTIFY,
        (("(part if time == inputs.time else part.first_frames(time)).to(device)", "part.to(device)"),),
    ),
    Mutation(
        "radius-within-a-tolerance",
        "search",
        "a tolerance in a check: nearly proved is proved",
        _RADIUS,
        (("    proved = margin > 0\n", "    proved = margin > -1e-3\n"),),
    ),
    Mutation(
        "radius-reports-the-failed-end",
        "search",
        "lower for upper: the end of the bracket that failed is reported",
        _RADIUS,
        (
            (
                "return Radii(bracket.low, failed,",
                "return Radii(torch.where(torch.isfinite(bracket.high), bracket.high, bracket.low), failed,",
            ),
        ),
    ),
    Mutation(
        "batch-mix-up-of-directions",
        "search",
        "batch mix-up: samples that are left take the directions of the first ones",
        _RADIUS,
        (("radius[:, None] * direction[index]", "radius[:, None] * direction[: len(index)]"),),
    ),
    Mutation(
        "overflow-proves",
        "search",
        "bounds that overflow count as proved",
        _RADIUS,
        (("return torch.full_like(radius, -math.inf)", "return torch.full_like(radius, math.inf)"),),
    ),
    Mutation(
        "scaled-box-rounded-inward",
        "search",
        "a scaled box without outward rounding",
        _RADIUS,
        (
            ("grown = _above(factor * _above(distance))", "grown = factor * distance"),
            ("-_above(under - center)", "center - under"),
            ("_above(center + over)", "center + over"),
        ),
    ),
)

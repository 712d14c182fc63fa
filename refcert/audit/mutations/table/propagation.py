"""Faults on the way of boxes and rows through the network."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_BACKWARD: Final = "gpu_engine.propagation.backward"
_RELAXED: Final = "gpu_engine.propagation.relaxed"
_SCHEDULE: Final = "gpu_engine.propagation.schedule"
_INTERVAL: Final = "gpu_engine.propagation.interval"
_CONSTANTS: Final = "gpu_engine.propagation.constants"
_WEIGHTS: Final = "gpu_engine.propagation.weights"
_BOUNDS: Final = "gpu_engine.bounds"

_SIDES: Final = (
    Mutation(
        "slopes-lower-for-upper",
        "propagation",
        "lower for upper: a positive coefficient takes the upper plane's slopes",
        _RELAXED,
        (("torch.where(positive, lower, upper)", "torch.where(positive, upper, lower)"),),
    ),
    Mutation(
        "constants-lower-for-upper",
        "propagation",
        "lower for upper: the planes' constants change places",
        _BACKWARD,
        (
            (
                "above @ step.const_lower + below @ step.const_upper",
                "above @ step.const_upper + below @ step.const_lower",
            ),
        ),
    ),
    Mutation(
        "negated-planes-not-mirrored",
        "propagation",
        "wrong sign: planes over -v are used over v",
        _RELAXED,
        (("        if negate:\n            lower, upper = _mirrored(lower), _mirrored(upper)\n", ""),),
    ),
    Mutation(
        "interval-negative-weights",
        "propagation",
        "lower for upper: a negative weight takes the same end as a positive one",
        _INTERVAL,
        (("box.lower @ positive + box.upper @ negative", "box.lower @ positive + box.lower @ negative"),),
    ),
    Mutation(
        "peer-product-of-sets-no-enclosure",
        "propagation",
        "theory 5: a product of sets that is no enclosure",
        _INTERVAL,
        (
            (
                "(a.lower * b.lower, a.lower * b.upper, a.upper * b.lower, a.upper * b.upper)",
                "(a.lower * b.lower, a.upper * b.upper)",
            ),
        ),
    ),
)

_SUMS: Final = (
    Mutation(
        "coefficients-replaced-not-added",
        "propagation",
        "a second path to the same state forgets the first one",
        _BACKWARD,
        (("rows if known is None else known + rows", "rows"),),
    ),
    Mutation(
        "overlapping-coefficients-replaced",
        "propagation",
        "overlapping ranges of units are written over",
        _BACKWARD,
        (("high - start] += pieces[low, high]", "high - start] = pieces[low, high]"),),
    ),
    Mutation(
        "mean-not-divided-on-the-way-back",
        "propagation",
        "wrong pooling: the divisor is forgotten in back-substitution",
        _BACKWARD,
        (("            part = part / term.divisor\n", "            part = part / 1\n"),),
    ),
    Mutation(
        "constant-part-forgotten",
        "propagation",
        "a forgotten bias: the constant part of the second argument",
        _RELAXED,
        (("        constant = constant + plane.slope_z * z.constant\n", "        constant = constant + 0\n"),),
    ),
    Mutation(
        "second-bias-replaces-the-first",
        "propagation",
        "a forgotten bias",
        _CONSTANTS,
        (
            (
                "own[:, rows] += self.weights.cast(step.name, bias.value)",
                "own[:, rows] = self.weights.cast(step.name, bias.value)",
            ),
        ),
    ),
    Mutation(
        "frame-off-by-one-on-the-input-set",
        "propagation",
        "time step off by one where a row meets the input set",
        _BACKWARD,
        (("inputs.concretize(rows, step.t)", "inputs.concretize(rows, max(step.t - 1, 0))"),),
    ),
)

_BOXES: Final = (
    Mutation(
        "box-replaced-not-intersected",
        "propagation",
        "sound but loose: a box is replaced by the newer one",
        _BOUNDS,
        (
            ("torch.maximum(self.lower, other.lower)", "other.lower"),
            ("torch.minimum(self.upper, other.upper)", "other.upper"),
        ),
    ),
    Mutation(
        "box-intersected-on-one-side",
        "propagation",
        "sound but loose: only the lower end is intersected",
        _BOUNDS,
        (("torch.minimum(self.upper, other.upper)", "self.upper"),),
    ),
    Mutation(
        "contradiction-swallowed",
        "propagation",
        "a check that cannot fail: an empty box is handed on",
        _SCHEDULE,
        (("        if bool((box.lower > box.upper).any()):\n", "        if False:\n"),),
    ),
    Mutation(
        "overflow-swallowed",
        "propagation",
        "a check that cannot fail: NaN and infinity pass",
        _SCHEDULE,
        (("    bad = ~torch.isfinite(value)\n", "    bad = torch.zeros_like(value, dtype=torch.bool)\n"),),
    ),
)

_CACHES: Final = (
    Mutation(
        "peer-planes-of-the-first-layer-reused",
        "propagation",
        "theory 5: planes of one layer and frame reused in all",
        _SCHEDULE,
        (
            (
                "            self._use(number, site, planes, which)\n",
                '            seen = self.__dict__.setdefault("seen", {})\n'
                "            keys = [(which, one.kind, one.name, one.v.size) for one in step.parts]\n"
                "            planes = [seen.setdefault(key, pair) for key, pair in zip(keys, planes, strict=True)]\n"
                "            self._use(number, site, planes, which)\n",
            ),
        ),
    ),
    Mutation(
        "stale-cache-of-weights",
        "propagation",
        "a stale cache: weights of the same shape are taken for the same",
        _WEIGHTS,
        (("return value.data_ptr(), tuple(value.shape)", "return 0, tuple(value.shape)"),),
    ),
    Mutation(
        "stale-cache-of-rows",
        "propagation",
        "a stale cache: the selected rows are not part of the key",
        _WEIGHTS,
        (("key = _key(weight), ranges", "key = _key(weight), ()"),),
    ),
    Mutation(
        "best-keeps-the-last-start",
        "propagation",
        "sound but loose: the last of several relaxations wins",
        _SCHEDULE,
        (
            (
                "return torch.stack(tuple(found.values())).amax(0)",
                "return list(found.values())[-1]",
            ),
        ),
    ),
    Mutation(
        "batch-mix-up-of-input-sets",
        "propagation",
        "batch mix-up: the second block of samples meets the first block's input sets",
        _BACKWARD,
        (
            (
                "inputs = self.inputs.part(samples)",
                "inputs = self.inputs.part(slice(0, forms.constant.shape[0]))",
            ),
        ),
    ),
    Mutation(
        "batch-mix-up-of-planes",
        "propagation",
        "batch mix-up: the second block of samples takes the first block's constants",
        _RELAXED,
        (
            (
                "return RelaxedStep(parts, self.const_lower[samples], self.const_upper[samples])",
                "first = slice(0, self.const_lower[samples].shape[0])\n"
                "        return RelaxedStep(parts, self.const_lower[first], self.const_upper[first])",
            ),
        ),
    ),
)

FAULTS: Final = (*_SIDES, *_SUMS, *_BOXES, *_CACHES)

"""Faults in input sets: norms, clip ranges, budgets, candidates."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_SETS: Final = "gpu_engine.propagation.input_sets"
_INPUTS: Final = "gpu_engine.inputs"

FAULTS: Final = (
    Mutation(
        "dual-norm-is-the-norm",
        "inputs",
        "wrong dual norm: p in the place of q",
        f"{_SETS}.norms",
        (("exact = p / (p - 1)", "exact = float(p)"),),
    ),
    Mutation(
        "dual-of-l-inf-is-the-maximum",
        "inputs",
        "wrong dual norm: the largest in the place of the sum",
        f"{_SETS}.box",
        (
            (
                "return -(rows.abs() @ self.half_width[:, t, :, None])[..., 0]",
                "return -(rows.abs() * self.half_width[:, t, None, :]).amax(-1)",
            ),
        ),
    ),
    Mutation(
        "box-half-width-of-one-side",
        "inputs",
        "one side of an uneven box",
        f"{_SETS}.box",
        (("torch.maximum(under, over)", "under"),),
    ),
    Mutation(
        "clip-on-one-side",
        "inputs",
        "sound but loose: the clip range cuts below only",
        f"{_SETS}.prepared",
        (("upper.clamp(max=clip[1])", "upper"),),
    ),
    Mutation(
        "clip-rooms-swapped",
        "inputs",
        "lower for upper: the room below the center where the one above counts",
        f"{_SETS}.frame_balls",
        (
            (
                "torch.where(rows > 0, self.below_center[:, t, None, :], self.above_center[:, t, None, :])",
                "torch.where(rows < 0, self.below_center[:, t, None, :], self.above_center[:, t, None, :])",
            ),
        ),
    ),
    Mutation(
        "cut-ball-forgets-what-is-outside",
        "inputs",
        "the part of the form that the clip range pays for is left out",
        f"{_SETS}.norms",
        (("radius * dual_norm(in_ball, p) + ((size - in_ball) * room).sum(-1)", "radius * dual_norm(in_ball, p)"),),
    ),
    Mutation(
        "sequence-budget-of-one-frame",
        "inputs",
        "a shared budget spent on the most sensitive frame only",
        f"{_SETS}.sequence_ball",
        (("bound = radius * dual_norm(norms, self.p)", "bound = radius * norms.amax(-1)"),),
    ),
    Mutation(
        "sequence-moves-inverted",
        "inputs",
        "the frames that stay are moved, and the others stay",
        f"{_SETS}.sequence_ball",
        (("else self.moves[:, t, None, None]", "else 1 - self.moves[:, t, None, None]"),),
    ),
    Mutation(
        "last-substitution-forgotten",
        "inputs",
        "a missed candidate: the last word",
        f"{_SETS}.substitutions",
        (("self.differences[:, t].transpose(-1, -2)", "self.differences[:, t, :-1].transpose(-1, -2)"),),
    ),
    Mutation(
        "forbidden-substitutions-allowed",
        "inputs",
        "the mask of candidates read the other way round",
        f"{_SETS}.substitutions",
        (("torch.where(inputs.allowed[..., None], inputs", "torch.where(~inputs.allowed[..., None], inputs"),),
    ),
    Mutation(
        "moved-center-not-paid-for",
        "inputs",
        "the center's cast to float32 moves the ball without growing it",
        f"{_SETS}.frame_balls",
        (("grown = balls.radius + shift * balls", "grown = balls.radius + 0 * shift * balls"),),
    ),
    Mutation(
        "peer-callers-box-widened-in-place",
        "inputs",
        "theory 5: narrow boxes widened by 1e-3 in place, so the caller's tensors change",
        f"{_SETS}.box",
        (
            (
                "    return between(boxes.lower, boxes.upper, boxes.center, dtype)\n",
                "    boxes.upper.add_(1e-3 * (boxes.upper - boxes.lower < 1e-3))\n"
                "    return between(boxes.lower, boxes.upper, boxes.center, dtype)\n",
            ),
        ),
    ),
    Mutation(
        "short-sequence-takes-the-last-radii",
        "inputs",
        "the radii of a shorter sequence are those of its padding",
        _INPUTS,
        (
            (
                "FrameBalls(self.center[:, :time], self.radius[:, :time],",
                "FrameBalls(self.center[:, :time], self.radius[:, -time:],",
            ),
        ),
    ),
)

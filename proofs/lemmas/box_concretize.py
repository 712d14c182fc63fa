"""On a box a.x is at least a.c - |a|.h for any point c of it and h the larger distance to its ends; images likewise.

Let l <= x <= u and l <= c <= u, all coordinate by coordinate, h_i = max(c_i - l_i, u_i - c_i).

(i)   |x_i - c_i| <= h_i, so a.(x - c) >= -sum |a_i| h_i: the code's value. If c is the midpoint it is attained.
(ii)  One end each: W x lies between W+ l + W- u and W+ u + W- l, W+ and W- the positive and the negative entries, and
      both are attained.
(iii) A ball's smallest box is [c - r, c + r], cut to the valid range on each side: ||x - c||_p <= r has |x_i - c_i| <=
      r for every p, and the bound for p = infinity is that of this box.
Here the code runs on symbols, for every pattern of signs. Shapes: two coordinates; sums over more go term by term.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any
from unittest import mock

import sympy as sp

from gpu_engine.bounds import Box
from gpu_engine.propagation import interval
from gpu_engine.propagation.input_sets import box as box_module
from gpu_engine.propagation.input_sets import prepared
from gpu_engine.propagation.input_sets.box import PreparedBox
from proofs.arrays import TORCH, Array, array
from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, identity, nonnegative

OO = sp.oo
N = 2
under, more, inside, size = (sp.symbols(f"{name}:{N}", positive=True) for name in ("under", "more", "inside", "size"))
# x_i = l_i + share_i (u_i - l_i)
share = sp.symbols(f"share:{N}", positive=True)
c = sp.symbols(f"c:{N}", real=True)
RANGES = dict.fromkeys((*under, *more, *size), (0, OO)) | dict.fromkeys(share, (0, 1))
SIGNS = tuple(product((1, -1), repeat=N))
Concretize = Callable[[PreparedBox, Any, int], Any]


def _prepared(lower: list[Expr], upper: list[Expr]) -> PreparedBox:
    """The code's set for one sample and one frame, without rounding."""
    low, high, middle = (array([[values]]) for values in (lower, upper, list(c)))
    between: Any = box_module.between
    stubs: dict[str, Any] = {
        "torch": TORCH,
        "distance_up": lambda value, *_: value,
        "outward_box": lambda low, high, _: Box(low, high),
    }
    with mock.patch.multiple(box_module, **stubs):
        found: PreparedBox = between(low, high, middle, None)
    return found


def _form(concretize: Concretize = PreparedBox.concretize) -> list[str]:
    """(i), for boxes whose centre is nearer to the lower ends, to the upper ends, or mixed."""
    proof = Proof()
    for nearer in SIGNS:
        low = [under[i] if nearer[i] > 0 else under[i] + more[i] for i in range(N)]
        high = [under[i] + more[i] if nearer[i] > 0 else under[i] for i in range(N)]
        found = _prepared([c[i] - low[i] for i in range(N)], [c[i] + high[i] for i in range(N)])
        for signs in SIGNS:
            a = [signs[i] * size[i] for i in range(N)]
            bound = concretize(found, array([[a]]), 0)[0, 0]
            step = [-low[i] + share[i] * (low[i] + high[i]) for i in range(N)]
            gap = sum(a[i] * step[i] for i in range(N)) - bound
            proof.by(f"signs {signs}, nearer ends {nearer}: a.(x - c) >= bound", nonnegative, sp.expand(gap), RANGES)
    middle = _prepared([c[i] - under[i] for i in range(N)], [c[i] + under[i] for i in range(N)])
    bound = concretize(middle, array([[list(size)]]), 0)[0, 0]
    proof.by("midpoint: attained at the lower ends", identity, bound, -sum(size[i] * under[i] for i in range(N)))
    return proof.steps


def _image(linear: Callable[[Any, Box], Box] = interval.linear) -> list[str]:
    """(ii), one row; sums over units go term by term."""
    proof = Proof()
    low, width = list(c), list(under)
    box = Box(array([low]), array([[low[i] + width[i] for i in range(N)]]))  # type: ignore[arg-type]
    x = [low[i] + share[i] * width[i] for i in range(N)]
    for signs in SIGNS:
        a = [signs[i] * size[i] for i in range(N)]
        found = linear(array([a]), box)
        value = sum(a[i] * x[i] for i in range(N))
        for name, gap in (("lower", value - found.lower[0, 0]), ("upper", found.upper[0, 0] - value)):
            proof.by(f"signs {signs}: {name} end of W x", nonnegative, sp.expand(gap), RANGES)
            corner = {share[i]: int((signs[i] > 0) == (name == "upper")) for i in range(N)}
            proof.by(f"signs {signs}: {name} end is attained", identity, gap.subs(corner))
    return proof.steps


def _ends(cut: bool = True) -> list[str]:
    """(iii): the box around a ball, without rounding; cut False takes no notice of the valid range."""
    proof = Proof()
    center, radius, room, beyond = sp.symbols("center radius room beyond", positive=True)
    stub = SimpleNamespace(where=TORCH.where)
    for name, low_room, high_room in (
        ("range wider than the ball", radius + room, radius + beyond),
        ("range narrower", radius - room, radius - beyond),
    ):
        clip = (center - low_room, center + high_room)

        class Ends(Array):
            def clamp(self, min: Any = None, max: Any = None) -> Array:
                value = self[0]
                return array([sp.Max(value, min) if max is None else sp.Min(value, max)])

        plain = array([center]).view(Ends), array([radius]).view(Ends)
        no_rounding: dict[str, Any] = {"torch": stub, "below": lambda x: x, "above": lambda x: x}
        with (
            mock.patch.multiple(prepared, **no_rounding),
            mock.patch.object(stub, "where", lambda moves, yes, no: yes.view(Ends)),
        ):
            lower, upper = prepared.ball_ends(*plain, clip if cut else None)  # type: ignore[arg-type]
        reach_low, reach_high = (radius, radius) if name.endswith("ball") else (low_room, high_room)
        proof.by(f"{name}: lower end", identity, center - sp.simplify(lower[0]), reach_low)
        proof.by(f"{name}: upper end", identity, sp.simplify(upper[0]) - center, reach_high)
    x, rest = sp.symbols("x rest", positive=True)
    # One coordinate's p-th power is at most the sum of all, and the root is monotone: p = 1 + k.
    proof.by("|x_i|^p <= sum of all", nonnegative, (x + rest) - x, {x: (0, OO), rest: (0, OO)})
    return proof.steps


def _larger_end_only(found: PreparedBox, rows: Any, t: int) -> Any:
    """Signs forgotten: a.h in the place of |a|.h."""
    return -(rows @ found.half_width[:, t, :, None])[..., 0]


LEMMA = Lemma(
    name="box_concretize",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), section 3.2, p = infinity; Moore, Kearfott and Cloud (2009), chapter 2",
    code=(
        "gpu_engine.inputs:Boxes",
        "gpu_engine.propagation.input_sets.box:PreparedBox.concretize",
        "gpu_engine.propagation.input_sets.box:prepare_boxes",
        "gpu_engine.propagation.input_sets.box:between",
        "gpu_engine.propagation.input_sets.prepared:ball_ends",
        "gpu_engine.propagation.interval:linear",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_concretize.py", "tests/engine/test_input_set_laws.py"),
    check=lambda: _form() + _image() + _ends(),
    controls={
        "signs are forgotten": lambda: _form(_larger_end_only),
        "half the width": lambda: _form(lambda found, rows, t: PreparedBox.concretize(found, rows, t) / 2),
        "lower ends for all entries": lambda: _image(
            lambda weight, box: Box(box.lower @ weight.T, box.upper @ weight.T)
        ),
        "the valid range is forgotten": lambda: _ends(cut=False),
    },
)

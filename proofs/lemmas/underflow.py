"""What all underflows of one pass can lose is covered by `Backward.underflow`, and in constants by a part of the size.

One operation that underflows is off by at most `tiny`, apart from its rounding (`rounding_gamma`); sums do not
underflow.
(i)   In a coefficient on a variable x, |x| <= M, that costs at most tiny M; in a constant at most tiny. So q products
      cost at most q tiny (1 + M).
(ii)  Products per form: an affine step of n units that reads r: at most n r with weights, r divisions, n for its
      charge, n for its constants. A nonlinear step of n units with p <= MAX_PARTS parts: 2 p n with slopes, 2 n with
      constants. A frame of n values: n for a box or hull, 2 n + 2 for a ball, cut or not. Each is at most 8 n (r + 8),
      the code's count, with r = 0 for steps that read nothing in an affine way.
(iii) In a norm, entries divided by the largest one are at most 1 and their powers sum to at least 1. A quotient that
      underflows is below tiny, so its power is off by at most (2 tiny)^q <= 2 tiny, and a power by tiny: the norm of n
      entries by the factor 1 + 3 n tiny at most, less than one rounding. The charge has room for it: N - K - K'/4 >= 1
      for the atoms over the inputs (`charged_rounding`).
(iv)  Constants of an affine step: `_underflow` adds 2 c tiny / u to its size, c at least the number of its products; so
      u times the size, which is charged, is at least 2 c tiny. In folded constants of planes: two products, for which
      the code's pad has `underflow` >= 2 tiny times a number >= 1.
The lists in (ii) follow the code by hand, as those of `charged_rounding`. Shapes: one form of one sample.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import sympy as sp
import torch

from gpu_engine.propagation.backward import Backward
from gpu_engine.propagation.constants import AffineConstants
from gpu_engine.propagation.relaxed import Charge, _pad
from gpu_engine.rounding import tiny, unit_roundoff
from gpu_engine.steps import MAX_PARTS, Affine, Input, Nonlinear, Place, Step
from proofs.lemma import Lemma, Proof
from proofs.lemmas.charged_rounding import SIZES, atoms, charge_roundings, code_terms
from proofs.lemmas.input_rounding import LARGEST
from proofs.tactics import Expr, compare, identity, nonnegative

OO = sp.oo
more, read, T, M, lost = sp.symbols("more read T M lost", positive=True)
n = 1 + more  # units of a step, at least one
r = 1 + read
RANGES = dict.fromkeys((more, read, T, M, lost), (0, OO))
HERE = Place()


def code_operations(step: Step) -> Expr:
    """The code's own count for a network of this one step, sizes being symbols."""
    net: Any = SimpleNamespace(steps=[step], _operations=[], _widest=1)
    Backward.__post_init__(net)
    return net._operations[-1]


def _affine(size: Expr, sources: Expr) -> Affine:
    term: Any = SimpleNamespace(source=SimpleNamespace(size=sources))
    return Affine("affine", size, (term,), (), HERE)


def _counts(parts: int = MAX_PARTS, share: Expr = 1) -> list[str]:
    """(i) and (ii). parts of a nonlinear step; share of the code's count."""
    proof = Proof()
    products: dict[str, tuple[Step, Expr]] = {
        "affine step": (_affine(n, r), n * r + r + n + n),
        "nonlinear step": (Nonlinear("nonlinear", n, (), HERE), 2 * parts * n + 2 * n),
        "frame": (Input(0, n, HERE), 2 * n + 2),
    }
    for name, (step, count) in products.items():
        room = share * code_operations(step) - count
        proof.by(f"{name}: products are counted", nonnegative, sp.expand(room), RANGES)
    # q products, `first` of them in coefficients: tiny (first M + rest) <= q tiny (1 + M)
    first, rest = sp.symbols("first rest", positive=True)
    gap = (first + rest) * (1 + M) - (first * M + rest)
    proof.by("tiny M in a coefficient, tiny in a constant", nonnegative, gap, RANGES | {first: (0, OO), rest: (0, OO)})
    return proof.steps


def _code_charge(magnitude: bool = True) -> list[str]:
    """The charge is tiny * count * (1 + magnitude): the code's own expression."""
    proof = Proof()
    count = sp.Symbol("count", positive=True)
    center = SimpleNamespace(dtype=torch.float64)
    net: Any = SimpleNamespace(inputs=SimpleNamespace(center=center), _operations=[count], magnitude=M)
    unit = sp.Rational(tiny(torch.float64))
    charged = sp.nsimplify(Backward.underflow(net, 0) / tiny(torch.float64)) * unit
    proof.by("charge = tiny count (1 + M)", identity, charged, unit * count * (1 + (M if magnitude else 0)))
    # (iv): u * _underflow(step) >= 2 tiny * products
    constants: Any = SimpleNamespace(weights=SimpleNamespace(dtype=torch.float64))
    found = AffineConstants._underflow(constants, _affine(n, r))
    sums = sp.nsimplify(found * unit_roundoff(torch.float64) / tiny(torch.float64))
    proof.by("constants: 2 products per source", nonnegative, sp.expand(sums - 2 * r), RANGES)
    one = SimpleNamespace(abs=lambda: sp.Integer(0))
    plane: Any = SimpleNamespace(slope_v=one, slope_z=one, offset=one)
    pad = _pad(plane, Charge(sp.Integer(0), sp.Integer(0), sp.Integer(0), 0.0, lost))
    proof.by("planes: the pad has `underflow` even for zero slopes", identity, sp.nsimplify(pad), lost)
    return proof.steps


def _norm(room: Expr = 1) -> list[str]:
    """(iii). room: roundings that the charge must have left."""
    proof = Proof()
    for name, K in atoms().items():
        if "input, least value" in name or name == "boxes: input":
            left = code_terms() - K - charge_roundings() / 4 - room
            proof.by(f"{name}: N - K - K'/4 >= 1", nonnegative, sp.expand(left), SIZES)
    # The sum of powers S >= 1 changes by at most n tiny: (S + e)^(1/q) <= S^(1/q) (1 + e) for S >= 1, q >= 1.
    S, e, k = sp.symbols("S e k", positive=True)
    proof.by("(S + e) / S <= 1 + e", nonnegative, (1 + e) - (1 + S + e) / (1 + S), {S: (0, OO), e: (0, OO)})
    # With L = log(1 + e) > 0 and q = 1 + k: log of the root is L / q.
    L = sp.Symbol("L", positive=True)
    proof.by("a root of a number above 1 is below it", nonnegative, L - L / (1 + k), {k: (0, OO), L: (0, OO)})
    proof.by("x^q <= x for x <= 1: its logarithm falls", nonnegative, (1 + k) * L - L, {k: (0, OO), L: (0, OO)})
    for dtype in (torch.float64, torch.float32):
        entries = 3 * LARGEST * sp.Rational(tiny(dtype))
        proof.by(f"{dtype}: 3 n tiny <= u", compare, entries, sp.Rational(unit_roundoff(dtype)))
    return proof.steps


LEMMA = Lemma(
    name="underflow",
    statement=__doc__,
    source="Higham (2002), section 2.2 (underflow); the counts are ours",
    code=(
        "gpu_engine.propagation.backward:Backward.underflow",
        "gpu_engine.propagation.constants:AffineConstants.of",
        "gpu_engine.propagation.relaxed:Charge",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_bounds_law.py"),
    check=lambda: _counts() + _code_charge() + _norm(),
    controls={
        "forty parts in a step": lambda: _counts(parts=40),
        "a sixteenth of the count": lambda: _counts(share=sp.Rational(1, 16)),
        "the charge without the magnitude": lambda: _code_charge(magnitude=False),
        "sixty roundings left over": lambda: _norm(room=sp.Integer(60)),
    },
)

"""One atom of a concretized bound goes through at most 7/2 s + 20 roundings, s the set's `summands`.

A bound over an input set is a sum of atoms |a_i| M_i, or a norm r ||a||_q, which is at most such a sum (M the set's
`magnitude`): each computed atom is the exact one times a factor in I_k (lemma `rounding_gamma`), and k is at most

    7/2 s + 20                for one bound, s = `PreparedInput.summands`,
    7/2 s + 20 + T            if the bounds of T independent frames are added (`concretize_all`).

s = n, values a frame, for sets whose frames are independent; for a sequence ball n + T + 8, cut to a range n T + 8.
Counts: a power or root is accurate to ELEMENTARY_UNITS; dividing by the largest entry costs one rounding, since norms
are homogeneous; rounded exponents change a norm over n entries by n^(5u) at most, and log n <= n/2 (`dual_norm`).
Of the split in a cut ball only the final sums count: any split is sound (lemma `clipped_ball`).
Not covered: underflow; a difference to the center that underflows loses at most `tiny`.
"""

from __future__ import annotations

import sympy as sp

from gpu_engine.propagation.input_sets.prepared import PreparedInput
from gpu_engine.propagation.input_sets.sequence_ball import EXTRA_SUMMANDS, PreparedSequenceBall
from gpu_engine.rounding import ELEMENTARY_UNITS
from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, nonnegative

n, T = sp.symbols("n T", positive=True)
SIZES = {n: (1, sp.oo), T: (1, sp.oo)}
FUNCTION = sp.Integer(ELEMENTARY_UNITS)
EXPONENTS = sp.Rational(5, 2)


def norm(length: Expr) -> Expr:
    """||a||_q of `length` entries: scaled, power, sum, exponents, root, scaled back."""
    return 1 + (FUNCTION + length) + EXPONENTS * length + FUNCTION + 1


def plain_sum(length: Expr, *counts: Expr) -> Expr:
    """A sum of `length` products (n roundings a term) of factors with these counts."""
    return sum(counts, start=sp.Integer(0)) + length


RADIUS = sp.Integer(1)
ADDED = sp.Integer(1)  # to the other part of the bound


def atoms() -> dict[str, tuple[Expr, str]]:
    """Roundings of every kind of atom, and the kind of set whose `summands` have to cover it."""
    # The code adds the part outside the ball as size - in_ball (1), times room (in the sum).
    return {
        "box": (plain_sum(n), "frame"),
        "frame's ball": (norm(n) + RADIUS, "frame"),
        "frame's ball, cut: in the ball": (norm(n) + RADIUS + ADDED, "frame"),
        "frame's ball, cut: outside": (plain_sum(n, 1) + ADDED, "frame"),
        "substitution: difference, cast, product": (plain_sum(n, 2), "frame"),
        "sequence: norm of norms": (norm(n) + norm(T) + RADIUS + ADDED, "sequence"),
        "sequence: centers of frames that stay": (plain_sum(n) + T + ADDED, "sequence"),
        "sequence, cut: in the ball": (norm(n * T) + RADIUS + 2 * ADDED, "cut sequence"),
        "sequence, cut: outside": (plain_sum(n * T, 1) + 2 * ADDED, "cut sequence"),
        "sequence, cut: centers of frames that stay": (plain_sum(n) + T + ADDED, "cut sequence"),
    }


def _counts(summands: dict[str, Expr], constant: int = 20) -> list[str]:
    proof = Proof()
    for name, (count, kind) in atoms().items():
        room = sp.Rational(7, 2) * summands[kind] + constant - count
        proof.by(f"{name}: at most 7/2 s + 20", nonnegative, sp.expand(room), SIZES)
    return proof.steps


def code_summands() -> dict[str, Expr]:
    """The code's own `summands`, on symbols."""

    class Center:
        shape = (sp.Integer(1), T, n)

    class Set:
        center = Center
        is_cut = False

    class Cut(Set):
        is_cut = True

    of_frame, of_sequence = (vars(kind)["summands"].fget for kind in (PreparedInput, PreparedSequenceBall))
    return {"frame": of_frame(Set), "sequence": of_sequence(Set), "cut sequence": of_sequence(Cut)}


LEMMA = Lemma(
    name="concretize_rounding",
    statement=__doc__,
    source="Higham (2002), section 3.1; lemma `charged_rounding`",
    code=(
        "gpu_engine.propagation.input_sets.prepared:PreparedInput.summands",
        "gpu_engine.propagation.input_sets.sequence_ball:PreparedSequenceBall.summands",
        "gpu_engine.propagation.input_sets.norms:dual_norm",
        "gpu_engine.propagation.input_sets.norms:cut_ball",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_input_set_laws.py"),
    check=lambda: _counts(code_summands()),
    controls={
        "a sequence ball counted as one frame": lambda: _counts(code_summands() | {"sequence": n}),
        "the second norm is free": lambda: _counts(code_summands() | {"sequence": n + T}),
        "a cut sequence ball counted as a whole one": lambda: _counts(
            code_summands() | {"cut sequence": n + T + EXTRA_SUMMANDS}
        ),
        "elementary functions are exact": lambda: _counts(code_summands(), constant=20 - 2 * ELEMENTARY_UNITS),
    },
)

"""An input set that is rounded into the engine's dtype holds the set that was asked about.

(i)   The centre c moves to c' by rounding: for ||x - c||_p <= r every linear form has a.(x - c') >= -(r + delta)
      ||a||_q, delta = n^(1/p) max |c_i - c'_i|: it is the sum of two forms (`dual_norm`), and ||e||_p <= n^(1/p) max
      |e_i|.
(ii)  r + delta, computed in float64 from shift, n ** (1/p), product and sum, loses at most INPUT_UNITS units of its
      value, for n < 2^63, pow as accurate as ELEMENTARY_UNITS; `distance_up` multiplies by 1 + INPUT_UNITS u and goes
      one number up, which covers the rounding of that product.
(iii) A number that was rounded to nearest lies between its neighbours' midpoints, so the next number below (above) is
      not above (below) the exact one: `below(c - r)`, `above(c + r)`, `cast`.
(iv)  A distance to an end that is negative, because c' lies beyond the end, may be replaced by 0: x - c' >= 0 then.
Shapes: elementwise; a, x (input,). Model of arithmetic: `rounding_gamma`, rounding to nearest.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from gpu_engine.propagation.input_sets import frame_balls, prepared, sequence_ball
from gpu_engine.rounding import ELEMENTARY_UNITS, INPUT_UNITS
from proofs.lemma import Lemma, Proof
from proofs.tactics import (
    Expr,
    compare,
    identity,
    nonnegative,
    positive_by_assumptions,
    source_has,
    tangent_remainder,
)

OO = sp.oo
r, delta, norm, m, e, n, k, u = sp.symbols("r delta norm m e n k u", positive=True)
p = 1 + k
UNIT = sp.Rational(1, 2**53)
LARGEST = 2**63  # numbers in a tensor, at most
PINNED: dict[Callable[..., object], tuple[str, ...]] = {
    frame_balls.prepare_frame_balls: (
        "shift = (exact - balls.center).abs().amax(-1)",
        "grown = balls.radius + shift * balls.center.shape[-1] ** (1 / balls.p)",
        "radius=distance_up(grown, shift == 0, dtype)",
    ),
    sequence_ball.prepare_sequence_ball: (
        "shift = ((exact - ball.center).abs() * moves[..., None]).amax((1, 2))",
        "grown = ball.radius + shift * ball.center[0].numel() ** (1 / ball.p)",
        "radius=distance_up(grown, shift == 0, dtype)",
    ),
    prepared.distance_up: (
        "value = value.clamp(min=0.0)",
        "value * (1 + INPUT_UNITS * unit_roundoff(torch.float64))",
        "grown = torch.where(exact, grown, above(grown))",
        "found = cast(grown, dtype, up=True)",
    ),
    prepared.ball_ends: ("below(center - radius)", "above(center + radius)"),
    prepared.cast: ("torch.where(back < value, above(found), found)", "torch.where(back > value, below(found), found)"),
}


def _moved(factor: Expr = n ** (1 / p)) -> list[str]:
    """(i). factor: between the largest error and the length of the errors, true for n^(1/p)."""
    proof = Proof()
    first, second = sp.symbols(
        "first second", positive=True
    )  # a.(x - c) = -r N + first, a.(c - c') = -delta N + second
    form = (-r * norm + first) + (-delta * norm + second)
    ranges = dict.fromkeys((first, second, r, delta, norm), (0, OO))
    proof.by("a.(x - c') >= -(r + delta) ||a||_q", nonnegative, sp.expand(form + (r + delta) * norm), ranges)
    # sum |e_i|^p <= n m^p, each entry being at most m.
    most = (n * m**p) ** (1 / p)
    proof.by("(n m^p)^(1/p) = n^(1/p) m", identity, sp.expand_log(sp.log(most / (factor * m)), force=True))
    power, lower = sp.symbols("power lower", positive=True)  # m^p and an entry's p-th power below it
    ranges = {power: (0, OO), lower: (0, power)}
    proof.by("two entries: sum <= 2 m^p", nonnegative, 2 * power - (power + lower), ranges)
    return proof.steps


def _source() -> list[str]:
    proof = Proof()
    for function, lines in PINNED.items():
        for line in lines:
            proof.by(f"{function.__name__} has: {line}", source_has, function, line)
    return proof.steps


def _units(units: int = INPUT_UNITS) -> list[str]:
    """(ii)."""
    proof = Proof()
    # n^(d/p) >= exp(-u log n) >= 1 - u log n for a relative error d of the exponent, |d| <= u, p >= 1.
    x = sp.Symbol("x", positive=True)
    tangent = sp.exp(-x).subs(x, 0) + sp.diff(sp.exp(-x), x).subs(x, 0) * x
    proof.by("1 - x is the tangent of exp(-x) at 0", identity, tangent, 1 - x)
    proof.by("exp(-x) is above its tangents", positive_by_assumptions, sp.diff(sp.exp(-x), x, 2))
    proof.by("Taylor's remainder", tangent_remainder)
    # the difference, the product, the sum; the power; its exponent
    lost = 3 + ELEMENTARY_UNITS + sp.log(LARGEST)
    first, second = sp.symbols("first second", positive=True)
    small = {first: (0, 1), second: (0, 1)}
    product = (1 - first) * (1 - second) - (1 - first - second)
    proof.by("(1 - a) (1 - b) >= 1 - a - b", nonnegative, sp.expand(product), small)
    grown = (1 - lost * UNIT) * (1 + units * UNIT)
    proof.by("1 + INPUT_UNITS u makes up for it", compare, 1, grown)
    return proof.steps


def _neighbours(steps: int = 1, claimed: int = 0) -> list[str]:
    """(iii). steps: numbers that are gone outward; claimed: numbers inward that the end is claimed to stay."""
    proof = Proof()
    down, up, share = sp.symbols("down up share", positive=True)  # distances of the neighbours of fl(y), set to 0
    ranges = {down: (0, OO), up: (0, OO), share: (0, 1)}
    y = -down / 2 + share * (down + up) / 2  # between the midpoints
    proof.by("next number below <= y", nonnegative, sp.expand(y + (steps - claimed) * down), ranges)
    proof.by("next number above >= y", nonnegative, sp.expand((steps - claimed) * up - y), ranges)
    gap, beyond = sp.symbols("gap beyond", positive=True)  # c' = lower - beyond, x = lower + gap
    proof.by("(iv) x - c' >= 0 >= -0", nonnegative, gap + beyond, {gap: (0, OO), beyond: (0, OO)})
    return proof.steps


LEMMA = Lemma(
    name="input_rounding",
    statement=__doc__,
    source="Higham (2002), section 2.2; Minkowski's inequality by duality; the counts are ours",
    code=(
        "gpu_engine.rounding:INPUT_UNITS",
        "gpu_engine.propagation.input_sets.prepared:distance_up",
        "gpu_engine.propagation.input_sets.prepared:cast",
        "gpu_engine.propagation.input_sets.prepared:ball_ends",
        "gpu_engine.propagation.input_sets.frame_balls:prepare_frame_balls",
        "gpu_engine.propagation.input_sets.sequence_ball:prepare_sequence_ball",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_input_set_laws.py"),
    check=lambda: _moved() + _source() + _units() + _neighbours(),
    controls={
        "the largest error instead of their length": lambda: _moved(factor=sp.Integer(1)),
        "n in place of n^(1/p)": lambda: _moved(factor=n),
        "32 units": lambda: _units(units=32),
        "the roundings without the power": lambda: _units(units=4 + ELEMENTARY_UNITS),
        "the rounded number itself": lambda: _neighbours(steps=0),
        "one number outward, claimed one inward": lambda: _neighbours(claimed=1),
    },
)

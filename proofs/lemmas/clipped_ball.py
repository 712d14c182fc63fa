"""A lower bound of a.x on a ball cut to a box, for any split of a.

Let X = {x : ||x||_p <= r, |x_i| <= room_i on the side -sign(a_i)}, room_i >= 0, and a = a' + a'' with
a'_i, a''_i of the sign of a_i. Then for all x in X

    a.x >= -(r ||a'||_q + sum_i |a''_i| room_i).

(i)   a'' = 0 is the whole ball, a' = 0 the whole box; for a box alone (p = infinity) the bound is exact. The code takes
      the better of these two, the bound `simple`, and for `exact` a third split with a'_i = min(|a_i|, any share).
(ii)  Tightness only: if |a'_i| = min(|a_i|, mu room_i^(p-1)) and the step x_i = room_i where the minimum is the
      second, (|a_i| / mu)^(1/(p-1)) where it is the first, has length r, the bound is attained by that x.
(iii) So mu = (sum_free |a_i|^q / (r^p - sum_capped room_i^p))^(1/q). Coordinate i is capped while
      mu <= |a_i| / room_i^(p-1), and the step's length falls with mu: sorting these numbers finds the capped ones.
(iv)  p = 1: with |a'_i| = min(|a_i|, mu) and mu the coefficient in whose room the radius ends when it is spent on the
      largest coefficients first, the bound is attained: that spending is a point of X.
Shapes: a, x, room (input,).
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import sympy as sp

from gpu_engine.propagation.input_sets import norms
from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, equal, identity, nonnegative, positive_by_assumptions

x, a, A, room, short, k, mu, total = sp.symbols("x a A room short k mu total", positive=True)
OO = sp.oo
p = 1 + k
q = p / k


def _split(same_sign: bool = True, side: int = 1) -> list[str]:
    """One coordinate with a_i > 0 (a_i < 0 is its mirror image): x_i = -room + y, y >= 0."""
    proof = Proof()
    y = sp.Symbol("y", positive=True)
    clipped = a if same_sign else -a  # a''_i
    ball = A - clipped  # a'_i, so that a' + a'' = A
    value = A * (-side * room + y)
    bound = ball * (-side * room + y) - a * room
    proof.by(
        "a_i x_i >= a'_i x_i - |a''_i| room_i",
        nonnegative,
        sp.expand(value - bound),
        {A: (0, OO), a: (0, OO), y: (0, OO), room: (0, OO)},
    )
    # Summed over i, a'.x >= -r ||a'||_q by `dual_norm`.
    proof.by("box: the end -room attains -|a_i| room_i", identity, value.subs(y, 0), -A * room)
    return proof.steps


def _tight(power: Expr = k) -> list[str]:
    """mu > 0, step_i = x. power: |a'_i| = mu step_i^power, true for p-1."""
    proof = Proof()
    part = mu * x**power
    free = (part / mu) ** (1 / k)
    proof.by(
        "free coordinate: |a'_i| = |a_i| gives the step (|a_i|/mu)^(1/(p-1))",
        identity,
        sp.log(free).expand(force=True) / sp.log(x),
        1,
    )
    # capped coordinate: a''_i = a_i - a'_i is paid with step = room, exactly.
    proof.by(
        "capped coordinate: -|a''_i| step = -|a''_i| room",
        identity,
        (A - part).subs(x, room) * room,
        (A - mu * room**power) * room,
    )
    # Sum over i of step_i^p = total = r^p.
    r = total ** (1 / p)
    proof.by("a'.x = -mu total", identity, sp.powsimp(part * x), mu * x**p)
    norm = (mu**q * total) ** (1 / q)
    entry = sp.powsimp(sp.expand_power_base(part**q, force=True), force=True)
    proof.by("|a'_i|^q = mu^q step_i^p", identity, sp.simplify(entry / (mu**q * x**p)), 1)
    proof.by("r ||a'||_q = mu total", identity, sp.expand_log(sp.log(r * norm), force=True), sp.log(mu) + sp.log(total))
    return proof.steps


def _multiplier(power: Expr = q) -> list[str]:
    """power: of mu in the equation for the length of the step, true for q."""
    proof = Proof()
    capped, free, left = sp.symbols("capped free left", positive=True)
    entry = ((a / mu) ** (1 / k)) ** p
    proof.by(
        "a free step to the p-th power is (|a_i|/mu)^q",
        identity,
        sp.expand_log(sp.log(entry), force=True),
        sp.expand_log(sp.log((a / mu) ** power), force=True),
    )
    closed = (free / left) ** (1 / q)  # left = r^p - capped > 0
    proof.by(
        "mu in closed form makes the step as long as the radius",
        identity,
        sp.powsimp(capped + free * closed ** (-power), force=True),
        capped + left,
    )
    proof.by("a free step falls with mu", positive_by_assumptions, -((a / mu) ** (1 / k)).diff(mu))
    # capped: the free step would be longer than the room, (|a_i|/mu)^(1/k) = room at mu = |a_i| / room^k.
    stop = (a / (a / room**k)) ** (1 / k)
    proof.by("it reaches the room at mu = |a_i| / room^(p-1)", identity, sp.log(stop).expand(force=True), sp.log(room))
    return proof.steps


def _knapsack(spent: int = 1) -> list[str]:
    """p = 1: a larger coefficient, then the one where the radius ends (mu = a). spent 0 forgets the first."""
    proof = Proof()
    larger, first, rest = sp.symbols("larger first rest", positive=True)
    radius = spent * first + rest
    # Smaller coefficients lie in a' and change nothing: max |a'| = a. |a''| = (larger, 0).
    bound = radius * a + larger * first
    spending = (a + larger) * first + a * rest  # the step (first, rest) has the length first + rest
    proof.by("p = 1: the bound is attained", identity, bound, spending)
    return proof.steps


def _code(cut: Callable[..., Any] = norms.cut_ball) -> list[str]:
    """The code's bound on symbols: the least over splits a = a' + a'', each r ||a'||_q + sum |a''_i| room_i."""
    proof = Proof()
    size, radius, lost = sp.symbols("size radius lost", positive=True)
    norm = sp.Function("norm", positive=True)
    for name, exact, given in (
        ("simple", False, None),
        ("exact, share below the coefficient", True, size - lost),
        ("exact, share above it", True, size + lost),
    ):
        stubs: dict[str, Any] = {
            "torch": SimpleNamespace(minimum=lambda a, b: _Sum(_smaller(a, b))),
            "dual_norm": lambda values, _: norm(values.value),
            "_best_share": lambda *_, given=given: _Sum(given),
        }
        with mock.patch.multiple(norms, **stubs):
            bound = cut(_Sum(size), _Sum(room), _Radius(radius), p, exact=exact).value
        splits = {radius * norm(size), size * sp.Min(room, radius)}
        if exact:
            inside = size - lost if given == size - lost else size
            splits.add(radius * norm(inside) + (size - inside) * sp.Min(room, radius))
        proof.by(f"{name}: the least of these splits", equal, bound, sp.Min(*splits))
    ball, cap = sp.symbols("ball cap", positive=True)
    # |x_i| <= min(room_i, r): the ball reaches no further.
    proof.by("room cut to the radius", equal, sp.Min(ball, cap).subs(ball, cap), cap)
    return proof.steps


class _Sum:
    """One coordinate that answers sums, with expressions in the place of tensors."""

    def __init__(self, value: Expr) -> None:
        self.value = value

    def sum(self, _: int) -> _Sum:
        return self

    def __mul__(self, other: Any) -> _Sum:
        return _Sum(self.value * _plain(other))

    __rmul__ = __mul__

    def __add__(self, other: Any) -> _Sum:
        return _Sum(self.value + _plain(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> _Sum:
        return _Sum(self.value - _plain(other))


class _Radius(_Sum):
    def __getitem__(self, _: object) -> _Sum:
        return _Sum(self.value)


def _plain(value: Any) -> Expr:
    return value.value if isinstance(value, _Sum) else value


def _smaller(first: Any, second: Any) -> Expr:
    return sp.Min(_plain(first), _plain(second))


def _larger_room(size: Any, room: Any, radius: Any, p: Any, *, exact: bool) -> Any:
    """A cut that takes room and radius as they are."""
    found: Any = norms.cut_ball(size, room, radius, p, exact=exact)
    return _Sum(found.value.subs(sp.Min(_plain(room), _plain(radius)), _plain(room)))


LEMMA = Lemma(
    name="clipped_ball",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), section 3.2; the cut to a valid range is ours",
    code=(
        "gpu_engine.propagation.input_sets.norms:cut_ball",
        "gpu_engine.propagation.input_sets.frame_balls:PreparedFrameBalls.concretize",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_concretize.py"),
    check=lambda: _split() + _code() + _tight() + _multiplier() + _knapsack(),
    controls={
        "a split with opposite signs": lambda: _split(same_sign=False),
        "room on the other side": lambda: _split(side=-1),
        "the ball reaches beyond its radius": lambda: _code(_larger_room),
        "a' = mu room^p": lambda: _tight(power=p),
        "mu to the power p": lambda: _multiplier(power=p),
        "radius spent without the larger coefficient": lambda: _knapsack(spent=0),
    },
    covers=("clip bound exact", "clip bound simple"),
)

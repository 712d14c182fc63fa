"""How low a row really gets: inputs of the set tried one after the other. The ceiling above every bound.

claim     `least_found` is the value of a row at an input of the set, in floats: no sound bound is above it by more than
          rounding. It need not be the least one.
idea      Start from the inputs of the relaxation's own solutions, which are its best guesses, from the centre and from
          random ones; from each, steps towards a minimiser of the linearised row over the set (Frank and Wolfe 1956),
          halved until the value falls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from refcert.audit.network_lp.system import System
from refcert.reference.equations import Affine, evaluate, evaluate_kind
from refcert.reference.errors import ReferenceInputError
from refcert.reference.input_sets import BoxSet, FrameBalls, InputSet, SequenceBall, Substitutions
from refcert.reference.networks import Array

STEPS: Final = 8
HALVINGS: Final = 4
RANDOM_STARTS: Final = 4
# Points are kept inside a ball by this share of its radius, more than rounding moves them.
INSIDE: Final = 1e-12
# Of central differences, in units of a value's size.
DIFFERENCE: Final = 1e-5


def extreme(input_set: InputSet, a: Array) -> Array:
    """A point of the set (time, input) where a.x is least, or low where a clip range cuts the ball. a (time, input)."""
    if isinstance(input_set, BoxSet):
        return np.where(a > 0, input_set.lower, input_set.upper)
    if isinstance(input_set, Substitutions):
        return np.array([words[int(np.argmin(words @ a[t]))] for t, words in enumerate(input_set.candidates)])
    if isinstance(input_set, SequenceBall):
        return into(
            input_set, input_set.center + input_set.radius * _direction(a.reshape(-1), input_set.p).reshape(a.shape)
        )
    if isinstance(input_set, FrameBalls):
        steps = np.array([_direction(row, input_set.p) for row in a])
        return into(input_set, input_set.center + input_set.radius[:, None] * steps)
    raise ReferenceInputError(f"input sets of type {type(input_set).__name__} are not known to the attack")


def _direction(a: Array, p: float) -> Array:
    """The step of norm 1 that lowers a.x most: where Hoelder's inequality is an equation."""
    if math.isinf(p):
        return -np.sign(a)
    if not a.any():
        return np.zeros_like(a)
    if p == 1.0:
        step = np.zeros_like(a)
        k = int(np.abs(a).argmax())
        step[k] = -np.sign(a[k])
        return step
    step = -np.sign(a) * (np.abs(a) / np.abs(a).max()) ** (1.0 / (p - 1.0))
    return np.asarray(step / np.linalg.norm(step, ord=p))


def into(input_set: InputSet, x: Array) -> Array:
    """x (time, input), which may have left the set by rounding or a solver's tolerance, back inside it."""
    if isinstance(input_set, BoxSet):
        return np.clip(x, input_set.lower, input_set.upper)
    if not isinstance(input_set, FrameBalls | SequenceBall):
        return x
    step = x - input_set.center
    together = isinstance(input_set, SequenceBall)
    rows = step.reshape(1, -1) if together else step
    length = np.linalg.norm(rows, ord=input_set.p, axis=1)
    radius = np.atleast_1d(np.asarray(input_set.radius)) * (1.0 - INSIDE)
    share = np.where(length > radius, radius / np.maximum(length, np.finfo(float).tiny), 1.0)
    moved = input_set.center + (rows * share[:, None]).reshape(step.shape)
    return moved if input_set.clip is None else np.clip(moved, *input_set.clip)


class Attack:
    """Searches low values of linear forms of the network over one input set. seed: of the random directions."""

    def __init__(self, system: System, input_set: InputSet, seed: int = 0) -> None:
        self.system, self.input_set = system, input_set
        rng = np.random.default_rng(seed)
        random = [extreme(input_set, rng.normal(size=input_set.shape)) for _ in range(RANDOM_STARTS)]
        self._starts = [np.mean(random, axis=0), *random]

    def least_found(self, c: Array, d: float, starts: Sequence[Array] = ()) -> tuple[float, Array]:
        """The least value of c.y + d found, c (variables,), and its input (time, input). starts: inputs to try too."""
        best, where = np.inf, self._starts[0]
        shaped = [into(self.input_set, start.reshape(self.input_set.shape)) for start in starts]
        for x in (*shaped, *self._starts):
            value = self._value(c, d, x)
            for _ in range(STEPS):
                value, x, moved = self._line(c, d, x, extreme(self.input_set, self._gradient(c, x)), value)
                if not moved:
                    break
            if value < best:
                best, where = value, x
        return best, where

    def _line(self, c: Array, d: float, x: Array, target: Array, value: float) -> tuple[float, Array, bool]:
        share = 1.0
        for _ in range(HALVINGS):
            tried = x + share * (target - x)
            found = self._value(c, d, tried)
            if found < value:
                return found, tried, True
            share *= 0.5
        return value, x, False

    def _value(self, c: Array, d: float, x: Array) -> float:
        values = evaluate(self.system.program, x)
        return float(sum(c[k] * values[self.system.variables[k]] for k in np.flatnonzero(c))) + d

    def _gradient(self, c: Array, x: Array) -> Array:
        """d (c.y) / d x, backwards; each nonlinearity's slopes by central differences."""
        values = evaluate(self.system.program, x)
        r = c.copy()
        for level in reversed(self.system.levels):
            for equation in level.equations:
                if isinstance(equation, Affine):
                    continue
                A = r[self.system.number[equation.variable]]
                if A == 0.0:
                    continue
                v, z = values[equation.v], 0.0 if equation.z is None else values[equation.z]
                h = DIFFERENCE * (1.0 + abs(v))
                up, down = evaluate_kind(equation.kind, v + h, z), evaluate_kind(equation.kind, v - h, z)
                r[self.system.number[equation.v]] += A * (up - down) / (2.0 * h)
                if equation.z is not None:
                    h = DIFFERENCE * (1.0 + abs(z))
                    up, down = evaluate_kind(equation.kind, v, z + h), evaluate_kind(equation.kind, v, z - h)
                    r[self.system.number[equation.z]] += A * (up - down) / (2.0 * h)
            if len(level.affine):
                A = r[level.affine]
                r[level.affine] = 0.0
                r -= np.asarray(self.system.E[level.rows].T @ A)  # E is the identity less the weights
                r[level.affine] = 0.0
        return np.asarray(r[: self.system.inputs].reshape(x.shape))

"""A rigorous lower bound of a linear form of the network from ANY multipliers, such as a solver's duals.

Method card
    Claim      `bound_by_multipliers`: c.y + d >= the result for all values y that the network takes on the input set,
               if the planes hold on their boxes and the boxes hold.
    Source     Neumaier and Shcherbina, Safe bounds in linear and mixed-integer linear programming (2004): weak duality
               with the residual charged to boxes. Salman et al., A convex relaxation barrier (2019), theorem 4.2: the
               dual of this program and back-substitution.
    Idea       m >= 0 and pi give c.y + d >= d - m.h - pi.e + r.y with r = c + G'm + E'pi. The part of r over the
               inputs is minimised over the input set itself; the rest, of the size of rounding, is charged to boxes.
               `eliminate` makes it that small: substituted backwards, equation by equation, multipliers of planes
               leave no residual. With no multipliers to start from this IS back-substitution; from a solver's it is
               the same with a mixture of planes at each neuron.
    Sound      yes, with nothing assumed about the solver: `eliminate` and the solver are not trusted, only
               `bound_by_multipliers` is, which refuses negative multipliers and charges all roundings of its own.
    Shapes     several forms at once: C (rows, variables), multipliers (inequalities, rows), pi (affine, rows).
    Lemmas     network_lp_weak_duality, network_lp_elimination, network_lp_rounding
    Test       against exact rational arithmetic; planted faults: a sign, a multiplier, a box.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from refcert.audit.network_lp.least import CHARGE_SLACK, UNDERFLOW, least_on_inputs, safe_sum
from refcert.audit.network_lp.planes import Inequalities
from refcert.audit.network_lp.system import Level, System
from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.input_sets import InputSet
from refcert.reference.networks import Array
from refcert.reference.rounding import UNIT, below

# Roundings of one entry beside its sum: the stored weight, the product, c, and the final addition.
EXTRA_ROUNDINGS: Final = 4


class Multipliers(NamedTuple):
    """of_planes (inequalities, rows) >= 0; of_equations (affine, rows), of any sign."""

    of_planes: Array
    of_equations: Array


def eliminate(system: System, rows: Inequalities, C: Array, start: Array | None = None) -> Multipliers:
    """Multipliers near `start` whose residual is zero up to rounding for every variable but the inputs. Not trusted.

    C (rows, variables); start (inequalities, rows), None for none: then each neuron takes its first planes, which is
    back-substitution.
    """
    m = np.zeros((len(rows.h), len(C))) if start is None else np.maximum(start, 0.0)
    pi = np.zeros((len(system.e), len(C)))
    r = C.T.copy()
    for level in reversed(system.levels):
        here = rows.rows(level.start, level.stop)
        if here.stop > here.start:
            _rebalance(level, rows, here, m, r)
            r += rows.G[here].T @ m[here]
        if len(level.affine):
            pi[level.rows] = -r[level.affine]
            r += system.E[level.rows].T @ pi[level.rows]
    return Multipliers(m, pi)


def _rebalance(level: Level, rows: Inequalities, here: slice, m: Array, r: Array) -> None:
    """Change the multipliers of each nonlinearity's planes so that lower less upper ones sum to its coefficient."""
    count = level.stop - level.start
    local = rows.owner[here] - level.start
    first = [side[level.start : level.stop] for side in (rows.first_lower, rows.first_upper)]
    bounded = first[0] >= 0
    # Boxes of affine variables have no first plane: their multipliers stay as they are.
    sums = []
    for upper in (False, True):
        chosen = rows.upper[here] == upper
        total = np.zeros((count, m.shape[1]))
        np.add.at(total, local[chosen], m[here][chosen])
        sums.append(total)
    P, M = sums
    lack = r[level.start : level.stop] - (P - M)
    P_new = P + np.maximum(lack - M, 0.0) - np.minimum(np.maximum(-lack, 0.0), P)
    M_new = M + np.maximum(-lack - P, 0.0) - np.minimum(np.maximum(lack, 0.0), M)
    # A positive lack is first taken from the upper multipliers, a negative one from the lower ones.
    for upper, old, new in ((False, P, P_new), (True, M, M_new)):
        scale = np.divide(new, old, out=np.zeros_like(old), where=old > 0.0)
        chosen = np.flatnonzero((rows.upper[here] == upper) & bounded[local])
        m[here.start + chosen] *= scale[local[chosen]]
        at = first[int(upper)][bounded]
        m[at] += np.where(old > 0.0, 0.0, new)[bounded]


def bound_by_multipliers(
    system: System,
    rows: Inequalities,
    input_set: InputSet,
    boxes: Array,
    C: Array,
    d: Array,
    multipliers: Multipliers,
    known: int | None = None,
) -> Array:
    """Lower bounds of C y + d, (rows,). boxes (variables, 2): an interval for every variable.

    known: only variables below this number occur, and only their equations are used. Raises ReferenceInputError for
    multipliers that are negative or not finite, ReferenceFailureError where a bound is not finite.
    """
    m, pi = multipliers
    if not (np.isfinite(m).all() and np.isfinite(pi).all()):
        raise ReferenceInputError("a multiplier is not finite; the solver gave no dual solution")
    if (m < 0).any():
        row, form = (int(i) for i in np.argwhere(m < 0)[0])
        raise ReferenceInputError(
            f"the multiplier of inequality {row} in form {form} is {float(m[row, form])!r}; a bound needs multipliers "
            ">= 0: check the solver's sign convention"
        )
    stop = system.size if known is None else known
    if C[:, stop:].any():
        raise ReferenceInputError(f"a form reads variables from {stop} on, which are not bounded yet")
    used = _equations_before(system, stop)
    E, e, pi = system.E[:used, :stop], system.e[:used], pi[:used]
    planes = rows.rows(0, stop)
    G, h, m = rows.G[planes, :stop], rows.h[planes], m[planes]
    magnitude = np.abs(boxes[:stop]).max(1)
    r = C[:, :stop].T + G.T @ m + E.T @ pi
    size = np.abs(C[:, :stop].T) + abs(G).T @ m + abs(E).T @ np.abs(pi)
    terms = _longest(G) + _longest(E) + EXTRA_ROUNDINGS
    error = terms * UNIT / (1.0 - terms * UNIT) * size + terms * UNDERFLOW
    inputs = system.inputs
    result = np.empty(len(C))
    for k in range(len(C)):
        charged = np.concatenate((error[:inputs, k], np.abs(r[inputs:, k]) + error[inputs:, k])) @ magnitude
        products = np.concatenate(([float(d[k])], -m[:, k] * h, -pi[:, k] * e))
        if not (math.isfinite(float(charged)) and np.isfinite(r[:, k]).all()):
            raise ReferenceFailureError(f"form {k}: a number became infinite; scale the weights or the slopes down")
        # The products and the stored constants are rounded once each.
        fixed = Fraction(safe_sum(products, 2)) - Fraction(CHARGE_SLACK * float(charged))
        result[k] = below(fixed + least_on_inputs(system, input_set, boxes, r[:inputs, k]))
    return result


def _equations_before(system: System, stop: int) -> int:
    """How many affine equations have variables below `stop`, which is the end of a level."""
    used = 0
    for level in system.levels:
        if level.stop <= stop:
            used = level.rows.stop
    return used


def _longest(matrix: csr_array) -> int:
    """The most entries in a column: terms of the longest sum in matrix' times a vector."""
    counts: Any = np.bincount(matrix.indices, minlength=1) if matrix.nnz else np.zeros(1, dtype=int)
    return int(counts.max())

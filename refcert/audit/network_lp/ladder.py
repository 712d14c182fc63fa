"""How much is lost where: from back-substitution with single planes to the limit of single-neuron relaxations.

Method card
    Claim      Every certified value is a rigorous lower bound of its row of C F(x) + d over the input set: planes are
               PROVED on boxes derived here (`proved`, `boxes`), values come from multipliers (`duality`).
    Rungs      each keeps all that the ones before it know:
               back_substitution  one pair per neuron, substituted backwards: what an engine reports
               one_pair           the program with that pair only; equal to back-substitution unless a box is cut by
                                  interval arithmetic so far that its planes cross outside: the program then knows more
               boxes              the boxes of all variables as constraints too: what sequential substitution loses
               several            all given planes of each neuron together
               least_volume       the pairs of least volume as well
               hull               planes added until the solution is in every neuron's convex hull: single planes lose
                                  what lies between `boxes` and this; nothing on these boxes is better
               tightened          the same on boxes that the program itself gives: what boxes lose (small networks)
               found              not a bound: the least value that an attack finds
    Worst      with `worst_only` a rung leaves out rows that cannot be the worst any more: they keep the value before.
    Source     Salman et al., A convex relaxation barrier (2019), for feed-forward ReLU networks.
    Shapes     C (rows, outputs), d (rows,); certified, primal (rows,).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from refcert.audit.network_lp.attack import Attack
from refcert.audit.network_lp.boxes import Derived, GivenPlanes, as_array, derive
from refcert.audit.network_lp.cuts import ROUNDS, TOLERANCE, CuttingPlanes
from refcert.audit.network_lp.duality import bound_by_multipliers, eliminate
from refcert.audit.network_lp.planes import Boxes, PlaneSet, PlaneSets, inequalities, joined, single
from refcert.audit.network_lp.proved import sound_pair
from refcert.audit.network_lp.solve import NetworkLP, Relaxed
from refcert.audit.network_lp.system import System, system_of
from refcert.audit.network_lp.tighten import least_volume_planes, tightened
from refcert.reference.equations import Variable
from refcert.reference.errors import ReferenceInputError
from refcert.reference.input_sets import InputSet
from refcert.reference.intervals import POINT_ZERO
from refcert.reference.networks import Array, Network
from refcert.reference.unrolling import unroll

RUNGS: Final = ("back_substitution", "one_pair", "boxes", "several", "least_volume", "hull", "tightened", "found")
DEFAULT_RUNGS: Final = ("back_substitution", "one_pair", "boxes", "several", "least_volume", "hull", "found")


@dataclass(frozen=True)
class Rung:
    """certified, primal (rows,): rigorous bounds so far, and the solver's optima; seconds; programs solved; note."""

    name: str
    certified: Array
    primal: Array
    seconds: float
    programs: int
    note: str = ""

    @property
    def worst(self) -> float:
        """The least certified value of all rows."""
        return float(self.certified.min())

    @property
    def gap(self) -> float:
        """What lies between the solver's optimum and the rigorous bound, at the worst row."""
        k = int(self.certified.argmin())
        return float(self.primal[k] - self.certified[k])


@dataclass(frozen=True)
class Ladder:
    """rungs in order; moved: planes that did not hold on the boxes derived here and got another offset."""

    rungs: tuple[Rung, ...]
    moved: int
    variables: int
    nonlinearities: int

    def rung(self, name: str) -> Rung:
        """The rung of this name. Raises ReferenceInputError where it was not asked for."""
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise ReferenceInputError(f"the ladder has no rung {name!r}; it has {', '.join(r.name for r in self.rungs)}")


def network_ladder(
    network: Network,
    input_set: InputSet,
    C: Array,
    d: Array | None,
    given: Sequence[GivenPlanes],
    more: Sequence[GivenPlanes] = (),
    rungs: Sequence[str] = DEFAULT_RUNGS,
    maximum: str = "tree",
    worst_only: bool = False,
    rounds: int = ROUNDS,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Ladder:
    """The ladder of C F(x) + d for the planes `given`: one mapping, or one for every start that boxes were cut with.

    more: further planes for the rung `several`, on boxes of any size; rounds, tolerance: of the cutting planes; seed:
    of the attack. Raises ReferenceInputError for shapes, rungs and planes that do not fit, ReferenceFailureError where
    a plane is refuted.
    """
    _check(rungs)
    system = system_of(unroll(network, *input_set.shape, maximum))
    if C.ndim != 2 or C.shape[1] != len(system.program.outputs) or len(C) == 0:
        raise ReferenceInputError(f"C has shape {C.shape}; it needs (rows, {len(system.program.outputs)}), rows >= 1")
    constants = np.zeros(len(C)) if d is None else np.asarray(d, dtype=np.float64)
    if constants.shape != (len(C),):
        raise ReferenceInputError(f"d has shape {constants.shape}; it needs ({len(C)},), one constant per row")
    derived = derive(system, input_set, given)
    began = time.perf_counter()
    climb = _Climb(system, input_set, system.objective(C), constants, derived, worst_only)
    steps: Mapping[str, Callable[[], str]] = {
        "back_substitution": climb.back_substitution,
        "one_pair": lambda: climb.single_pairs(with_boxes=False),
        "boxes": lambda: climb.single_pairs(with_boxes=True),
        "several": lambda: climb.several(more),
        "least_volume": climb.least_volume,
        "hull": lambda: climb.hull(rounds, tolerance),
        "tightened": lambda: climb.tightened(rounds, tolerance),
        "found": lambda: climb.found(seed),
    }
    results = []
    for name in RUNGS:
        if name not in rungs:
            continue
        before = climb.programs
        note = steps[name]()
        values = climb.attacked if name == "found" else climb.certified
        seconds, began = time.perf_counter() - began, time.perf_counter()
        results.append(Rung(name, values.copy(), climb.primal.copy(), seconds, climb.programs - before, note))
    return Ladder(tuple(results), derived.moved, system.size, len(system.nonlinear))


def _check(rungs: Sequence[str]) -> None:
    unknown = [name for name in rungs if name not in RUNGS]
    if unknown or not rungs:
        raise ReferenceInputError(f"rungs {unknown or 'are none'}: known are {', '.join(RUNGS)}")


class _Climb:
    """What is known so far: planes, boxes, bounds, and inputs worth attacking from."""

    def __init__(
        self, system: System, input_set: InputSet, C: Array, d: Array, derived: Derived, worst_only: bool
    ) -> None:
        self.system, self.input_set, self.C, self.d = system, input_set, C, d
        self.derived, self.worst_only = derived, worst_only
        self.boxes: Boxes = derived.boxes
        self.planes: PlaneSets = joined(single(pairs) for pairs in derived.starts)
        self.certified = np.full(len(C), -np.inf)
        self.primal = np.full(len(C), np.nan)
        self.attacked = np.full(len(C), np.nan)
        self.points: list[list[Array]] = [[] for _ in C]
        self.programs = 0
        self._substitute()

    def back_substitution(self) -> str:
        return _starts(self.derived)

    def _substitute(self) -> None:
        """Every other rung starts from these bounds: they cost next to nothing and say which rows are the worst."""
        boxes = as_array(self.system, self.boxes)
        for pairs in self.derived.starts:
            rows = inequalities(self.system, single(pairs), None)
            multipliers = eliminate(self.system, rows, self.C)
            found = bound_by_multipliers(self.system, rows, self.input_set, boxes, self.C, self.d, multipliers)
            self.certified = np.maximum(self.certified, found)
        self.primal = self.certified.copy()

    def single_pairs(self, with_boxes: bool) -> str:
        programs = [
            NetworkLP(self.system, self.input_set, single(pairs), self.boxes, with_boxes)
            for pairs in self.derived.starts
        ]

        def best(k: int) -> Relaxed:
            return max((program.minimise(self.C[k], self.d[k]) for program in programs), key=lambda found: found.lower)

        self._rows(best, len(programs))
        return _starts(self.derived)

    def several(self, more: Sequence[GivenPlanes]) -> str:
        sets = [self.planes]
        for given in more:
            pairs = {}
            for equation in self.system.nonlinear:
                z = POINT_ZERO if equation.z is None else self.boxes[equation.z]
                pairs[equation.variable] = sound_pair(
                    given.get(equation.variable), equation, self.boxes[equation.v], z
                ).planes
            sets.append(single(pairs))
        self._solve_with(joined(sets))
        return f"{_count(self.planes) / (2 * len(self.planes)):.1f} planes a side" if self.planes else ""

    def least_volume(self) -> str:
        self._solve_with(joined((self.planes, least_volume_planes(self.system, self.boxes))))
        return ""

    def _solve_with(self, planes: PlaneSets) -> None:
        self.planes = planes
        program = NetworkLP(self.system, self.input_set, planes, self.boxes, True)
        self._rows(lambda k: program.minimise(self.C[k], self.d[k]), 1)

    def hull(self, rounds: int, tolerance: float) -> str:
        cutting = CuttingPlanes(self.system, self.input_set, self.planes, self.boxes)
        left, most, cuts = 0.0, 0, 0

        def limit(k: int) -> Relaxed:
            nonlocal left, most, cuts
            found = cutting.minimise(self.C[k], self.d[k], rounds, tolerance)
            left, most, cuts = max(left, found.left), max(most, found.rounds), cuts + found.cuts
            self.programs += found.rounds
            return found.bound

        self._rows(limit, 1)
        self.planes = cutting.planes
        return f"{cuts} planes added in up to {most} rounds, at most {left:.1g} of a box outside a hull"

    def tightened(self, rounds: int, tolerance: float) -> str:
        self.boxes, self.planes = tightened(self.system, self.input_set, self.planes, self.boxes)
        return self.hull(rounds, tolerance)

    def found(self, seed: int) -> str:
        attack = Attack(self.system, self.input_set, seed)
        for k in self._order():
            if self.worst_only and np.nanmin(self.attacked, initial=np.inf) <= self.certified[k]:
                continue
            self.attacked[k], _ = attack.least_found(self.C[k], self.d[k], self.points[k])
        left_out = np.isnan(self.attacked)
        self.attacked[left_out] = np.inf
        self.primal = self.attacked
        return "not a bound"

    def _order(self) -> list[int]:
        return [int(k) for k in np.argsort(self.certified, kind="stable")]

    def _rows(self, minimise: Callable[[int], Relaxed], programs: int) -> None:
        """Raise the bounds row by row, the worst first."""
        least, before = np.inf, self.certified.copy()
        for k in self._order():
            if self.worst_only and before[k] >= least:
                continue  # it was above the new worst row before it was raised
            found = minimise(k)
            self.programs += programs
            self.certified[k] = max(self.certified[k], found.lower)
            self.primal[k] = found.primal
            self.points[k] = [*self.points[k][-1:], found.point[: self.system.inputs]]
            least = min(least, self.certified[k])


def _starts(derived: Derived) -> str:
    return "" if len(derived.starts) == 1 else f"the best of {len(derived.starts)} starts, row by row"


def _count(planes: Mapping[Variable, PlaneSet]) -> int:
    return sum(len(sides.lower) + len(sides.upper) for sides in planes.values())

"""Attacks by name. Their files are read when they are asked for: some need libraries that take long to load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpu_engine.attacks.base import RadiusAttack, SetAttack
from gpu_engine.errors import SpecificationError

Builder = Callable[..., RadiusAttack]
"""(steps, restarts) -> attack; None is the attack's own default. Where `options` names more, they go by keyword."""
SetBuilder = Callable[[int | None, int | None], SetAttack]


@dataclass(frozen=True)
class Entry:
    """One attack.

    name: as users write it. summary: one line for people. builder: the attack as a search for the smallest
    perturbation. on_sets: the attack as a search of fixed input sets, None where it has none. uses_restarts,
    uses_steps: whether these two numbers mean anything to it; it refuses them where they do not. options: further
    keywords of its builder.
    """

    name: str
    summary: str
    builder: Builder
    on_sets: SetBuilder | None = None
    uses_steps: bool = True
    uses_restarts: bool = True
    options: tuple[str, ...] = ()

    @property
    def has_set_attack(self) -> bool:
        """Whether it can search fixed input sets (boxes, substitutions, balls of one radius)."""
        return self.on_sets is not None


def _refuse(name: str, **numbers: int | None) -> None:
    for what, value in numbers.items():
        if value is not None:
            raise SpecificationError(f"{what} is {value}, but the attack {name} has no {what}; leave it out")


def _pgd_on_sets(steps: int | None, restarts: int | None) -> SetAttack:
    from gpu_engine.attacks.pgd import PGD, RESTARTS, STEPS

    return PGD(STEPS if steps is None else steps, RESTARTS if restarts is None else restarts)


def _pgd(steps: int | None, restarts: int | None) -> RadiusAttack:
    from gpu_engine.attacks.bisection import Bisected

    return Bisected(_pgd_on_sets(steps, restarts))


def _fgsm_on_sets(steps: int | None, restarts: int | None) -> SetAttack:
    from gpu_engine.attacks.fgsm import FGSM

    _refuse("fgsm", steps=steps, restarts=restarts)
    return FGSM()


def _fgsm(steps: int | None, restarts: int | None) -> RadiusAttack:
    from gpu_engine.attacks.bisection import Bisected

    return Bisected(_fgsm_on_sets(steps, restarts))


def _cw(steps: int | None, restarts: int | None) -> RadiusAttack:
    from gpu_engine.attacks.cw_ada import CWAda

    _refuse("cw", restarts=restarts)
    return CWAda() if steps is None else CWAda(steps=steps)


def _lbfgs(steps: int | None, restarts: int | None) -> RadiusAttack:
    from gpu_engine.attacks.lbfgs import LBFGS

    _refuse("lbfgs", restarts=restarts)
    return LBFGS() if steps is None else LBFGS(steps=steps)


def _lp(
    steps: int | None, restarts: int | None, *, grid: int | None = None, seconds: float | None = None
) -> RadiusAttack:
    from gpu_engine.attacks.lp.search import STEPS, LPSearch

    _refuse("lp", restarts=restarts)
    return LPSearch(STEPS if steps is None else steps, seconds=seconds, grid=grid)


_ENTRIES = (
    Entry("pgd", "projected gradient descent, adaptive step, with restarts; bisection", _pgd, _pgd_on_sets),
    Entry("cw", "C&W-Ada of POPQORN: the largest frame norm made small once misclassified", _cw, uses_restarts=False),
    Entry(
        "fgsm",
        "one step along the gradient at the center; bisection",
        _fgsm,
        _fgsm_on_sets,
        uses_steps=False,
        uses_restarts=False,
    ),
    Entry("lbfgs", "box-constrained L-BFGS of Szegedy et al.", _lbfgs, uses_restarts=False),
    Entry(
        "lp",
        "linear programs on linear regions (ReLU networks only)",
        _lp,
        uses_restarts=False,
        options=("grid", "seconds"),
    ),
)

ATTACKS: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def attack_entry(name: str) -> Entry:
    """The attack of this name. Raises SpecificationError."""
    if name not in ATTACKS:
        raise SpecificationError(f"attack {name!r} is not known; known: {', '.join(ATTACKS)}")
    return ATTACKS[name]

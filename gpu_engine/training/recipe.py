"""What a training run is asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from gpu_engine.attacks.registry import attack_entry
from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import Clip, check_clip, check_norm

CERTIFIED: Final = ("interval", "backsubstituted")
"""Losses on bounds: `interval`, and margins back-substituted from those boxes."""
# Chosen on the digits LSTM: what trains it within minutes on one core, see benchmarks/finetuning.py.
_BOUNDS: Final[dict[str, dict[str, Any]]] = {
    "interval": {"rounds": 5, "epochs": 20, "rate": 5e-3, "natural": 0.25},
    "backsubstituted": {"rounds": 5, "epochs": 12, "rate": 3e-3, "natural": 0.5},
}
_ON_SETS: Final[dict[str, Any]] = {
    "rounds": 5,
    "epochs": 8,
    "rate": 3e-3,
    "natural": 0.5,
    "stretch": 1.5,
    "cooling": 0.5,
}
# Searches for the smallest perturbation take a tenth of a second a sample.
_SMALLEST: Final[dict[str, Any]] = {**_ON_SETS, "attacked": 200}
# Many weak searches, one an epoch, train better than few strong ones.
_OWN: Final[dict[str, dict[str, Any]]] = {"pgd": {"steps": 10, "restarts": 1}}


def recommended(method: str | None, certified: str | None) -> dict[str, Any]:
    """Fields of `Recipe` for this way of training that are good to begin with; {} where none is known."""
    if method is None:
        return dict(_BOUNDS.get(certified or "", {}))
    return {**(_ON_SETS if attack_entry(method).has_set_attack else _SMALLEST), **_OWN.get(method, {})}


@dataclass(frozen=True)
class Recipe:
    """One training run. Raises SpecificationError.

    method: the attack (`gpu_engine.attacks.registry`) whose inputs are trained on, or certified: one of CERTIFIED;
    exactly one of the two. radius, p, clip: the balls, one a frame. rounds: of `epochs` epochs each, with a checkpoint
    at the end. rate: the step length of Adam; batch: samples a step; longest: to which norm gradients are cut. steps,
    restarts: the attack's own numbers, None for its defaults; attacked: how many training samples, drawn anew, each
    search takes, None for all. natural: the weight of the plain loss, with certified at the full radius (kappa of
    Gowal et al. 2018). calm, ramp: with certified, the shares of the whole run before the radius grows, and while it
    grows. cooling: the share at the end in which the rate falls to zero. stretch: the largest radius trained on, as a
    multiple of radius: a network is less robust on other samples than on those that it was trained on.
    """

    method: str | None = None
    certified: str | None = None
    radius: float = 0.05
    p: float = math.inf
    clip: Clip | None = None
    rounds: int = 3
    epochs: int = 20
    rate: float = 1e-3
    batch: int = 64
    seed: int = 0
    longest: float = 1.0
    steps: int | None = None
    restarts: int | None = None
    attacked: int | None = None
    natural: float = 0.5
    calm: float = 0.1
    ramp: float = 0.5
    cooling: float = 0.3
    stretch: float = 1.0

    def __post_init__(self) -> None:
        if (self.method is None) == (self.certified is None):
            raise SpecificationError("give an attack to train on (method) or a bound (certified), one of the two")
        if self.method is not None:
            attack_entry(self.method)
        if self.certified is not None and self.certified not in CERTIFIED:
            raise SpecificationError(f"certified {self.certified!r} is not known; known: {', '.join(CERTIFIED)}")
        if not 0 < self.radius < math.inf:
            raise SpecificationError(f"radius is {self.radius}; training for robustness needs a finite one above 0")
        check_norm(self.p)
        if self.clip is not None:
            check_clip(self.clip)
        for name in ("rounds", "epochs", "batch", "attacked", "steps", "restarts"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SpecificationError(f"{name} is {value}; give at least 1")
        for name in ("rate", "longest", "stretch"):
            if not 0 < getattr(self, name) < math.inf:
                raise SpecificationError(f"{name} is {getattr(self, name)}; give a finite number above 0")
        for name in ("natural", "calm", "ramp", "cooling"):
            if not 0 <= getattr(self, name) <= 1:
                raise SpecificationError(f"{name} is {getattr(self, name)}; give a share between 0 and 1")

    def radius_at(self, share: float) -> float:
        """The radius of the worst-case loss after this share of the run."""
        return self.radius * self.stretch * (1.0 if self.certified is None else self._grown(share))

    def natural_at(self, share: float) -> float:
        """The weight of the plain loss after this share of the run."""
        return 1 - (1 - self.natural) * self._grown(share)

    def rate_at(self, share: float) -> float:
        """The rate after this share of the run."""
        return self.rate if share <= 1 - self.cooling else self.rate * (1 - share) / self.cooling

    def _grown(self, share: float) -> float:
        if share <= self.calm:
            return 0.0
        return 1.0 if self.ramp == 0 else min(1.0, (share - self.calm) / self.ramp)

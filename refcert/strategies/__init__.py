"""Hypothesis strategies for robust recurrent networks: what users and we test bounds, planes and models with.

    from hypothesis import given
    from refcert.strategies import boxes, classifiers, input_sets, perturbations

Strategies: `intervals`, `boxes`, `planes`; `classifiers`, `sequences`, `input_sets`, `perturbations`, `questions`.
What they draw can be used as it is (a `RecurrentClassifier`, an input set, ...), shrinks to the smallest network and
the simplest perturbation, and has a repr that rebuilds it to the last bit after `from refcert.strategies import *`.
`steer` leads Hypothesis towards violations, `contains` says exactly whether a point is in a set, `source` is Python
that rebuilds any model, input set or tensor. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_engine.model import Activation, Dense, Direction, RecurrentClassifier
    from gpu_engine.spec import AllRows, KthLeast, LabelAgainstOthers, Specification, Steps
    from refcert.kernel.claims import PlaneClaim
    from refcert.reference.intervals import Interval
    from refcert.strategies.asked import Question, extremes, questions
    from refcert.strategies.border import last_inside
    from refcert.strategies.drawn_planes import DrawnPlane, planes
    from refcert.strategies.inside import WAYS, Perturbation, own_answers, perturbations, points_inside
    from refcert.strategies.interval_families import INTERVAL_FAMILIES, intervals
    from refcert.strategies.membership import contains
    from refcert.strategies.models import Classifier
    from refcert.strategies.networks import CELLS, classifiers
    from refcert.strategies.plane_boxes import PlaneBoxes, boxes
    from refcert.strategies.ragged import Sequences, sequences
    from refcert.strategies.recipes import ClassifierRecipe, LayerRecipe, WeightRecipe
    from refcert.strategies.regions import NORMS, SET_KINDS, input_sets
    from refcert.strategies.sets import Boxes, FrameBalls, SequenceBall, Substitutions, evaluable
    from refcert.strategies.sources import f32, f64, flags, same, source, whole
    from refcert.strategies.steering import steer

# Imported when a name is first used: hypothesis and torch take a second. No module is called as a strategy is.
_HOME = {
    "gpu_engine.model": ("Activation", "Dense", "Direction", "RecurrentClassifier"),
    "gpu_engine.spec": ("AllRows", "KthLeast", "LabelAgainstOthers", "Specification", "Steps"),
    "refcert.kernel.claims": ("PlaneClaim",),
    "refcert.reference.intervals": ("Interval",),
    "refcert.strategies.border": ("last_inside",),
    "refcert.strategies.plane_boxes": ("PlaneBoxes", "boxes"),
    "refcert.strategies.networks": ("CELLS", "classifiers"),
    "refcert.strategies.regions": ("NORMS", "SET_KINDS", "input_sets"),
    "refcert.strategies.interval_families": ("INTERVAL_FAMILIES", "intervals"),
    "refcert.strategies.membership": ("contains",),
    "refcert.strategies.models": ("Classifier",),
    "refcert.strategies.inside": ("WAYS", "Perturbation", "own_answers", "perturbations", "points_inside"),
    "refcert.strategies.drawn_planes": ("DrawnPlane", "planes"),
    "refcert.strategies.asked": ("Question", "extremes", "questions"),
    "refcert.strategies.recipes": ("ClassifierRecipe", "LayerRecipe", "WeightRecipe"),
    "refcert.strategies.ragged": ("Sequences", "sequences"),
    "refcert.strategies.sets": ("Boxes", "FrameBalls", "SequenceBall", "Substitutions", "evaluable"),
    "refcert.strategies.sources": ("f32", "f64", "flags", "same", "source", "whole"),
    "refcert.strategies.steering": ("steer",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "CELLS",
    "INTERVAL_FAMILIES",
    "NORMS",
    "SET_KINDS",
    "WAYS",
    "Activation",
    "AllRows",
    "Boxes",
    "Classifier",
    "ClassifierRecipe",
    "Dense",
    "Direction",
    "DrawnPlane",
    "FrameBalls",
    "Interval",
    "KthLeast",
    "LabelAgainstOthers",
    "LayerRecipe",
    "Perturbation",
    "PlaneBoxes",
    "PlaneClaim",
    "Question",
    "RecurrentClassifier",
    "SequenceBall",
    "Sequences",
    "Specification",
    "Steps",
    "Substitutions",
    "WeightRecipe",
    "boxes",
    "classifiers",
    "contains",
    "evaluable",
    "extremes",
    "f32",
    "f64",
    "flags",
    "input_sets",
    "intervals",
    "last_inside",
    "own_answers",
    "perturbations",
    "planes",
    "points_inside",
    "questions",
    "same",
    "sequences",
    "source",
    "steer",
    "whole",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

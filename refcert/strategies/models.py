"""The engine's classifiers with a repr that rebuilds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from gpu_engine.model import Activation, Block, Dense, Direction, RecurrentClassifier
from refcert.strategies.sources import Evaluable, fields_source

if TYPE_CHECKING:
    from refcert.strategies.recipes import ClassifierRecipe


class Classifier(Evaluable, RecurrentClassifier):
    """A `RecurrentClassifier` that knows the recipe it was built from, as long as its weights are those.

    repr: the recipe's, followed by `.build()`; the weights in full where there is no recipe (`dataclasses.replace`) or
    where somebody has changed them since.
    """

    _recipe: ClassifierRecipe | None = None

    @property
    def recipe(self) -> ClassifierRecipe | None:
        """The recipe; None where this network is no longer what it says."""
        recipe = self._recipe
        if recipe is None or recipe.build().digest() != self.digest():
            return None
        return recipe

    def __repr__(self) -> str:
        recipe = self.recipe
        return fields_source(self) if recipe is None else f"{recipe!r}.build()"


def classifier_from_plain(plain: Mapping[str, Any], recipe: ClassifierRecipe | None = None) -> Classifier:
    """The normal form of plain arrays (`ClassifierRecipe.plain`). Raises ModelError."""
    layers = tuple(
        tuple(Direction(**{name: _value(value) for name, value in part.items()}) for part in layer)
        for layer in plain["layers"]
    )
    model = Classifier(
        layers=layers,
        after=_blocks(plain["after"]),
        before=_blocks(plain["before"]),
        readout=plain["readout"],
        embedding=_value(plain["embedding"]),
    )
    object.__setattr__(model, "_recipe", recipe)
    return model


def _value(value: Any) -> Any:
    return value if value is None or isinstance(value, str | bool) else torch.tensor(value, dtype=torch.float64)


def _blocks(blocks: Sequence[str | Mapping[str, Any]]) -> tuple[Block, ...]:
    return tuple(
        Activation(block) if isinstance(block, str) else Dense(_value(block["weight"]), _value(block["bias"]))
        for block in blocks
    )

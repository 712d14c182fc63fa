"""Rounds of training for robustness: on adversarial inputs found anew each round, or on bounds.

Method card
    Claim      none; the trained network is measured and certified like any other.
    Source     adversarial rounds: Bastani et al. (2016), "Measuring neural net robustness with constraints", section
               5: adversarial inputs found by an algorithm are added to the training set, training goes on at a reduced
               rate, and all is repeated. Bounds: Gowal et al. (2018): the radius grows from zero, plain and worst-case
               cross entropy are mixed.
    Idea       between rounds a run is nothing but its `State`: tensors and two numbers. A run continued from a state
               takes the same steps as one that was never interrupted.
    Departure  an attack that searches the smallest perturbation gives its input only where that lies within the
               radius; samples without an adversarial input are in a round once, as they are.
    Stops      NumericalError where a loss, a gradient or a weight is not finite; the last round's state stays good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.attacks.registry import attack_entry
from gpu_engine.errors import ModelError, NumericalError
from gpu_engine.inputs import Clip
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import Specification, untargeted, untargeted_steps
from gpu_engine.training.losses import Labelled, check_fit, plain_loss, worst_loss
from gpu_engine.training.recipe import Recipe
from gpu_engine.training.trainable import Trainable, TrainableModule

# Samples attacked together; all randomness comes from one generator, so results depend on it.
CHUNK = 200
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class State:
    """Everything that the rest of a run depends on: tensors by name, and how many rounds are done."""

    tensors: dict[str, Tensor]
    rounds: int


@dataclass(frozen=True)
class Round:
    """What happened in a round: mean losses of its last epoch (worst: None without bounds), adversarial inputs found.

    adversarial: None with bounds.
    """

    number: int
    loss: float
    plain: float
    worst: float | None
    adversarial: int | None


class Trainer:
    """One run on one training set. Raises SpecificationError and ModelError for what does not fit together."""

    def __init__(self, network: Trainable | TrainableModule, data: Labelled, recipe: Recipe) -> None:
        check_fit(network.frozen(), data)
        self.network, self.data, self.recipe = network, data, recipe
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.parameters = [value for value in network.parameters() if value.requires_grad]
        if not self.parameters:
            raise ModelError("the module has no parameters that train (requires_grad is False for all)")
        self.optimizer = torch.optim.Adam(self.parameters, lr=recipe.rate)
        self.rounds = 0

    def run(
        self, after: Callable[[Trainer, Round], None] | None = None, tick: Callable[[int], None] | None = None
    ) -> None:
        """All rounds that are left. after: called behind each; tick: called with 1 behind each epoch."""
        while self.rounds < self.recipe.rounds:
            done = self.round(tick)
            if after is not None:
                after(self, done)

    def round(self, tick: Callable[[int], None] | None = None) -> Round:
        """One round. Raises NumericalError where numbers overflow; `restore` puts the weights back."""
        recipe, data, found = self.recipe, self.data, None
        if recipe.method is not None:
            adversarial = self._adversarial()
            found = 0 if adversarial is None else len(adversarial)
            data = data if adversarial is None else data.joined(adversarial)
        losses = torch.zeros(3, dtype=torch.float64)
        for epoch in range(recipe.epochs):
            losses = self._epoch(data, epoch)
            if tick is not None:
                tick(1)
        self.rounds += 1
        loss, plain, worst = (float(value) for value in losses)
        return Round(self.rounds, loss, plain, worst if recipe.certified is not None else None, found)

    def state(self) -> State:
        """A copy of everything that the next round depends on."""
        tensors = {"generator": self.generator.get_state()}
        for k, parameter in enumerate(self.parameters):
            tensors[f"weights.{k}"] = parameter.detach().clone()
            moments = self.optimizer.state.get(parameter, {})
            tensors |= {f"{name}.{k}": moments[name].clone() for name in _MOMENTS if name in moments}
        return State(tensors, self.rounds)

    def restore(self, state: State) -> None:
        """Go on from a state of the same run. Raises ModelError where it is of another network."""
        tensors = dict(state.tensors)
        for k, parameter in enumerate(self.parameters):
            stored = tensors.get(f"weights.{k}")
            if stored is None or stored.shape != parameter.shape or stored.dtype != parameter.dtype:
                raise ModelError(
                    f"the checkpoint has no weights.{k} of shape {tuple(parameter.shape)}; it is of another run"
                )
            with torch.no_grad():
                parameter.copy_(stored)
            moments = {name: tensors[f"{name}.{k}"].clone() for name in _MOMENTS if f"{name}.{k}" in tensors}
            if moments:
                self.optimizer.state[parameter] = moments
        self.generator.set_state(tensors["generator"])
        self.rounds = state.rounds

    def _epoch(self, data: Labelled, epoch: int) -> Tensor:
        """One pass over the data; mean loss, plain loss and worst-case loss."""
        recipe = self.recipe
        order = torch.randperm(len(data), generator=self.generator)
        batches = torch.split(order, recipe.batch)
        sums = torch.zeros(3, dtype=torch.float64)
        for k, index in enumerate(batches):
            share = (self.rounds + (epoch + k / len(batches)) / recipe.epochs) / recipe.rounds
            sums += self._step(data.select(index), share, epoch) * len(index)
        return sums / len(data)

    def _step(self, batch: Labelled, share: float, epoch: int) -> Tensor:
        recipe, dtype = self.recipe, self.network.dtype
        model = self.network.classifier()
        plain = plain_loss(model, batch, dtype)
        worst, weight = torch.zeros_like(plain), 1.0
        if recipe.certified is not None and (radius := recipe.radius_at(share)) > 0:
            weight = recipe.natural_at(share)
            worst = worst_loss(model, batch, recipe.certified, radius, recipe.p, recipe.clip, dtype)
        loss = weight * plain + (1 - weight) * worst
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        length = nn.utils.clip_grad_norm_(self.parameters, recipe.longest)
        if not bool(torch.isfinite(loss.detach())) or not bool(torch.isfinite(length)):
            raise NumericalError(
                f"round {self.rounds + 1}, epoch {epoch + 1}: the loss is {float(loss.detach())} and its gradient has "
                f"length {float(length)}; training stops. Lower the rate ({recipe.rate:g}), or scale the data"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate_at(share)
        self.optimizer.step()
        if not all(bool(torch.isfinite(value).all()) for value in self.parameters):
            raise NumericalError(
                f"round {self.rounds + 1}, epoch {epoch + 1}: a step made weights infinite; training stops. Lower the "
                f"rate ({recipe.rate:g})"
            )
        return torch.stack((loss, plain, worst)).detach().to(torch.float64)

    def _adversarial(self) -> Labelled | None:
        """Adversarial inputs of the network as it is, with the labels of the samples that they come from."""
        count = self.recipe.attacked or len(self.data)
        chosen = torch.randperm(len(self.data), generator=self.generator)[:count].sort().values
        found = [
            part
            for index in torch.split(chosen, CHUNK)
            if (part := adversarial_inputs(self.network.frozen(), self.data.select(index), self.recipe, self.generator))
        ]
        if not found:
            return None
        joined = found[0]
        for part in found[1:]:
            joined = joined.joined(part)
        return joined


def adversarial_inputs(
    model: RecurrentClassifier, data: Labelled, recipe: Recipe, generator: torch.Generator
) -> Labelled | None:
    """Misclassified inputs that the recipe's attack finds within its radius, other than the samples; None for none."""
    assert recipe.method is not None
    entry, question = attack_entry(recipe.method), question_of(model, data)
    family = family_of(data, recipe.p, recipe.clip)
    if entry.on_sets is not None:
        balls = family.at(torch.full((len(data),), recipe.radius, dtype=torch.float64))
        worst = entry.on_sets(recipe.steps, recipe.restarts).worst(question, balls, generator)
        x, broken = worst.x, worst.found
    else:
        smallest = entry.builder(recipe.steps, recipe.restarts).smallest(question, family, generator)
        x, broken = smallest.x, smallest.radius <= recipe.radius
    index = (broken & (x != family.center).flatten(1).any(1)).nonzero()[:, 0]
    if len(index) == 0:
        return None
    lengths = None if data.lengths is None else data.lengths[index]
    return Labelled(x[index].to(data.x.dtype), data.labels[index], lengths)


def question_of(model: RecurrentClassifier, data: Labelled) -> Question:
    """Does the label win against every other class (at every frame, for a model that answers each)?"""
    if model.readout == "every":
        rows: Specification = untargeted_steps(data.labels, model.classes, data.lengths)
    else:
        rows = untargeted(data.labels, model.classes)
    return Question(model, rows, data.lengths)


def family_of(data: Labelled, p: float, clip: Clip | None) -> BallFamily:
    """A ball around every frame that counts."""
    center = data.x.to(torch.float64)
    weight = torch.ones(center.shape[:2], dtype=torch.float64)
    if data.lengths is not None:
        weight = (torch.arange(center.shape[1]) < data.lengths[:, None]).to(torch.float64)
    return BallFamily(center, weight, p, clip)

"""Rounds of training for robustness: on adversarial inputs found anew, or on bounds.

Method card
    Claim      none; the trained network is measured and certified like any other.
    Source     adversarial rounds: Bastani et al. (2016), "Measuring neural net robustness with constraints", section
               5: an algorithm looks for adversarial inputs of the training set, training goes on with them at a
               reduced rate, and all is repeated. Attacks on sets: Madry et al. (2018): the worst input found of every
               sample, misclassified or not. Bounds: Gowal et al. (2018): the radius grows from zero. In both cases the
               loss mixes the cross entropy at the samples with that of the worst inputs or logits.
    Idea       between rounds a run is nothing but its `State`: tensors and two numbers. A run continued from a state
               takes the same steps as one that was never interrupted.
    Departure  attacks on sets search anew at the head of each epoch, not for each batch. Attacks that search the
               smallest perturbation are slower and search at the head of each round; a perturbation beyond the radius
               is shortened to it, and a sample without an adversarial input stands for itself.
    Stops      NumericalError where a loss, a gradient or a weight is not finite; the last round's state stays good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.geometry.registry import geometry_of
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
    """What happened in a round: mean losses of its last epoch; radius: that of the loss at its end.

    worst: on adversarial inputs, or by bounds. attacked, broken: how many inputs of the last search there were, and how
    many of them are misclassified within the radius; None with bounds.
    """

    number: int
    radius: float
    loss: float
    plain: float
    worst: float
    attacked: int | None
    broken: int | None


@dataclass(frozen=True)
class Adversarial:
    """One input for each attacked sample; broken: how many an attack misclassified within the radius."""

    data: Labelled
    broken: int


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
        recipe, found = self.recipe, None
        losses = torch.zeros(3, dtype=torch.float64)
        for epoch in range(recipe.epochs):
            if recipe.method is not None and (found is None or attack_entry(recipe.method).has_set_attack):
                found = self._adversarial()
            losses = self._epoch(None if found is None else found.data, epoch)
            if tick is not None:
                tick(1)
        self.rounds += 1
        radius = recipe.radius_at(self.rounds / recipe.rounds)
        attacked, broken = (None, None) if found is None else (len(found.data), found.broken)
        loss, plain, worst = (float(value) for value in losses)
        return Round(self.rounds, radius, loss, plain, worst, attacked, broken)

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

    def _epoch(self, adversarial: Labelled | None, epoch: int) -> Tensor:
        """One pass over the data, with as many adversarial inputs; mean loss, plain loss and worst-case loss."""
        recipe, data = self.recipe, self.data
        order = torch.randperm(len(data), generator=self.generator)
        batches = torch.split(order, recipe.batch)
        others = None if adversarial is None else torch.randperm(len(adversarial), generator=self.generator)
        sums = torch.zeros(3, dtype=torch.float64)
        for k, index in enumerate(batches):
            share = (self.rounds + (epoch + k / len(batches)) / recipe.epochs) / recipe.rounds
            beside = None
            if adversarial is not None and others is not None:
                turns = torch.arange(k * recipe.batch, k * recipe.batch + len(index)) % len(others)
                beside = adversarial.select(others[turns])
            sums += self._step(data.select(index), beside, share, epoch) * len(index)
        return sums / len(data)

    def _step(self, batch: Labelled, adversarial: Labelled | None, share: float, epoch: int) -> Tensor:
        recipe, dtype = self.recipe, self.network.dtype
        model = self.network.classifier()
        plain = plain_loss(model, batch, dtype)
        worst, weight = torch.zeros_like(plain), 1.0
        if adversarial is not None:
            weight, worst = recipe.natural, plain_loss(model, adversarial, dtype)
        elif recipe.certified is not None and (radius := recipe.radius_at(share)) > 0:
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

    def _adversarial(self) -> Adversarial:
        """An input for each sample, or for as many as the recipe says, against the network as it is."""
        count = self.recipe.attacked or len(self.data)
        chosen = torch.randperm(len(self.data), generator=self.generator)[:count].sort().values
        parts = [
            adversarial_inputs(self.network.frozen(), self.data.select(index), self.recipe, self.generator)
            for index in torch.split(chosen, CHUNK)
        ]
        data = parts[0].data
        for part in parts[1:]:
            data = data.joined(part.data)
        return Adversarial(data, sum(part.broken for part in parts))


def adversarial_inputs(
    model: RecurrentClassifier, data: Labelled, recipe: Recipe, generator: torch.Generator
) -> Adversarial:
    """For each sample the worst input that the recipe's attack finds within its last radius, see the method card."""
    assert recipe.method is not None
    entry, question = attack_entry(recipe.method), question_of(model, data)
    family = family_of(data, recipe.p, recipe.clip)
    radius = torch.full((len(data),), recipe.radius_at(1.0), dtype=torch.float64)
    balls = family.at(radius)
    if entry.on_sets is not None:
        worst = entry.on_sets(recipe.steps, recipe.restarts).worst(question, balls, generator)
        x, broken = worst.x, worst.found
    else:
        smallest = entry.builder(recipe.steps, recipe.restarts).smallest(question, family, generator)
        found = torch.isfinite(smallest.radius)
        share = torch.where(found & (smallest.radius > radius), radius / smallest.radius, 1.0)[:, None, None]
        shorter = family.center + share * (smallest.x - family.center)
        x = torch.where(found[:, None, None], geometry_of(balls).inside(shorter), family.center)
        broken = smallest.radius <= radius
    return Adversarial(Labelled(x.to(data.x.dtype), data.labels, data.lengths), int(broken.sum()))


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

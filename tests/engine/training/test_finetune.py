"""Rounds of training: they do what they are for, stop where numbers break, and go on where they were."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from gpu_engine.errors import ModelError, NumericalError, SpecificationError
from gpu_engine.search.certify import certify
from gpu_engine.training.finetune import Trainer, adversarial_inputs, family_of, question_of
from gpu_engine.training.losses import Labelled
from gpu_engine.training.recipe import Recipe, recommended
from gpu_engine.training.trainable import Trainable, TrainableModule
from tests.engine.modules import Net
from tests.engine.training.toy import toy_data, toy_network

PGD = Recipe(method="pgd", radius=0.2, rounds=3, epochs=6, rate=0.02, batch=16, steps=5, restarts=1)
FGSM = Recipe(method="fgsm", radius=0.2, rounds=2, epochs=2, rate=0.02, batch=16)
INTERVAL = Recipe(certified="interval", radius=0.2, rounds=2, epochs=15, rate=0.02, batch=16)


def broken(model, data, recipe=PGD) -> int:
    """Samples that PGD breaks, or that are misclassified."""
    return adversarial_inputs(model, data, recipe, torch.Generator().manual_seed(9)).broken


def proved(model, data, radius) -> int:
    balls = family_of(data, math.inf, None).at(torch.full((len(data),), radius, dtype=torch.float64))
    return int(certify(model, balls, question_of(model, data).specification).proved.sum())


@pytest.mark.parametrize("recipe", [PGD, INTERVAL, replace(INTERVAL, certified="backsubstituted", epochs=8)])
def test_training_makes_a_toy_more_robust(recipe):
    network, unseen = Trainable(toy_network()), toy_data(40, seed=5)
    before = network.frozen()
    Trainer(network, toy_data(), recipe).run()
    after = network.frozen()
    assert broken(after, unseen) < broken(before, unseen) / 2
    assert proved(after, unseen, 0.1) > proved(before, unseen, 0.1)


@pytest.mark.parametrize("recipe", [FGSM, replace(PGD, epochs=1, attacked=10), replace(INTERVAL, epochs=2, rounds=3)])
def test_a_run_continued_from_a_state_ends_with_the_same_bits(recipe):
    whole = Trainer(Trainable(toy_network()), toy_data(), recipe)
    whole.run()
    first = Trainer(Trainable(toy_network()), toy_data(), recipe)
    first.round()
    second = Trainer(Trainable(toy_network(seed=8)), toy_data(), recipe)
    second.restore(first.state())
    first.round()  # what happens to the first run later is not the second's business
    second.run()
    assert second.network.frozen().digest() == whole.network.frozen().digest()
    assert all(
        torch.equal(a, b) for a, b in zip(second.state().tensors.values(), whole.state().tensors.values(), strict=True)
    )


def test_seeds_matter_and_repeat():
    def digest(seed: int) -> str:
        trainer = Trainer(Trainable(toy_network()), toy_data(), replace(FGSM, seed=seed))
        trainer.run()
        return trainer.network.frozen().digest()

    assert digest(0) == digest(0) != digest(1)


def test_a_module_trains_in_place():
    torch.manual_seed(0)
    module = Net("gru", inputs=2, classes=2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.head.bias.requires_grad_(False)
    Trainer(TrainableModule(module), toy_data(), FGSM).run()
    changed = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(before) - {"head.bias"}


@pytest.mark.parametrize("recipe", [replace(FGSM, rounds=5), replace(INTERVAL, epochs=2)])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_state(recipe):
    network = Trainable(toy_network())
    trainer = Trainer(network, toy_data(), recipe)
    trainer.round()
    state, digest = trainer.state(), network.frozen().digest()
    with torch.no_grad():
        network.weights[-1].copy_(torch.tensor([1.7e308, -1.7e308], dtype=torch.float64))
    with pytest.raises(NumericalError, match=r"loss is|overflow|infinite"):
        trainer.round()
    assert trainer.rounds == 1
    trainer.restore(state)
    assert network.frozen().digest() == digest


def test_a_state_of_another_network_is_refused():
    trainer = Trainer(Trainable(toy_network()), toy_data(), FGSM)
    other = Trainer(TrainableModule(Net("gru", inputs=2, classes=2)), toy_data(), FGSM)
    with pytest.raises(ModelError, match="another run"):
        trainer.restore(other.state())


@pytest.fixture(scope="module")
def trained():
    """The toy network after it has learned its data."""
    network = Trainable(toy_network())
    Trainer(network, toy_data(), replace(FGSM, radius=0.01, epochs=8)).run()
    return network.frozen()


@pytest.mark.parametrize("method", ["pgd", "fgsm", "lbfgs"])
def test_each_sample_has_an_input_in_its_ball_that_is_worse_than_itself(trained, method):
    model, data = trained, toy_data(4)
    recipe = Recipe(method, radius=0.1, clip=(-0.7, 0.7), **recommended(method, None))
    recipe = replace(recipe, steps=3) if method == "lbfgs" else recipe
    data = Labelled(data.x.clamp(-0.7, 0.7), data.labels)
    found = adversarial_inputs(model, data, recipe, torch.Generator().manual_seed(0))
    assert torch.equal(found.data.labels, data.labels)
    assert float((found.data.x - data.x).abs().max()) <= 0.15 * (1 + 1e-12)
    assert float(found.data.x.abs().max()) <= 0.7
    margins = question_of(model, data).plain_margins(found.data.x)
    assert int((margins <= 0).sum()) == found.broken
    assert bool((margins < question_of(model, data).plain_margins(data.x)).all())


def test_a_perturbation_beyond_the_radius_is_shortened_to_it(trained):
    model, data = trained, toy_data(2)
    sizes = []
    for radius in (1e-3, 10.0):
        recipe = Recipe("lbfgs", radius=radius, steps=3)
        found = adversarial_inputs(model, data, recipe, torch.Generator().manual_seed(0))
        sizes.append((found.data.x - data.x).abs().flatten(1).amax(1))
    shortened = sizes[1] > 1e-3
    assert bool(shortened.any())
    torch.testing.assert_close(sizes[0][shortened], torch.full_like(sizes[0][shortened], 1e-3))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "one of the two"),
        ({"method": "pgd", "certified": "interval"}, "one of the two"),
        ({"method": "none"}, "'none' is not known"),
        ({"certified": "none"}, "'none' is not known"),
        ({"method": "pgd", "radius": 0.0}, "radius is 0.0"),
        ({"method": "pgd", "radius": math.nan}, "radius is nan"),
        ({"method": "pgd", "p": 0.5}, "0.5"),
        ({"method": "pgd", "rate": math.inf}, "rate is inf"),
        ({"method": "pgd", "epochs": 0}, "epochs is 0"),
        ({"method": "pgd", "attacked": 0}, "attacked is 0"),
        ({"certified": "interval", "natural": 1.5}, "natural is 1.5"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(given, said):
    with pytest.raises(SpecificationError, match=said):
        Recipe(**given)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: Labelled(d.x[..., :1], d.labels), "1 values a frame"),
        (lambda d: Labelled(d.x, d.labels + 5), "label"),
        (lambda d: Labelled(d.x, d.labels[:3]), "labels have shape"),
        (lambda d: Labelled(d.x * math.nan, d.labels), "sequences"),
        (lambda d: Labelled(d.x[:0], d.labels[:0]), "sequences have shape"),
        (lambda d: Labelled(d.x, d.labels[:, None].expand(-1, 3)), "each sequence"),
    ],
)
def test_data_that_does_not_fit_is_refused(change, said):
    with pytest.raises(SpecificationError, match=said):
        Trainer(Trainable(toy_network()), change(toy_data()), FGSM)


def test_the_radius_grows_and_the_rate_falls():
    recipe = Recipe(certified="interval", radius=0.3, natural=0.25)
    shares = [k / 100 for k in range(100)]
    radii = [recipe.radius_at(share) for share in shares]
    assert radii == sorted(radii) and radii[0] == 0 and radii[-1] == 0.3
    assert recipe.natural_at(0) == 1 and recipe.natural_at(0.99) == 0.25
    assert recipe.rate_at(0) == recipe.rate > recipe.rate_at(0.99) > 0

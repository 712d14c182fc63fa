"""`refcert finetune`: from what was asked to a trained network, checkpoints, and metrics before and after."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from gpu_engine.attacks.registry import attack_entry
from gpu_engine.errors import EngineError, NumericalError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.training.finetune import Round, Trainer, adversarial_inputs
from gpu_engine.training.losses import Labelled
from gpu_engine.training.recipe import Recipe
from gpu_engine.training.trainable import Trainable, TrainableModule
from refcert.app import datasets, runs
from refcert.app.datasets import Sequences
from refcert.app.errors import InputError
from refcert.app.finetuning.data import labelled, test_part, training_part
from refcert.app.finetuning.folder import ROUNDS, FinetuneFolder
from refcert.app.finetuning.measuring import NATURE, Asked, measure
from refcert.app.finetuning.modules import open_module
from refcert.app.opening import open_model
from refcert.app.progress import Progress
from refcert.app.request import norm_name

DTYPES = {"float64": torch.float64, "float32": torch.float32}
KIND = "finetune"


@dataclass(frozen=True)
class Job:
    """What `refcert finetune` is asked. model or module: one of the two; test: None for the data set's own test part.

    count: of test samples; attacks: names to measure with; dtype: of the weights while they train.
    """

    recipe: Recipe
    data: str
    attacks: Sequence[str]
    count: int | None
    model: str | None = None
    module: str | None = None
    test: str | None = None
    structure: str | None = None
    readout: str | None = None
    dtype: str = "float64"

    def __post_init__(self) -> None:
        if (self.model is None) == (self.module is None):
            raise InputError("give a network with --model or with --module, one of the two")
        if self.test is None and self.data not in datasets.KNOWN:
            raise InputError(f"--data {self.data} trains; give other samples for the metrics with --test FILE.npz")
        if self.dtype not in DTYPES:
            raise InputError(f"--dtype {self.dtype!r} is not known; known: {', '.join(DTYPES)}")
        for name, number in Counter(self.attacks).items():
            attack_entry(name)
            if number > 1:
                raise InputError(f"--attacks names {name!r} more than once; name each attack once")

    @property
    def test_source(self) -> str:
        return self.test or self.data


def run(job: Job, *, out: Path, resume: bool, progress: Progress) -> dict[str, Any]:
    """Train, measure and write; returns the summary. Raises InputError and EngineError before anything is written.

    Raises NumericalError where the loss is no number; the rounds before stay in the folder.
    """
    if resume:
        runs.open_run(out)
    else:
        runs.check_free(out)
    network, digest = _open(job)
    before = network.frozen()
    training = training_part(job.data, before)
    test = test_part(job.test_source, job.data, before, job.count)
    trainer = Trainer(network, labelled(training), job.recipe)
    _try_out(job.recipe, before, trainer.data)
    asked = _asked(job, digest, before.digest(), before.describe(), training, test)
    path = (runs.resume(out, asked) if resume else runs.create(out, asked, (ROUNDS,))).path
    folder = FinetuneFolder(path)
    metrics = folder.before()
    wanted = Asked(job.recipe.radius, job.recipe.p, job.recipe.clip, job.attacks, job.recipe.seed)
    samples = labelled(test)
    if metrics is None:
        with progress.task("measuring before", len(job.attacks) + 1, unit="metrics") as tick:
            metrics = measure(before, samples, wanted, tick, path)
        folder.write_before(metrics)
    state = folder.last_state()
    if state is not None:
        trainer.restore(state)
    seconds = _train(trainer, folder, progress)
    model = network.frozen()
    module = network.module if isinstance(network, TrainableModule) else None
    result = folder.write_result(model, module, _made(job.recipe))
    with progress.task("measuring after", len(job.attacks) + 1, unit="metrics") as tick:
        after = measure(model, samples, wanted, tick, path)
    summary = {
        **asked,
        "result": str(result),
        "digest": model.digest(),
        "rounds": folder.rounds(),
        "before": metrics,
        "after": after,
        "nature": NATURE,
        "seconds": seconds,
    }
    folder.write_summary(summary)
    return summary


def _open(job: Job) -> tuple[Trainable | TrainableModule, str | None]:
    try:
        if job.module is not None:
            return open_module(job.module, job.recipe.seed, job.structure, job.readout)
        assert job.model is not None
        return Trainable(open_model(job.model, job.structure, job.readout), DTYPES[job.dtype]), None
    except EngineError as error:
        raise InputError(str(error)) from error


def _try_out(recipe: Recipe, model: RecurrentClassifier, data: Labelled) -> None:
    """The attack that is trained on, on one sample: what it refuses shows now, not after minutes of measuring."""
    if recipe.method is None:
        return
    try:
        one = data.select(torch.zeros(1, dtype=torch.int64))
        adversarial_inputs(model, one, recipe, torch.Generator().manual_seed(recipe.seed))
    except EngineError as error:
        raise InputError(f"--method {recipe.method}: {error}") from error


def _train(trainer: Trainer, folder: FinetuneFolder, progress: Progress) -> float:
    """The rounds that are left, each with its checkpoint; seconds that they took."""
    start = time.perf_counter()

    def keep(trainer: Trainer, done: Round) -> None:
        recipe = trainer.recipe
        made = f"{_made(recipe)}; after round {done.number} of {recipe.rounds}, trained up to radius {done.radius:g}"
        folder.write_round(done, trainer.network.frozen(), trainer.state(), made)

    left = (trainer.recipe.rounds - trainer.rounds) * trainer.recipe.epochs
    try:
        with progress.task("training", left, unit="epochs") as tick:
            trainer.run(keep, tick)
    except NumericalError as error:
        kept = f"{folder.path / ROUNDS} keeps the {trainer.rounds} before" if trainer.rounds else "no round was done"
        raise NumericalError(f"{error}; {kept}") from error
    return time.perf_counter() - start


def _made(recipe: Recipe) -> str:
    what = f"adversarial inputs by {recipe.method}" if recipe.method else f"{recipe.certified} bounds"
    return f"refcert finetune, {what} at radius {recipe.radius:g}, l_{norm_name(recipe.p)}, seed {recipe.seed}"


def _asked(
    job: Job, digest: str | None, model_digest: str, description: str, training: Sequences, test: Sequences
) -> dict[str, Any]:
    recipe = asdict(job.recipe)
    recipe["p"] = norm_name(job.recipe.p)
    request = {
        "model": job.model,
        "module": job.module,
        "data": job.data,
        "test": job.test,
        "structure": job.structure,
        "readout": job.readout,
        "dtype": job.dtype,
        "attacks": list(job.attacks),
        "count": job.count,
        "recipe": {**recipe, "clip": None if job.recipe.clip is None else list(job.recipe.clip)},
    }
    return {
        "kind": KIND,
        "request": request,
        "model": {"digest": model_digest, "description": description, "module_sha256": digest},
        "training": {"name": training.name, "count": len(training), "digest": training.digest},
        "tested": {"name": test.name, "count": len(test), "digest": test.digest},
        "versions": {name: version(name) for name in ("refcert", "torch")},
        "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
    }

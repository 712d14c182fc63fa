"""`refcert finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refcert.app.commands.options import Clip, Json, Norm, Resume
from refcert.app.commands.shared import as_number, as_path, as_positive, as_seed, print_result, progress_bars
from refcert.app.errors import ExitCode, InputError


def finetune(
    data: Annotated[
        str,
        typer.Option(metavar="FILE", help="Trains: digits, mnist (their training images), or an .npz file."),
    ],
    radius: Annotated[float, typer.Option(parser=as_number, metavar="R", help="Radius to train and measure at.")],
    out: Annotated[Path, typer.Option(parser=as_path, metavar="DIR", help="Folder for the run; not there yet.")],
    model: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A .safetensors or .onnx file, or shipped: digits_lstm, ..."),
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(metavar="FILE.py:FUNCTION", help="A function that returns a torch.nn.Module; the file is run."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Train on adversarial inputs by: pgd, cw, fgsm, lbfgs or lp."),
    ] = None,
    certified: Annotated[
        str | None, typer.Option(metavar="HOW", help="Train on bounds instead: interval or backsubstituted.")
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Measures: an .npz file; default: the test images of digits or mnist."),
    ] = None,
    structure: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Layers in order, if names leave it open.")
    ] = None,
    readout: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the head reads: final, last_frame, mean, max or every.")
    ] = None,
    norm: Norm = "inf",
    clip: Clip = None,
    rounds: Annotated[
        int | None, typer.Option(parser=as_positive, metavar="N", help="Rounds, each with a checkpoint; default: 5.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(parser=as_positive, metavar="N", help="Epochs a round; default: 8 to 20, by the way.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(parser=as_number, metavar="X", help="Step length of Adam; default: 0.003 or 0.005.")
    ] = None,
    batch: Annotated[int, typer.Option(parser=as_positive, metavar="N", help="Samples a step.")] = 64,
    natural: Annotated[
        float | None,
        typer.Option(parser=as_number, metavar="K", help="Weight of the plain loss, 0 to 1; default: 0.25 or 0.5."),
    ] = None,
    stretch: Annotated[
        float | None,
        typer.Option(parser=as_number, metavar="X", help="Train up to X times the radius; default: 1.5 or 1."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(parser=as_positive, metavar="N", help="Steps of the attack trained on.")
    ] = None,
    restarts: Annotated[
        int | None, typer.Option(parser=as_positive, metavar="N", help="Restarts of the attack trained on.")
    ] = None,
    attacked: Annotated[
        int | None, typer.Option(parser=as_positive, metavar="N", help="Training samples a search takes; all, or 200.")
    ] = None,
    attacks: Annotated[
        str, typer.Option(metavar="NAMES", help="Attacks to measure with, before and after.")
    ] = "pgd,cw,fgsm,lbfgs",
    count: Annotated[
        int | None, typer.Option(parser=as_positive, metavar="N", help="Test samples to measure on; default: all.")
    ] = None,
    dtype: Annotated[
        str, typer.Option(metavar="TYPE", help="Of the weights of --model: float64 or float32.")
    ] = "float64",
    seed: Annotated[int, typer.Option(parser=as_seed, metavar="N", help="Of everything random.")] = 0,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Train a network further for robustness, and measure it by all attacks before and after."""
    from gpu_engine.errors import EngineError
    from gpu_engine.training.recipe import Recipe, recommended
    from refcert.app.finetuning.run import Job, run
    from refcert.app.finetuning.table import print_finetune
    from refcert.app.request import parse_clip, parse_norm

    if seed < 0:
        raise InputError(f"--seed is {seed}; give 0 or more")
    for option, number in (("--steps", steps), ("--restarts", restarts), ("--attacked", attacked)):
        if number is not None and certified is not None:
            raise InputError(f"{option} is {number}, but bounds are trained on, not an attack; leave it out")
    optional = {
        "rounds": rounds,
        "epochs": epochs,
        "rate": rate,
        "steps": steps,
        "restarts": restarts,
        "attacked": attacked,
        "natural": natural,
        "stretch": stretch,
    }
    given = {name: value for name, value in optional.items() if value is not None}
    try:
        recipe = Recipe(
            method=method,
            certified=certified,
            radius=radius,
            p=parse_norm(norm),
            clip=None if clip is None else parse_clip(*clip),
            batch=batch,
            seed=seed,
            **{**recommended(method, certified), **given},
        )
        names = tuple(name.strip() for name in attacks.split(",") if name.strip())
        job = Job(recipe, data, names, count, model, module, test, structure, readout, dtype)
    except EngineError as error:
        raise InputError(str(error)) from error
    summary = run(job, out=out, resume=resume, progress=progress_bars())
    print_result(lambda: summary, lambda console: print_finetune(console, summary), as_json=as_json)
    measured = summary["after"]["attacks"]
    if measured and all("error" in metrics for metrics in measured.values()):
        raise typer.Exit(ExitCode.UNDECIDED)  # no attack was carried out

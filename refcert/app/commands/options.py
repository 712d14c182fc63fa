"""Options that several commands share: one text for one meaning.

Most of them are told in full by `refcert certify --help`, to which the others point. An option whose meaning differs in
a command has its own text there.
"""

from __future__ import annotations

from typing import Annotated

import typer

from refcert.app.commands.shared import as_number, as_positive, as_whole

# The model and the data.
Model = Annotated[str, typer.Option(metavar="FILE", help="The model, as for `refcert certify`.")]
Data = Annotated[str, typer.Option(metavar="FILE", help="The data, as for `refcert certify`.")]
Structure = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Layers of the model in order, as for `refcert certify`.")
]
Readout = Annotated[str | None, typer.Option(metavar="NAME", help="What the head reads, as for `refcert certify`.")]
Count = Annotated[int | None, typer.Option(parser=as_whole, metavar="N", help="Only the first samples; default: all.")]

# The question.
InputSet = Annotated[
    str, typer.Option(metavar="SET", help="frames, sequence, box or substitutions, as for `refcert certify`.")
]
Norm = Annotated[str, typer.Option(metavar="P", help="l_p norm of the perturbation: inf, 2, 1 or any p >= 1.")]
Radius = Annotated[
    float | None,
    typer.Option(parser=as_number, metavar="R", help="Certify at this radius, in the data's unit; or --search."),
]
RadiusDb = Annotated[
    float | None,
    typer.Option(parser=as_number, metavar="D", help="The same at this loudness, as for `refcert certify`."),
]
Search = Annotated[bool, typer.Option("--search", help="Search the largest certified radius.")]
Frames = Annotated[
    str, typer.Option(metavar="WHICH", help="Which frames move: all, e.g. 0,3, or each (one frame at a time).")
]
Clip = Annotated[
    tuple[str, str] | None, typer.Option(metavar="LOW HIGH", help="Valid range of the data, e.g. --clip 0 1.")
]
Target = Annotated[
    str,
    typer.Option(metavar="WHICH", help="untargeted, all (each other class by itself) or a class number."),
]
TopK = Annotated[
    int | None,
    typer.Option(parser=as_whole, metavar="K", help="Ask that the label stays among the K largest outputs."),
]
Spec = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Ask that all rows C F(x) + d are positive: an .npz file with C and d."),
]

# How bounds are computed.
ClipBound = Annotated[str, typer.Option(metavar="HOW", help="exact or simple, as for `refcert certify`.")]
Criterion = Annotated[str, typer.Option(metavar="HOW", help="margins or per-class, as for `refcert certify`.")]
Relaxation = Annotated[str | None, typer.Option(metavar="NAME", help="How planes are chosen.")]
Tolerance = Annotated[
    float, typer.Option(parser=as_number, metavar="T", help="Relative width at which the search stops.")
]

# Where, and how much at a time.
Dtype = Annotated[str, typer.Option(metavar="TYPE", help="float64 or float32.")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="Any torch device: cpu, cuda, cuda:1.")]
BatchSize = Annotated[int, typer.Option(parser=as_whole, metavar="N", help="Samples per pass.")]
FreeBatchSize = Annotated[
    int, typer.Option(parser=as_whole, metavar="N", help="Samples per pass; results do not depend on it.")
]
Optimize = Annotated[
    int,
    typer.Option(
        parser=as_whole,
        metavar="STEPS",
        help="Train the slopes of every bound of the samples that are not proved, by so many steps; 0: none. 20 to 40 "
        "are worth their time.",
    ),
]
Suppose = Annotated[
    int,
    typer.Option(
        parser=as_whole,
        metavar="ROUNDS",
        help="Try what is not proved then by contradiction: bounds under the supposition that a row does not hold, in "
        "at most so many rounds; 0: none. 10 are enough.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory for bounds, as 500MB, 2GB or bytes (one sample is the least); results do not depend on it.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", parser=as_positive, metavar="N", help="Processes for the audit; default: all cores."),
]

# What is done with the result.
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")]

"""Is the specification proved on the input set? Bounds in chunks of samples; slopes trained for the rest.

Chunks change nothing but memory and speed: samples do not interact (tested: batch = loop); an ascent of slopes carries
the rounding of other batches on. Sequences of different lengths are bounded length by length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from gpu_engine.attacks.question import Question
from gpu_engine.bounds import BoundedProduct
from gpu_engine.errors import SpecificationError
from gpu_engine.html_table import sample_table
from gpu_engine.inputs import InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.optimize.ascent import Ascent
from gpu_engine.propagation.memory import Budget, budget
from gpu_engine.propagation.schedule import Bounds, bound
from gpu_engine.relaxations.registry import BEST, DEFAULT_RELAXATION, RELAXATIONS, Relaxation
from gpu_engine.search.supposing import Engine, RowProof, suppose, with_proofs
from gpu_engine.spec import AllRows, Specification, Steps

# Called with the positions of the samples (batch,) and the relaxed nonlinearities behind their bounds.
ProductSink = Callable[[Tensor, tuple[BoundedProduct, ...]], None]

# Samples whose slopes are trained together: the graph of one back-substitution is kept for all of them.
TRAINED_AT_ONCE = 16

DTYPES = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True)
class Options:
    """How to compute.

    relaxation: a named relaxation, or 'best' of several starts. dtype: 'float64' or 'float32'. chunk: samples per pass
    at most. memory: bytes that a pass may use for bounds, or None; results do not depend on it. optimize: steps of
    ascent for the slopes of every bound of the samples that the relaxation does not prove; 0 for none. suppose: rounds
    of bounds under the supposition that a row does not hold, for what is open then; 0 for none.
    """

    relaxation: str = DEFAULT_RELAXATION
    dtype: str = "float64"
    device: str = "cpu"
    chunk: int = 100
    memory: int | None = None
    optimize: int = 0
    suppose: int = 0

    def __post_init__(self) -> None:
        if self.relaxation != "best" and self.relaxation not in RELAXATIONS:
            known = ", ".join((*sorted(RELAXATIONS), "best"))
            raise SpecificationError(f"relaxation {self.relaxation!r} is not known; known: {known}")
        if self.dtype not in DTYPES:
            raise SpecificationError(f"dtype {self.dtype!r} is not supported; choose one of {', '.join(DTYPES)}")
        if self.chunk < 1:
            raise SpecificationError(f"chunk is {self.chunk}; give at least one sample per pass")
        if self.memory is not None and self.memory < 1:
            raise SpecificationError(f"memory is {self.memory} bytes; give a positive number")
        if self.optimize < 0:
            raise SpecificationError(f"optimize is {self.optimize}; give a number of steps, 0 for none")
        if self.suppose < 0:
            raise SpecificationError(f"suppose is {self.suppose}; give a number of rounds, 0 for none")
        try:
            torch.zeros(1, device=self.device).item()
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise SpecificationError(
                f"device {self.device!r} cannot be used here ({str(error).splitlines()[0]}); try 'cpu'"
            ) from error

    @property
    def relaxations(self) -> tuple[Relaxation, ...]:
        """The relaxations to follow; several for 'best'."""
        names = BEST if self.relaxation == "best" else (self.relaxation,)
        return tuple(RELAXATIONS[name] for name in names)


@dataclass(frozen=True)
class Certified:
    """lower (batch, spec): lower bounds of the rows; margin (batch,): what they say of the question; proved: > 0."""

    lower: Tensor
    margin: Tensor

    @property
    def proved(self) -> Tensor:
        return self.margin > 0

    def _repr_html_(self) -> str:
        summary = f"{int(self.proved.sum())} of {len(self.margin)} samples proved"
        return sample_table(summary, proved=self.proved, margin=self.margin)


@dataclass(frozen=True)
class BoundedBatch:
    """One pass over samples of one length: what was asked, and the bounds with all that they rest on.

    samples (batch,): their positions in the call. inputs, specification: theirs, cut to that length. Tensors of inputs
    and bounds are on the options' device. supposed: by position in the batch, the rows that were proved by
    contradiction; their `lower` is the threshold.
    """

    samples: Tensor
    model: RecurrentClassifier
    inputs: InputSet
    specification: Specification
    options: Options
    bounds: Bounds
    supposed: Mapping[int, tuple[RowProof, ...]] = field(default_factory=dict)


BatchSink = Callable[[BoundedBatch], None]


def certify(
    model: RecurrentClassifier,
    inputs: InputSet,
    specification: Specification,
    options: Options | None = None,
    sink: ProductSink | None = None,
    lengths: Tensor | None = None,
    batch_sink: BatchSink | None = None,
) -> Certified:
    """Lower bounds of every row of C F(x) + d over the input set; proved where the question's margin is positive.

    Inputs and specification stay as they are; results come back on the CPU in float64. lengths (batch,): how many
    frames of each sequence count, for ragged batches; the frames behind them are not read. batch_sink gets every pass
    as a whole, which is what `gpu_engine.certificates` writes down.
    Raises SpecificationError for shapes that do not fit and NumericalError on overflow.
    """
    options = options or Options()
    if len(specification) != len(inputs):
        raise SpecificationError(
            f"there are {len(inputs)} input sets and rows for {len(specification)} samples; give rows for every sample"
        )
    check_reading(options, specification)
    device = torch.device(options.device)
    dtype = DTYPES[options.dtype]
    lower = torch.zeros(specification.C.shape[:2], dtype=torch.float64)
    for time, samples in _by_length(len(inputs), inputs.time, lengths):
        several = options.relaxations
        octagons = any(relaxation.octagon is not None for relaxation in several)
        plan = budget(model, time, dtype, device, options.memory, len(several), octagons)
        for index in _chunks(samples, options.chunk, plan):
            part = inputs.select(index)
            bounded = (part if time == inputs.time else part.first_frames(time)).to(device)
            asked = _cut(specification.select(index), model, inputs.time, time)
            keep = sink is not None or batch_sink is not None
            for some, bounds, proofs in _passes(model, bounded, asked, options, plan.block_bytes, keep):
                lower[index[some]] = bounds.lower.to(device="cpu", dtype=torch.float64)
                if sink is not None:
                    sink(index[some], bounds.products)
                if batch_sink is not None:
                    own = bounded.select(some.to(device)), asked.select(some)
                    batch_sink(BoundedBatch(index[some], model, *own, options, bounds, proofs))
                del bounds, proofs  # or its planes would live on beside those of the next chunk
    return Certified(lower, specification.margins(lower))


def check_reading(options: Options, specification: Specification) -> None:
    """Raise SpecificationError where the options do not fit how the rows are read."""
    if options.suppose and not isinstance(specification.reading, AllRows | Steps):
        raise SpecificationError(
            f"rows read by {type(specification.reading).__name__} need not hold one by one, so that none can be proved "
            "by contradiction; use suppose=0, or ask that all rows are positive"
        )


def _passes(
    model: RecurrentClassifier,
    inputs: InputSet,
    specification: Specification,
    options: Options,
    block_bytes: int,
    keep: bool,
) -> Iterator[tuple[Tensor, Bounds, dict[int, tuple[RowProof, ...]]]]:
    """Bounds of all samples, as positions (some,), what was computed of these together, and proofs by contradiction.

    The relaxations come first; what they do not prove, and what a plain forward pass does not rule out, gets slopes of
    its own. Where these end below the first pass, which narrower boxes do not rule out, its bounds stay. What is open
    then is tried by contradiction.
    """
    compute = partial(
        bound, model, relaxations=options.relaxations, dtype=DTYPES[options.dtype], block_bytes=block_bytes
    )
    everything = torch.arange(len(inputs))
    if options.optimize == 0 and options.suppose == 0:
        yield everything, compute(inputs, specification, keep_products=keep), {}
        return
    first = compute(inputs, specification, keep_products=False)
    open_ = _margins(specification, first.lower) <= 0
    open_ &= Question(model, specification).plain_margins(inputs.center.cpu()) > 0
    done, left = everything[~open_], everything[open_]
    if len(done):
        part = inputs.select(done.to(inputs.center.device)), specification.select(done)
        yield done, compute(*part, keep_products=True) if keep else replace(first, lower=first.lower[done]), {}
    for start in range(0, len(left), TRAINED_AT_ONCE):
        some = left[start : start + TRAINED_AT_ONCE]
        part = inputs.select(some.to(inputs.center.device)), specification.select(some)
        trainer = Ascent(options.optimize) if options.optimize else None
        bounds = compute(*part, keep_products=keep, trainer=trainer, keep_facts=options.suppose > 0)
        before = first.lower[some]
        worse = _margins(part[1], bounds.lower) < _margins(part[1], before)
        bounds = replace(bounds, lower=torch.where(worse[:, None].to(before.device), before, bounds.lower))
        proofs: dict[int, tuple[RowProof, ...]] = {}
        if options.suppose:
            engine = Engine(model, options.relaxations[0], DTYPES[options.dtype], block_bytes, keep)
            proofs = suppose(engine, *part, bounds, options.suppose)
            bounds = replace(bounds, lower=with_proofs(bounds.lower, proofs), facts=None)
        yield some, bounds, proofs


def _margins(specification: Specification, lower: Tensor) -> Tensor:
    """On the CPU, where the questions are."""
    return specification.margins(lower.to(device="cpu", dtype=torch.float64))


def _by_length(batch: int, time: int, lengths: Tensor | None) -> Iterator[tuple[int, Tensor]]:
    """The lengths that occur and the samples that have them."""
    if lengths is None:
        yield time, torch.arange(batch)
        return
    lengths = lengths.cpu()
    if lengths.is_floating_point() or lengths.is_complex():
        raise SpecificationError(f"lengths are {lengths.dtype}; give whole numbers")
    if lengths.shape != (batch,):
        raise SpecificationError(f"lengths have shape {tuple(lengths.shape)}; they need one per sample, ({batch},)")
    wrong = (lengths < 1) | (lengths > time)
    if bool(wrong.any()):
        index = int(wrong.nonzero()[0, 0])
        raise SpecificationError(f"lengths[{index}] is {int(lengths[index])}; the data has 1 to {time} frames")
    for length in torch.unique(lengths).tolist():
        yield int(length), (lengths == length).nonzero()[:, 0]


def _cut(specification: Specification, model: RecurrentClassifier, longest: int, time: int) -> Specification:
    """The rows over the outputs that a shorter sequence has, for networks with an answer per frame."""
    outputs = model.outputs(time)
    if time == longest or specification.C.shape[2] != model.outputs(longest):
        return specification
    behind = specification.C[..., outputs:]
    if bool((behind != 0).any()):
        sample, row = (int(i) for i in behind.any(-1).nonzero()[0])
        raise SpecificationError(
            f"row {row} of sample {sample} asks about outputs behind the sequence's {outputs}; "
            "give such rows zeros there"
        )
    return replace(specification, C=specification.C[..., :outputs])


def _chunks(samples: Tensor, chunk: int, plan: Budget) -> Iterator[Tensor]:
    size = chunk if plan.samples is None else max(1, min(chunk, plan.samples))
    for start in range(0, len(samples), size):
        yield samples[start : start + size]

"""Is the specification proved on the input set? One pass of bounds, in chunks of samples.

Chunks change nothing but memory and speed: samples do not interact (tested: batch = loop).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.bounds import BoundedProduct
from gpu_engine.errors import SpecificationError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.propagation.schedule import bound
from gpu_engine.relaxations.rules import DEFAULT_RULE, RULES, SlopeRule
from gpu_engine.spec import FrameBalls, Specification

# Called with the slice of samples and the relaxed products behind their bounds.
ProductSink = Callable[[slice, tuple[BoundedProduct, ...]], None]

DTYPES = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True)
class Options:
    """How to compute. relaxation: a named slope rule. dtype: 'float64' or 'float32'. chunk: samples per pass."""

    relaxation: str = DEFAULT_RULE
    dtype: str = "float64"
    device: str = "cpu"
    chunk: int = 100

    def __post_init__(self) -> None:
        if self.relaxation not in RULES:
            raise SpecificationError(f"relaxation {self.relaxation!r} is not known; known: {', '.join(sorted(RULES))}")
        if self.dtype not in DTYPES:
            raise SpecificationError(f"dtype {self.dtype!r} is not supported; choose one of {', '.join(DTYPES)}")
        if self.chunk < 1:
            raise SpecificationError(f"chunk is {self.chunk}; give at least one sample per pass")
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise SpecificationError(
                f"device {self.device!r} cannot be used here ({str(error).splitlines()[0]}); try 'cpu'"
            ) from error

    @property
    def rule(self) -> SlopeRule:
        return RULES[self.relaxation]


@dataclass(frozen=True)
class Certified:
    """lower (batch, spec): lower bounds of the rows; margin (batch,): the least of them; proved: margin > 0."""

    lower: Tensor

    @property
    def margin(self) -> Tensor:
        return self.lower.amin(dim=1)

    @property
    def proved(self) -> Tensor:
        return self.margin > 0


def certify(
    model: RecurrentClassifier,
    inputs: FrameBalls,
    specification: Specification,
    options: Options | None = None,
    sink: ProductSink | None = None,
) -> Certified:
    """Lower bounds of every row of C F(x) + d over the input set; proved where all are positive.

    Inputs and specification stay as they are; results come back on the CPU in float64.
    Raises SpecificationError for shapes that do not fit and NumericalError on overflow.
    """
    options = options or Options()
    device = torch.device(options.device)
    lower = []
    for start in range(0, len(inputs), options.chunk):
        part = slice(start, min(start + options.chunk, len(inputs)))
        bounds = bound(
            model,
            inputs.select(part).to(device),
            specification.select(part),
            options.rule,
            dtype=DTYPES[options.dtype],
        )
        lower.append(bounds.lower.to(device="cpu", dtype=torch.float64))
        if sink is not None:
            sink(part, bounds.products)
    return Certified(torch.cat(lower))
